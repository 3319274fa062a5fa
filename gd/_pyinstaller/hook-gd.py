"""PyInstaller's hook: what of gd is not found by reading its imports, or is needed beside the compiled modules."""

from PyInstaller.utils.hooks import collect_submodules

hiddenimports = collect_submodules("gd.optimizers")  # which imports what lies in its folder
module_collection_mode = {"gd.kernels": "pyz+py"}  # the cache of kernels knows code by its sources
excludedimports = ["torch"]  # who passes gd.pytorch an optimizer of torch has imported it
