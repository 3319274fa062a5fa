"""Random numbers as a function of a key and a position: dropout stores no mask, and threads change no result."""

import numpy as np

GOLDEN, FIRST, SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)

NOTHING = np.uint64(0)  # the key of no numbers


def random_bits(key, i):
    """Steele, Lea & Flood 2014: return number i (64 bits) of the SplitMix64 sequence that begins at key."""
    z = key + (np.uint64(i) + np.uint64(1)) * GOLDEN
    z = (z ^ (z >> np.uint64(30))) * FIRST
    z = (z ^ (z >> np.uint64(27))) * SECOND
    return z ^ (z >> np.uint64(31))


def key_of(*numbers, key=NOTHING):
    """Return a 64-bit key made from all bits of some integers, such as a seed and a step.

    `key` is that of further numbers before them.
    """
    with np.errstate(over="ignore"):
        for number in numbers:
            while True:
                key, number = random_bits(key, number % 2**64), number >> 64
                if number == 0:
                    break
    return key
