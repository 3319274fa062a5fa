"""``gd train``: train a model on a file; with ``--compare numpy``, also train it in plain NumPy."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import reference, schedules
from ..activations import ACTIVATIONS
from ..batches import batches, held_out
from ..datasets import Data
from ..distributed import LOGICAL_SHARDS, REDUCTIONS, Distributed, world
from ..files import CheckpointError, load, require_safetensors
from ..losses import LOSSES
from ..optimizers import OPTIMIZERS
from ..predictor import Predictor
from ..runtime import compiling_bar
from ..training import History, fit
from .arguments import (
    Failure,
    HelpFormatter,
    add_data_and_model,
    check_counts,
    check_folder,
    describe,
    draw,
    load_data,
    new_model,
    of_name,
    together,
    told,
    try_plot,
)
from .predict import shown

SCHEDULES: dict[str, Callable[[float, int], Any]] = {  # name -> f(learning rate, all steps) -> an optimizer's lr
    "constant": lambda lr, steps: lr,
    "cosine": schedules.CosineDecay,
    "linear": schedules.PolynomialDecay,
    "step": lambda lr, steps: schedules.StepDecay(lr, -(-steps // 3)),
    "onecycle": schedules.OneCycle,
    "plateau": lambda lr, steps: schedules.ReduceOnPlateau(lr),
}


def add(commands: Any) -> None:
    """Declare the options."""
    train = commands.add_parser(
        "train",
        help="train a model on a file and print its accuracy and speed",
        description="Train a network on the rows of a file, by default on scikit-learn's handwritten digits.",
        formatter_class=HelpFormatter,
    )
    train.register("action", None, _Noted)
    add_data_and_model(train, epochs=15)
    train.add_argument("--test", metavar="FILE", help="rows to test with, in place of a fifth of those of --data")
    train.add_argument(
        "--validation", metavar="FILE", help="rows to validate with after each epoch, also for --early-stopping"
    )
    train.add_argument(
        "--class-weight", choices=("balanced",), help="let all classes count equally, however rare they are"
    )
    train.add_argument(
        "--optimizer",
        metavar="NAME",
        type=lambda text: of_name(text, OPTIMIZERS),
        default="Adam",
        help=f"in any case: {', '.join(OPTIMIZERS)}, or module:name of your own",
    )
    train.add_argument("--lr", type=float, help="learning rate (default: the optimizer's)")
    train.add_argument(
        "--dtype", choices=("float32", "float64"), default="float32", help="dtype of data and parameters"
    )
    train.add_argument("--l2", type=float, metavar="FACTOR", help="penalty l2 / 2 |p|**2 on all parameters")
    train.add_argument("--weight-decay", type=float, metavar="FACTOR", help="decoupled weight decay of all parameters")
    train.add_argument("--dropout", type=float, metavar="RATE", help="share of the hidden units that each step drops")
    train.add_argument(
        "--schedule",
        choices=SCHEDULES,
        help="schedule of the learning rate (default: constant): cosine, linear and step fall from it, onecycle rises "
        "to it and falls, plateau divides it by ten after ten epochs without a smaller loss",
    )
    train.add_argument(
        "--early-stopping",
        type=int,
        metavar="EPOCHS",
        help="end after this many epochs without a smaller loss on the rows of --validation, else on a held out tenth "
        "of the others; keep the best",
    )
    train.add_argument("--plot", metavar="FILE", help="draw loss and accuracy by epoch, as .png, .svg or .pdf")
    train.add_argument("--compare", choices=("numpy",), help="also train the same model in plain NumPy")
    train.add_argument(
        "--save",
        metavar="FILE",
        help="write the model with its preprocessing, for gd predict and gd.load_model",
    )
    train.add_argument(
        "--resume",
        metavar="FILE",
        help="write a checkpoint here after each epoch; if there is one, go on from it, with its settings in place of "
        "those left out",
    )
    train.add_argument(
        "--distributed",
        nargs="?",
        const="fast",
        choices=REDUCTIONS,
        help="train on all processes that mpiexec started; reproducible gives the same bits on 1, 2, 4 and 8 of them; "
        "the FILE of --resume is then a folder",
    )
    train.set_defaults(run=run)


class _Noted(argparse.Action):
    """Stores an option, and notes in `given` that the command line has it."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, values)
        namespace.given = {self.dest, *getattr(namespace, "given", ())}


def run(options: argparse.Namespace) -> None:
    """Train, print results and write files, in one process or in all that mpiexec started."""
    if options.distributed is None:
        return _run(options)
    try:
        comm = world("--distributed")
    except ImportError as error:
        raise Failure(error) from error
    with together(comm, "gd train"):
        return _run(options, comm)


def _run(options: argparse.Namespace, comm: Any = None) -> None:
    check_counts(options)
    for option, path in (("--save", options.save), ("--resume", options.resume)):
        if path:
            try:
                require_safetensors(option)
            except ImportError as error:
                raise Failure(error) from error
            check_folder(option, path)
            if Path(path).is_dir() and not (comm is not None and option == "--resume"):
                raise Failure(f"{option} {path}: is a folder, a file is needed")
    resuming = bool(options.resume) and Path(options.resume).exists()
    saved_lr = _take_left_out(options) if resuming else None
    own = options.dropout or options.resume or options.class_weight or options.schedule == "plateau"
    if options.compare and own:
        raise Failure(
            "--compare trains in plain NumPy as well, without --dropout, --resume, --class-weight or --schedule plateau"
        )
    if options.compare and not all(isinstance(each, str) for each in (options.optimizer, options.activation)):
        raise Failure("--compare trains in plain NumPy as well, without --optimizer and --activation of your own")
    if options.compare and options.loss not in (None, "mse"):
        raise Failure("--compare trains in plain NumPy as well, with the loss mse")
    if options.class_weight and comm is not None:
        raise Failure("--class-weight gives weights to rows, which --distributed does not take")
    if comm is not None:
        if options.compare:
            raise Failure("--compare trains in plain NumPy as well, without --distributed")
        if options.batch_size % LOGICAL_SHARDS:
            raise Failure(f"--batch-size must be a multiple of {LOGICAL_SHARDS} with --distributed")
    if options.early_stopping is not None:
        if options.early_stopping < 1:
            raise Failure("--early-stopping must be at least 1")
        if options.compare:
            raise Failure("--early-stopping holds rows back, which --compare does not: give one of the two")
    if options.plot:
        try_plot(options.plot)
    dtype = np.dtype(options.dtype).type
    data = load_data(options, dtype, test=options.test, validation=options.validation)
    if options.compare and not isinstance(data.X, np.ndarray):
        raise Failure("--compare trains in plain NumPy as well, without sparse matrices")
    if options.class_weight and not data.classes:
        raise Failure("--class-weight needs classes, the task is regression")
    given = {"lr": options.lr, "l2": options.l2, "weight_decay": options.weight_decay}
    keywords = {name: value for name, value in given.items() if value is not None}
    X, y = data.X, data.y
    validation: Any = data.validation
    if options.early_stopping is not None and validation is None:
        X, y, validation = held_back(data, options.seed)
    weights = None
    if options.class_weight:
        of_class = balanced(y, data.classes).astype(dtype)
        weights = of_class[y]
        if validation is not None:
            validation = (*validation[:2], of_class[validation[1]])
    steps = options.epochs * -(-X.shape[0] // options.batch_size)

    def build() -> tuple[Any, Any]:
        model = new_model(options, data, options.dropout or 0.0)
        optimizer: Any = OPTIMIZERS[options.optimizer]
        if comm is None:
            optimizer = optimizer(model.parameters, **keywords)
        else:
            optimizer = Distributed(optimizer, model.parameters, comm, options.distributed, **keywords)
        if options.schedule is not None:
            lr = optimizer.lr if options.lr is not None or saved_lr is None else saved_lr
            optimizer.lr = SCHEDULES[options.schedule](lr, steps)
        return model, optimizer

    try:
        model, optimizer = build()
    except (TypeError, ValueError) as error:
        raise Failure(error) from error
    describe(data, model)
    if not resuming:
        print(f"optimizer  {optimizer}")
    print("compiled   the kernels, or loaded them from disk ...", end=" ", flush=True)
    print(f"{_compile(build, (X, y, weights), data, options.batch_size, comm):.2f} s")

    bar = sys.stderr.isatty() and sys.stdout.isatty()  # fit shows one
    runs = {"gd": _Run("gd", live=not bar)}
    initial = {name: view.copy() for name, view in model.parameters.items()}
    metric = "R2" if not data.classes else "accuracy" if weights is None else "balanced accuracy"
    try:
        with told("resumed", "fit: "):
            history = fit(
                model,
                X,
                y,
                optimizer,
                options.batch_size,
                options.epochs,
                validation,
                options.early_stopping,
                callbacks=lambda history: runs["gd"].record(history, metric),
                checkpoint=options.resume,
                seed=options.seed,
                resume=bool(options.resume),
                comm=comm,
                sample_weight=weights,
            )
    except (CheckpointError, OSError) as error:
        if not options.resume:
            raise
        raise Failure(f"--resume {options.resume}: {error}") from error
    runs["gd"].resumed(history)
    if resuming:
        print(f"optimizer  {optimizer}")
    if history.stopped:
        best = 1 + int(np.argmin(np.nan_to_num(history.validation_loss, nan=np.inf)))
        print(f"stopped    after {len(history.loss)} epochs, the best was number {best}")
    if OPTIMIZERS[options.optimizer].evaluated == "averaged":  # then averages are the result
        model.parameters.vector[:] = optimizer.averaged_params().vector
    predictor = Predictor.of(model, data)
    predictor.judge(data.X_test, data.y_test)
    runs["gd"].score = shown(predictor.metrics, balanced=weights is not None)
    if options.compare:
        plain = reference.Optimizer(options.optimizer, initial, **keywords | optimizer.schedules)
        runs["numpy"] = _Run("numpy", live=True)
        first = slice(options.batch_size)  # one uncounted batch starts BLAS's threads
        reference.loss_and_gradients(initial, data.X[first], data.y[first], model.activation, model.loss)
        for epoch in range(options.epochs):
            start = perf_counter()
            order = batches(len(data.X), options.batch_size, options.seed, epoch)
            loss = reference.train_epoch(initial, data.X, data.y, plain, order, model.activation, model.loss)
            runs["numpy"].add(loss, perf_counter() - start, epoch + 1)
        for name, slots in plain.state.items():  # averages are the result, as above
            for slot in slots.keys() & {"x", "ax"}:
                initial[name][...] = slots[slot]
        outputs = reference.forward(initial, data.X_test, model.activation)[-1]
        if data.classes:
            runs["numpy"].score = f"accuracy {np.mean(outputs.argmax(axis=1) == data.y_test):.4f}"
        else:
            runs["numpy"].score = f"R2 {1 - np.mean((outputs - data.y_test) ** 2) / data.y_test.var():.4f}"
    for run in runs.values():
        print(run.summary(X.shape[0]))
    if options.compare:
        print(_comparison(runs["gd"], runs["numpy"]))
    if comm is not None:
        compute, wire, update = optimizer.times
        print(f"rank 0     computed for {compute:.2f} s, sent and waited for {wire:.2f} s, updated for {update:.2f} s")
        if comm.Get_rank():
            return
    if options.save:
        _save(options.save, predictor)
    if options.plot:
        draw(history.plot, options.plot)


def _take_left_out(options: argparse.Namespace) -> float | None:
    """Take the settings that the command line leaves out from a checkpoint; return the rate that it began with."""
    path: Path | None = Path(options.resume)
    if path.is_dir():
        path = max(path.glob("checkpoint-*.tree.safetensors"), key=lambda each: each.stat().st_mtime, default=None)
    if path is None:
        return None
    try:
        saved = load(path)
        model, rate = saved["training"]["model"], saved.get("arguments", saved["rates"]).get("lr")
        found = {name: saved["training"][name] for name in ("batch_size", "seed")}
        if (optimizer := saved["training"]["optimizer"]) in OPTIMIZERS:  # not one of a user, whose module is unknown
            found["optimizer"] = optimizer
        if isinstance(model, dict) and "widths" not in model:
            found |= {"model": "softmax", "dtype": model["dtype"]}
        elif isinstance(model, dict):
            widths = model["widths"]
            found |= {"model": "mlp" if len(widths) > 2 else "softmax", "hidden": widths[1:-1], "dtype": model["dtype"]}
            if model["activation"] in ACTIVATIONS:
                found["activation"] = model["activation"]
            found |= {"dropout": max(model["dropout"])}
        loss = model["loss"] if isinstance(model, dict) else ""
        if loss in LOSSES and not LOSSES[loss].labels:
            found["loss"] = loss
        if isinstance(rate, dict):  # a schedule
            kinds = {type(make(1.0, 2)).__name__: name for name, make in SCHEDULES.items()}
            found |= {"schedule": kinds[rate["class"]]} if "lr" in options.given else {}
            rate = rate.get("lr", rate.get("lr_max"))
    except (CheckpointError, OSError) as error:
        raise Failure(f"--resume {options.resume}: {error}") from error
    except (AttributeError, KeyError, TypeError):  # of another training: fit refuses it
        return None
    for name in found.keys() - options.given:
        setattr(options, name, found[name])
    return rate


def held_back(data: Data, seed: int) -> tuple[Any, Any, tuple[Any, Any]]:
    """Return rows to train with, their labels, and (rows, labels) to validate with: a tenth, of each class."""
    kept, held = held_out(data.X.shape[0], seed, data.y if data.classes else None)
    return data.X[kept], data.y[kept], (data.X[held], data.y[held])


def balanced(y: NDArray[np.intp], classes: int) -> NDArray[np.float64]:
    """Return a weight for each class, with which all classes count equally: rows / (classes x rows of the class)."""
    counts = np.bincount(y, minlength=classes)
    return np.divide(len(y), np.count_nonzero(counts) * counts, out=np.zeros(classes), where=counts > 0)


class _Run:
    """Losses and seconds of one backend's epochs; if live, prints each epoch."""

    def __init__(self, name: str, live: bool) -> None:
        self.name, self.live, self.score = name, live, ""
        self.losses: list[float] = []
        self.seconds: list[float] = []

    def record(self, history: History, metric: str) -> None:
        """Add the last epoch of a history."""
        judged = ""
        if history.score:
            judged = f", validation loss {history.validation_loss[-1]:.6f}, {metric} {history.score[-1]:.4f}"
        self.add(history.loss[-1], history.seconds[-1], len(history.loss), judged)

    def add(self, loss: float, seconds: float, epoch: int, judged: str = "") -> None:
        self.losses.append(float(loss))
        self.seconds.append(seconds)
        if self.live:
            print(f"{self.name:<10} epoch {epoch:>3}: loss {loss:.6f}, {seconds:.3f} s{judged}", flush=True)

    def resumed(self, history: History) -> None:
        """Include the epochs of the training that was resumed."""
        self.losses, self.seconds = history.loss, history.seconds

    def median(self) -> float:
        return float(np.median(self.seconds))

    def summary(self, rows: int) -> str:
        return (
            f"{self.name:<10} test {self.score}, last loss {self.losses[-1]:.6f}; "
            f"{rows / self.median():,.0f} samples/s (median epoch), {sum(self.seconds):.2f} s in all"
        )


def _comparison(ours: _Run, plain: _Run) -> str:
    medians = f"median epochs of {ours.median():.4f} s and {plain.median():.4f} s"
    difference = abs(ours.losses[0] - plain.losses[0])
    return (
        f"compared   gd is {plain.median() / ours.median():.2f} times as fast ({medians}); "
        f"after the first epoch the losses differ by {difference:.1e}"
    )


def _compile(
    build: Callable[[], tuple[Any, Any]], given: tuple[Any, ...], data: Data, batch_size: int, comm: Any
) -> float:
    """Take the first steps with another model of the same kind; return the seconds that this took."""
    start = perf_counter()
    model, optimizer = build()
    X, y, weights = (None if each is None else each[: 2 * batch_size] for each in given)
    with compiling_bar("gd train", None):
        fit(model, X, y, optimizer, batch_size, epochs=1, progress=False, comm=comm, sample_weight=weights)
        model.predict(data.X_test)
    return perf_counter() - start


def _save(path: str, predictor: Predictor) -> None:
    try:
        predictor.save(path)
    except OSError as error:
        raise Failure(f"--save {path}: {error}") from error
    print(f"saved      {path}")
