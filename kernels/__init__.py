"""Compiled code: rules (scalar formulas) joined with loops (walks over memory) into kernels.

Kernels take arrays and scalars, trust their caller and never validate: `gd` does that.
"""

if __name__ == "kernels":
    raise ImportError("kernels is a part of gd and is imported as gd.kernels: run `import gd` instead")
