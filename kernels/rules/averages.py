"""A running average whose decay changes from step to step."""


def toward(average, p, share):
    """Return the average, moved by a share of the way to p."""
    return average + share * (p - average)
