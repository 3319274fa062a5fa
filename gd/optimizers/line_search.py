"""The line search of L-BFGS: a step along a direction that meets the strong Wolfe conditions."""

from collections.abc import Callable
from math import inf, isfinite, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ARMIJO, CURVATURE = 1e-4, 0.9  # c1 and c2 of the conditions: Nocedal & Wright's for quasi-Newton methods
MOST = 25  # trials after the first


class Point(NamedTuple):
    """A point x + t d: where it is, the loss there, its slope along d, and the gradient."""

    t: float
    loss: float
    slope: float
    gradient: NDArray[np.floating]


def strong_wolfe(
    evaluate: Callable[[float], Point], start: Point, t: float, length: float, tolerance: float
) -> tuple[Point, int]:
    """Return a point that meets the strong Wolfe conditions, and the number of evaluations.

    ::

        loss(t) <= loss(0) + c1 * t * slope(0)   and   |slope(t)| <= c2 * |slope(0)|

    Nocedal & Wright 2006, algorithms 3.5 and 3.6, with cubic interpolation (3.59) and the safeguards of minFunc, which
    PyTorch has, too. (PyTorch's bracket may begin at a lower point that does not meet the first condition, and then it
    finds none.) If a bracket is shorter than tolerance / length, or after `MOST` trials, it is the lowest point so far
    that meets the first condition. A point that is not finite must have an infinite loss: it counts as too far.
    """

    def is_too_high(point: Point) -> bool:
        return point.loss > start.loss + ARMIJO * point.t * start.slope

    def is_flat(point: Point) -> bool:
        return abs(point.slope) <= -CURVATURE * start.slope

    before, point, trials = start, evaluate(t), 0
    while trials < MOST:
        if is_too_high(point) or (trials > 1 and point.loss >= before.loss):
            break
        if is_flat(point):
            return point, trials + 1
        if point.slope >= 0:
            break
        step = point.t - before.t
        t = interpolated(before, point, point.t + 0.01 * step, 10 * point.t)
        before, point, trials = point, evaluate(t), trials + 1
    else:
        before = start
    low, high = (before, point) if is_too_high(point) or before.loss <= point.loss else (point, before)
    was_near = False
    while trials < MOST and abs(high.t - low.t) * length >= tolerance:
        first, last = sorted((low, high), key=lambda each: each.t)
        t, tenth = interpolated(first, last, first.t, last.t), 0.1 * (last.t - first.t)
        is_near = min(last.t - t, t - first.t) < tenth
        if is_near and (was_near or not first.t < t < last.t):
            t = last.t - tenth if last.t - t < t - first.t else first.t + tenth
            is_near = False
        was_near = is_near
        point, trials = evaluate(t), trials + 1
        if is_too_high(point) or point.loss >= low.loss:
            high = point
        else:
            if is_flat(point):
                return point, trials + 1
            if point.slope * (high.t - low.t) >= 0:
                high = low
            low = point
    return low, trials + 1


def interpolated(a: Point, b: Point, least: float, most: float) -> float:
    """Return where the cubic through two points, a.t < b.t, is lowest, within limits; their middle if nowhere."""
    if isfinite(a.loss) and isfinite(b.loss):
        d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
        square = d1 * d1 - a.slope * b.slope
        if 0 <= square < inf:
            d2 = sqrt(square)
            below = b.slope - a.slope + 2 * d2
            t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / below) if below else -inf
            return min(max(t, least), most)
    return (least + most) / 2
