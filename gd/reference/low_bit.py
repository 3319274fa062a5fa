"""Optimizer states in fewer bits: see `kernels.storage`."""

import numpy as np


def bfloat16(x):
    """Return the bfloat16 numbers below and above float32 numbers, as uint16, and the probability of the upper one."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    return (bits >> 16).astype(np.uint16), ((bits >> 16) + 1).astype(np.uint16), (bits & 0xFFFF) / 2**16


def from_bfloat16(halves):
    """Return the float32 numbers of bfloat16 numbers that are stored as uint16."""
    return (halves.astype(np.uint32) << 16).view(np.float32)


def from_8_bits(stored, size, block=256):
    """Return the float32 numbers of codes: codes count numbers of four significant bits down from the block's largest.

    Each block begins with its largest number, a float32, whose code is 127 (int8) or 255. A code of 0 is 0 in int8.
    """
    signed, found = stored.dtype == np.int8, []
    for first in range(0, stored.size, block + 4):
        largest = stored[first : first + 4].view(np.float32)[0]
        codes = stored[first + 4 : first + 4 + block].astype(np.int64)
        if not np.isfinite(largest):
            found.append(np.full(codes.size, np.nan))
            continue
        mantissa, exponent = np.frexp(np.float64(largest))  # a number is (8 + k % 8) * 2.0 ** (k // 8 - 130)
        k = 8 * (exponent + 126) + round(16 * mantissa) - 8 if largest else 0
        k = max(k - (127 if signed else 255), 0) + abs(codes)
        values = np.where(k < 8, 0, (8 + k % 8) * 2.0 ** (k // 8 - 130))
        found.append(np.sign(codes) * values if signed else values)
    return np.concatenate(found)[:size].astype(np.float32)
