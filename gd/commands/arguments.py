"""Shared parts of the sub-commands: options for data and model, checks, and plots."""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from io import BytesIO
from pathlib import Path
from time import sleep
from typing import Any

from ..activations import ACTIVATIONS
from ..datasets import Data, DataError
from ..models import MLP
from ..optimizers import OPTIMIZERS
from ..training import History


class Failure(Exception):
    """Raised to end the command with one line on standard error and exit status 2."""


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, except None."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


def add_data_and_model(parser: argparse.ArgumentParser, epochs: int) -> None:
    """Declare the options that choose the data and the model."""
    parser.add_argument(
        "--data",
        metavar="PATH",
        help="a folder of IDX files (the layout of MNIST and Fashion-MNIST, gzip or plain), "
        "an .npz with X and y, or a .csv whose last column is the label",
    )
    parser.add_argument("--model", choices=("softmax", "mlp"), default="mlp", help="softmax has no hidden layer")
    parser.add_argument(
        "--hidden",
        metavar="WIDTHS",
        type=positive_integers,
        default="256,128",
        help="widths of the hidden layers, with --model mlp",
    )
    parser.add_argument(
        "--activation", choices=sorted(ACTIVATIONS), default="relu", help="of the hidden layers, with --model mlp"
    )
    parser.add_argument("--batch-size", type=int, default=64, help="examples per step")
    parser.add_argument("--epochs", type=int, default=epochs, help="passes over the data")
    parser.add_argument("--seed", type=int, default=0, help="seed of the test split, weights and order of examples")


def positive_integers(text: str) -> list[int]:
    """Return the numbers in a list like "256,128"."""
    try:
        numbers = [int(number) for number in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"expected positive integers like 256,128, got {text!r}")
    return numbers


def optimizer_names(text: str) -> list[str]:
    """Return the names in a list like "sgd,adam"."""
    names = {name.lower(): name for name in OPTIMIZERS}
    given = [name.strip().lower() for name in text.split(",")]
    for name in given:
        if name not in names:
            raise argparse.ArgumentTypeError(f"expected names among {', '.join(names)}, got {name!r}")
    return [names[name] for name in given]


def check_counts(options: argparse.Namespace) -> None:
    """Fail if epochs, batch size or seed are too small."""
    if options.epochs < 1 or options.batch_size < 1 or options.seed < 0:
        raise Failure("--epochs and --batch-size must be at least 1, --seed at least 0")


def check_folder(option: str, path: str) -> None:
    """Fail unless the folder of a file exists."""
    if not Path(path).absolute().parent.is_dir():
        raise Failure(f"{option} {path}: no such folder")


def new_model(options: argparse.Namespace, data: Data, dropout: float = 0.0) -> MLP:
    """Return the network that the options describe."""
    mlp = options.model == "mlp"
    widths = [data.X.shape[1], *(options.hidden if mlp else ()), data.classes]
    activation = options.activation if mlp else "identity"
    return MLP(widths, activation, dropout=dropout, dtype=data.X.dtype, seed=options.seed)


def describe(data: Data, model: MLP) -> None:
    """Print the data and the model."""
    print(
        f"data       {data.name}: {len(data.X):,} rows to train, {len(data.X_test):,} to test, "
        f"{data.X.shape[1]} features, {data.classes} classes"
    )
    layers = "-".join(map(str, model.widths)) + (f", {model.activation}" if len(model.widths) > 2 else "")
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
