"""Losses: the value and the gradient with respect to the prediction.

Each library writes the gradient into an existing array if it can: PyTorch by the kernels in WRITTEN. For the losses in
FRESH it returns a new array, whose memory the system clears page by page; there gd returns a new one, too, and the
ceiling is a sum into a new one. So it is where gd would check all targets before it writes into an array that exists.
JAX always returns a new one.
"""

from functools import partial

import numpy as np

import gd
from gd import reference
from gd.checks import aligned_empty
from gd.losses import LOSSES

from .. import ceilings
from ..cases import Family, Side, vectors

CLASSES = 10
TORCH = {
    "mse": "mse_loss",
    "mae": "l1_loss",
    "huber": "huber_loss",
    "smooth_l1": "smooth_l1_loss",
    "binary_cross_entropy_with_logits": "binary_cross_entropy_with_logits",
    "poisson": "poisson_nll_loss",
    "softmax_cross_entropy": "cross_entropy",
}
MEAN = 1  # PyTorch's number of the reduction
WRITTEN = {
    "mse": lambda aten, one, x, y, out: (
        aten.mse_loss(x, y, MEAN),
        aten.mse_loss_backward.grad_input(one, x, y, MEAN, grad_input=out),
    ),
    "huber": lambda aten, one, x, y, out: (
        aten.huber_loss(x, y, MEAN, 1.0),
        aten.huber_loss_backward.out(one, x, y, MEAN, 1.0, grad_input=out),
    ),
    "smooth_l1": lambda aten, one, x, y, out: (
        aten.smooth_l1_loss(x, y, MEAN, 1.0),
        aten.smooth_l1_loss_backward.grad_input(one, x, y, MEAN, 1.0, grad_input=out),
    ),
}
FRESH = (
    *("mae", "binary_cross_entropy_with_logits", "poisson", "softmax_cross_entropy"),
    *("hinge", "squared_hinge", "kl_divergence"),
)
JAX = ("mse", "softmax_cross_entropy")


class Losses(Family):
    """Each loss with its default parameters; softmax_cross_entropy has rows of ten logits."""

    name = "losses"
    sizes = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 50_000_000)
    quick = (100_000, 4_000_000)
    odd = (10, 70, 1030, 4100)
    headline = ("mse", "huber", "softmax_cross_entropy")
    whats = tuple(LOSSES)

    def makers(self, case):
        """Return a maker for each library."""
        made = {"gd": self._gd, "numpy": self._numpy}
        made |= {"torch": self._torch} if case.what in TORCH else {}
        made |= {"jax": self._jax} if case.what in JAX and case.dtype == "float32" else {}
        return {name: partial(maker, case) for name, maker in made.items()}

    def ceiling(self, case):
        """Return a sum of two arrays: prediction and target are read, the gradient is written."""
        mix = "1r1w" if LOSSES[case.what].labels else "2r1w"
        out, *operands = vectors(case, ceilings.MIXES[mix][0])
        if case.what not in FRESH:
            return mix, Side(ceilings.walk(mix, [out, *operands]))
        return mix, Side(lambda: ceilings.walk(mix, [aligned_empty(out.size, out.dtype), *operands])())

    def arrays(self, case):
        """Return the number of arrays: three for each library, and temporaries."""
        return 16

    def _arrays(self, case):
        prediction, target = vectors(case, 2)
        if LOSSES[case.what].labels:
            labels = np.random.default_rng(1).integers(0, CLASSES, case.size // CLASSES)
            return prediction.reshape(-1, CLASSES), labels
        if case.what in ("binary_cross_entropy_with_logits", "kl_divergence"):
            np.abs(target, out=target)
            target /= target.max() * 1.001
        elif case.what in ("hinge", "squared_hinge"):
            np.sign(target, out=target)
        elif case.what == "poisson":
            np.abs(np.round(target), out=target)
        if case.what == "kl_divergence":
            np.abs(prediction, out=prediction)
            prediction /= prediction.max() * 1.001
            prediction += 1e-3
            prediction /= prediction.max() * 1.001
        return prediction, target

    def _gd(self, case):
        prediction, target = self._arrays(case)
        out = None if case.what in FRESH else aligned_empty(prediction.size, prediction.dtype).reshape(prediction.shape)
        return of_function(partial(getattr(gd, case.what), out=out), prediction, target)

    def _numpy(self, case):
        return of_function(reference.LOSSES[case.what], *self._arrays(case))

    def _torch(self, case):
        import torch

        prediction, target = (torch.from_numpy(each) for each in self._arrays(case))
        if case.what in WRITTEN:
            write, one, out = WRITTEN[case.what], torch.ones((), dtype=prediction.dtype), torch.empty_like(prediction)
            return of_function(lambda x, y: write(torch.ops.aten, one, x, y, out), prediction, target)
        function = getattr(torch.nn.functional, TORCH[case.what])
        prediction.requires_grad_()

        def value_and_gradient(prediction, target):
            prediction.grad = None
            value = function(prediction, target)
            value.backward()
            return value.detach().numpy(), prediction.grad.numpy()

        return of_function(value_and_gradient, prediction, target)

    def _jax(self, case):
        import jax
        from jax import numpy as jnp

        def mse(prediction, target):
            return jnp.mean((prediction - target) ** 2)

        def softmax_cross_entropy(logits, labels):
            logs = jax.nn.log_softmax(logits)
            return -jnp.mean(jnp.take_along_axis(logs, labels[:, None], axis=1))

        function = mse if case.what == "mse" else softmax_cross_entropy
        compiled = jax.jit(jax.value_and_grad(function))
        arrays = (jnp.array(each) for each in self._arrays(case))
        return of_function(lambda *arguments: jax.block_until_ready(compiled(*arguments)), *arrays)


def of_function(function, prediction, target):
    """Return the side of a function that returns value and gradient."""
    found = []

    def call():
        found[:] = function(prediction, target)

    return Side(call, lambda: [np.asarray(each) for each in found])
