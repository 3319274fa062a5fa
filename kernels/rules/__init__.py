"""Rules: WHAT happens to one element, the formulas of the papers as plain scalar functions."""
