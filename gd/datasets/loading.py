"""Loading: the rows, labels and test rows of a training, with the features and the target learned from them."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..typing import FilePath
from .arrays import scikit_learn
from .features import ArrayFeatures, TableFeatures
from .reading import Source, kept, read
from .table import DataError, Table
from .targets import Target

TEST_SHARE = 0.2


@dataclass
class Data:
    """Features and labels as models take them, for training and for testing.

    Attributes
    ----------
    name : str
    X, X_test : ndarray or csr_array
    y, y_test : ndarray
        Class numbers 0, 1, ..., or one column of standardized numbers.
    classes : int
        The number of classes; 0 for regression.
    validation : tuple of (X, y), optional
    source : Source
        The file.
    features, target : TableFeatures or ArrayFeatures, Target
        What a model needs to take other files.
    split : dict
        How the test rows were chosen: "rows" and "seed" if they are those of the file that a split left.
    """

    name: str
    X: Any
    y: NDArray[Any]
    X_test: Any
    y_test: NDArray[Any]
    classes: int
    validation: tuple[Any, NDArray[Any]] | None
    source: Source
    features: TableFeatures | ArrayFeatures
    target: Target
    split: dict[str, int] | None

    @property
    def outputs(self) -> int:
        """The number of outputs of a model."""
        return self.classes or 1


def load(
    path: FilePath | None,
    seed: int,
    dtype: type[np.floating],
    *,
    label: str | None = None,
    drop: Sequence[str] = (),
    header: bool | None = None,
    impute: bool = False,
    task: str | None = None,
    test: FilePath | None = None,
    validation: FilePath | None = None,
) -> Data:
    """Return the data of a path, or scikit-learn's digits for None.

    A file of test rows, or the file's own (Keras's names in an .npz, IDX folders), is the test set; else a fifth of the
    rows, drawn from the seed and stratified by class. Pixels are scaled to [0, 1], other numbers to mean 0 and variance
    1 of the training rows, sparse ones to at most 1; texts are one-hot.

    Raises
    ------
    DataError
        If the path holds no usable data.
    """
    source = read(path, label, drop, header)
    target = Target.learned(source.y, source.place, source.path, source.label, task or source.task)
    rows, held, split = np.arange(source.rows), None, None
    if test is None and source.test is None:
        rows, held = split_rows(source, target, seed)
        split = {"rows": source.rows, "seed": seed}
    if isinstance(source.X, Table):
        features: Any = TableFeatures.learned(source.X, rows, impute, source.ignored)
    else:
        features = ArrayFeatures.learned(source.X, rows, impute, source.largest, source.path)
    target.fit(source.y[rows], source.place)
    with warnings.catch_warnings():
        if held is not None:
            warnings.simplefilter("ignore", UserWarning)  # values of texts that only test rows have
        X, y = encoded(source, features, target, dtype)
    if held is not None:
        X, y, X_test, y_test = X[rows], y[rows], X[held], y[held]
    elif test is not None:
        X_test, y_test = encoded(read(test, like=kept(source)), features, target, dtype)
    else:
        own = source.of_test()
        X_test, y_test = encoded(own, features, target, dtype)
    judged = None if validation is None else encoded(read(validation, like=kept(source)), features, target, dtype)
    return Data(source.name, X, y, X_test, y_test, len(target.classes), judged, source, features, target, split)


def encoded(source: Source, features: Any, target: Target | None, dtype: Any) -> tuple[Any, Any]:
    """Return X and y of a file as a model takes them; without a target only X."""
    of_table = isinstance(features, TableFeatures)
    if of_table and not isinstance(source.X, Table):
        source.X = features.table_of(source.X, source.path)
    X = features.transform(source.X, dtype) if of_table else features.transform(source.X, dtype, source.path)
    if target is None:
        return X, None
    if source.y is None:
        named = f"no column {target.name!r} of labels" if target.name is not None else "no labels"
        raise DataError(f"{source.path}: has {named}")
    if not X.shape[0]:
        raise DataError(f"{source.path}: has no rows")
    return X, target.encode(source.y, source.place, dtype)


def split_rows(source: Source, target: Target, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows to train with and a fifth to test with, drawn from the seed; classes keep their shares.

    The row of a class that has only one is to train with.
    """
    rows, single = np.arange(source.rows), np.zeros(source.rows, bool)
    codes = None
    if target.task == "classification":
        codes = target.encode(source.y, source.place, np.float32)
        single = (np.bincount(codes) == 1)[codes]
    draw = scikit_learn("model_selection").train_test_split
    try:
        train, test = draw(
            rows[~single], test_size=TEST_SHARE, random_state=seed, stratify=None if codes is None else codes[~single]
        )
    except ValueError as error:
        classes = f" and {len(target.classes)} classes" if len(target.classes) else ""
        raise DataError(
            f"{source.path}: has {source.rows} rows{classes}, too few to hold a fifth of each class back for testing; "
            "--test takes a file of test rows"
        ) from error
    if target.task == "regression" and len(test) < 2:
        raise DataError(f"{source.path}: has {source.rows} rows, expected at least 6, or test rows by --test")
    return np.concatenate([train, rows[single]]), test
