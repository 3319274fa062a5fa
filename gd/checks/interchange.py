"""Tensors of PyTorch and arrays of JAX: their memory as NumPy arrays, which costs no copy."""

import sys

import numpy as np


def lent(where, name, x):
    """Return the memory of a tensor as an array, of a JAX array a read-only one; anything else as it is.

    Whoever has a tensor has imported its library, so that no other need be.

    Raises
    ------
    TypeError
        If a tensor is not in the memory of the CPU, requires a gradient, which would not get through here, or has a
        dtype that NumPy does not have.
    """
    if type(x) is np.ndarray:
        return x
    if _is_a("torch", "Tensor", x):
        if x.requires_grad:
            raise TypeError(f"{where}: {name} is a torch.Tensor that requires grad; pass {name}.detach().numpy()")
        if x.device.type != "cpu":
            raise TypeError(f"{where}: {name} is a torch.Tensor on {x.device}; pass {name}.cpu().numpy()")
        if x.dtype is sys.modules["torch"].bfloat16:
            raise TypeError(f"{where}: {name} is a torch.Tensor of bfloat16, which NumPy lacks; pass {name}.float()")
        return _array(where, name, f"a torch.Tensor of {x.dtype}", x.numpy)
    if _is_a("jax", "Array", x):
        return _array(where, name, "a jax.Array", lambda: np.asarray(x))
    return x


def _is_a(library, kind, x):
    module = sys.modules.get(library)
    return module is not None and isinstance(x, getattr(module, kind, ()))  # which lacks it while it is imported


def _array(where, name, what, convert):
    """Return what a function makes of a tensor, if it does."""
    try:
        return convert()
    except (RuntimeError, TypeError) as error:  # of a dtype that NumPy does not have, or while JAX traces a function
        reason = str(error).partition("\n")[0]
        raise TypeError(f"{where}: {name} must be a NumPy array, got {what}: {reason}") from None
