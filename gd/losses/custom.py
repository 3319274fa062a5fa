"""loss: a loss of a user's own, from a scalar rule."""

import sys
from collections.abc import Callable
from typing import Any

from ..checks import check_choice, declared_parameters, shown
from ..kernels.user_rules import copied, declare
from .base import ANY, COUNTS, PROBABILITIES, SIGNS, Loss
from .functions import _apply
from .scores import Score, r_squared

TARGETS = {"numbers": ANY, "probabilities": PROBABILITIES, "signs": SIGNS, "counts": COUNTS}


def loss(
    name: str,
    rule: Callable[..., tuple[float, float]],
    *,
    targets: str = "numbers",
    score: Score = r_squared,
    **parameters: Any,
) -> Loss:
    """Return a new elementwise loss, from the formula for one element.

    It is taken wherever the name of one of gd's own is: by `MLP`, `Head`, `LinearModel`, `gd.linear_model_gradient`,
    estimators and `gd train`. It is also a function: ``value, gradient = log_cosh(prediction, target)``, with the
    arguments `reduction` and `out` of gd's own.

    Parameters
    ----------
    name : str
    rule : function
        ``rule(prediction, target, *parameters)`` takes numbers, and returns the loss and its derivative with respect to
        the prediction. It may call `gd.math`; see `gd.optimizer` for what rules may do.
    targets : {"numbers", "probabilities", "signs", "counts"}, default: "numbers"
        What targets must be: any, in [0, 1], -1 or 1, or 0 or above. `LogisticClassifier` gives classes as 0 and 1 if
        they are probabilities, else as -1 and 1.
    score : function, default: the coefficient of determination
        ``score(target, prediction, weights=None, **parameters)`` for `evaluate` and `fit`, higher if better.
    **parameters : float, or (float, (low, high))
        The parameters that the rule takes, in their order, with defaults, and ranges low <= value < high.

    Returns
    -------
    Loss
        Assign it to a variable of a module, by which files and pickles name it.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described; at the first call, if the rule cannot be compiled.

    Examples
    --------
    >>> import gd, numpy as np
    >>> def rule(prediction, target, weight):
    ...     error = prediction - target
    ...     factor = weight if error < 0 else gd.math.cast(1, error)
    ...     return factor * error * error, (factor + factor) * error
    >>> asymmetric = gd.loss("asymmetric", rule, weight=3.0)
    >>> asymmetric(np.array([1.0, 1.0]), np.array([0.0, 2.0]))
    (2.0, array([ 1., -3.]))
    >>> model = gd.LinearModel(4, loss=asymmetric, weight=2.0)
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"loss: name must be an identifier, got {shown(name)}")
    domain = TARGETS[check_choice("loss", "targets", targets, TARGETS)]
    if not callable(score):
        raise TypeError(f"loss: score must be a function, got {shown(score)}")
    numbers = declared_parameters("loss", parameters)
    rule = copied(rule, "loss: rule", name)
    declare(rule, f"{name}'s rule", ("prediction", "target", *numbers), 2, None, "loss")

    def function(prediction, target, reduction="mean", *, out=None, **given):
        for each in given.keys() - numbers.keys():
            raise TypeError(f"{name}: unexpected keyword {each!r}")
        values = [(each, given.get(each, default), allowed) for each, (default, allowed) in numbers.items()]
        return _apply(name, rule, prediction, target, reduction, out, *values, targets=domain)

    function.__name__, function.__doc__ = name, rule.__doc__
    function.__module__ = sys._getframe(1).f_globals.get("__name__", "__main__")
    return Loss(function, rule, numbers, domain, score, of_user=True)
