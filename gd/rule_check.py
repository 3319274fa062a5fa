"""check_rule: compare a rule with plain NumPy, look at its machine code, and time it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .activations import ACTIVATIONS, Activation
from .checks import check_dtype, check_integer, check_size, shown
from .kernels.settings import INTERPRETED
from .losses import LOSSES, Loss
from .optimizers import OPTIMIZERS
from .typing import DTypeLike

ROUNDS = 9  # of timing
KINK = 1e-3  # slopes to the left and to the right of a smooth function differ by less, relative to themselves


@dataclass
class RuleCheck:
    """What `check_rule` found; its text is a short report.

    Attributes
    ----------
    name : str
    errors : dict of (dtype, result) to (float, float)
        The largest error of each result, in units in the last place (ULP), and relative to its largest element. The
        unit of a parameter or a state is that of its old or new value, whichever is larger.
    slope_error : float or None
        The largest difference of the derivative from finite differences, relative to the largest derivative.
    kinks : int
        Points without a derivative, which were left out.
    vector_bits : int
        The width of the vectors of the main loop: 32 if nothing vectorized, 0 if unknown.
    calls : int
        Calls of functions in a turn of the loop, such as those of `numpy.exp`.
    widened : bool
        True if the loop computes in float64 for float32 arrays, as literals make it.
    elements : int
    seconds, numpy_seconds, ceiling_seconds : float or None
        Of a pass over so many float32 elements, by gd, by the reference, and by a loop that only reads and writes as
        many arrays.
    """

    name: str
    errors: dict[tuple[str, str], tuple[float, float]]
    slope_error: float | None = None
    kinks: int = 0
    vector_bits: int = 0
    calls: int = 0
    widened: bool = False
    elements: int = 0
    seconds: float | None = None
    numpy_seconds: float | None = None
    ceiling_seconds: float | None = None

    @property
    def vectorized(self) -> bool:
        """True if the main loop uses vectors and calls nothing."""
        return self.vector_bits >= 128 and not self.calls

    def __str__(self) -> str:
        lines = [f"{self.name}"]
        for (dtype, result), (ulp, relative) in self.errors.items():
            lines.append(f"  {dtype:<9} {result:<20} {ulp:>9.3g} ULP, {relative:.1e} of the largest")
        if self.slope_error is not None:
            left_out = f"; {self.kinks} kinks left out" if self.kinks else ""
            lines.append(f"  derivative: {self.slope_error:.1e} from finite differences{left_out}")
        if self.vector_bits:
            how = f"vectors of {self.vector_bits} bits" if self.vector_bits >= 128 else "not vectorized"
            how += ", calls functions for single elements: gd.math has some that vectorize" if self.calls else ""
            how += ", in float64 for float32 arrays: write literals as cast(1, p)" if self.widened else ""
            lines.append(f"  machine code: {how}")
        if self.seconds is not None:
            text = f"  {self.elements:,} elements of float32: {1e3 * self.seconds:.3g} ms"
            if self.numpy_seconds is not None:
                ratio = self.numpy_seconds / self.seconds
                text += f", plain NumPy {1e3 * self.numpy_seconds:.3g} ms ({ratio:.1f} times as long)"
            if self.ceiling_seconds is not None:
                share = self.ceiling_seconds / self.seconds
                text += f", memory alone {1e3 * self.ceiling_seconds:.3g} ms ({share:.0%} of its speed)"
            lines.append(text)
        return "\n".join(lines)


def check_rule(
    rule: Any,
    reference: Callable[..., Any] | None = None,
    *,
    sizes: Sequence[int] = (1, 7, 100, 1001),
    dtypes: Sequence[DTypeLike] = ("float32", "float64"),
    steps: int = 5,
    elements: int = 10_000_000,
    seed: int = 0,
) -> RuleCheck:
    """Compare an optimizer, an activation or a loss with plain NumPy; look at its machine code; time it.

    Parameters
    ----------
    rule : class of optimizers, Activation or Loss
        What `gd.optimizer`, `gd.activation` or `gd.loss` returned, a subclass of `gd.Optimizer`, or one of gd's own.
        An optimizer has its default hyper-parameters.
    reference : function, optional
        The same formula for arrays, written from the paper: of an optimizer ``reference(p, g, *slots, c)``, which
        returns the new arrays as a tuple; of an activation ``reference(x, *parameters)``; of a loss
        ``reference(prediction, target, *parameters)``, which returns the value of each element. It computes in float64
        to be compared with, and in float32 to be timed. By default the rule itself runs in plain Python: that finds
        faults of compilation, but not of the formula, and takes no time of NumPy.
    sizes : sequence of int
        Of the arrays that are compared.
    dtypes : sequence of dtype
    steps : int, default: 5
        Steps of an optimizer; each is compared, from the parameters and states that gd had before it.
    elements : int, default: 10_000_000
        Of the arrays that are timed; 0 takes no time.
    seed : int, default: 0
        Of the random numbers that the arrays hold.

    Returns
    -------
    RuleCheck
        Print it. A slow rule or a large error raises nothing.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, the rule cannot be compiled, or reference returns something else.

    Examples
    --------
    >>> import gd, numpy as np
    >>> def momentum(p, g, v, c):
    ...     v = c.momentum * v - c.lr * g
    ...     return p + v, v
    >>> check = gd.check_rule(gd.Momentum, momentum, dtypes=["float64"], elements=0)
    >>> check.errors["float64", "p"][0] <= 1.0
    True
    """
    where = "check_rule"
    kind = next((each for each in (_OfOptimizer, _OfActivation, _OfLoss) if each.registry.key(rule) is not None), None)
    if kind is None:
        raise TypeError(f"{where}: rule must be an optimizer class, an Activation or a Loss, got {shown(rule)}")
    if reference is not None and not callable(reference):
        raise TypeError(f"{where}: reference must be a function, got {shown(reference)}")
    for name, given in (("sizes", sizes), ("dtypes", dtypes)):
        if not isinstance(given, (list, tuple)) or not given:
            raise TypeError(f"{where}: {name} must be a list, got {shown(given)}")
    sizes = [check_size(where, f"sizes[{k}]", size) for k, size in enumerate(sizes)]
    checked = [check_dtype(where, dtype, f"dtypes[{k}]") for k, dtype in enumerate(dtypes)]
    steps, elements = check_size(where, "steps", steps), check_integer(where, "elements", elements, 0)
    rng = np.random.default_rng(check_integer(where, "seed", seed, 0))
    of = kind(rule, reference)
    found = RuleCheck(of.name, {})
    for dtype in checked:
        for size in sizes:
            for result, ulp, relative in of.errors(rng, size, dtype, steps):
                before = found.errors.get((str(dtype), result), (0.0, 0.0))
                found.errors[str(dtype), result] = max(before[0], ulp), max(before[1], relative)
    found.slope_error, found.kinks = of.slope(rng)
    if not INTERPRETED:
        _look(found, of.call(rng, 1000))
    if elements:
        _time(found, of, rng, elements)
    return found


def _look(found: RuleCheck, call: Callable[[], Any]) -> None:
    """Note what the machine code of a call is like."""
    from .bench.assembly import inspect
    from .bench.recording import recorded

    with recorded() as runs:
        call()
    code = inspect(runs[0].kernel, runs[0].kinds)
    found.vector_bits, found.calls = code["vector_bits"] or 0, code["calls"]
    found.widened = any(name.lstrip("v").startswith(("cvtps2pd", "cvtss2sd", "fcvtl")) for name in code["instructions"])


def _time(found: RuleCheck, of: Any, rng: np.random.Generator, elements: int) -> None:
    from .bench.cases import normal
    from .bench.ceilings import MIXES, walk
    from .bench.measure import interleaved

    calls = {"gd": of.call(rng, elements), **of.plain(rng, elements)}
    if of.mix in MIXES:
        calls["ceiling"] = walk(of.mix, [normal((elements,), "float32", rng) for _ in range(MIXES[of.mix][0])])
    with np.errstate(all="ignore"):
        medians = {name: each["median"] for name, each in interleaved(calls, ROUNDS).items()}
    found.elements, found.seconds = elements, medians["gd"]
    found.numpy_seconds, found.ceiling_seconds = medians.get("numpy"), medians.get("ceiling")


def _numbers(rng: np.random.Generator, size: int, dtype: Any = np.float32) -> NDArray[Any]:
    return rng.standard_normal(size, np.float32).astype(dtype)


def _error(result: str, found: NDArray[Any], exact: Any, unit_of: Any = 0.0) -> tuple[str, float, float]:
    """Return a name, and the largest error in ULP and relative to the largest element."""
    exact = np.broadcast_to(np.asarray(exact, np.float64), found.shape)
    size = np.maximum(np.abs(exact), np.abs(unit_of)).astype(found.dtype)
    wrong = np.abs(found - exact)
    wrong[(found == exact) | (np.isnan(found) & np.isnan(exact))] = 0
    with np.errstate(all="ignore"):
        return result, float((wrong / np.spacing(size)).max()), float(wrong.max() / (np.abs(exact).max() or 1.0))


class _OfOptimizer:
    """An optimizer: its steps, on a vector of random numbers."""

    registry = OPTIMIZERS

    def __init__(self, rule: Any, reference: Any) -> None:
        if not rule.steps_alone:
            raise TypeError(f"check_rule: rule must step element by element, got {rule.__name__}")
        self.make, self.reference, self.name = rule, reference, rule.__name__
        self.mix = f"{len(rule.slots) + 2}r{len(rule.slots) + 1}w in place"

    def errors(self, rng: Any, size: int, dtype: Any, steps: int) -> Any:
        p = _numbers(rng, size, dtype)
        optimizer = self.make(p)
        slots = optimizer.slots
        rule = self.reference or _elementwise(optimizer.rule, 1 + len(slots))
        for step in range(1, steps + 1):
            g, state = _numbers(rng, size, dtype), optimizer.state_dict()
            before = [p.copy(), *(state[slot] for slot in slots)]
            c = optimizer.coefficients(step, optimizer.lr)
            new = rule(before[0].astype(float), g.astype(float), *(each.astype(float) for each in before[1:]), c)
            if not isinstance(new, tuple) or len(new) != len(before):
                raise TypeError(f"check_rule: reference must return a tuple of {len(before)} arrays, got {shown(new)}")
            optimizer.step(g)
            state = optimizer.state_dict()
            for result, old, exact in zip(("p", *slots), before, new, strict=True):
                yield _error(result, p if result == "p" else state[result], exact, old)

    def slope(self, rng: Any) -> tuple[None, int]:
        return None, 0

    def call(self, rng: Any, size: int) -> Callable[[], Any]:
        optimizer, g = self.make(_numbers(rng, size)), _numbers(rng, size)
        return lambda: optimizer.step(g)

    def plain(self, rng: Any, size: int) -> dict[str, Callable[[], Any]]:
        reference = self.reference
        if reference is None:
            return {}
        optimizer, g = self.make(np.zeros(1, np.float32)), _numbers(rng, size)
        c, arrays = optimizer.coefficients(1, optimizer.lr), [_numbers(rng, size)]
        arrays += [np.zeros(size, np.float32) for _ in optimizer.slots]

        def step():
            arrays[:] = reference(arrays[0], g, *arrays[1:], c)

        return {"numpy": step}


class _OfActivation:
    """An activation: the forward pass, and the derivative beside finite differences."""

    registry, mix = ACTIVATIONS, "1r1w"

    def __init__(self, rule: Activation, reference: Any) -> None:
        if not rule.elementwise:
            raise TypeError(f"check_rule: rule must be elementwise, got {rule!r}")
        self.rule, self.reference, self.name = rule, reference, rule.name
        self.numbers = [default for default, _ in rule.parameters.values()]

    def errors(self, rng: Any, size: int, dtype: Any, steps: int) -> Any:
        x = 3 * _numbers(rng, size, dtype)
        reference = self.reference or _elementwise(self.rule.rules[0], 0)
        yield _error("forward", self.rule.forward(x), reference(x.astype(float), *self.numbers))
        if self.rule.backward_from_output:
            dy, y = np.ones_like(x), self.rule.forward(x)
            yield _error("backward_from_output", self.rule.backward_from_output(dy, y), self.rule.backward(dy, x), 1.0)

    def slope(self, rng: Any) -> tuple[float, int]:
        x = 3 * rng.standard_normal(1000)
        return _slope_error(self.rule.forward, self.rule.backward(np.ones_like(x), x), x)

    def call(self, rng: Any, size: int) -> Callable[[], Any]:
        x = _numbers(rng, size)
        out = np.empty_like(x)
        return lambda: self.rule.forward(x, out)

    def plain(self, rng: Any, size: int) -> dict[str, Callable[[], Any]]:
        x, reference = _numbers(rng, size), self.reference
        return {"numpy": lambda: reference(x, *self.numbers)} if reference else {}


class _OfLoss:
    """A loss: the values of elements, and their derivative beside finite differences."""

    registry, mix = LOSSES, "2r1w"

    def __init__(self, rule: Loss, reference: Any) -> None:
        if rule.labels:
            raise TypeError(f"check_rule: rule must be elementwise, got {rule!r}")
        self.rule, self.reference, self.name = rule, reference, rule.name
        self.numbers = [default for default, _ in rule.parameters.values()]

    def _pair(self, rng: Any, size: int, dtype: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        allowed, target = self.rule.targets.allowed, _numbers(rng, size, dtype)
        candidates = target, np.abs(target), np.sign(target), np.abs(np.tanh(target))
        return _numbers(rng, size, dtype), next(each for each in candidates if all(map(allowed, each[:100])))

    def errors(self, rng: Any, size: int, dtype: Any, steps: int) -> Any:
        z, y = self._pair(rng, size, dtype)
        rule = self.rule.rule
        reference = self.reference or (lambda *given: _elementwise(rule, 2)(*given)[0])
        exact = reference(z.astype(float), y.astype(float), *self.numbers)
        yield _error("value", self.rule.function(z, y, "none")[0], exact)

    def slope(self, rng: Any) -> tuple[float, int]:
        z, y = self._pair(rng, 1000, np.float64)
        return _slope_error(lambda z: self.rule.function(z, y, "none")[0], self.rule.function(z, y, "none")[1], z)

    def call(self, rng: Any, size: int) -> Callable[[], Any]:
        z, y = self._pair(rng, size, np.float32)
        out = np.empty_like(z)
        return lambda: self.rule.function(z, y, out=out)

    def plain(self, rng: Any, size: int) -> dict[str, Callable[[], Any]]:
        (z, y), reference = self._pair(rng, size, np.float32), self.reference
        return {"numpy": lambda: reference(z, y, *self.numbers).mean()} if reference else {}


def _elementwise(rule: Any, returns: int) -> Callable[..., Any]:
    """Return a rule for arrays, computed in plain Python one element after the other; c stays as it is."""
    rule = getattr(rule, "py_func", rule)
    if (rule.__module__ or "").startswith("gd."):
        raise TypeError("check_rule: reference must be given for a rule of gd's own, got None")

    def of_arrays(*given):
        arrays = [each for each in given if isinstance(each, np.ndarray)]
        rest = given[len(arrays) :]
        with np.errstate(all="ignore"):
            rows = [rule(*numbers, *rest) for numbers in zip(*arrays, strict=True)]
        columns = np.array(rows, float).reshape(len(rows), -1).T
        return tuple(columns) if returns else columns[0]

    return of_arrays


def _slope_error(function: Callable[..., Any], slope: NDArray[Any], x: NDArray[Any]) -> tuple[float, int]:
    """Return the largest error of a derivative, relative to the largest, and the number of kinks."""
    h = 6e-6 * np.maximum(1, np.abs(x))
    left, right = ((function(x) - function(x - h)) / h, (function(x + h) - function(x)) / h)
    kinks = np.abs(right - left) > KINK * (1 + np.abs(left) + np.abs(right))
    wrong = np.abs((left + right) / 2 - slope)[~kinks]
    return float(wrong.max(initial=0) / (np.abs(slope).max() or 1.0)), int(kinks.sum())
