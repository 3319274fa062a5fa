"""Settings for compiling kernels, from environment variables when gd is imported."""

import os

import numba

DEBUG = os.environ.get("GD_DEBUG", "0") not in ("", "0")  # check the bounds of every access, and cache nothing
INTERPRETED = bool(numba.config.DISABLE_JIT)  # by NUMBA_DISABLE_JIT=1: rules and loops run as plain Python
