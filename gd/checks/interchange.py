"""Access to the memory of PyTorch tensors and JAX arrays as NumPy arrays, without a copy."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def lent(where: str, name: str, x: Any) -> Any:
    """Return the memory of a tensor as an array, which is read-only for JAX; return anything else as it is.

    This imports no library: whoever has a tensor has imported its library already.

    Raises
    ------
    TypeError
        If a tensor is not on the CPU, requires a gradient, which would be lost here, or has a dtype that NumPy lacks.
    """
    if type(x) is np.ndarray:
        return x
    if _is_a("torch", "Tensor", x):
        if x.is_meta:
            raise TypeError(f"{where}: {name} is a torch.Tensor on meta, which has no values; pass one on the CPU")
        values = name + ".detach()" * x.requires_grad + ".cpu()" * (x.device.type != "cpu")
        kept = "and keep that copy if it is written to"
        if x.dtype is sys.modules["torch"].bfloat16:
            raise TypeError(
                f"{where}: {name} is a torch.Tensor of bfloat16, which NumPy lacks; pass {values}.float().numpy(), "
                f"{kept}; optimizers with param_dtype='bfloat16' take {values}.view(torch.uint16).numpy()"
            )
        if x.device.type != "cpu":
            raise TypeError(f"{where}: {name} is a torch.Tensor on {x.device}; pass {values}.numpy(), {kept}")
        if x.requires_grad:
            raise TypeError(f"{where}: {name} is a torch.Tensor that requires grad; pass {values}.numpy()")
        return _array(where, name, f"a torch.Tensor of {x.dtype}", x.numpy)
    if _is_a("jax", "Array", x):
        return _array(where, name, "a jax.Array", lambda: np.asarray(x))
    return x


def _is_a(library: str, kind: str, x: Any) -> bool:
    module = sys.modules.get(library)
    return module is not None and isinstance(x, getattr(module, kind, ()))  # () while the library is being imported


def _array(where: str, name: str, what: str, convert: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """Return convert(), a tensor as an array, or raise TypeError."""
    try:
        return convert()
    except (RuntimeError, TypeError) as error:  # NumPy lacks the dtype, or JAX traces a function
        reason = str(error).partition("\n")[0]
        raise TypeError(f"{where}: {name} must be a NumPy array, got {what}: {reason}") from None
