"""Muon."""

from math import sqrt
from typing import Any, Literal, Unpack

import numpy as np
from numpy.typing import NDArray

from ..checks import NON_NEGATIVE, POSITIVE, REAL, UNIT, Range, aligned_empty, check_choice
from ..kernels.compiler import join
from ..kernels.loops.products import multiply, tile_of, tiles
from ..kernels.loops.update import update
from ..kernels.rules import muon
from ..kernels.rules.stages import CommonCoefficients
from ..runtime import single_threaded_blas
from ..typing import OptimizerOptions, Params, Rate
from .base import Optimizer
from .coefficients import COMMON, bias_corrections
from .walk import Walk

ADJUSTMENTS = {
    "original": lambda rows, columns: sqrt(max(1.0, rows / columns)),
    "original_transposed": lambda rows, columns: sqrt(max(1.0, columns / rows)),
    "match_rms_adamw": lambda rows, columns: 0.2 * sqrt(max(rows, columns)),
}
EMA = CommonCoefficients._fields.index("ema")


class _Matrices(Walk):
    """Momentum, the Newton-Schulz iteration, and the step, in passes of their own."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._direction = join(update, muon.muon_direction, *self.stages)
        self._step = join(update, muon.muon_step)

    def walk(self, vector: NDArray[Any], p: NDArray[Any], g: NDArray[Any], *slots: NDArray[Any]) -> None:
        owner: Any = self.owner
        buffer, *averages = (each.reshape(-1) for each in slots)
        direction, flat = aligned_empty(p.size, self.dtype), p.reshape(-1)
        self._direction(p.size, vector, g.reshape(-1), 0, flat, buffer, direction)
        u = self._orthogonalized(direction.reshape(p.shape)).reshape(-1)
        own = vector.copy()
        own[:COMMON] = CommonCoefficients()._replace(ema=vector[EMA], one_minus_ema=vector[EMA + 1])
        own = self.with_ratio(own, ADJUSTMENTS[owner.adjust_lr_fn](*p.shape))
        self._step(p.size, own, u, 0, flat, *averages)

    def _orthogonalized(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return the matrix with the singular vectors of x, and singular values near 1; x may be overwritten."""
        owner: Any = self.owner
        a, b, c = owner.ns_coefficients
        is_tall = x.shape[0] > x.shape[1]
        x = np.ascontiguousarray(x.T) if is_tall else x
        with np.errstate(all="ignore"):
            x /= max(self.norm(x), owner.eps)
        new, (gram, polynomial) = np.empty_like(x), np.empty((2, len(x), len(x)), self.dtype)
        first, second = (np.array(each, self.dtype) for each in ((b, c), (a, 1.0)))
        with single_threaded_blas():
            for _ in range(int(owner.ns_steps)):
                _multiply(gram, x, x, 1, 1, x[:0], first)
                _multiply(polynomial, gram, gram, 0, 1, gram, first)
                _multiply(new, polynomial, x, 0, 0, x, second)
                x, new = new, x
        return np.ascontiguousarray(x.T) if is_tall else x


def _multiply(out: Any, a: Any, b: Any, transposed: int, symmetric: int, x: Any, factors: Any) -> None:
    """See `multiply`."""
    tile = tile_of(out.size)
    join(multiply)(tiles(tile, out, symmetric), tile, out, a, b, transposed, symmetric, x, factors)


def _adjustment(where: str, name: str, value: Any) -> str:
    """Return adjust_lr_fn if it is a name, else raise."""
    return check_choice(where, name, value, ADJUSTMENTS)


class Muon(Optimizer):
    """Muon: momentum whose matrices are orthogonalized, so that a step moves all directions alike.

    For a matrix::

        B <- momentum * B + (1 - momentum) * g
        U  = (1 - momentum) * g + momentum * B     with nesterov, else B
        X  = U / max(|U|, eps)                     |U| is the root of the sum of squares
        X <- a X + (b A + c A A) X,  A = X X.T     ns_steps times (Newton-Schulz; transposed if rows > columns)
        p <- (1 - lr * weight_decay) * p - lr * ratio * X

    Other arrays, such as biases, take Adam's step with the same lr and weight_decay.

    Parameters
    ----------
    params, **options
        See `Optimizer`. Lists of arrays with matrices among them are stepped one by one. Not for state_dtype,
        param_dtype, `step_rows`, proximal and `Distributed`.
    lr : float or callable, default: 1e-3
        The learning rate.
    momentum : float, default: 0.95
        In [0, 1).
    nesterov : bool, default: True
        Look ahead along the gradient.
    ns_coefficients : (float, float, float), default: (3.4445, -4.775, 2.0315)
        a, b and c.
    eps : float, default: 1e-7
        Above 0: the smallest divisor of U.
    ns_steps : int, default: 5
        1 to 99.
    adjust_lr_fn : {"original", "original_transposed", "match_rms_adamw"}
        The ratio: sqrt(max(1, rows / columns)), for matrices of (outputs, inputs) as in PyTorch;
        sqrt(max(1, columns / rows)), for those of (inputs, outputs) as in gd's networks; 0.2 * sqrt(max(rows,
        columns)), with which lr and weight_decay of AdamW can be kept.
    use_muon : bool, default: True
        False for matrices that shall take Adam's step, in a group: embeddings, and the last layer of a network.
    adam_betas : (float, float), default: (0.9, 0.999)
        In [0, 1).
    adam_eps : float, default: 1e-8
        At least 0.
    weight_decay : float, default: 0.1
        Decoupled decay.

    Notes
    -----
    Names and defaults are `torch.optim.Muon`'s, which refuses what is no matrix; that such arrays take Adam's step is
    as in ``optax.contrib.muon``. PyTorch iterates in bfloat16, gd in the parameters' dtype: steps differ by about 1 %.
    optax has the ratio "original_transposed", and corrects the bias of B, which changes steps only with nesterov.

    The products are SciPy's BLAS, on gd's threads: ns_steps * (4 n**2 m + 2 n**3) operations for n <= m. State:
    `momentum_buffer` of matrices; `exp_avg` and `exp_avg_sq` of others. A step also takes room for two matrices and two
    of (n, n).

    References
    ----------
    Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; Liu et al., "Muon is scalable for
    LLM training", 2025 ("match_rms_adamw").

    Examples
    --------
    >>> import gd, numpy as np
    >>> params = {"W": np.zeros((2, 2)), "b": np.zeros(2)}
    >>> optimizer = gd.Muon(params, lr=1.0, ns_steps=20, ns_coefficients=(1.5, -0.5, 0))
    >>> optimizer.step({"W": np.array([[3.0, 0.0], [0.0, -0.5]]), "b": np.ones(2)})
    True
    >>> params["W"].round(6) + 0.0
    array([[-1.,  0.],
           [ 0.,  1.]])
    """

    rule: Any = staticmethod(muon.muon)
    walk: Any = _Matrices
    slots: tuple[str, ...] = ("exp_avg", "exp_avg_sq")
    has_rate = False
    ranges: dict[str, Any] = {
        "momentum": UNIT,
        "nesterov": bool,
        "ns_coefficients": (REAL, REAL, REAL),
        "eps": POSITIVE,
        "ns_steps": Range(1.0, 100.0),
        "adjust_lr_fn": _adjustment,
        "use_muon": bool,
        "adam_betas": (UNIT, UNIT),
        "adam_eps": NON_NEGATIVE,
    }
    momentum: float
    nesterov: bool
    ns_coefficients: tuple[float, float, float]
    eps: float
    ns_steps: float
    adjust_lr_fn: Literal["original", "original_transposed", "match_rms_adamw"]
    use_muon: bool
    adam_betas: tuple[float, float]
    adam_eps: float

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        momentum: Rate = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: Literal["original", "original_transposed", "match_rms_adamw"] = "original",
        use_muon: bool = True,
        adam_betas: tuple[Rate, Rate] = (0.9, 0.999),
        adam_eps: Rate = 1e-8,
        weight_decay: float = 0.1,
        **options: Unpack[OptimizerOptions],  # pyright: ignore[reportGeneralTypeIssues]  # weight_decay is above, too
    ) -> None:
        own = {"momentum": momentum, "nesterov": nesterov, "ns_coefficients": ns_coefficients, "eps": eps}
        own |= {"ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn, "use_muon": use_muon}
        own |= {"adam_betas": adam_betas, "adam_eps": adam_eps}
        options["weight_decay"] = weight_decay
        super().__init__(params, lr, own, **options)

    def choose(self) -> None:
        if self.ns_steps % 1:
            raise ValueError(f"Muon: ns_steps must be an integer, got {self.ns_steps:g}")

    @property
    def betas(self) -> tuple[float, float]:
        """The decays of Adam's step, under the name that Adam gives them."""
        return self.adam_betas

    def shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]] | None:
        return {"momentum_buffer": shape} if self.use_muon and len(shape) == 2 else None

    def coefficients(self, t: int, lr: float) -> muon.MuonCoefficients:
        (beta1, beta2), (m_scale, v_scale), momentum = self.adam_betas, bias_corrections(self, t), self.momentum
        adam = beta1, 1.0 - beta1, beta2, 1.0 - beta2, lr * m_scale, v_scale, self.adam_eps, 0.0
        shares = (1.0 - momentum, momentum) if self.nesterov else (0.0, 1.0)
        return muon.MuonCoefficients(*adam, momentum, 1.0 - momentum, *shares, lr)
