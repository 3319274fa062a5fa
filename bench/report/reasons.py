"""Why gd loses the comparisons that it loses: edit REASONS where a cause was found or mended.

The first reason that fits a record is printed with it. What none explains is noise if the rounds of both overlap, and
unknown otherwise. A reason that no committed results need is deleted: a test finds it.
"""

import re
from math import inf
from typing import NamedTuple

from .notation import known
from .results import in_front


class Reason(NamedTuple):
    """A cause of lost comparisons.

    Attributes
    ----------
    families : tuple of str
    what : str
        A regular expression for the whole name of the computation.
    sizes : tuple of int
        The smallest and the largest size.
    why : str
        A sentence.
    mended : str, default: "9999"
        The day, such as "2026-12-01", from which on runs are without this cause.
    """

    families: tuple
    what: str
    sizes: tuple
    why: str
    mended: str = "9999"


ANY = ".*"
SMALL = "Small calls: much of gd's time goes into checking its arguments."
REASONS = (
    Reason(
        ("activations",),
        "tanh",
        (10_000, 100_000),
        "NumPy takes the polynomials of tanh from a table in vector registers; gd computes an exponential and divides.",
    ),
    Reason(
        ("activations",),
        "(log_)?softmax(_backward)?",
        (1_000, inf),
        "Rows of 100 columns: gd reduces each row alone, to its maximum and its sum.",
        mended="2026-12-01",
    ),
    Reason(("optimizers", "activations"), ANY, (0, 10_000), SMALL, mended="2026-12-01"),
    Reason(("losses",), ANY, (0, 1_000), SMALL, mended="2026-12-01"),
    Reason(("gradients",), ANY, (0, 1_024), SMALL),
    Reason(
        ("activations",),
        "gelu(_backward)?",
        (100_000, inf),
        "gd's normal distribution is right to 9 ULP in its tails, too, which takes longer than the memory. PyTorch is "
        "off by 10 million there.",
        mended="2026-12-01",
    ),
    Reason(
        ("low-bit",),
        ANY,
        (0, inf),
        "Encoding the states in fewer bits takes longer than the bytes that it saves, while all fits into a cache.",
    ),
)
NOISE = "Noise: the middle halves of the rounds of gd and of the peer overlap."
UNKNOWN = "The reason is not known."


def reason(record, day=""):
    """Return why a peer is faster in a record of a run on a day, as a sentence."""
    size = record.get("size") or 0
    for each in REASONS:
        fits = record["family"] in each.families and re.fullmatch(each.what, record["what"]) and day < each.mended
        if fits and each.sizes[0] <= size <= each.sizes[1]:
            return each.why
    return NOISE if _overlaps(record) else UNKNOWN


def _overlaps(record):
    """Return True if the upper quartile of a faster peer reaches gd's lower quartile."""
    ours = record["libraries"]["gd"].get("low")
    theirs = [record["libraries"][name].get("high") for name in in_front(record)]
    return known(ours) and any(known(high) and high >= ours for high in theirs)
