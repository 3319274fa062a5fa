"""fit: mini-batch training of a model, with progress, history and checkpoints."""

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..checks import UNIT, check_flag, check_functions, check_integer, check_number, check_path, shown
from ..distributed import Distributed
from ..files import require_safetensors
from ..kernels.interruption import Interruption
from ..models import MLP, Model
from ..optimizers import LBFGS, Optimizer
from ..runtime import check_progress, progress_bar, single_threaded_blas
from ..typing import FilePath
from .averages import check_average, undistributed
from .early_stopping import EarlyStopping
from .history import History, check_monitored
from .loop import Checkpoint, DistributedTraining, Training, plateaus_of
from .resumption import nothing_left
from .resumption import resume as resumed
from .streams import Stream, StreamedTraining, is_stream

DEFAULTS: dict[str, Any] = {"batch_size": 128, "seed": 0, "accumulate": 1, "emphasis": 0.0}


def fit(
    model: Model,
    X: Any,
    y: Any,
    optimizer: Optimizer | Distributed,
    batch_size: int | Literal["all"] | None = None,
    epochs: int = 10,
    validation: tuple[Any, Any] | tuple[Any, Any, Any] | None = None,
    early_stopping: int | EarlyStopping | None = None,
    callbacks: Callable[[History], Any] | Iterable[Callable[[History], Any]] = (),
    checkpoint: FilePath | Checkpoint | None = None,
    progress: bool | None = None,
    seed: int | None = None,
    *,
    accumulate: int | None = None,
    emphasis: float | None = None,
    resume: bool = False,
    comm: Any = None,
    evaluate: Literal["parameters", "ema", "averaged"] | None = None,
    sample_weight: Any = None,
    steps_per_epoch: int | None = None,
) -> History:
    """Train a network or a linear model by mini-batch gradient descent.

    A network's step has two phases: forward and backward passes by blocks of rows; then each tile of a weight gradient
    is computed, and the optimizer updates its weights while it is in cache. A linear model's mini-batches run in
    compiled code without returning to Python. If the optimizer needs the whole gradient first (clip_norm,
    skip_nonfinite, LAMB, LARS, Prodigy, groups), the gradient is written to memory, and Python handles every batch.

    Parameters
    ----------
    model : MLP or LinearModel
    X : ndarray or sparse matrix of shape (rows, features), or batches
        In the dtype of the model; sparse in CSR. With y=None, batches that are made or read as training goes, each
        (X, y) or (X, y, sample_weight), for one step: a function of the epoch (0, 1, ...) that returns an iterable of
        them; an iterable, such as a list or a DataLoader, or an object with a length and numbered batches, read anew in
        each epoch; or an iterator, such as a generator, which needs steps_per_epoch and goes on from epoch to epoch.
        A batch without rows, or with weights of 0 alone, takes no step. batch_size, seed, accumulate, emphasis and
        sample_weight do not apply. A batch is checked when its turn comes: a wrong one raises after the steps before.
        Trainings on a function resume bit for bit.
    y : ndarray, or dict of them
        Labels or targets, as the model takes them; softmax_cross_entropy also takes probabilities of all classes.
        None if X gives batches.
    optimizer : Optimizer
        Made with ``model.parameters``. Each `gd.schedules.ReduceOnPlateau` of the optimizer or its groups, also inside
        another schedule or function, is updated with what it monitors after each epoch whose last step followed it.
    batch_size : int or "all", default: 128
        1 is stochastic gradient descent; "all" is batch gradient descent. For a k times larger batch size,
        `gd.scale_lr_for_batch` returns a suitable learning rate.
    epochs : int, default: 10
        Passes over the data. Each visits every row once, in an order determined by (seed, epoch); only a linear model
        with a batch of all rows keeps their order. The optimizer's steps determine the first epoch: two calls with one
        batch_size, in which no batch was skipped, give the same bits as one call with all epochs.
    validation : (X, y) or (X, y, sample_weight), optional
        Evaluated after each epoch: its loss and its score.
    early_stopping : int or EarlyStopping, optional
        The patience in epochs, or all its settings. The loss of training is measured before an epoch's steps, so
        parameters restored by it are one epoch ahead: pass validation to get the very best ones.
    callbacks : callable or sequence of callable, optional
        Called with the history after each epoch; training ends when one returns True.
    checkpoint : str or Checkpoint, optional
        Where to save after each epoch; a Checkpoint also sets how often, and how many to keep. Needs safetensors.
    progress : bool, optional
        Show a progress bar (needs tqdm); by default if standard error is a terminal and tqdm is installed.
    seed : int, default: 0
        The seed of the order of rows.
    accumulate : int, default: 1
        Batches per step: their gradients are averaged, weighted by rows, as for one larger batch. (If targets are
        missing or classes are weighted, each batch has its own mean.)
    emphasis : float, default: 0
        In [0, 1): this share of the rows, those with the largest losses in the epoch before, comes twice in each epoch
        (in the first epoch, random rows). For networks; outliers and wrong labels are emphasized, too.
    resume : bool, default: False
        Continue from the checkpoint, if there is one, as if the training had not stopped; `epochs` is the total number.
        What you give now holds: the optimizer's arguments, its schedules, batch_size, seed, accumulate, emphasis,
        evaluate, early_stopping. What you leave out is that of the checkpoint, except early_stopping: None is none. One
        UserWarning tells what differs, which rules count anew, or that nothing is left to do. A rate that a callback
        set goes on if the optimizer is made with the rate that it was made with before. Schedules of gd that are left
        out are made again, functions must be given. Data, the model's arguments and the class of the optimizer must be
        as before, and so the callbacks' own state. Early stopping goes on from the last epoch, if patience allows.
    comm : communicator, optional
        The communicator of a `gd.Distributed` optimizer: all its ranks train together. Each calls fit with the same
        arguments and all rows (an np.memmap will do: a rank reads only its own). The rows are cut into the optimizer's
        logical shards, and each batch takes an equal part of every shard, so batch_size must be a multiple of their
        number. The checkpoint is then a folder. Callbacks must decide alike on all ranks. accumulate and emphasis are
        not supported.
    evaluate : {"parameters", "ema", "averaged"}, optional
        What is evaluated with validation: the parameters as they are, the optimizer's `ema_params`, or its
        `averaged_params`: the default of ASGD and ScheduleFreeAdamW, as their papers say. The model is left with the
        parameters from which training goes on: `gd.averaged` swaps them for the averages.
    sample_weight : ndarray of shape (rows,), optional
        Weights of the rows, finite and 0 or above. The loss of a mini-batch of n rows is sum_i w_i loss_i / (n w),
        where w is the mean weight of all rows, so that a row of weight 2 counts as two equal rows in an epoch; rows of
        weight 0 are as if they were not there. Where X gives batches, w is 1.
    steps_per_epoch : int, optional
        For batches only: the length of an epoch, before which they must not end; by default until they end. Then each
        call of fit begins with epoch 0, as it cannot tell the epoch by the optimizer's steps.

    Returns
    -------
    History

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; then nothing has changed.
    CheckpointError
        If the checkpoint to resume from is damaged, or of another training; then nothing has changed.
    RuntimeError
        If another thread trains the model or computes its gradients.
    FloatingPointError
        If the loss of a batch is not finite; no step is taken for it. With the optimizer's skip_nonfinite, training
        continues with the next batch instead.
    KeyboardInterrupt
        At Ctrl-C, after the current step is complete: model and optimizer are consistent. A second Ctrl-C acts at once,
        but within a step it waits, as do all other signals whose handlers raise.

    References
    ----------
    Emphasis: LeCun, Bottou, Orr & Mueller, "Efficient BackProp", 1998, section 4.2.
    """
    if not isinstance(model, Model):
        raise TypeError(f"fit: model must be an MLP or a LinearModel, got {type(model).__name__}")
    options = {"batch_size": batch_size, "seed": seed, "accumulate": accumulate, "emphasis": emphasis}
    if stream := is_stream(X, y):
        X = Stream(X, steps_per_epoch, resume, options | {"comm": comm, "sample_weight": sample_weight})
    elif steps_per_epoch is not None:
        raise TypeError(f"fit: steps_per_epoch must be left out where X is data, got {shown(steps_per_epoch)}")
    else:
        X, y = model.check_data("fit", X, y, sample_weight)
        y = model.with_means(y)
    if comm is not None and sample_weight is not None:
        raise TypeError(f"fit: sample_weight must be None where comm is given, got {type(sample_weight).__name__}")
    if comm is not None and not isinstance(optimizer, Distributed):
        raise TypeError(f"fit: optimizer must be a gd.Distributed where comm is given, got {type(optimizer).__name__}")
    if isinstance(optimizer, LBFGS):
        closure = "lambda: model.loss_and_gradients(X, y)"
        raise TypeError(
            f"fit: optimizer must step by batches, got LBFGS; call its step({closure}) with all data instead"
        )
    if not isinstance(optimizer, (Optimizer, Distributed)):
        raise TypeError(f"fit: optimizer must be one of gd's, such as gd.Adam, got {type(optimizer).__name__}")
    if isinstance(optimizer, Distributed) and comm is not optimizer.comm:
        raise ValueError(f"fit: comm must be that of the optimizer, got {type(comm).__name__}")
    if optimizer.params is not model.parameters:
        raise ValueError("fit: optimizer must be made with model.parameters, it was made with other params")
    own = undistributed(optimizer)
    if own.proximal and model.adds_l1:
        raise ValueError("fit: l1 must be given to the optimizer where this is proximal, it was given to the model")
    optional = options | {"evaluate": evaluate, "steps_per_epoch": steps_per_epoch}
    given = {name for name, value in optional.items() if value is not None}
    options = DEFAULTS | {name: options[name] for name in DEFAULTS if name in given}
    emphasis = options["emphasis"] = check_number("fit", "emphasis", options["emphasis"], UNIT)
    everything = isinstance(batch_size, str) and batch_size == "all"
    if not everything:
        options["batch_size"] = check_integer("fit", "batch_size", options["batch_size"], 1)
    for name, low in (("seed", 0), ("accumulate", 1)):
        options[name] = check_integer("fit", name, options[name], low)
    epochs = check_integer("fit", "epochs", epochs, 1)
    if emphasis and not isinstance(model, MLP):
        raise TypeError(f"fit: emphasis needs the loss of each row, which only an MLP has, got {type(model).__name__}")
    if comm is not None and isinstance(optimizer, Distributed):
        optimizer.check_batches("fit", None if everything else options["batch_size"], options["accumulate"], emphasis)
        progress = False if comm.Get_rank() else progress
    judged = None
    if validation is not None:
        if not isinstance(validation, (tuple, list)) or len(validation) not in (2, 3):
            raise TypeError(f"fit: validation must be (X, y) or (X, y, sample_weight), got {type(validation).__name__}")
        judged = _with_targets(model, model.check_data("fit: validation", *validation)[1])
    if early_stopping is not None and not isinstance(early_stopping, EarlyStopping):
        early_stopping = EarlyStopping(check_integer("fit", "early_stopping", early_stopping, 1))
    callbacks = check_functions("fit", "callbacks", callbacks)
    check_progress("fit", progress)
    if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
        checkpoint = Checkpoint(check_path("fit", "checkpoint", checkpoint))
    if check_flag("fit", "resume", resume) and checkpoint is None:
        raise TypeError("fit: resume needs a checkpoint to resume from, got checkpoint=None")
    if checkpoint is not None:
        require_safetensors("fit: checkpoint")
        folder = Path(checkpoint.path).absolute().parent
        if not folder.is_dir() or (comm is None and Path(checkpoint.path).is_dir()):
            raise ValueError(f"fit: checkpoint must be a file in a folder that exists, got {str(checkpoint.path)!r}")
    for rule in (*plateaus_of(optimizer), *(() if early_stopping is None else (early_stopping,))):
        check_monitored(rule.monitor, model.head_names, judged)
    average = own.evaluated if evaluate is None else evaluate
    if not model.lock.acquire(blocking=False):
        raise RuntimeError("fit: model is in use by another thread")
    try:
        settings = {
            **options,
            "evaluate": average,
            "steps_per_epoch": steps_per_epoch,
            "rows": None if stream else X.shape[0],
            "sample_weight": sample_weight is not None,
            "validation": validation is not None,
            "optimizer": type(optimizer).__name__,
        }
        kind = StreamedTraining if stream else Training if comm is None else DistributedTraining
        training = kind(model, X, y, optimizer, settings, given, early_stopping)
        if checkpoint is not None:
            training.describe()
        if not resume or checkpoint is None or not training.has_saved(checkpoint.path):
            check_average("fit", "evaluate", average, own)
        else:
            with Interruption():
                news = resumed(training, checkpoint.path)
            news = nothing_left(training, checkpoint.path, epochs) or news
            if news and (comm is None or comm.Get_rank() == 0):
                warnings.warn(news, UserWarning, stacklevel=2)
        with (
            progress_bar("fit", progress, training.total(epochs), training.unit) as bar,
            single_threaded_blas(),
        ):
            training.run(epochs, validation, judged, callbacks, checkpoint, bar)
        return training.history
    finally:
        model.lock.release()


def _with_targets(model: Model, y: Any) -> list[str]:
    """Return the names of the outputs that some row has a target for."""
    if not model.head_names:
        return ["output"]
    heads = zip(model.head_names, y.arrays, strict=True)
    return [name for name, each in heads if (each >= 0 if each.ndim == 1 else ~np.isnan(each)).any()]
