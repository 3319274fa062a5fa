"""L-BFGS."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from math import inf, isfinite, nan
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..checks import NON_NEGATIVE, check_array, check_choice, check_integer, check_number, check_size, lent, shown
from ..kernels.compiler import join
from ..kernels.loops import reductions
from ..kernels.loops.elementwise import map_elements
from ..kernels.rules.lbfgs import moved
from ..parameters import Structure
from ..typing import Grads, Params
from .line_search import Point, strong_wolfe

WOLFE = ("strong_wolfe",)
CURVED = 1e-10  # least product of step and change of the gradient, which enters the history: PyTorch's
OPTIONS = "lr", "max_iter", "max_eval", "tolerance_grad", "tolerance_change", "history_size", "line_search"
Closure = Callable[[], tuple[Any, Grads]]


class LBFGS:
    """L-BFGS: steps by an approximate inverse of the Hessian, from the last steps and changes of the gradient.

    ::

        s_k = p_(k+1) - p_k,   y_k = g_(k+1) - g_k,   rho_k = 1 / (y_k . s_k)        kept if y_k . s_k > 1e-10
        q = -g
        a_i = rho_i * s_i . q;   q <- q - a_i * y_i                                  from the newest pair to the oldest
        d = q * (s . y) / (y . y)                                                    of the newest pair
        d <- d + (a_i - rho_i * y_i . d) * s_i                                       from the oldest to the newest
        p <- p + t * d

    For losses without noise, that is with all data at once: a network's, a fit of thousands of numbers. The loss is
    evaluated several times in a step, so it is given as a function.

    Parameters
    ----------
    params : ndarray, or a list, tuple or dict of ndarrays, or ParameterVector
        Updated in place; all float32, or all float64, which is better: in float32 the loss's rounding ends the search.
    lr : float, default: 1
        The first t of each search; the very first is lr * min(1, 1 / sum |g|). Without line search it is t itself.
    max_iter : int, default: 20
        Iterations in a call of `step`.
    max_eval : int, optional
        Evaluations after which a step begins no further iteration; by default 1.25 * max_iter.
    tolerance_grad : float, default: 1e-7
        A step ends where max |g| is at most this.
    tolerance_change : float, default: 1e-9
        A step ends where neither the loss changes by this much nor any parameter by more.
    history_size : int, default: 10
        Pairs (s, y) that are kept. SciPy's default; PyTorch's is 100.
    line_search : "strong_wolfe" or None, default: "strong_wolfe"
        A search of t for the strong Wolfe conditions with c1 = 1e-4, c2 = 0.9; None as PyTorch's default: t = lr.

    Attributes
    ----------
    steps, evaluations : int
        Iterations and evaluations of the closure so far.
    loss : float or None
        That of the last point that was reached and evaluated.
    ended : str
        Why the last step ended: "gradient", "change" (both are convergence), "iterations", "evaluations", "line search"
        (no point along d is lower: a kink, noise or a wrong gradient), or "not finite".

    Raises
    ------
    TypeError, ValueError
        If kernels cannot take an array, arrays differ in dtype, or a hyper-parameter is out of range.

    Notes
    -----
    Memory: 2 * history_size + 6 arrays like params. An iteration reads or writes 8 arrays for each pair in the history,
    by kernels whose sums have the same bits for any number of threads. With the same arguments the iterates are those
    of torch.optim.LBFGS. Penalties and weight decay belong into the closure's loss and gradients.

    References
    ----------
    Liu & Nocedal, "On the limited memory BFGS method for large scale optimization", Mathematical Programming 45, 1989;
    Nocedal & Wright, "Numerical optimization", 2nd edition, 2006, algorithms 7.4, 7.5, 3.5 and 3.6.

    Examples
    --------
    >>> import gd, numpy as np
    >>> p, target = np.zeros(2), np.array([1.0, -3.0])
    >>> optimizer = gd.LBFGS(p)
    >>> optimizer.step(lambda: (((p - target) ** 4).sum(), 4 * (p - target) ** 3))
    82.0
    >>> bool(abs(p - target).max() < 0.01)
    True
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 10,
        line_search: Literal["strong_wolfe"] | None = "strong_wolfe",
    ) -> None:
        self.lr = check_number("LBFGS", "lr", lr, NON_NEGATIVE)
        self.max_iter = check_size("LBFGS", "max_iter", max_iter)
        self.max_eval = self.max_iter * 5 // 4 if max_eval is None else check_size("LBFGS", "max_eval", max_eval)
        self.tolerance_grad = check_number("LBFGS", "tolerance_grad", tolerance_grad, NON_NEGATIVE)
        self.tolerance_change = check_number("LBFGS", "tolerance_change", tolerance_change, NON_NEGATIVE)
        self.history_size = check_size("LBFGS", "history_size", history_size)
        self.line_search = None if line_search is None else check_choice("LBFGS", "line_search", line_search, WOLFE)
        self._structure = structure = Structure("LBFGS", params)
        self.params, first, place = structure.params, next(iter(structure.arrays.values())), 0
        self._places = {}  # of each array, by its number, in the vector of all
        for array in structure.arrays.values():
            if array.dtype != first.dtype:
                raise TypeError(
                    f"LBFGS: params must have one dtype, {first.label} is {first.dtype}, {array.label} is {array.dtype}"
                )
            self._places[array.number] = slice(place, place := place + array.size)
        self._places[0] = slice(0, place)
        self._arrays = [structure.vector] if structure.vector else list(structure.arrays.values())
        self._dtype, self._size = first.dtype, place
        self._sums = np.zeros(-(-place // reductions.NORM_BLOCK))
        self.steps, self.evaluations, self.loss, self.ended = 0, 0, None, ""
        self._history: deque[tuple[NDArray[Any], NDArray[Any], float]] = deque(maxlen=self.history_size)
        self._scale = 1.0  # of the initial inverse Hessian
        self._last: tuple[NDArray[Any], NDArray[Any]] | None = None  # the last step, and the gradient before it

    def step(self, closure: Closure) -> float:
        """Take up to max_iter iterations, and return the loss before them.

        Parameters
        ----------
        closure : callable
            ``closure()`` returns (loss, grads) for the present values of params, such as
            ``lambda: model.loss_and_gradients(X, y)``; grads in the structure of params, None for a gradient of 0.

        Returns
        -------
        loss : float
            Of the closure's first call. If it or its gradient is not finite, nothing is changed. A search takes points
            that are not finite for too far; without line search, params return to the point before.

        Raises
        ------
        TypeError, ValueError
            If the closure's result does not fit. After any error, its own too, params are those of the last iteration.
        """
        if not callable(closure):
            raise TypeError(f"LBFGS.step: closure must be a function that returns (loss, grads), got {shown(closure)}")
        (loss, _), *_ = self._iterations(closure)
        return loss

    def _iterations(self, closure: Closure) -> Iterator[tuple[float, NDArray[Any]]]:
        """Yield loss and gradient at first, and after each iteration."""
        loss, g = self._evaluated(closure)
        self.loss, self.ended, before = loss, "", self.evaluations - 1
        yield loss, g
        if not isfinite(loss):
            self.ended = "not finite"
        elif _largest(g) <= self.tolerance_grad:
            self.ended = "gradient"
        iteration = 0
        while not self.ended:
            iteration += 1
            d, slope = self._direction(g)
            if slope > -self.tolerance_change:
                self.ended = "change"
                return
            t = self.lr if self.steps else self.lr * min(1.0, 1.0 / float(np.abs(g).sum(dtype=np.float64)))
            x = np.concatenate([array.p for array in self._arrays])
            try:
                point = self._moved(closure, x, d, t, Point(0.0, loss, slope, g), iteration == self.max_iter)
            except BaseException:
                self._move(x, d, 0.0)
                raise
            self._move(x, d, point.t)
            self.steps += 1
            s, change = np.multiply(d, point.t, out=d), abs(point.loss - loss)
            self._last = (s, g) if point.t else None
            loss, g = point.loss, point.gradient
            self.loss = loss
            if not point.t:
                self.ended = "line search" if self.line_search else "not finite"
            elif _largest(g) <= self.tolerance_grad:
                self.ended = "gradient"
            elif iteration == self.max_iter:
                self.ended = "iterations"
            elif self.evaluations - before >= self.max_eval:
                self.ended = "evaluations"
            elif _largest(s) <= self.tolerance_change or change < self.tolerance_change:
                self.ended = "change"
            yield loss, g

    def _moved(
        self, closure: Closure, x: NDArray[Any], d: NDArray[Any], t: float, start: Point, is_final: bool
    ) -> Point:
        """Return the next point."""

        def evaluate(t: float) -> Point:
            self._move(x, d, t)
            loss, g = self._evaluated(closure)
            return Point(t, loss if isfinite(loss) else inf, self._dot(g, d), g)

        if self.line_search:
            return strong_wolfe(evaluate, start, t, _largest(d), self.tolerance_change)[0]
        if is_final:  # nobody asks for its loss
            return start._replace(t=t)
        point = evaluate(t)
        return point if isfinite(point.loss) else start

    def _evaluated(self, closure: Closure) -> tuple[float, NDArray[Any]]:
        """Return the loss, NaN if it or the gradient is not finite, and a copy of the gradient as a vector."""
        result = closure()
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(f"LBFGS.step: closure must return (loss, grads), got {type(result).__name__}")
        loss, grads = result
        loss = loss.item() if isinstance(loss, (np.ndarray, np.generic)) and loss.size == 1 else loss
        if not isinstance(loss, (int, float)):
            raise TypeError(f"LBFGS.step: closure must return a number as the loss, got {shown(loss)}")
        pairs = self._structure.pairs("LBFGS.step", grads, whole=True)
        g = np.empty(self._size, self._dtype)
        if sum(array.size for array, _ in pairs) < self._size:
            g[:] = 0
        for array, each in pairs:
            g[self._places[array.number]] = each
        self.evaluations += 1
        return float(loss) if isfinite(_largest(g)) else nan, g

    def _move(self, x: NDArray[Any], d: NDArray[Any], t: float) -> None:
        """Set the parameters to x + t d."""
        for array in self._arrays:
            place = self._places[array.number]
            if t:
                join(map_elements, moved)(array.size, array.p, x[place], d[place], self._dtype.type(t))
            else:
                array.p[:] = x[place]

    def _direction(self, g: NDArray[Any]) -> tuple[NDArray[Any], float]:
        """Return the direction d of the next step, and the slope g . d; take the last step into the history."""
        if self._last is not None:
            s, before = self._last
            with np.errstate(over="ignore"):
                y = np.subtract(g, before, out=before)
            product = self._dot(y, s)
            if CURVED < product < inf:
                self._history.append((s, y, 1.0 / product))
                self._scale = product / self._dot(y, y)
            self._last = None
        q, history, weights = np.negative(g), list(self._history), []
        if not history:
            q *= self._dtype.type(self._scale)
            return q, self._dot(g, q)
        product = self._dot(history[-1][0], q)
        for k in reversed(range(len(history))):
            _, y, rho = history[k]
            weights.append(rho * product)
            following, scale = (history[k - 1][0], 1.0) if k else (history[0][1], self._scale)
            product = self._add_then_dot(q, scale, y, -weights[-1], following)
        for k, (s, _, rho) in enumerate(history):
            following = history[k + 1][1] if k + 1 < len(history) else g
            product = self._add_then_dot(q, 1.0, s, weights.pop() - rho * product, following)
        return q, product

    def _dot(self, x: NDArray[Any], y: NDArray[Any]) -> float:
        join(reductions.dots)(self._sums.size, self._sums, x, y)
        return self._total()

    def _total(self) -> float:
        """Return the sum over blocks; of one block in a tenth of the time."""
        return self._sums.item() if self._sums.size == 1 else float(np.add.reduce(self._sums))

    def _add_then_dot(self, q: NDArray[Any], scale: float, x: NDArray[Any], factor: float, y: NDArray[Any]) -> float:
        """Set q = scale * (q + factor * x), and return q . y."""
        real = self._dtype.type
        join(reductions.add_then_dots)(self._sums.size, self._sums, q, real(scale), x, real(factor), y)
        return self._total()

    def state_dict(self) -> dict[str, Any]:
        """Return the state as a flat dict of numbers and copies of arrays, as `gd.save` takes it.

        `steps`, `evaluations`, `H_diag`, `ro`, `old_stps` (the s) and `old_dirs` (the y) by rows, the oldest first, as
        PyTorch names them; `last_step`, and `prev_flat_grad` before it, are empty if there is no step to learn from.
        """
        pairs, nothing = list(self._history), np.empty(0, self._dtype)
        steps, changes = ([pair[k] for pair in pairs] for k in (0, 1))
        last, before = self._last or (nothing, nothing)
        return {
            "steps": self.steps,
            "evaluations": self.evaluations,
            "H_diag": self._scale,
            "ro": np.array([rho for _, _, rho in pairs], np.float64),
            "old_stps": np.array(steps, self._dtype).reshape(len(pairs), self._size),
            "old_dirs": np.array(changes, self._dtype).reshape(len(pairs), self._size),
            "last_step": last.copy(),
            "prev_flat_grad": before.copy(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned; the optimizer goes on as if it had not stopped.

        Raises
        ------
        KeyError
            If entries are missing or unknown.
        TypeError, ValueError
            If an entry has another shape or dtype; nothing has changed then.
        """
        where, own = "LBFGS.load_state_dict", "this optimizer's"
        if not isinstance(state, Mapping):
            raise TypeError(f"{where}: state must be a dict, got {type(state).__name__}")
        expected = self.state_dict()
        if state.keys() != expected.keys():
            raise KeyError(f"{where}: state does not match this optimizer in {', '.join(state.keys() ^ expected)}")
        steps, evaluations = (check_integer(where, f"state[{k!r}]", state[k], 0) for k in ("steps", "evaluations"))
        scale = check_number(where, "state['H_diag']", state["H_diag"], NON_NEGATIVE)
        arrays, state = {}, {name: lent(where, f"state[{name!r}]", each) for name, each in state.items()}
        pairs, moved = min(np.size(state["ro"]), self.history_size), self._size * bool(np.size(state["last_step"]))
        shapes = {"ro": (pairs,), "last_step": (moved,), "prev_flat_grad": (moved,)}
        for name in ("ro", "old_stps", "old_dirs", "last_step", "prev_flat_grad"):
            like = (own, expected[name].dtype), (own, shapes.get(name, (pairs, self._size)))
            arrays[name] = check_array(
                where, f"state[{name!r}]", state[name], dtype=like[0], shape=like[1], any_size=True
            ).copy()
        self.steps, self.evaluations, self._scale = steps, evaluations, scale
        self._history.clear()
        self._history.extend(zip(arrays["old_stps"], arrays["old_dirs"], arrays["ro"].tolist(), strict=True))
        self._last = (arrays["last_step"], arrays["prev_flat_grad"]) if moved else None

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.params, {name: getattr(self, name) for name in OPTIONS}, self.state_dict())

    def __repr__(self) -> str:
        return f"LBFGS({', '.join(f'{name}={getattr(self, name)!r}' for name in OPTIONS)})"


def _largest(x: NDArray[Any]) -> float:
    """Return max |x|; NaN if x holds one."""
    return max(float(x.max()), -float(x.min())) if x.size else 0.0


def _restored(cls: type[LBFGS], params: Any, options: dict[str, Any], state: dict[str, Any]) -> LBFGS:
    optimizer = cls(params, **options)
    optimizer.load_state_dict(state)
    return optimizer
