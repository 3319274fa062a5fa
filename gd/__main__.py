"""The `gd` command: `gd train`, `gd compare`, `gd info`."""

import argparse
import os
import sys
from io import BytesIO
from math import inf
from pathlib import Path
from time import perf_counter

import numpy as np

from . import __version__, comparison, datasets, reference, schedules, surfaces
from .activations import ACTIVATIONS
from .batches import batches, held_out
from .checkpoints import CheckpointError, require_safetensors
from .history import History
from .information import information
from .kernels.compiler import splitting
from .networks import MLP
from .optimizers import OPTIMIZERS
from .training import fit

SCHEDULES = {  # name -> f(learning rate, steps in all) -> what an optimizer takes as lr
    "constant": lambda lr, steps: lr,
    "cosine": schedules.CosineDecay,
    "linear": schedules.PolynomialDecay,
    "step": lambda lr, steps: schedules.StepDecay(lr, -(-steps // 3)),
    "onecycle": schedules.OneCycle,
    "plateau": lambda lr, steps: schedules.ReduceOnPlateau(lr),
}


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
    commands = parser.add_subparsers(dest="command", required=True, metavar="{train,compare,info}")

    train = commands.add_parser(
        "train",
        help="train a classifier and print its accuracy and speed",
        description="Train a classifier, by default on scikit-learn's handwritten digits.",
        formatter_class=_HelpFormatter,
    )
    optimizers = {name.lower(): name for name in OPTIMIZERS}
    _add_data_and_model(train, epochs=15)
    train.add_argument("--optimizer", choices=optimizers, type=str.lower, default="adam", help="case does not matter")
    train.add_argument("--lr", type=float, help="learning rate (default: the optimizer's)")
    train.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="of data and parameters")
    train.add_argument("--l2", type=float, metavar="FACTOR", help="penalty l2 / 2 |p|**2 of all parameters")
    train.add_argument("--weight-decay", type=float, metavar="FACTOR", help="decoupled decay of all parameters")
    train.add_argument("--dropout", type=float, metavar="RATE", help="share of the hidden units left out in each step")
    train.add_argument(
        "--schedule",
        choices=SCHEDULES,
        default="constant",
        help="of the learning rate: cosine, linear and step fall from it, onecycle rises to it and falls, plateau is a "
        "tenth after ten epochs without a smaller loss",
    )
    train.add_argument(
        "--early-stopping",
        type=int,
        metavar="EPOCHS",
        help="end after so many epochs without a better accuracy on a tenth of the rows, held back; keep the best",
    )
    train.add_argument("--plot", metavar="FILE", help="draw loss and accuracy by epoch, as .png, .svg or .pdf")
    train.add_argument("--compare", choices=("numpy",), help="also train the same model in plain NumPy")
    train.add_argument("--save", metavar="FILE", help="write the model as safetensors, for gd.MLP.load")
    train.add_argument(
        "--resume", metavar="FILE", help="save what training needs here after each epoch; go on from it if it is there"
    )
    train.set_defaults(run=lambda options: _train(options, optimizers[options.optimizer]))

    compare = commands.add_parser(
        "compare",
        help="train the same classifier by several optimizers and rank them",
        description="Train the same classifier from the same weights by several optimizers, or let them descend a "
        "function of two numbers, and rank them.",
        formatter_class=_HelpFormatter,
    )
    _add_data_and_model(compare, epochs=10)
    compare.add_argument(
        "--optimizers", metavar="NAMES", type=_optimizers, help="such as sgd,adam (default: all; a few on a surface)"
    )
    compare.add_argument(
        "--lr",
        choices=comparison.RATES,
        default="tuned",
        help="of each optimizer: its default, or the best power of ten times that, by the loss on a tenth of the rows, "
        "held back, after a short training",
    )
    compare.add_argument(
        "--surface",
        nargs="?",
        choices=(*surfaces.SURFACES, "all"),
        const="all",
        help="descend this function instead of training, or all of them without a name",
    )
    compare.add_argument("--steps", type=int, default=200, help="with --surface")
    compare.add_argument("--plot", metavar="FILE", help="draw losses, or paths, as .png, .svg or .pdf")
    compare.set_defaults(run=_compare)

    info = commands.add_parser("info", help="print versions, threads, processor and kernel cache")
    info.set_defaults(run=_info)
    return parser


def _add_data_and_model(parser, epochs):
    parser.add_argument(
        "--data",
        metavar="PATH",
        help="a folder of IDX files (the layout of MNIST and Fashion-MNIST, gzip or plain), "
        "an .npz with X and y, or a .csv whose last column is the label",
    )
    parser.add_argument("--model", choices=("softmax", "mlp"), default="mlp", help="softmax has no hidden layer")
    parser.add_argument(
        "--hidden", metavar="WIDTHS", type=_widths, default="256,128", help="of the hidden layers, with --model mlp"
    )
    parser.add_argument("--activation", choices=sorted(ACTIVATIONS), default="relu", help="with --model mlp")
    parser.add_argument("--batch-size", type=int, default=64, help="examples a step")
    parser.add_argument("--epochs", type=int, default=epochs, help="passes over the data")
    parser.add_argument("--seed", type=int, default=0, help="of the test split, the weights and the order of examples")


def _optimizers(text):
    names = {name.lower(): name for name in OPTIMIZERS}
    given = [name.strip().lower() for name in text.split(",")]
    for name in given:
        if name not in names:
            raise argparse.ArgumentTypeError(f"expected names among {', '.join(names)}, got {name!r}")
    return [names[name] for name in given]


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
    _check_counts(options)
    for option, path in (("--save", options.save), ("--resume", options.resume)):
        if path:
            try:
                require_safetensors(option)
            except ImportError as error:
                raise Failure(error) from error
            _check_folder(option, path)
    if options.compare and (options.dropout or options.resume or options.schedule == "plateau"):
        raise Failure("--compare trains in plain NumPy, too, which knows no --dropout, --resume or --schedule plateau")
    if options.early_stopping is not None:
        if options.early_stopping < 1:
            raise Failure("--early-stopping must be 1 at least")
        if options.compare:
            raise Failure("--early-stopping holds rows back, which --compare does not: give one of the two")
    if options.plot:
        _try_plot(options.plot)
    data = datasets.load(options.data, options.seed, np.dtype(options.dtype).type)
    given = {"lr": options.lr, "l2": options.l2, "weight_decay": options.weight_decay}
    keywords = {name: value for name, value in given.items() if value is not None}
    X, y, validation = data.X, data.y, None
    if options.early_stopping is not None:
        X, y, validation = _held_back(data, options.seed)
    steps = options.epochs * -(-len(X) // options.batch_size)

    def build():
        model = _model(options, data, options.dropout or 0.0)
        optimizer = OPTIMIZERS[optimizer_name](model.parameters, **keywords)
        optimizer.lr = SCHEDULES[options.schedule](optimizer.lr, steps)
        return model, optimizer

    try:
        model, optimizer = build()
    except (TypeError, ValueError) as error:
        raise Failure(error) from error
    _describe(data, model)
    print(f"optimizer  {optimizer}")
    print("compiled   the kernels, or loaded them from disk ...", end=" ", flush=True)
    print(f"{_compile(build, data, options.batch_size):.2f} s")

    bar = sys.stderr.isatty() and sys.stdout.isatty()  # fit shows one
    runs = {"gd": _Run("gd", live=not bar)}
    initial = {name: view.copy() for name, view in model.parameters.items()}
    record = [lambda history: runs["gd"].add(history.loss[-1], history.seconds[-1])]
    try:
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
            checkpoint=options.resume,
            seed=options.seed,
            resume=bool(options.resume),
        )
    except (CheckpointError, OSError) as error:
        if not options.resume:
            raise
        raise Failure(f"--resume {options.resume}: {error}") from error
    runs["gd"].resumed(history)
    if history.stopped:
        print(f"stopped    after {len(history.loss)} epochs, the best was number {1 + int(np.argmax(history.score))}")
    runs["gd"].accuracy = model.score(data.X_test, data.y_test)
    if options.compare:
        plain = reference.Optimizer(optimizer_name, initial, **keywords | optimizer.schedules)
        runs["numpy"] = _Run("numpy", live=True)
        first = slice(options.batch_size)  # one uncounted batch starts BLAS's threads
        reference.loss_and_gradients(initial, data.X[first], data.y[first], model.activation)
        for epoch in range(options.epochs):
            start = perf_counter()
            order = batches(len(data.X), options.batch_size, options.seed, epoch)
            loss = reference.train_epoch(initial, data.X, data.y, plain, order, model.activation)
            runs["numpy"].add(loss, perf_counter() - start)
        found = reference.predict(initial, data.X_test, model.activation)
        runs["numpy"].accuracy = float(np.mean(found == data.y_test))
    for run in runs.values():
        print(run.summary(len(X)))
    if options.compare:
        print(_comparison(runs["gd"], runs["numpy"]))
    if options.save:
        _save(options.save, model)
    if options.plot:
        _draw(history.plot, options.plot)


def _compare(options):
    if options.plot:
        _try_plot(options.plot)
    if options.surface:
        _descend(options)
        return
    _check_counts(options)
    data = datasets.load(options.data, options.seed, np.float32)
    try:
        model = _model(options, data)
        _describe(data, model)
        how = "the best power of ten times each default, by the loss on a tenth of the rows, held back"
        print(f"rates      {how if options.lr == 'tuned' else 'the defaults'}")
        results = comparison.compare_optimizers(
            model,
            data.X,
            data.y,
            (data.X_test, data.y_test),
            options.optimizers or list(OPTIMIZERS),
            options.lr,
            options.batch_size,
            options.epochs,
            options.seed,
        )
    except (TypeError, ValueError) as error:
        raise Failure(error) from error
    print("", *comparison.table(results), "", sep="\n")
    if options.plot:
        _draw(lambda path: comparison.plot(results, path), options.plot)


def _descend(options):
    if options.data:
        raise Failure("--data is to train with, --surface descends a function instead: give one of the two")
    if options.steps < 1:
        raise Failure("--steps must be 1 at least")
    descents = {}
    print(
        "rates      the lowest by which a path in the picture comes nine tenths as far down as by the best, in decades"
    )
    for name in surfaces.SURFACES if options.surface == "all" else (options.surface,):
        chosen = options.optimizers or surfaces.SHOWN
        descents[name] = [surfaces.descend(name, optimizer, options.steps) for optimizer in chosen]
        print(f"surface    {name}: {surfaces.SURFACES[name].formula}, {options.steps} steps\n")
        print(*surfaces.table(name, descents[name]), "", sep="\n")
    if options.plot:
        _draw(lambda path: surfaces.plot(descents, path), options.plot)


def _check_counts(options):
    if options.epochs < 1 or options.batch_size < 1 or options.seed < 0:
        raise Failure("--epochs and --batch-size must be 1 at least, --seed 0 at least")


def _check_folder(option, path):
    if not Path(path).absolute().parent.is_dir():
        raise Failure(f"{option} {path}: no such folder")


def _model(options, data, dropout=0.0):
    mlp = options.model == "mlp"
    widths = [data.X.shape[1], *(options.hidden if mlp else ()), data.classes]
    activation = options.activation if mlp else "identity"
    return MLP(widths, activation, dropout=dropout, dtype=data.X.dtype, seed=options.seed)


def _describe(data, model):
    print(
        f"data       {data.name}: {len(data.X):,} rows to train, {len(data.X_test):,} to test, "
        f"{data.X.shape[1]} features, {data.classes} classes"
    )
    layers = "-".join(map(str, model.widths)) + (f", {model.activation}" if len(model.widths) > 2 else "")
    print(f"model      {layers}: {model.parameters.vector.size:,} parameters, {model.dtype}")


def _held_back(data, seed):
    """Return rows to train with, their labels, and (rows, labels) to validate with: every tenth of each class."""
    kept, held = held_out(len(data.X), seed, data.y)
    return data.X[kept], data.y[kept], (data.X[held], data.y[held])


def _try_plot(path):
    """Fail now rather than after the training, if no picture of this kind can be drawn."""
    _check_folder("--plot", path)
    try:
        History(loss=[1.0]).plot().savefig(BytesIO(), format=Path(path).suffix[1:] or "png")
    except (ImportError, ValueError) as error:
        raise Failure(f"--plot {path}: {error}") from error


def _draw(plot, path):
    try:
        plot(path)
    except OSError as error:
        raise Failure(f"--plot {path}: {error}") from error
    print(f"drawn      {path}")


class _Run:
    """The losses and seconds of one backend's epochs, printed as they come where it is live."""

    def __init__(self, name, live):
        self.name, self.live, self.losses, self.seconds, self.accuracy = name, live, [], [], None

    def add(self, loss, seconds):
        self.losses.append(float(loss))
        self.seconds.append(seconds)
        if self.live:
            print(f"{self.name:<10} epoch {len(self.losses):>3}: loss {loss:.6f}, {seconds:.3f} s", flush=True)

    def resumed(self, history):
        """Note the epochs of the training that this one went on with."""
        self.losses, self.seconds = history.loss, history.seconds

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


def _save(path, model):
    try:
        model.save(path)
    except OSError as error:
        raise Failure(f"--save {path}: {error}") from error
    print(f"saved      {path}")


if __name__ == "__main__":
    sys.exit(main())
