"""Model: what `fit` can train has in common."""

from math import isfinite
from threading import RLock

from ..batches import cut
from ..checks import check_dtype
from ..files import CheckpointError, load, save
from .finite_differences import gradient_check


class Model:
    """The base of `MLP` and `LinearModel`, which have `parameters`, `loss_and_gradients` and `write_gradients`.

    Theirs are also `_plain_arguments`, those of the constructor for a file, and `_shapes`, of the parameters.
    """

    _unsaved = ("lock",)  # attributes that are made anew in a copy or from a pickle
    _repeatable: dict = {}  # noqa: RUF012  (keywords by which loss_and_gradients is a function of the parameters)

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

    def save(self, path, keep=1):
        """Write the model into a file, as `gd.save` does: `load` makes an equal one.

        Raises
        ------
        OSError
            If the file cannot be written.
        ImportError
            If safetensors is not installed.
        """
        kind = {"class": type(self).__name__, "arguments": self._plain_arguments()}
        save(path, {"model": kind, **self.parameters}, keep)

    @staticmethod
    def _from_plain(arguments):
        """Return the arguments of the constructor, of those that `save` wrote."""
        return arguments

    @classmethod
    def load(cls, path):
        """Return the model that `save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no file.
        CheckpointError
            If it is damaged, or not of such a model.
        """
        arrays = load(path)
        kind = arrays.pop("model", None)
        if not isinstance(kind, dict) or kind.get("class") != cls.__name__:
            raise CheckpointError(f"{cls.__name__}.load: {path} holds no {cls.__name__}")
        try:
            arguments = cls._from_plain(kind["arguments"])
            dtype = check_dtype(cls.__name__, arguments["dtype"])
            expected = {name: (shape, dtype) for name, shape in cls._shapes(**arguments).items()}
            found = {name: (array.shape, array.dtype) for name, array in arrays.items()}
            model = cls(**arguments) if found == expected else None  # else it could take more memory than there is
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{cls.__name__}.load: {path} holds no valid model: {error}") from error
        if model is None:
            raise CheckpointError(f"{cls.__name__}.load: {path} has parameters that are not of its own model")
        for name, array in arrays.items():
            model.parameters[name][...] = array
        return model

    def gradient_check(self, X, y, coordinates=200, seed=0):
        """Return `gd.gradient_check` of `loss_and_gradients` at the present parameters; best in float64."""
        with self.lock:
            _, gradients = self.loss_and_gradients(X, y, **self._repeatable)
            loss = lambda _: self.loss_and_gradients(X, y, **self._repeatable)[0]  # noqa: E731
            return gradient_check(loss, self.parameters, gradients, coordinates, seed)

    def descend(self, X, y, order, batch_size, optimizer, accumulate=1, losses=None):
        """Take a step for every `accumulate` mini-batches of `order`; yield (mean loss, rows) of each batch.

        A batch whose loss is not finite is not stepped, unless the optimizer decides that itself. The loss of
        each row is written into `losses`, where there is one. The arguments are not checked.
        """
        gradients = self.parameters.zeros_like()
        total = gradients if accumulate == 1 else self.parameters.zeros_like()
        waiting = 0  # rows in total
        for k, rows in enumerate(cut(order, batch_size), start=1):
            step = optimizer.steps * accumulate + (k - 1) % accumulate
            loss = self.write_gradients(X, y, rows, step, gradients, losses)
            if not isfinite(loss) and not optimizer.skip_nonfinite:
                yield loss, rows.size
                return
            waiting += rows.size
            if accumulate > 1:
                g, of_all = gradients.vector, total.vector
                of_all += rows.size * g
            if k % accumulate == 0 or k * batch_size >= order.size:
                if optimizer.step(total, 1.0 if accumulate == 1 else 1 / waiting):
                    self.constrain()
                if accumulate > 1:
                    total.vector[:] = 0
                waiting = 0
            yield loss, rows.size

    def constrain(self):
        """Bring the parameters back to where they must be, after a step."""
