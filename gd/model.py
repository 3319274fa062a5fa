"""Model: what `fit` can train has in common."""

from threading import RLock

from .gradient_check import gradient_check


class Model:
    """The base of `MLP` and `LinearModel`, which have `parameters` and `loss_and_gradients`."""

    _unsaved = ("lock",)  # attributes that are made anew in a copy or from a pickle

    def __init__(self):
        self.lock = RLock()

    @property
    def dtype(self):
        """The dtype of parameters and data."""
        return self.parameters.dtype

    def __getstate__(self):
        return {k: v for k, v in self.__dict__.items() if k not in self._unsaved}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.lock = RLock()

    def gradient_check(self, X, y, coordinates=200, seed=0):
        """Return `gd.gradient_check` of `loss_and_gradients` at the present parameters; best in float64."""
        _, gradients = self.loss_and_gradients(X, y)
        loss = lambda _: self.loss_and_gradients(X, y)[0]  # noqa: E731
        return gradient_check(loss, self.parameters, gradients, coordinates, seed)
