"""Optimizers: one step on a vector, with a given gradient."""

from functools import partial
from math import isqrt

import numba
import numpy as np

from gd import reference
from gd.optimizers import OPTIMIZERS

from .. import ceilings
from ..cases import Family, Side, vectors
from ..libraries import in_dtype, torch_compiled

VARIANTS = {
    "torch loop": {"foreach": False},
    "torch foreach": {"foreach": True},
    "torch fused": {"fused": True},
}
TORCH = (
    "SGD",
    "Adagrad",
    "RMSprop",
    "Adadelta",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "RAdam",
    "Rprop",
    "ASGD",
    "Adafactor",
)
WALKS = {"Adafactor": ("1r", "1r", "1r", "2r1w in place"), "SM3": ("3r2w in place",)}  # of a matrix
FUSED = ("SGD", "Adagrad", "Adam", "AdamW")
OPTAX = {  # with gd's formula and defaults
    "SGD": lambda optax: optax.sgd(1e-3),
    "Momentum": lambda optax: optax.sgd(1e-2, momentum=0.9),
    "Adadelta": lambda optax: optax.adadelta(1.0),
    "Adam": lambda optax: optax.adam(1e-3),
    "AdamW": lambda optax: optax.adamw(1e-3, weight_decay=1e-2),
    "Adamax": lambda optax: optax.adamax(2e-3),
    "RMSprop": lambda optax: optax.rmsprop(1e-2, decay=0.99, eps_in_sqrt=False),
    "Lion": lambda optax: optax.lion(1e-4, weight_decay=0.0),
    "Yogi": lambda optax: optax.yogi(1e-2),
    "AdaBelief": lambda optax: optax.adabelief(1e-3),
    "LAMB": lambda optax: optax.lamb(1e-3),
    "LARS": lambda optax: optax.lars(1.0),
    "AdEMAMix": lambda optax: optax.contrib.ademamix(1e-3),
    "ADOPT": lambda optax: optax.contrib.adopt(1e-3),
    "SM3": lambda optax: optax.sm3(0.1),
    "Adan": lambda optax: optax.adan(1e-3, b2=0.5, eps_root=0.0),
    "Prodigy": lambda optax: optax.contrib.prodigy(),
}
OPTIONS = {"Adan": {"betas": (0.98, 0.5, 0.99)}, "Prodigy": {"bias_correction": True}}  # where optax's formula differs
NUMEXPR = {  # (array to write, expression) in order; s and t are states, c1 and c2 Adam's bias corrections
    "SGD": (("p", "p - 1e-3 * g"),),
    "Momentum": (("s", "0.9 * s - 1e-2 * g"), ("p", "p + s")),
    "Nesterov": (("s", "0.9 * s - 1e-2 * g"), ("p", "p + 0.9 * s - 1e-2 * g")),
    "Adagrad": (("s", "s + g * g"), ("p", "p - 1e-2 * g / (sqrt(s) + 1e-10)")),
    "RMSprop": (("s", "0.99 * s + 0.01 * g * g"), ("p", "p - 1e-2 * g / (sqrt(s) + 1e-8)")),
    "Adam": (
        ("s", "0.9 * s + 0.1 * g"),
        ("t", "0.999 * t + 0.001 * g * g"),
        ("p", "p - 1e-3 / c1 * s / (sqrt(t / c2) + 1e-8)"),
    ),
    "AdamW": (
        ("s", "0.9 * s + 0.1 * g"),
        ("t", "0.999 * t + 0.001 * g * g"),
        ("p", "(1 - 1e-5) * p - 1e-3 / c1 * s / (sqrt(t / c2) + 1e-8)"),
    ),
}
THINC = ("SGD", "Adam")
DEEPSPEED = ("Adagrad", "Adam", "AdamW", "Lion")


class Optimizers(Family):
    """One step of each optimizer, with its default hyper-parameters; of those with a walk, on a matrix."""

    name = "optimizers"
    headline = ("SGD", "Momentum", "Adagrad", "RMSprop", "Adam", "AdamW", "Lion", "LAMB")
    whats = tuple(OPTIMIZERS)

    def sizes_of(self, what):
        """Return the sizes of a full run; Muon's products grow with the power 3/2 of the size."""
        return tuple(size for size in super().sizes_of(what) if what != "Muon" or size <= 1_000_000)

    def makers(self, case):
        """Return a maker for each library; all get equal parameters and gradients."""
        what, made = case.what, {"gd": self._gd, "numpy": self._numpy}
        if what in TORCH:
            made |= {name: partial(self._torch, VARIANTS[name]) for name in VARIANTS}
            made["torch compiled"] = self._torch_compiled
        if what == "Muon":
            made["torch loop"] = partial(self._torch, {})
        if what not in FUSED:
            made.pop("torch fused", None)
        if case.dtype == "float32":
            made |= {"optax": self._optax} if what in OPTAX else {}
            made |= {"thinc": self._thinc} if what in THINC else {}
            made |= {"deepspeed": self._deepspeed} if what in DEEPSPEED else {}
        made |= {"numexpr": self._numexpr} if what in NUMEXPR else {}
        made |= {"numba": self._numba} if what == "Adam" else {}
        return {name: partial(maker, case) for name, maker in made.items()}

    def ceiling(self, case):
        """Return the walk of an update with this number of states; some also compute norms; None for Muon."""
        if case.what == "Muon":
            return None, None
        if case.what in WALKS:
            mixes = WALKS[case.what]
            walks = [ceilings.walk(mix, vectors(case, ceilings.MIXES[mix][0])) for mix in mixes]
            return mixes[-1], Side(lambda: [walk() for walk in walks])
        optimizer = OPTIMIZERS[case.what](np.ones(1, case.dtype))
        arrays = vectors(case, 2 + len(optimizer.slots))
        mix = ceilings.in_place(len(optimizer.slots))
        walks = [ceilings.walk(mix, arrays)]
        if optimizer.trust_norms:
            read = arrays[: 2 if case.what == "LARS" else None]
            walks += [ceilings.walk("1r", [array]) for array in read]

        def call():
            for walk in walks:
                walk()

        return mix, Side(call)

    def flops(self, case):
        """Return those of Muon's products; others are read from the assembly."""
        if case.what != "Muon":
            return None
        rows, columns = _shape(case)
        return 5 * (4 * rows**2 * columns + 2 * rows**3)

    def _gd(self, case):
        p, g = _arrays(case)
        optimizer = OPTIMIZERS[case.what](p, **OPTIONS.get(case.what, {}))
        return Side(lambda: optimizer.step(g), lambda: [p])

    def _numpy(self, case):
        p, g = _arrays(case)
        optimizer = reference.Optimizer(case.what, {"p": p}, **OPTIONS.get(case.what, {}))
        return Side(lambda: optimizer.step({"p": g}), lambda: [p])

    def _torch(self, options, case):
        import torch

        tensor, p = self._parameter(case)
        return Side(getattr(torch.optim, case.what)([tensor], **options).step, lambda: [p])

    def _torch_compiled(self, case):
        import torch

        tensor, p = self._parameter(case)
        optimizer = getattr(torch.optim, case.what)([tensor])
        optimizer.param_groups[0]["lr"] = torch.tensor(optimizer.param_groups[0]["lr"])  # a number would recompile
        return Side(torch_compiled(optimizer.step), lambda: [p])

    def _parameter(self, case):
        import torch

        p, g = _arrays(case)
        tensor = torch.nn.Parameter(torch.from_numpy(p))
        tensor.grad = torch.from_numpy(g)
        return tensor, p

    def _optax(self, case):
        import jax
        import optax

        transformation = OPTAX[case.what](optax)

        def step(p, state, g):
            updates, state = transformation.update(g, state, p)
            return optax.apply_updates(p, updates), state

        compiled = jax.jit(step, donate_argnums=(0, 1))
        p, g = (jax.numpy.array(each) for each in _arrays(case))
        now = [p, jax.tree.map(jax.numpy.copy, transformation.init(p))]  # a state may hold p itself

        def call():
            now[:] = compiled(*now, g)
            now[0].block_until_ready()

        return Side(call, lambda: [np.asarray(now[0])])

    def _numexpr(self, case):
        import numexpr

        p, g = vectors(case, 2)
        arrays = {"p": p, "g": g, "s": np.zeros_like(p), "t": np.zeros_like(p)}
        program, steps = [(name, *in_dtype(text, p.dtype)) for name, text in NUMEXPR[case.what]], [0]

        def call():
            steps[0] += 1
            corrections = {f"c{k}": p.dtype.type(1 - beta ** steps[0]) for k, beta in ((1, 0.9), (2, 0.999))}
            for name, expression, constants in program:
                numexpr.evaluate(expression, arrays | constants | corrections, out=arrays[name])

        return Side(call, lambda: [p])

    def _numba(self, case):
        """Adam as one writes it with Numba by hand: a parallel loop over the elements."""
        p, g = vectors(case, 2)
        m, v, step, one = np.zeros_like(p), np.zeros_like(p), [0], p.dtype.type(1)
        numbers = [p.dtype.type(each) for each in (1e-3, 0.9, 0.999, 1e-8)]

        @numba.njit(parallel=True)
        def adam(p, g, m, v, lr, beta1, beta2, eps, first, second):
            for i in numba.prange(p.size):
                m[i] = beta1 * m[i] + (one - beta1) * g[i]
                v[i] = beta2 * v[i] + (one - beta2) * g[i] * g[i]
                p[i] -= lr * first * m[i] / (np.sqrt(second * v[i]) + eps)

        def call():
            step[0] += 1
            adam(p, g, m, v, *numbers, *(p.dtype.type(1 / (1 - beta ** step[0])) for beta in (0.9, 0.999)))

        return Side(call, lambda: [p])

    def _thinc(self, case):
        from thinc import api

        options = {"L2": 0.0, "grad_clip": 0.0, "use_averages": False}
        optimizer = getattr(api, case.what)(1e-3, **options)
        (p, g), key = vectors(case, 2), (0, "p")
        kept = g.copy()

        def call():
            g[:] = kept  # the optimizer sets it to 0
            nonlocal p
            p, _ = optimizer(key, p, g)

        return Side(call, lambda: [p])

    def _deepspeed(self, case):
        from deepspeed.ops.adagrad import DeepSpeedCPUAdagrad
        from deepspeed.ops.adam import DeepSpeedCPUAdam
        from deepspeed.ops.lion import DeepSpeedCPULion

        tensor, p = self._parameter(case)
        made = {
            "Adam": lambda: DeepSpeedCPUAdam([tensor], lr=1e-3, adamw_mode=False),
            "AdamW": lambda: DeepSpeedCPUAdam([tensor], lr=1e-3, weight_decay=1e-2),
            "Adagrad": lambda: DeepSpeedCPUAdagrad([tensor], lr=1e-2, eps=1e-10),
            "Lion": lambda: DeepSpeedCPULion([tensor], lr=1e-4),
        }
        return Side(made[case.what]().step, lambda: [p])


def _arrays(case):
    """Return parameters and gradient: vectors, or matrices for optimizers that have a walk of their own."""
    return [each if OPTIMIZERS[case.what].walk is None else each.reshape(_shape(case)) for each in vectors(case, 2)]


def _shape(case):
    """Return the shape nearest to a square."""
    rows = next(rows for rows in range(isqrt(case.size), 0, -1) if case.size % rows == 0)
    return rows, case.size // rows
