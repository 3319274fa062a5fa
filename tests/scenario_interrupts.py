"""Scenarios of Ctrl-C and of other signals, real ones at random moments: see scenarios.py."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from scenario_tools import Skipped, digest

with suppress(ImportError):  # Windows
    import fcntl
    import termios

import gd
from gd.batches import shuffled
from gd.kernels import cache, compiler
from gd.models.base import Model
from gd.runtime.threading import single_threaded_blas

PATIENCE = 10  # seconds until a signal is taken for lost


def arrays(*sizes):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(size, dtype=np.float32) for size in sizes]


CASES = {  # name: sizes of arrays, optimizer of them
    "one-array": ([64], lambda p: gd.Adam(p[0])),
    "few-bits": ([64], lambda p: gd.Adam(p[0], state_dtype="int8")),
    "large-array": ([400_000], lambda p: gd.Adam(p[0])),
    "norm": ([50_000], lambda p: gd.LARS(p[0], clip_norm=1.0)),
    "several-arrays": ([64, 30_000, 7, 200_000], lambda p: gd.Adam(p)),
    "groups": (
        [64, 30_000, 7],
        lambda p: gd.NAdam(p, clip_norm=1.0, ema=0.9, groups=[{"params": [1], "lr": 0.1}]),
    ),
    "many-arrays": (
        [50, 3_000] * 10,
        lambda p: gd.LAMB(p, clip_norm=1.0, clip_norm_each=0.5, groups=[{"params": [1], "lr": 0.1}]),
    ),
    "accumulated": ([64, 5_000], lambda p: gd.RMSprop(p, momentum=0.5)),
}


class Stop(BaseException):
    """Raised by a handler."""


def handlers():
    """Set handlers that raise, as users do; return the numbers of their signals."""

    def time_out(number, frame):  # an OSError, which code around files expects of the system
        raise TimeoutError("time is up")

    def leave(number, frame):
        raise SystemExit(1)

    def stop(number, frame):
        raise Stop

    if not hasattr(os, "fork"):
        raise Skipped("no fork here")
    found = {signal.SIGALRM: time_out, signal.SIGTERM: leave, signal.SIGUSR1: stop, signal.SIGRTMIN: time_out}
    for number, handler in found.items():
        signal.signal(number, handler)
    return [*found, signal.SIGINT]


RAISED = KeyboardInterrupt, TimeoutError, SystemExit, Stop


def step(name, given=lambda: [signal.SIGINT]):
    """Interrupted steps are whole steps: parameters, state and count are those of as many steps without a signal.

    `given()` returns the numbers of the signals, of which two can come at once.
    """
    sizes, make = CASES[name]
    params, twins = arrays(*sizes), arrays(*sizes)
    optimizer, twin = make(params), make(twins)
    gradients = [[(1 + k % 3) * each for each in arrays(*sizes)] for k in range(7)]
    if len(sizes) == 1:
        gradients = [each[0] for each in gradients]
    calls = 2 if name == "accumulated" else 1

    def take(which):
        g = gradients[which.steps % len(gradients)]
        for _ in range(calls - 1):
            if len(which._steps._summed) < len(sizes):  # an interrupted step keeps what was accumulated
                which.accumulate(g)
        which.step(g)

    take(optimizer)
    at, numbers = set(), given()
    with interrupts(2e-3, *numbers) as interrupt:
        for _ in range(100 * len(numbers)):
            before = optimizer.steps
            where = interrupt.until_raised(take, optimizer)
            at.add(where)
            while twin.steps < optimizer.steps:
                take(twin)
            assert before <= optimizer.steps == twin.steps, where
            assert digest(np.concatenate(params), optimizer.state_dict()) == digest(
                np.concatenate(twins), twin.state_dict()
            ), (optimizer.steps, where)
    assert at != {None}
    print(f"{optimizer.steps} steps, interrupted at {len(at)} places")


def place(error):
    """Return where in the code an exception was raised."""
    traceback = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_code.co_filename, traceback.tb_lineno


@contextmanager
def interrupts(longest, *numbers):
    """Yield a `Sender` of these signals, by default Ctrl-C."""
    if not hasattr(os, "fork"):
        raise Skipped("no fork here")
    numbers = numbers or (signal.SIGINT,)
    ready, asked = os.pipe()
    parent, child = os.getpid(), os.fork()
    if not child:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        os.close(asked)
        delays = random.Random(0)
        while chosen := os.read(ready, 2):
            until = time.perf_counter() + delays.random() * longest
            if longest > 0.01:
                time.sleep(until - time.perf_counter())
            while time.perf_counter() < until:  # asleep it would wake at other moments than it means to
                pass
            for each in chosen:
                os.kill(parent, each)
        os._exit(0)
    os.close(ready)
    arrived, noted = os.pipe()
    os.set_blocking(noted, False)
    signal.set_wakeup_fd(noted)
    try:
        yield Sender(numbers, asked, arrived)
    finally:
        signal.set_wakeup_fd(-1)
        os.close(asked)
        os.waitpid(child, 0)


class Sender:
    """Asks for a signal, or for two at once if there are several, which comes after a random time."""

    def __init__(self, numbers, asked, arrived):
        self._numbers, self._asked, self._arrived = numbers, asked, arrived
        self._random, self._sent = random.Random(1), 0

    def __call__(self):
        chosen = self._random.sample(self._numbers, min(len(self._numbers), self._random.randint(1, 2)))
        self._sent += len(chosen)
        os.write(self._asked, bytes(chosen))

    def until_raised(self, call, *arguments, **keywords):
        """Call a function again and again, until a handler has raised; return the place in the code where it did."""
        first = None
        try:
            try:
                self()
                until = time.perf_counter() + PATIENCE
                while time.perf_counter() < until:  # Python loses a signal that comes while it runs a finalizer
                    call(*arguments, **keywords)
            except RAISED as error:
                first = error
                self.settle()
        except RAISED:  # a second one
            self.settle()
        return first and place(first)

    def settle(self):
        """Wait until all signals have come, and have Python call the handlers that it owes."""
        while int.from_bytes(fcntl.ioctl(self._arrived, termios.FIONREAD, bytes(4)), sys.byteorder) < self._sent:
            pass  # to read the pipe would lose what is read if a handler raised
        signal.pthread_kill(threading.get_ident(), 0)


def fit(given=lambda: [signal.SIGINT]):
    """An interrupted training is one of as many whole steps."""
    train(lambda: gd.MLP([20, 32, 32, 3], max_norm=1.0), given())


def fit_network(given=lambda: [signal.SIGINT]):
    """The same of a network, several of whose steps are taken in one call of compiled code."""
    train(lambda: gd.MLP([20, 32, 32, 3], dropout=0.1), given())


def fit_linear_model(given=lambda: [signal.SIGINT]):
    """The same of a linear model, whose steps are taken in compiled code."""
    train(lambda: gd.LinearModel(20, 3, "softmax"), given())


def train(build, numbers):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((2_000, 20), dtype=np.float32), rng.integers(0, 3, 2_000)
    model = build()
    gd.fit(model, X, y, gd.Adam(model.parameters), batch_size=64, epochs=1, progress=False)  # compiles
    with interrupts(0.1, *numbers) as interrupt:
        for _ in range(15 if len(numbers) == 1 else 30):
            model = build()
            optimizer = gd.Adam(model.parameters)
            interrupt.until_raised(gd.fit, model, X, y, optimizer, batch_size=64, epochs=10_000, progress=False)
            twin = build()
            other = whole_steps(twin, X, y, optimizer.steps)
            assert digest(model.parameters.vector, optimizer.state_dict()) == digest(
                twin.parameters.vector, other.state_dict()
            ), optimizer.steps
            assert model.lock.acquire(blocking=False)
            model.lock.release()


def whole_steps(model, X, y, steps):
    """Take so many steps of `fit`; return the optimizer."""
    optimizer, epoch = gd.Adam(model.parameters), 0
    X, y = model.check_data("", X, y)
    with single_threaded_blas():
        while optimizer.steps < steps:
            for _ in Model.descend(model, X, y, shuffled(len(X), 0, epoch), 64, optimizer):
                if optimizer.steps == steps:
                    break
            epoch += 1
    return optimizer


NAMES = ("Adam", "Lion", "RMSprop", "Adagrad")


def compile_kernels(given=lambda: [signal.SIGINT]):
    """Ctrl-C while the kernel of a first step is compiled leaves all as it was, and the next step compiles it."""
    command = [sys.executable, "-c", "import scenario_interrupts as s; print(*s.first_steps(None))"]
    expected = subprocess.run(
        command,
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(Path(gd.__file__).parent.parent)},
    )
    with interrupts(0.4, *given()) as interrupt:
        found = first_steps(interrupt)
    assert found == expected.stdout.split()


def read_kernels():
    """Handlers that raise while kernels are read from the cache are heard, and the next step reads them."""
    expected = first_steps(None)
    with interrupts(5e-3, *handlers()) as interrupt:
        for _ in range(100):
            compiler.join.cache_clear()
            cache._folder.cache_clear()
            assert first_steps(interrupt) == expected


def save():
    """So are those while a file is saved, which is then the old one or the new one."""
    with tempfile.TemporaryDirectory() as folder, interrupts(5e-3, *handlers()) as interrupt:
        path, saved = Path(folder) / "tree", [0]

        def write():
            gd.save(path, {"p": np.full(1000, saved[0])}, keep=2)
            saved[0] += 1

        write()
        for _ in range(300):
            assert interrupt.until_raised(write)
            found = gd.load(path)["p"]
            assert (found == found[0]).all()
            assert saved[0] - 1 <= found[0] <= saved[0]
        write()
        assert sorted(each.name for each in Path(folder).iterdir()) == ["tree", "tree.1"]


def first_steps(interrupt):
    """Take a first step of several optimizers, interrupted if so wished, and a second one; return digests."""
    digests = []
    for name in NAMES:
        p = np.ones(9)
        optimizer = getattr(gd, name)(p)
        if interrupt is not None:
            interrupt.until_raised(lambda optimizer=optimizer: optimizer.steps or optimizer.step(np.ones(9)))
            assert (optimizer.steps == 0) == (p == 1).all()
        while optimizer.steps < 2:
            optimizer.step(np.ones(9))
        digests.append(digest(p, optimizer.state_dict()))
    return digests
