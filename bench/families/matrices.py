"""Optimizers that step matrices by their rows and columns, or whole: one step on a square matrix."""

MIXES = {"Adafactor": ("1r", "1r", "1r", "2r1w in place"), "SM3": ("3r2w in place",)}  # of each walk
TORCH = ("Adafactor", "Muon")
