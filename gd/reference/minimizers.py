"""L-BFGS with a strong Wolfe line search: Nocedal & Wright, "Numerical optimization", 2nd edition, 2006."""

import numpy as np


def lbfgs(
    fun,
    x,
    lr=1.0,
    max_iter=20,
    tolerance_grad=1e-7,
    tolerance_change=1e-9,
    history_size=10,
    line_search="strong_wolfe",
):
    """Minimize fun(x) -> (f, g) from x, algorithm 7.5; return x, f and the number of iterations."""
    pairs, gamma, (f, g) = [], 1.0, fun(x)
    for k in range(max_iter):
        if np.abs(g).max() <= tolerance_grad:
            return x, f, k
        p = -two_loop(g, pairs, gamma)
        if g @ p > -tolerance_change:
            return x, f, k
        alpha = lr if k else lr * min(1.0, 1.0 / np.abs(g).sum())
        if line_search:
            alpha = wolfe(lambda a, x=x, p=p: along(fun, x, p, a), f, g @ p, alpha, np.abs(p).max(), tolerance_change)
        s, before, old = alpha * p, g, f
        x = x + s
        f, g = fun(x)
        y = g - before
        if y @ s > 1e-10:
            pairs = [*pairs, (s, y)][-history_size:]
            gamma = (y @ s) / (y @ y)
        if np.abs(s).max() <= tolerance_change or abs(f - old) < tolerance_change:
            return x, f, k + 1
    return x, f, max_iter


def two_loop(g, pairs, gamma):
    """Return the product of the inverse Hessian's approximation and g, algorithm 7.4."""
    q, alphas = g.copy(), []
    for s, y in reversed(pairs):
        alphas.append((s @ q) / (y @ s))
        q -= alphas[-1] * y
    r = gamma * q
    for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
        r += s * (alpha - (y @ r) / (y @ s))
    return r


def along(fun, x, p, alpha):
    """Return phi(alpha) = f(x + alpha p) and its derivative."""
    f, g = fun(x + alpha * p)
    return f, g @ p


def wolfe(phi, phi0, slope0, alpha, length, tolerance, c1=1e-4, c2=0.9, most=25):
    """Return a step length for the strong Wolfe conditions, algorithm 3.5; `length` is max |p|."""
    last, now, trials = (0.0, phi0, slope0), (alpha, *phi(alpha)), 0
    while now[1] <= phi0 + c1 * now[0] * slope0 and not (trials > 1 and now[1] >= last[1]) and trials < most:
        if abs(now[2]) <= -c2 * slope0:
            return now[0]
        if now[2] >= 0:
            break
        alpha = cubic(last, now, now[0] + 0.01 * (now[0] - last[0]), 10 * now[0])
        last, now, trials = now, (alpha, *phi(alpha)), trials + 1
    if trials == most:
        last = (0.0, phi0, slope0)
    too_high = now[1] > phi0 + c1 * now[0] * slope0 or now[1] >= last[1]
    low, high = (last, now) if too_high else (now, last)
    return zoom(phi, phi0, slope0, low, high, trials, length, tolerance, c1, c2, most)


def zoom(phi, phi0, slope0, low, high, trials, length, tolerance, c1, c2, most):
    """Return a step length between two, algorithm 3.6; low has the lower value."""
    hesitates = False
    for _ in range(trials, most):
        (a, b), tenth = sorted((low, high)), 0.1 * abs(high[0] - low[0])
        if (b[0] - a[0]) * length < tolerance:
            break
        alpha = cubic(a, b, a[0], b[0])
        close = min(b[0] - alpha, alpha - a[0]) < tenth  # twice close to an end: keep away from it
        if close and (hesitates or alpha in (a[0], b[0])):
            alpha, close = b[0] - tenth if b[0] - alpha < alpha - a[0] else a[0] + tenth, False
        hesitates = close
        point = (alpha, *phi(alpha))
        if point[1] > phi0 + c1 * alpha * slope0 or point[1] >= low[1]:
            high = point
        elif abs(point[2]) <= -c2 * slope0:
            return alpha
        else:
            low, high = point, low if point[2] * (high[0] - low[0]) >= 0 else high
    return low[0]


def cubic(a, b, least, most):
    """Return the minimizer of the cubic through two points, equation 3.59, within limits."""
    d1 = a[2] + b[2] - 3 * (a[1] - b[1]) / (a[0] - b[0])
    root = d1 * d1 - a[2] * b[2]
    if root < 0:
        return (least + most) / 2
    d2 = np.sqrt(root)
    return min(max(b[0] - (b[0] - a[0]) * (b[2] + d2 - d1) / (b[2] - a[2] + 2 * d2), least), most)
