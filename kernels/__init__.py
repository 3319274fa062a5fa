"""Compiled code: rules (scalar formulas) joined with loops (walks over memory) into kernels.

Kernels see arrays and scalars, trust their caller and never validate: that is the job of `gd`.
"""

if __name__ == "kernels":
    raise ImportError("kernels is a part of gd and is imported as gd.kernels: run `import gd` instead")
