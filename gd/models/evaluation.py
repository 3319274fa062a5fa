"""Evaluation: the loss and the score of a model on data, as `Model.evaluate` returns them."""

from collections.abc import Mapping
from math import nan
from typing import NamedTuple


class Evaluation(NamedTuple):
    """How good a model's outputs are on data, without dropout and penalties.

    Attributes
    ----------
    loss : float
        The mean loss; with heads, the sum of their weighted losses. NaN if no row has a target.
    score : float
        The loss's own figure, higher for better outputs: the accuracy of cross-entropy and hinge losses, D**2 of
        quantile, mae and poisson, else R**2. With heads, the mean of their scores, weighted as their losses are.
    losses, scores : dict of str to float or None
        Those of each head, not weighted; None if no row has a target for it.
    """

    loss: float
    score: float
    losses: dict[str, float | None]
    scores: dict[str, float | None]


def combined(losses: Mapping[str, float | None], scores: Mapping[str, float | None], weights: Mapping[str, float]):
    """Return the evaluation of several heads."""
    present = {name: loss for name, loss in losses.items() if loss is not None}
    if not present:
        return Evaluation(nan, nan, dict(losses), dict(scores))
    total = sum(weights[name] for name in present)
    shares = {name: weights[name] / total if total else 1 / len(present) for name in present}
    score = sum(shares[name] * (scores[name] or 0.0) for name in present)
    return Evaluation(sum(weights[name] * present[name] for name in present), score, dict(losses), dict(scores))
