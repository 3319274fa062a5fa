"""The rules of stochastic gradient descent: plain, with momentum, with Nesterov's momentum."""

from typing import NamedTuple


class SGDCoefficients(NamedTuple):
    lr: float


class BufferCoefficients(NamedTuple):
    lr: float
    momentum: float
    one_minus_dampening: float


class VelocityCoefficients(NamedTuple):
    lr: float
    momentum: float


def sgd(p, g, c: SGDCoefficients):
    """Robbins & Monro 1951: p <- p - lr * g."""
    return (p - c.lr * g,)


def sgd_momentum(p, g, b, c: BufferCoefficients):
    """Sutskever et al. 2013, as PyTorch writes it: b <- momentum * b + (1 - dampening) * g; p <- p - lr * b."""
    b = c.momentum * b + c.one_minus_dampening * g
    return p - c.lr * b, b


def sgd_nesterov(p, g, b, c: BufferCoefficients):
    """Return a step as in `sgd_momentum`, with p <- p - lr * (g + momentum * b)."""
    b = c.momentum * b + c.one_minus_dampening * g
    return p - c.lr * (g + c.momentum * b), b


def momentum(p, g, v, c: VelocityCoefficients):
    """Polyak 1964: v <- momentum * v - lr * g; p <- p + v."""
    v = c.momentum * v - c.lr * g
    return p + v, v


def nesterov(p, g, v, c: VelocityCoefficients):
    """Nesterov 1983, with p at the look-ahead point: v <- momentum * v - lr * g; p <- p + momentum * v - lr * g."""
    v = c.momentum * v - c.lr * g
    return p + c.momentum * v - c.lr * g, v
