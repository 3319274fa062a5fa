"""Parameters and attributes that the docstrings of all estimators share."""

from collections.abc import Callable
from typing import TypeVar

_Class = TypeVar("_Class", bound=type)

_SHARED = """optimizer : str, default: "Adam"
        The name of an optimizer of gd, or a class of your own. If it averages the parameters (ASGD, ScheduleFreeAdamW,
        or any with the option ema), the averages are validated, predict and are the attributes; training goes on from
        the parameters.
    lr : float or callable, default: {lr}
        The learning rate, or a schedule: a function of the number of steps. A copy of it is used.
    optimizer_options : dict, optional
        Further arguments of the optimizer, such as ``{{"clip_norm": 1.0}}``. With
        ``{{"proximal": True}}`` and the optimizer "SGD", "Momentum" or "Nesterov", l1 makes weights of linear
        estimators exactly 0: those that are 0 at the minimum.
    batch_size : int, default: 128 (with a solver, "auto": 200 or all rows)
        Rows of a step: 1 is stochastic gradient descent, all rows batch gradient descent.
    max_iter : int, default: 200
        The largest number of epochs.
    tol : float, default: 1e-4
        An epoch is an improvement if its loss (with early_stopping, the validation's) is better by more than this. For
        regressors it is the loss of standardized targets.
    n_iter_no_change : int, default: 10
        Training ends after this many epochs in a row without improvement.
    early_stopping : bool, default: False
        Hold rows back for validation, score them after each epoch, and keep the best parameters.
    validation_fraction : float, default: 0.1
        The share of the rows that is held back, in (0, 1): of each class alike.
    warm_start : bool, default: False
        Start `fit` from the parameters and the optimizer's state of the last one.
    random_state : int, RandomState or None, default: None
        Seed of the order of rows, the initial weights and the choice of validation rows.
    verbose : bool, default: False
        Show a progress bar (needs tqdm).

    Attributes
    ----------
    n_iter_ : int
        Epochs of the last `fit`, or of all calls of `partial_fit`.
    loss_curve_ : list of float
        The mean loss of each epoch, with the penalties of linear models; in units of y, except where several outputs
        have scales of their own.
    validation_scores_ : list of float or None
        The score after each epoch, with early_stopping.
    n_features_in_ : int"""


_NETWORK = """hidden_layer_sizes : int or sequence of int, default: (100,)
        Units of each hidden layer; () is a linear model.
    activation : str, default: "relu"
        See `gd.MLP`.
    l1, l2, weight_decay : float, default: 0
        Penalties and decoupled weight decay of all parameters, as the optimizer applies them.
    dropout : float or sequence of float, default: 0
        The probability that a hidden unit is dropped in training; see `gd.MLP`."""

_SOLVER = """solver : {"adam", "sgd", "lbfgs"}, optional
        This and the parameters below are scikit-learn's. If one of them is given, or batch_size="auto", the network is
        trained as scikit-learn 1.9 does, to its results: see docs/estimators.md. None means its default. `lr` is
        learning_rate_init then, two classes have one output, targets are as they are, and `optimizer`,
        `optimizer_options`, `l1`, `l2` and `weight_decay` must be left out.
    alpha : float, default: 1e-4
        The penalty alpha / 2 of the squares of weights, but not of biases, beside the sum of losses.
    learning_rate : {"constant", "invscaling", "adaptive"}, default: "constant"
        The rate of "sgd": learning_rate_init; that, divided by (rows so far + 1)**power_t, or divided by 5 whenever
        training would end.
    learning_rate_init, power_t : float, default: lr, 0.5
    shuffle : bool, default: True
        Draw the order of rows in each epoch.
    momentum, nesterovs_momentum : float, bool, default: 0.9, True
        Of "sgd".
    beta_1, beta_2, epsilon : float, default: 0.9, 0.999, 1e-8
        Of "adam"; epsilon is added as with `eps_hat` of `gd.Adam`.
    max_fun : int, default: 15000
        Calls of the loss at most, of "lbfgs"."""

_CLASS_WEIGHT = """class_weight : dict or "balanced", optional
        Weights of the classes, which multiply those of rows; 1 for a class that is not named. "balanced" weights each
        class by the inverse of the sum of its rows' weights, so that all classes count alike."""


_TARGETS = """Training sees standardized targets: y less its mean, divided by a power of two near its standard deviation
    (with the loss "poisson", divided by its mean). Coefficients, intercepts, predictions, losses and their parameters
    are in units of y{penalties}. Several outputs have each a scale of its own, unless a penalty or a parameter of the
    loss then had another meaning for each. A warm start keeps the units of the last fit unless its own targets have
    another scale (by a factor of 4) or mean (by 4 deviations), `partial_fit` unless all targets so far have: then the
    units are found anew, and the optimizer starts without its state. The columns of X are taken as they are: scale
    them, as `sklearn.preprocessing.StandardScaler` does."""


def documented(lr: float) -> Callable[[_Class], _Class]:
    """Return a decorator that fills the shared parameters and attributes into the docstring of a class."""

    def fill(cls: _Class) -> _Class:
        if cls.__doc__:  # there is none with python -OO
            linear = "coef_ :" in cls.__doc__
            penalties = ", and so are penalties" if linear else "; penalties are beside the loss of training"
            texts = {
                "network": _NETWORK,
                "solver": _SOLVER,
                "class_weight": _CLASS_WEIGHT,
                "targets": _TARGETS.format(penalties=penalties),
                "shared": _SHARED.format(lr=lr),
            }
            for name, text in texts.items():
                cls.__doc__ = cls.__doc__.replace(f"<{name}>", text)
        return cls

    return fill
