"""Predictor: a trained model with its preprocessing, as `gd train` saves it: raw tables and arrays in, classes out."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .activations import softmax
from .checks import check_path, is_sparse
from .datasets import ArrayFeatures, Source, TableFeatures, Target, as_table, encoded, kept, labels_of, read
from .files import CheckpointError, load, require_safetensors, save
from .losses import r_squared
from .models import MLP, LinearModel
from .typing import FilePath


class Predictor:
    """A model together with what turns raw data into its inputs, and its outputs into classes or numbers.

    `gd train --save` writes one and `gd.load_model` reads it. All of it is data in one safetensors file: parameters,
    columns, statistics, categories, class names.

    Attributes
    ----------
    model : MLP or LinearModel
    target : Target
        The task, and the names of the classes.
    task : "classification" or "regression"
    classes : ndarray
        The names of the classes in the order of `predict_proba`; empty for regression.
    feature_names : list of str
        The columns that a table must have; empty if the model was trained on an array.
    metrics : dict of str to float
        Those of the test rows after the training, as `evaluate` returns them.

    Examples
    --------
    >>> import gd
    >>> predictor = gd.load_model("flowers.safetensors")  # doctest: +SKIP
    >>> predictor.predict({"length": [1.4, 5.1], "width": [0.2, 1.8]})  # doctest: +SKIP
    array(['setosa', 'virginica'], dtype=object)
    """

    model: MLP | LinearModel

    def __init__(
        self, model: Any, features: Any, target: Target, reading: dict[str, Any], split: dict[str, int] | None = None
    ) -> None:
        self.model, self.split = model, split
        self._features, self.target, self._reading = features, target, reading
        self.metrics: dict[str, float] = {}

    @classmethod
    def of(cls, model: MLP | LinearModel, data: Any) -> "Predictor":
        """Return the predictor of a model that was trained on loaded data."""
        return cls(model, data.features, data.target, kept(data.source), data.split)

    @property
    def task(self) -> str:
        """The task: "classification" or "regression"."""
        return self.target.task

    @property
    def classes(self) -> NDArray[Any]:
        """The names of the classes."""
        return self.target.classes

    @property
    def feature_names(self) -> list[str]:
        """The columns that a table must have."""
        return list(self._features.names)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of each row, or the number in units of the training labels.

        Parameters
        ----------
        X : data frame, dict of arrays, ndarray, sparse matrix, or path of a file
            Raw rows as in the training file, with or without labels. Columns of a table are found by their names,
            in any order; those of an array by their order, with nothing else between them. Of a file that has test
            rows of its own, these are taken.

        Raises
        ------
        ValueError
            If a column is missing, or a value is not as in the training.
        """
        rows, _ = encoded(self._rows("predict", X), self._features, None, self.model.dtype)
        return self.target.decode(self.model.predict(rows))

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the probability of each class: an array of shape (rows, classes).

        Raises
        ------
        TypeError
            If the task is regression.
        ValueError
            As `predict`.
        """
        if self.task == "regression":
            raise TypeError("Predictor.predict_proba: the task must be classification, it is regression")
        rows, _ = encoded(self._rows("predict_proba", X), self._features, None, self.model.dtype)
        return softmax(self.model.forward(rows))

    def evaluate(self, X: Any, y: Any = None, rows: NDArray[np.intp] | None = None) -> dict[str, float]:
        """Return the metrics of raw rows with labels.

        Parameters
        ----------
        X : data frame, dict of arrays, ndarray, sparse matrix, or path of a file
            As in `predict`.
        y : sequence, optional
            Labels as in the training file; by default those that X has.
        rows : ndarray of int, optional
            Evaluate only these rows.

        Returns
        -------
        dict of str to float
            accuracy, balanced_accuracy (the mean over classes) and loss (cross-entropy); for regression r2, rmse and
            mae, the last two in units of the labels.

        Raises
        ------
        ValueError
            If there are no labels, or as `predict`.
        """
        source = self._rows("evaluate", X)
        if y is not None:
            source.y = labels_of("Predictor.evaluate", y)
            if len(source.y) != source.rows:
                raise ValueError(f"Predictor.evaluate: y must have {source.rows} labels, got {len(source.y)}")
        inputs, targets = encoded(source, self._features, self.target, self.model.dtype)
        if rows is not None:
            inputs, targets = inputs[rows], targets[rows]
        return self._metrics(inputs, targets)

    def judge(self, inputs: Any, targets: NDArray[Any]) -> None:
        """Set `metrics` to those of rows that the model takes."""
        self.metrics = self._metrics(inputs, targets)

    def _metrics(self, inputs, targets):
        loss, accuracy = self.model.evaluate(inputs, targets)[:2]
        if self.task == "classification":
            correct, counts = self.model.predict(inputs) == targets, np.bincount(targets)
            recalls = np.bincount(targets, weights=correct)[counts > 0] / counts[counts > 0]
            return {"accuracy": float(accuracy), "balanced_accuracy": float(recalls.mean()), "loss": float(loss)}
        errors = self.target.decode(self.model.predict(inputs)) - self.target.decode(targets)
        r2 = r_squared(targets, self.model.predict(inputs))
        return {"r2": r2, "rmse": float(np.sqrt(np.mean(errors**2))), "mae": float(np.abs(errors).mean())}

    def _rows(self, method: str, X: Any) -> Source:
        """Return raw rows of any kind as those of a file."""
        where = f"Predictor.{method}"
        if isinstance(X, Source):
            return X
        if isinstance(X, str) or hasattr(X, "__fspath__"):
            return self.read(X)
        if is_sparse(X):
            from scipy.sparse import csr_array

            if X.ndim != 2:
                raise ValueError(f"{where}: X must be rows x features, got shape {X.shape}")
            return Source("X", f"{where}: X", csr_array(X))
        if hasattr(X, "columns") or isinstance(X, Mapping):
            try:
                table = as_table(f"{where}: X", X)
            except (TypeError, KeyError, AttributeError) as error:
                raise TypeError(f"{where}: X must be a data frame or a dict, got {type(X).__name__}") from error
            y = table.columns.get(self.target.name or "") if isinstance(self._features, TableFeatures) else None
            out = [name for name in self._reading["left_out"] if name in table.columns]
            out += [self.target.name] if y is not None else []
            return Source("X", table.source, table.without(out), y, label=self.target.name)
        try:
            array = np.ma.filled(X.astype(float), np.nan) if isinstance(X, np.ma.MaskedArray) else np.asarray(X)
        except ValueError as error:
            raise ValueError(f"{where}: X must be a table or rows x features, got ragged rows") from error
        if array.ndim < 2:
            raise ValueError(f"{where}: X must be a table or rows x features, got shape {array.shape}")
        return Source("X", f"{where}: X", array)

    def read(self, path: FilePath | None, label: str | None = None) -> Source:
        """Return the rows of a file like that of the training; `label` is a .npy of labels, if it has none."""
        return read(path, label, like=self._reading)

    def save(self, path: FilePath) -> None:
        """Write the predictor into one safetensors file, for `gd.load_model`.

        Raises
        ------
        OSError
            If the file cannot be written.
        ImportError
            If safetensors is not installed.
        """
        tree = self.model.tree()
        tree["model"]["predictor"] = {
            "kind": type(self._features).__name__,
            "features": self._features.state_dict(),
            "target": self.target.state_dict(),
            "reading": self._reading,
            "split": self.split,
            "metrics": self.metrics,
        }
        save(path, tree)

    def __repr__(self) -> str:
        return f"Predictor({self.target}, from {self._features}, {self.model})"


def load_model(path: FilePath) -> Any:
    """Return the model in a file: a `Predictor` of `gd train --save`, or the MLP or LinearModel that its `save` wrote.

    Nothing in the file is executed.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    Predictor, MLP or LinearModel

    Raises
    ------
    FileNotFoundError
        If there is no file.
    CheckpointError
        If the file is damaged or holds no model.
    """
    require_safetensors("load_model")
    tree = load(check_path("load_model", "path", path))
    kind = tree.get("model")
    classes = {"MLP": MLP, "LinearModel": LinearModel}
    name = kind.get("class") if isinstance(kind, dict) else None
    if not isinstance(kind, dict) or name not in classes:
        raise CheckpointError(f"load_model: {path} holds no model")
    model = classes[name].of_tree(tree, path)
    state = kind.get("predictor")
    if state is None:
        return model
    try:
        features = {"TableFeatures": TableFeatures, "ArrayFeatures": ArrayFeatures}[state["kind"]](**state["features"])
        predictor = Predictor(model, features, Target(**state["target"]), state["reading"], state["split"])
        predictor.metrics = state["metrics"]
        width = next(iter(model.parameters.shapes.values()))[0]
        outputs = list(model.parameters.shapes.values())[-1][-1]
        if (features.width, len(predictor.classes) or 1) != (width, outputs):
            found = f"{features.width} features and {len(predictor.classes)} classes"
            raise ValueError(f"{found}, the model has {width} inputs and {outputs} outputs")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"load_model: {path} holds no valid preprocessing: {error}") from error
    return predictor
