"""Offsets of the fields of NumPy's array object, for code that reads them by address.

An array object is a struct that NumPy promises to extensions (PyArrayObject in its ndarraytypes.h), and CPython's `id`
is its address. `tests/test_machine_code.py` reads an array by these offsets and compares with Python's answers.
"""

import sys
from struct import calcsize

OBJECT = object.__basicsize__  # bytes of every object's head, which ends with its type; its own fields follow
TYPE, DATA, NDIM, SHAPE, STRIDES, DTYPE, FLAGS = (OBJECT + k * 8 for k in (-1, 0, 1, 2, 3, 5, 6))  # of an array
KIND = OBJECT + 8, 0xFFFFFF  # offset and mask in a dtype: three characters, its kind, its type and its byte order
C_ORDER, FORTRAN_ORDER, ALIGNED, WRITEABLE = 0x0001, 0x0002, 0x0100, 0x0400  # flags of an array
KNOWN = sys.implementation.name == "cpython" and calcsize("P") == 8  # True if objects are laid out like this

# Processors compare the lower 12 bits of addresses first: a load that lies a few vectors behind an earlier store to
# another array, modulo 4096, seems to need it, and waits. Where a loop reads one array and writes another at the same
# index, this holds all the way: sigmoid took 1.4 times as long, Adam 1.6, AdEMAMix 2. Large arrays of users mostly
# begin 16 bytes behind a page, where malloc maps them. So large ones of gd begin in the middle of a page, and
# `allocate` of `gd.optimizers.storage` places states apart from both.
PAGE = 4096
PLACED_FROM = 16 * PAGE  # bytes of an array; in smaller ones a page would be much memory
