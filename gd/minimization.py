"""minimize: the optimizers behind the interface of scipy.optimize.minimize."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .checks import NON_NEGATIVE, check_choice, check_flag, check_integer, check_number, shown
from .optimizers import LBFGS, OPTIMIZERS, Optimizer

if TYPE_CHECKING:
    from scipy.optimize import Bounds, OptimizeResult

Vector = NDArray[np.floating]
METHODS: dict[str, type[Optimizer | LBFGS]] = {**OPTIMIZERS, "LBFGS": LBFGS}
ENDS = {  # of LBFGS
    "gradient": (0, "The largest element of the gradient is at most gtol."),
    "change": (0, "Neither fun nor x changes by more than tolerance_change."),
    "iterations": (1, "maxiter was reached."),
    "evaluations": (1, "max_eval was reached."),
    "line search": (2, "No point along the direction is lower; fun has a kink or noise there, or jac is wrong."),
    "not finite": (3, "fun or its gradient is not finite."),
}


def minimize(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: tuple[Any, ...] = (),
    method: str | type[Optimizer | LBFGS] = "Adam",
    jac: Callable[..., Any] | bool | str | None = None,
    hess: Any = None,  # noqa: ARG001  # SciPy passes it
    hessp: Any = None,  # noqa: ARG001
    bounds: "Bounds | Sequence[tuple[float | None, float | None]] | None" = None,
    constraints: Any = (),
    tol: float | None = None,
    callback: Callable[..., Any] | None = None,
    options: Mapping[str, Any] | None = None,
    **more: Any,
) -> "OptimizeResult":
    """Minimize a function as scipy.optimize.minimize does, by one of gd's optimizers.

    It is one of SciPy's custom methods, too: ``scipy.optimize.minimize(fun, x0, jac=jac, method=gd.minimize,
    options={"method": "RMSprop", "lr": 0.1})``.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` returns a number, with jac=True a pair (number, gradient). x is a copy.
    x0 : array_like
        Where to begin, as one vector; it is not changed. float32 stays float32, all else becomes float64.
    args : tuple, default: ()
        Further arguments of fun and jac.
    method : str or class, default: "Adam"
        The name of an optimizer or its class: all of gd's, "LBFGS" among them.
    jac : callable, True or None
        ``jac(x, *args)`` returns the gradient. None (or False, "2-point") takes finite differences, by
        scipy.optimize.approx_fprime in float64: n + 1 calls of fun, up to 1.5e-8 outside of bounds.
    hess, hessp
        Not used.
    bounds : scipy.optimize.Bounds or sequence of (min, max), optional
        x0 and each new x are projected into them. So x is feasible, and stays where the gradient presses it against a
        bound; but moments know nothing of it. Not for LBFGS and ScheduleFreeAdamW, which keep more than one iterate.
    constraints
        Refused.
    tol : float, optional
        Sets gtol.
    callback : callable, optional
        Called after each iteration: ``callback(intermediate_result=result)``, with x and fun, if this is the name of
        its only parameter, else ``callback(x)``. StopIteration ends the minimization.
    options, **more
        maxiter (default: 1000); gtol (1e-5): end where no element of the gradient, projected into the bounds, is
        larger; ftol (None) and n_iter_no_change (10): end after so many iterations in which fun fell by less than ftol
        below its lowest value; disp (False): print the message. All others are the optimizer's, such as lr, a number or
        a schedule.

    Returns
    -------
    result : scipy.optimize.OptimizeResult
        x, fun and jac there, nit, nfev, njev, success, status and message. The status is 0 for convergence, 1 at
        maxiter, 2 if a line search failed, 3 if fun or its gradient was not finite, 99 for StopIteration.

    Raises
    ------
    TypeError, ValueError
        If an argument or option is wrong, or what fun or jac returns.

    Notes
    -----
    With a function as jac, fun is called only at the end, unless ftol, the callback or LBFGS need it: steps by the
    gradient do not. The last x is returned, not the best: of a function with noise the lowest value means nothing.
    ScheduleFreeAdamW returns its average.

    Examples
    --------
    >>> import gd, numpy as np
    >>> result = gd.minimize(lambda x: (x - 3) @ (x - 3), np.zeros(2), jac=lambda x: 2 * (x - 3), options={"lr": 0.1})
    >>> result.success, np.round(result.x, 3).tolist()
    (True, [3.0, 3.0])
    """
    from scipy.optimize import OptimizeResult

    options = {**_checked_options(options), **more}
    maxiter = check_integer("minimize", "maxiter", options.pop("maxiter", 1000), 0)
    gtol = check_number("minimize", "gtol", options.pop("gtol", 1e-5 if tol is None else tol), NON_NEGATIVE)
    ftol = options.pop("ftol", None)
    ftol = None if ftol is None else check_number("minimize", "ftol", ftol, NON_NEGATIVE)
    patience = check_integer("minimize", "n_iter_no_change", options.pop("n_iter_no_change", 10), 1)
    disp = check_flag("minimize", "disp", options.pop("disp", False))
    if np.any(constraints):
        raise ValueError(f"minimize: constraints must be empty, got {shown(constraints)}; bounds are possible")
    for name, each in (("fun", fun), ("callback", callback)):
        if not callable(each) and (each is not None or name == "fun"):
            raise TypeError(f"minimize: {name} must be a function, got {shown(each)}")
    cls = METHODS[check_choice("minimize", "method", method, METHODS)] if isinstance(method, str) else method
    if not isinstance(cls, type) or not issubclass(cls, (Optimizer, LBFGS)):
        raise TypeError(f"minimize: method must be an optimizer's name or class, got {shown(method)}")
    x = _vector(x0)
    limits = None if bounds is None else _limits(bounds, x)
    takes_result = callback is not None and _parameters(callback) == ["intermediate_result"]
    objective = _Objective(fun, jac, args, x.dtype, x.size, takes_result or ftol is not None or cls is LBFGS)
    averages = getattr(cls, "evaluated", "") == "averaged"
    if limits is not None and (averages or issubclass(cls, LBFGS)):
        raise ValueError(
            f"minimize: bounds must be None for {cls.__name__}; Adam and SciPy's method 'L-BFGS-B' take them"
        )
    optimizer: Any
    if issubclass(cls, LBFGS):
        if "max_iter" in options:
            raise TypeError("minimize: unexpected option 'max_iter'; maxiter is the largest number of iterations")
        options = {"max_eval": 2**62, "tolerance_grad": gtol} | options
        optimizer = cls(x, max_iter=max(1, maxiter), **options)
        path = optimizer._iterations(lambda: objective(x))
    else:
        optimizer = cls(x, **options)
        path = _path(optimizer, objective, x, limits)

    value: Any = None
    gradient, nit, status, message = x, 0, 0, ""
    lowest, since, largest_square = inf, 0, x.size * gtol**2
    for nit, (value, gradient) in enumerate(path):
        if nit and callback is not None:
            try:
                if takes_result:
                    callback(intermediate_result=OptimizeResult(x=x.copy(), fun=value))
                else:
                    callback(x.copy())
            except StopIteration:
                status, message = 99, "The callback raised StopIteration."
                break
        with np.errstate(over="ignore"):
            square = float(np.dot(gradient, gradient))  # at least the square of the largest element
        if (not isfinite(square) and not np.isfinite(gradient).all()) or (value is not None and not isfinite(value)):
            status, message = ENDS["not finite"]
            break
        if (limits is not None or square <= largest_square) and _residual(x, gradient, limits) <= gtol:
            status, message = ENDS["gradient"]
            break
        if ftol is not None and value is not None:
            lowest, since = (value, 0) if value < lowest - ftol else (min(value, lowest), since + 1)
            if since >= patience:
                message = f"fun fell by less than ftol in {patience} iterations."
                break
        if nit == maxiter:
            status, message = ENDS["iterations"]
            break
    else:
        status, message = ENDS[optimizer.ended]
    if averages and nit:
        x = optimizer.averaged_params()
        value, gradient = objective(x)
    if isinstance(optimizer, LBFGS) and not optimizer.line_search and nit:  # its last step did not ask
        value, gradient = objective(x)
    if value is None:
        value = objective.value(x)
    if not isfinite(value):
        status, message = ENDS["not finite"]
    if disp:
        print(f"{message} fun: {value:g}, nit: {nit}, nfev: {objective.nfev}, njev: {objective.njev}")
    return OptimizeResult(
        x=x, fun=value, jac=gradient, nit=nit, nfev=objective.nfev, njev=objective.njev, success=status == 0,
        status=status, message=message,
    )  # fmt: skip


class _Objective:
    """The function and its gradient, whose calls are counted."""

    def __init__(
        self, fun: Callable[..., Any], jac: Any, args: Any, dtype: np.dtype[Any], size: int, with_value: bool
    ) -> None:
        if not callable(jac) and jac not in (True, False, None, "2-point"):
            raise ValueError(f"minimize: jac must be a function, True or None, got {shown(jac)}")
        self._fun, self._jac, self._args = fun, jac, args if isinstance(args, tuple) else (args,)
        self._dtype, self._size, self._with_value, self.nfev, self.njev = dtype, size, with_value, 0, 0

    def __call__(self, x: Vector) -> tuple[float | None, Vector]:
        """Return the value, or None if nobody asked for it, and the gradient."""
        value, self.njev = None, self.njev + 1
        if self._jac is True:
            self.nfev += 1
            result = self._fun(x.copy(), *self._args)
            if not isinstance(result, (tuple, list)) or len(result) != 2:
                raise TypeError(f"minimize: fun must return (value, gradient), got {type(result).__name__}")
            value, gradient = _number(result[0]), result[1]
        elif callable(self._jac):
            gradient = self._jac(x.copy(), *self._args)
        else:
            from scipy.optimize import approx_fprime

            with np.errstate(invalid="ignore"):
                gradient = approx_fprime(x.astype(np.float64), self.value)
        gradient = np.asarray(gradient, self._dtype).reshape(-1)
        if gradient.size != self._size:
            raise ValueError(f"minimize: jac must return {self._size} numbers, as x0 has, got {gradient.size}")
        if self._with_value and value is None:
            value = self.value(x)
        return value, gradient

    def value(self, x: Vector) -> float:
        """Return the value alone."""
        self.nfev += 1
        result = self._fun(x.copy(), *self._args)
        return _number(result[0] if self._jac is True else result)


def _path(
    optimizer: Optimizer, objective: _Objective, x: Vector, limits: tuple[Vector, Vector] | None
) -> Iterator[tuple[float | None, Vector]]:
    """Yield value and gradient at x, which the optimizer moves between."""
    _project(x, limits)
    while True:
        value, gradient = objective(x)
        yield value, gradient
        optimizer.step(gradient)
        _project(x, limits)


def _project(x: Vector, limits: tuple[Vector, Vector] | None) -> None:
    """Move x into the limits."""
    if limits is not None:
        np.clip(x, *limits, out=x)


def _residual(x: Vector, gradient: Vector, limits: tuple[Vector, Vector] | None) -> float:
    """Return the largest element of the gradient, projected into the limits."""
    if limits is not None:
        gradient = np.clip(x - gradient, *limits) - x
    return float(np.abs(gradient).max(initial=0))


def _limits(bounds: Any, x: Vector) -> tuple[Vector, Vector]:
    """Return the lower and the upper bounds as vectors."""
    if hasattr(bounds, "lb"):
        low, high = bounds.lb, bounds.ub
    else:
        pairs = list(bounds)
        if len(pairs) != x.size or any(np.size(each) != 2 for each in pairs):
            raise ValueError(f"minimize: bounds must hold a pair for each of {x.size} numbers, got {shown(bounds)}")
        low = [-inf if each is None else each for each, _ in pairs]
        high = [inf if each is None else each for _, each in pairs]
    low, high = (np.broadcast_to(np.asarray(each, x.dtype), x.shape) for each in (low, high))
    if not (low <= high).all():
        raise ValueError(f"minimize: bounds must have min <= max, got {shown(bounds)}")
    return low, high


def _vector(x0: Any) -> Vector:
    """Return a copy of x0 as a vector."""
    try:
        x = np.array(x0, np.float32 if getattr(x0, "dtype", None) == np.float32 else np.float64).reshape(-1)
    except (TypeError, ValueError):
        raise TypeError(f"minimize: x0 must be an array of real numbers, got {shown(x0)}") from None
    if not x.size:
        raise ValueError("minimize: x0 must hold at least one number, got none")
    return x


def _number(value: Any) -> float:
    """Return a value of the function as a float."""
    try:
        return float(np.asarray(value).item())
    except (TypeError, ValueError):
        raise TypeError(f"minimize: fun must return a number, got {shown(value)}") from None


def _parameters(function: Callable[..., Any]) -> list[str]:
    """Return the names of a function's parameters, none if it does not tell them."""
    try:
        return list(inspect.signature(function).parameters)
    except ValueError:
        return []


def _checked_options(options: Any) -> Mapping[str, Any]:
    """Return the options if they are a dict, else raise."""
    if options is not None and not isinstance(options, Mapping):
        raise TypeError(f"minimize: options must be a dict, got {shown(options)}")
    return options or {}
