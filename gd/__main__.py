"""The `gd` command: `gd train`, `gd info`."""

import argparse
import os
import sys
from io import BytesIO
from math import inf
from pathlib import Path
from time import perf_counter

import numpy as np

from . import __version__, datasets, reference
from .activations import ACTIVATIONS
from .batches import batches, shuffled
from .history import History
from .information import information
from .kernels.compiler import splitting
from .networks import MLP
from .optimizers import OPTIMIZERS
from .training import fit


class Failure(Exception):
    """Ends the command with one line on standard error and exit status 2."""


def main(arguments=None):
    """Run the command; return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (Failure, datasets.DataError) as error:
        print(f"gd {options.command}: {error}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"gd {options.command}: not enough memory: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of the output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except FloatingPointError as error:
        print(f"gd {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"gd {options.command}: interrupted", file=sys.stderr)
        return 130
    return 0


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the defaults that there are."""

    def _get_help_string(self, action):
        return action.help if action.default is None else super()._get_help_string(action)


def _parser():
    parser = argparse.ArgumentParser(prog="gd", description="Compiled gradient descent for NumPy arrays.")
    parser.add_argument("--version", action="version", version=f"gd {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="{train,info}")

    train = commands.add_parser(
        "train",
        help="train a classifier and print its accuracy and speed",
        description="Train a classifier, by default on scikit-learn's handwritten digits.",
        formatter_class=_HelpFormatter,
    )
    optimizers = {name.lower(): name for name in OPTIMIZERS}
    train.add_argument(
        "--data",
        metavar="PATH",
        help="a folder of IDX files (the layout of MNIST and Fashion-MNIST, gzip or plain), "
        "an .npz with X and y, or a .csv whose last column is the label",
    )
    train.add_argument("--model", choices=("softmax", "mlp"), default="mlp", help="softmax has no hidden layer")
    train.add_argument(
        "--hidden", metavar="WIDTHS", type=_widths, default="256,128", help="of the hidden layers, with --model mlp"
    )
    train.add_argument("--activation", choices=sorted(ACTIVATIONS), default="relu", help="with --model mlp")
    train.add_argument("--optimizer", choices=optimizers, type=str.lower, default="adam", help="case does not matter")
    train.add_argument("--lr", type=float, help="learning rate (default: the optimizer's)")
    train.add_argument("--batch-size", type=int, default=64, help="examples a step")
    train.add_argument("--epochs", type=int, default=15, help="passes over the data")
    train.add_argument("--seed", type=int, default=0, help="of the test split, the weights and the order of examples")
    train.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="of data and parameters")
    train.add_argument("--l2", type=float, metavar="FACTOR", help="penalty l2 / 2 |p|**2 of all parameters")
    train.add_argument("--weight-decay", type=float, metavar="FACTOR", help="decoupled decay of all parameters")
    train.add_argument(
        "--early-stopping",
        type=int,
        metavar="EPOCHS",
        help="end after so many epochs without a better accuracy on a tenth of the rows, held back; keep the best",
    )
    train.add_argument("--plot", metavar="FILE", help="draw loss and accuracy by epoch, as .png, .svg or .pdf")
    train.add_argument("--compare", choices=("numpy",), help="also train the same model in plain NumPy")
    train.add_argument("--save", metavar="FILE", help="write the parameters as safetensors")
    train.set_defaults(run=lambda options: _train(options, optimizers[options.optimizer]))

    info = commands.add_parser("info", help="print versions, threads, processor and kernel cache")
    info.set_defaults(run=_info)
    return parser


def _widths(text):
    try:
        widths = [int(width) for width in text.split(",")]
    except ValueError:
        widths = []
    if not widths or min(widths) < 1:
        raise argparse.ArgumentTypeError(f"expected positive integers like 256,128, got {text!r}")
    return widths


def _info(options):
    for what, value in information():
        print(f"{what:<16} {value}")


def _train(options, optimizer_name):
    safetensors = _safetensors() if options.save else None
    if options.epochs < 1 or options.batch_size < 1 or options.seed < 0:
        raise Failure("--epochs and --batch-size must be 1 at least, --seed 0 at least")
    for option, path in (("--save", options.save), ("--plot", options.plot)):
        if path and not Path(path).absolute().parent.is_dir():
            raise Failure(f"{option} {path}: no such folder")
    if options.early_stopping is not None:
        if options.early_stopping < 1:
            raise Failure("--early-stopping must be 1 at least")
        if options.compare:
            raise Failure("--early-stopping holds rows back, which --compare does not: give one of the two")
    if options.plot:
        _try_plot(options.plot)
    data = datasets.load(options.data, options.seed, np.dtype(options.dtype).type)
    widths = [data.X.shape[1], *(options.hidden if options.model == "mlp" else ()), data.classes]
    activation = options.activation if options.model == "mlp" else "identity"  # there is no hidden layer
    given = {"lr": options.lr, "l2": options.l2, "weight_decay": options.weight_decay}
    keywords = {name: value for name, value in given.items() if value is not None}

    def build():
        model = MLP(widths, activation, dtype=options.dtype, seed=options.seed)
        return model, OPTIMIZERS[optimizer_name](model.parameters, **keywords)

    try:
        model, optimizer = build()
    except (TypeError, ValueError) as error:
        raise Failure(error) from error
    print(
        f"data       {data.name}: {len(data.X):,} rows to train, {len(data.X_test):,} to test, "
        f"{data.X.shape[1]} features, {data.classes} classes"
    )
    layers = "-".join(map(str, widths)) + (f", {activation}" if len(widths) > 2 else "")
    print(f"model      {layers}: {model.parameters.vector.size:,} parameters, {model.dtype}")
    print(f"optimizer  {optimizer}")
    print("compiled   the kernels, or loaded them from disk ...", end=" ", flush=True)
    print(f"{_compile(build, data, options.batch_size):.2f} s")

    bar = sys.stderr.isatty() and sys.stdout.isatty()  # fit shows one
    runs = {"gd": _Run("gd", live=not bar)}
    initial = {name: view.copy() for name, view in model.parameters.items()}
    record = [lambda history: runs["gd"].add(history.loss[-1], history.seconds[-1])]
    X, y, validation = data.X, data.y, None
    if options.early_stopping is not None:
        X, y, validation = _held_back(data, options.seed)
    history = fit(
        model,
        X,
        y,
        optimizer,
        options.batch_size,
        options.epochs,
        validation,
        options.early_stopping,
        callbacks=record,
        seed=options.seed,
    )
    if history.stopped:
        print(f"stopped    after {len(history.loss)} epochs, the best was number {1 + int(np.argmax(history.score))}")
    runs["gd"].accuracy = model.score(data.X_test, data.y_test)
    if options.compare:
        plain = reference.Optimizer(optimizer_name, initial, **keywords)
        runs["numpy"] = _Run("numpy", live=True)
        first = slice(options.batch_size)  # one uncounted batch starts BLAS's threads
        reference.loss_and_gradients(initial, data.X[first], data.y[first], activation)
        for epoch in range(options.epochs):
            start = perf_counter()
            order = batches(len(data.X), options.batch_size, options.seed, epoch)
            loss = reference.train_epoch(initial, data.X, data.y, plain, order, activation)
            runs["numpy"].add(loss, perf_counter() - start)
        found = reference.predict(initial, data.X_test, activation)
        runs["numpy"].accuracy = float(np.mean(found == data.y_test))
    for run in runs.values():
        print(run.summary(len(X)))
    if options.compare:
        print(_comparison(runs["gd"], runs["numpy"]))
    if options.save:
        _save(safetensors, options.save, model)
    if options.plot:
        _draw(history, options.plot)
        print(f"drawn      {options.plot}")


def _held_back(data, seed):
    """Return rows to train with, their labels, and (rows, labels) to validate with: every tenth of each class."""
    held = shuffled(len(data.X), seed, 0, data.y)[::10]
    kept = np.setdiff1d(np.arange(len(data.X)), held)
    return data.X[kept], data.y[kept], (data.X[held], data.y[held])


def _try_plot(path):
    """Fail now rather than after the training, if no picture of this kind can be drawn."""
    try:
        History(loss=[1.0]).plot().savefig(BytesIO(), format=Path(path).suffix[1:] or "png")
    except (ImportError, ValueError) as error:
        raise Failure(f"--plot {path}: {error}") from error


def _draw(history, path):
    try:
        history.plot(path)
    except OSError as error:
        raise Failure(f"--plot {path}: {error}") from error


class _Run:
    """The losses and seconds of one backend's epochs, printed as they come where it is live."""

    def __init__(self, name, live):
        self.name, self.live, self.losses, self.seconds, self.accuracy = name, live, [], [], None

    def add(self, loss, seconds):
        self.losses.append(float(loss))
        self.seconds.append(seconds)
        if self.live:
            print(f"{self.name:<10} epoch {len(self.losses):>3}: loss {loss:.6f}, {seconds:.3f} s", flush=True)

    def median(self):
        return float(np.median(self.seconds))

    def summary(self, rows):
        return (
            f"{self.name:<10} test accuracy {self.accuracy:.4f}, last loss {self.losses[-1]:.6f}; "
            f"{rows / self.median():,.0f} samples/s (median epoch), {sum(self.seconds):.2f} s in all"
        )


def _comparison(ours, plain):
    medians = f"median epochs of {ours.median():.4f} s and {plain.median():.4f} s"
    difference = abs(ours.losses[0] - plain.losses[0])
    return (
        f"compared   gd is {plain.median() / ours.median():.2f} times as fast ({medians}); "
        f"after the first epoch the losses differ by {difference:.1e}"
    )


def _compile(build, data, batch_size):
    """Take the first steps with another model of the same kind, serially and in parallel; return how long that took."""
    start = perf_counter()
    model, optimizer = build()
    rows = min(len(data.X), 2 * batch_size)
    for parallel_from in (inf, 1):
        with splitting(parallel_from):
            fit(model, data.X[:rows], data.y[:rows], optimizer, batch_size, epochs=1, progress=False)
            model.predict(data.X_test)
    return perf_counter() - start


def _safetensors():
    try:
        import safetensors.numpy
    except ImportError:
        raise Failure('--save needs safetensors: python -m pip install "gd[train]"') from None
    return safetensors


def _save(safetensors, path, model):
    description = {"widths": ",".join(map(str, model.widths)), "activation": model.activation, "loss": model.loss}
    try:
        safetensors.numpy.save_file(dict(model.parameters), path, metadata=description)
    except (OSError, safetensors.SafetensorError) as error:
        raise Failure(f"--save {path}: {error}") from error
    print(f"saved      {path}")


if __name__ == "__main__":
    sys.exit(main())
