"""Shared parts of the sub-commands: options for data and model, checks, and plots."""

import argparse
import csv
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from importlib import import_module
from io import BytesIO
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np

from ..activations import ACTIVATIONS
from ..datasets import Data, DataError, Table, load
from ..kernels.settings import INTERPRETED
from ..losses import ANY, LOSSES
from ..models import MLP, LinearModel
from ..optimizers import OPTIMIZERS
from ..training import History

REGRESSION = sorted(name for name, each in LOSSES.items() if not each.labels and each.targets is ANY)
WIDE = 10_000  # sparse features from which on a hidden layer is too large by default


class Failure(Exception):
    """Raised to end the command with one line on standard error and exit status 2."""


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, except None and those of flags, and lines of examples as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False) else super()._get_help_string(action)


def add_data_and_model(parser: argparse.ArgumentParser, epochs: int) -> None:
    """Declare the options that choose the data and the model."""
    parser.add_argument(
        "--data",
        metavar="PATH",
        help="a table (CSV, TSV, Parquet), an .npz or .npy of NumPy or SciPy, svmlight text, or a folder of IDX files "
        "as MNIST's (default: scikit-learn's digits)",
    )
    parser.add_argument(
        "--label",
        metavar="NAME|NUMBER",
        help="column of the labels, by name or by number from 0, -1 is the last; or a .npy of them (default: a column "
        "named label, target, class or y, else the last one)",
    )
    parser.add_argument(
        "--drop", metavar="NAMES", type=names, default=[], help="columns to leave out, as a,b: names or numbers"
    )
    parser.add_argument("--impute", choices=("median",), help="fill missing numbers by the median of their column")
    parser.add_argument("--header", choices=("yes", "no"), help="whether the first line of a table has names")
    parser.add_argument(
        "--task",
        choices=("classification", "regression"),
        help="by default classification for texts and few whole numbers, regression for others",
    )
    parser.add_argument(
        "--model",
        choices=("softmax", "mlp"),
        help="softmax (or for regression a linear model) has no hidden layer (default: mlp; softmax for more than "
        f"{WIDE:,} sparse features)",
    )
    parser.add_argument(
        "--hidden",
        metavar="WIDTHS",
        type=positive_integers,
        default="256,128",
        help="widths of the hidden layers, with --model mlp",
    )
    parser.add_argument(
        "--activation",
        metavar="NAME",
        type=lambda text: of_name(text, ACTIVATIONS),
        default="relu",
        help=f"of the hidden layers, with --model mlp: {', '.join(sorted(ACTIVATIONS))}, or module:name of your own",
    )
    parser.add_argument(
        "--loss",
        metavar="NAME",
        type=lambda text: of_name(text, LOSSES),
        help=f"of a regression (default: mse): {', '.join(REGRESSION)}, or module:name of your own",
    )
    parser.add_argument("--batch-size", type=int, default=64, help="examples per step")
    parser.add_argument("--epochs", type=int, default=epochs, help="passes over the data")
    parser.add_argument("--seed", type=int, default=0, help="seed of the test split, weights and order of examples")


def names(text: str) -> list[str]:
    """Return the names in a list like 'a,b,"c, d"'."""
    return next(csv.reader([text]), [])


def positive_integers(text: str) -> list[int]:
    """Return the numbers in a list like "256,128"."""
    try:
        numbers = [int(number) for number in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"expected positive integers like 256,128, got {text!r}")
    return numbers


def of_name(text: str, known: Any) -> Any:
    """Return the key in a registry of a name in any case, or of module:name, which is imported."""
    if ":" not in text:
        names = {name.lower(): name for name in known}
        if text.lower() not in names:
            raise argparse.ArgumentTypeError(f"expected {', '.join(names)} or module:name, got {text!r}")
        return names[text.lower()]
    module, _, name = text.partition(":")
    found = known.key(getattr(imported(module), name, None))
    if found is None:
        raise argparse.ArgumentTypeError(f"{text}: {module} has no {name} that this option takes")
    return found


def imported(name: str) -> Any:
    """Return a module, which may lie in the current folder."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return import_module(name)
    except Exception as error:  # of any kind: it runs a user's code
        raise argparse.ArgumentTypeError(f"cannot import {name}: {error}") from error


def optimizer_names(text: str) -> list[Any]:
    """Return the optimizers in a list like "sgd,adam,module:Name"."""
    return [of_name(name.strip(), OPTIMIZERS) for name in text.split(",")]


def check_compiled() -> None:
    """Raise unless kernels are compiled."""
    if INTERPRETED:
        raise Failure("measures compiled kernels, and NUMBA_DISABLE_JIT=1 has none compiled: unset it")


def check_counts(options: argparse.Namespace) -> None:
    """Fail if epochs, batch size or seed are too small."""
    if options.epochs < 1 or options.batch_size < 1 or options.seed < 0:
        raise Failure("--epochs and --batch-size must be at least 1, --seed at least 0")


def check_folder(option: str, path: str) -> None:
    """Fail unless the folder of a file exists."""
    if not Path(path).absolute().parent.is_dir():
        raise Failure(f"{option} {path}: no such folder")


def load_data(options: argparse.Namespace, dtype: Any, **more: Any) -> Data:
    """Return the data that the options describe; print what is to be noted."""
    header = None if options.header is None else options.header == "yes"
    with told("note"):
        return load(
            options.data,
            options.seed,
            dtype,
            label=options.label,
            drop=options.drop,
            header=header,
            impute=options.impute is not None,
            task=options.task,
            **more,
        )


@contextmanager
def told(word: str, prefix: str = "", file: Any = None) -> Iterator[None]:
    """Print each UserWarning as a line that begins with a word."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        show = warnings.showwarning

        def tell(message: Any, category: Any, *place: Any) -> None:
            if category is UserWarning:
                print(f"{word:<10} {str(message).removeprefix(prefix)}", file=file)
            else:
                show(message, category, *place)

        warnings.showwarning = tell  # until catch_warnings puts the old one back
        yield


def new_model(options: argparse.Namespace, data: Data, dropout: float = 0.0) -> MLP | LinearModel:
    """Return the model that the options describe."""
    features, sparse = data.X.shape[1], not isinstance(data.X, np.ndarray)
    mlp = options.model == "mlp" if options.model else not (sparse and features > WIDE)
    if options.loss is not None and (data.classes or LOSSES[options.loss].targets is not ANY):
        raise Failure(f"--loss is for a regression and takes any numbers: {', '.join(REGRESSION)}, or one of your own")
    loss = "softmax_cross_entropy" if data.classes else options.loss or "mse"
    if sparse and not mlp:
        if dropout:
            raise Failure("--dropout drops hidden units, a linear model has none")
        return LinearModel(features, data.outputs, loss, dtype=data.X.dtype)
    widths = [features, *(options.hidden if mlp else ()), data.outputs]
    activation = options.activation if mlp else "identity"
    return MLP(widths, activation, dropout=dropout, loss=loss, dtype=data.X.dtype, seed=options.seed)


def describe(data: Data, model: MLP | LinearModel) -> None:
    """Print the data, what was understood of them, and the model."""
    classes, source = f", {data.classes} classes" if data.classes else "", data.source
    print(
        f"data       {data.name}: {data.X.shape[0]:,} rows to train, {data.X_test.shape[0]:,} to test, "
        f"{data.X.shape[1]} features{classes}"
    )
    if isinstance(source.X, Table) or source.label is not None:
        left_out = [f"{name} ({why})" for name, why in source.left_out.items()]
        print(f"columns    {data.features}" + (f"; left out: {', '.join(left_out)}" if left_out else ""))
    label = "y" if source.label is None else f"column {source.label!r} ({source.how})"
    print(f"target     {label}: {data.target}")
    widths = model.widths if isinstance(model, MLP) else [data.X.shape[1], data.outputs]
    layers = "-".join(map(str, widths)) + (
        f", {getattr(model.activation, 'name', model.activation)}" if isinstance(model, MLP) and len(widths) > 2 else ""
    )
    print(f"model      {layers}: {model.parameters.vector.size:,} parameters, {model.dtype}")


def try_plot(path: str, option: str = "--plot") -> None:
    """Fail before the training if no plot of this file type can be drawn."""
    check_folder(option, path)
    try:
        History(loss=[1.0]).plot().savefig(BytesIO(), format=Path(path).suffix[1:] or "png")
    except (ImportError, ValueError) as error:
        raise Failure(f"{option} {path}: {error}") from error


def draw(plot: Callable[[str], Any], path: str, option: str = "--plot") -> None:
    """Write a plot."""
    try:
        plot(path)
    except OSError as error:
        raise Failure(f"{option} {path}: {error}") from error
    print(f"drawn      {path}")


@contextmanager
def together(comm: Any, name: str) -> Iterator[None]:
    """Let only rank 0 print; an error on one rank ends all ranks, as they would wait for that one forever."""
    rank = comm.Get_rank()
    try:
        with open(os.devnull, "w") as nothing, redirect_stdout(nothing) if rank else nullcontext():
            yield
    except BaseException as error:
        sleep(min(rank, 1))  # if all fail alike, rank 0 tells and aborts first
        known = isinstance(error, (Failure, DataError, FloatingPointError))
        text = f"{error}\n" if known else "".join(traceback.format_exception(error))
        print(f"{name}: rank {rank}: {text}", end="", file=sys.stderr, flush=True)
        sleep(0.5)  # until mpiexec has passed it on
        comm.Abort(2 if isinstance(error, (Failure, DataError)) else 1)
