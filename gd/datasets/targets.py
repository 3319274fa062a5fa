"""Target: what a model learns to tell, as classes 0, 1, ... or as standardized numbers, and back."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .table import FEW, LARGEST, DataError, as_column, as_number, listed, shortened

MANY = 100  # whole numbers of at most FEW values are classes, those of more are quantities
Place = Callable[[int], str]  # how a message names the label of a row


class Target:
    """The task of a training, and how its labels and the outputs of a model are translated.

    Attributes
    ----------
    task : "classification" or "regression"
    name : str or None
        The column of the labels.
    classes : ndarray
        Class names in ascending order: texts, whole numbers or booleans; empty for regression.
    mean, deviation : float
        Of the training labels, for regression: a model learns (y - mean) / deviation.
    """

    def __init__(self, task: str, name: str | None, classes: Any, mean: float = 0.0, deviation: float = 1.0) -> None:
        self.task, self.name, self.mean, self.deviation = task, name, float(mean), float(deviation)
        kinds = {type(each) for each in classes}
        self.classes: NDArray[Any] = np.array(classes, object if kinds == {str} else None if classes else np.intp)

    @classmethod
    def learned(cls, values: NDArray[Any], place: Place, source: str, name: str | None, task: str | None) -> "Target":
        """Return the target that labels show; raise DataError if they are no task."""
        what = f"{source}: " + (f"column {name!r}" if name is not None else "y")
        values = _checked(values, place)
        found = np.unique(values)
        number, rows = values.dtype.kind in "if", len(values)
        advice = "" if name is None else "; --label takes another column"
        if len(found) == 1:
            kind = "value" if task == "regression" or (number and values.dtype.kind == "f") else "class"
            raise DataError(f"{what} has one {kind} only, {listed(found.tolist())} in all {len(values)} rows{advice}")
        task = _task(found, values, what) if task is None else task
        if task == "regression":
            if not number:
                row = next((k for k, value in enumerate(values) if not _is_number(value)), 0)
                raise DataError(
                    f"{place(row)}: {shortened(str(values[row]))} is no number, --task regression needs some"
                )
            return cls(task, name, [])
        if len(found) > max(2, len(values) // 2):
            raise DataError(
                f"{what} has {len(found)} different values in {rows} rows, expected classes that come again{advice}"
            )
        return cls(task, name, found.tolist())

    def fit(self, values: NDArray[Any], place: Place) -> None:
        """Learn mean and deviation of training labels, for regression."""
        if self.task == "regression":
            numbers = self._numbers(values, place)
            if not np.ptp(numbers):
                where = f"{place(0).partition(': ')[0]}: the target"
                raise DataError(f"{where} has one value only, {numbers[0]:g} in all {len(values)} rows to train with")
            largest = np.abs(numbers).max()  # squares could be 0 or infinite
            self.mean, self.deviation = float(numbers.mean()), float((numbers / largest).std() * largest)

    def encode(self, values: NDArray[Any], place: Place, dtype: Any) -> NDArray[Any]:
        """Return labels as a model takes them: class numbers, or standardized numbers in one column."""
        if self.task == "regression":
            with np.errstate(over="ignore"):
                numbers = ((self._numbers(values, place) - self.mean) / self.deviation).astype(dtype)
            if not np.isfinite(numbers).all():
                row = int(np.argmin(np.isfinite(numbers)))
                raise DataError(f"{place(row)}: the label {values[row]} is too far from those of the training")
            return numbers[:, None]
        values = _checked(values, place)
        if self.classes.dtype.kind == "O":
            values = np.array([str(value) for value in values], object)
        elif values.dtype.kind == "O":
            raise self._unknown(values, 0, place)
        found = np.searchsorted(self.classes, values).clip(max=len(self.classes) - 1)
        wrong = self.classes[found] != values
        if wrong.any():
            raise self._unknown(values, int(wrong.argmax()), place)
        return found.astype(np.intp)

    def decode(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return class names, or numbers in units of the labels, of a model's predictions."""
        if self.task == "classification":
            return self.classes[outputs]
        return np.asarray(outputs, np.float64).reshape(-1) * self.deviation + self.mean

    def _numbers(self, values, place):
        values = _checked(values, place)
        if values.dtype.kind not in "if":
            row = next((k for k, value in enumerate(values) if not _is_number(value)), 0)
            raise DataError(f"{place(row)}: {shortened(str(values[row]))} is no number")
        return values.astype(np.float64)

    def _unknown(self, values, row, place):
        names = listed(self.classes.tolist())
        value = values[row].item() if isinstance(values[row], np.generic) else values[row]
        return DataError(f"{place(row)}: {value!r} is none of the classes of the training, {names}")

    def state_dict(self) -> dict[str, Any]:
        """Return the arguments of an equal target, for `gd.save`."""
        return {
            "task": self.task,
            "name": self.name,
            "classes": self.classes.tolist(),
            "mean": self.mean,
            "deviation": self.deviation,
        }

    def __repr__(self) -> str:
        if self.task == "regression":
            return "regression"
        return f"classification, {len(self.classes)} classes: {listed(self.classes.tolist(), 10)}"


def labels_of(source: str, y: Any) -> NDArray[Any]:
    """Return labels as one column: of an array of shape (rows,) or (rows, 1), or one-hot rows."""
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2 and y.dtype.kind in "fiub" and np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all():
        y = y.argmax(axis=1)
    if y.ndim != 1:
        raise DataError(f"{source}: y must have one label for each row, got shape {y.shape}")
    return as_column(source, "y", y)


def _checked(values: NDArray[Any], place: Place) -> NDArray[Any]:
    """Return labels as int64, float64, bool or texts, if none is missing or too large."""
    if values.dtype.kind == "O":
        missing = np.array([value is None for value in values], bool)
    else:
        missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    if missing.any():
        raise DataError(f"{place(int(missing.argmax()))}: the label is missing (empty, NA, NaN or null)")
    if values.dtype.kind == "O":
        numbers = [value for value in values if as_number(value) is not None]
        if len(numbers) == len(values):
            values = np.array([float(value) for value in values])
        elif 20 * (len(values) - len(numbers)) <= len(values) or (
            2 * len(numbers) > len(values) and len(set(numbers)) > FEW
        ):  # few texts among numbers
            row = next(k for k, value in enumerate(values) if as_number(value) is None)
            raise DataError(f"{place(row)}: {shortened(values[row])} is no number")
        elif {value.lower() for value in set(values)} <= {"true", "false"}:
            return np.array([value.lower() == "true" for value in values])
    if values.dtype.kind not in "fiu":
        return values
    with np.errstate(over="ignore"):
        wrong = ~(np.abs(values.astype(np.float64)) <= LARGEST)
    if values.dtype.kind == "u":
        wrong |= values > np.iinfo(np.int64).max
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(f"{place(row)}: the label {values[row]} is too large")
    whole = values.dtype.kind in "iu" or bool(
        np.all(values == np.floor(values)) and np.abs(values).max(initial=0) < 2**53
    )
    return values.astype(np.int64 if whole else np.float64)


def _is_number(value: Any) -> bool:
    """Return True if a label is a number."""
    return as_number(value) is not None if isinstance(value, str) else not isinstance(value, (bool, np.bool_))


def _task(found: NDArray[Any], values: NDArray[Any], what: str) -> str:
    """Return the task that the values show plainly, or raise DataError."""
    if values.dtype.kind not in "if":
        return "classification"
    count = len(found)
    whole, few = values.dtype.kind == "i", count <= FEW and 10 * count <= len(values)
    if count > MANY or not (whole or few) or (2 * count > len(values) and (count == len(values) or count > FEW)):
        return "regression"
    in_turn = found[0] in (0, 1) and found[-1] - found[0] == count - 1
    if whole and ((count <= FEW and 2 * count <= len(values)) or (in_turn and len(values) >= 100 * count)):
        return "classification"
    numbers = "whole numbers" if whole else f"numbers, such as {max(found, key=lambda v: v != np.floor(v)):g},"
    raise DataError(
        f"{what} has {count} different {numbers} in {len(values)} rows: say --task classification or --task regression"
    )
