"""Benchmarks: measured on the reader's own machine, both sides in one run."""
