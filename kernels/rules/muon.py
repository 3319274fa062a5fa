"""The rules of Muon: Adam's for what is no matrix; for matrices, the momentum before Newton-Schulz, the step after."""

from typing import NamedTuple

from ..compiler import device
from .adam import adam


class MuonCoefficients(NamedTuple):
    beta1: float
    one_minus_beta1: float
    beta2: float
    one_minus_beta2: float
    step_size: float
    v_scale: float
    eps: float
    eps_inside: float
    momentum: float
    one_minus_momentum: float
    of_gradient: float  # its share in the direction: 1 - momentum with nesterov, else 0
    of_buffer: float  # momentum, or 1
    lr: float  # times the adjustment by the matrix's shape


_adam = device(adam)


def muon(p, g, m, v, c: MuonCoefficients):
    """Kingma & Ba 2015, for arrays that are no matrices."""
    return _adam(p, g, m, v, c)


def muon_direction(p, g, buffer, direction, c: MuonCoefficients):
    """Jordan et al. 2024: buffer <- momentum * buffer + (1 - momentum) * g; the direction is to be orthogonalized."""
    buffer = c.momentum * buffer + c.one_minus_momentum * g
    return p, buffer, c.of_gradient * g + c.of_buffer * buffer


def muon_step(p, g, c: MuonCoefficients):
    """Step along the orthogonalized direction, which is given as g."""
    return (p - c.lr * g,)
