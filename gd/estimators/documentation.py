"""What the docstrings of all estimators say."""

_SHARED = """optimizer : str, default: "Adam"
        A name of gd's optimizers but ScheduleFreeAdamW.
    lr : float or callable, default: {lr}
        The learning rate, or a schedule of it by steps.
    optimizer_options : dict, optional
        Further arguments of the optimizer, such as ``{{"clip_norm": 1.0}}``.
    batch_size : int, default: 128
        Rows a step; 1 is stochastic gradient descent, the number of rows batch gradient descent.
    max_iter : int, default: 200
        Epochs at most.
    tol : float, default: 1e-4
        An epoch counts as an improvement when the loss (the validation score with early_stopping) is better by more.
    n_iter_no_change : int, default: 10
        Epochs in a row without improvement, after which training ends.
    early_stopping : bool, default: False
        Put a share of the rows aside, score them after each epoch, and keep the best parameters.
    validation_fraction : float, default: 0.1
        That share, in (0, 1).
    warm_start : bool, default: False
        Let `fit` go on from the parameters and the optimizer's state of the last one.
    random_state : int, RandomState or None, default: None
        Of the order of rows, of initial weights and of the validation rows.
    verbose : bool, default: False
        Show a progress bar (needs tqdm).

    Attributes
    ----------
    n_iter_ : int
        Epochs of the last `fit`, or of all calls of `partial_fit`.
    loss_curve_ : list of float
        The mean loss of each epoch.
    validation_scores_ : list of float or None
        The score after each epoch, with early_stopping.
    n_features_in_ : int"""


_NETWORK = """hidden_layer_sizes : tuple of int, default: (100,)
        Units of each hidden layer; () is a linear model.
    activation : str, default: "relu"
        See `gd.MLP`.
    l1, l2, weight_decay : float, default: 0
        Penalties of all parameters, and decoupled decay: the optimizer's own."""


def documented(lr):
    """Put the parameters and attributes that all estimators share into the docstring of a class."""

    def fill(cls):
        if cls.__doc__:  # there is none with python -OO
            cls.__doc__ = cls.__doc__.replace("<network>", _NETWORK).replace("<shared>", _SHARED.format(lr=lr))
        return cls

    return fill
