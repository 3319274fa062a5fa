"""Benchmarks for the reader's own machine: gd and the other libraries are timed in one run."""
