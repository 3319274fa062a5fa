"""Losses of one element: each rule returns the value and its derivative with respect to the prediction."""

from ..math import cast, exp, log, sigmoid, sign, softplus


def squared(prediction, target):
    """Return (prediction - target)**2, without the factor 1/2."""
    error = prediction - target
    return error * error, error + error


def absolute(prediction, target):
    """Return |prediction - target|; the derivative at 0 is 0."""
    error = prediction - target
    return abs(error), sign(error)


def huber(prediction, target, delta):
    """Huber 1964: error**2 / 2 up to delta, then delta (|error| - delta / 2)."""
    error, half = prediction - target, cast(0.5, prediction)
    size = abs(error)
    near = size <= delta
    value = half * error * error if near else delta * (size - half * delta)
    return value, error if near else delta * sign(error)


def smooth_l1(prediction, target, beta):
    """Girshick 2015: error**2 / (2 beta) below beta, then |error| - beta / 2."""
    error, half = prediction - target, cast(0.5, prediction)
    size = abs(error)
    near = size < beta
    value = half * error * error / beta if near else size - half * beta
    return value, error / beta if near else sign(error)


def epsilon_insensitive(prediction, target, epsilon):
    """Vapnik 1995: max(0, |prediction - target| - epsilon)."""
    error, zero = prediction - target, cast(0, prediction)
    excess = abs(error) - epsilon
    return (zero, zero) if excess <= 0 else (excess, sign(error))


def logistic(logit, target, positive_weight):
    """Return (1 - target) softplus(logit) + positive_weight target softplus(-logit): no term cancels."""
    negative = cast(1, logit) - target
    positive = positive_weight * target
    zero = cast(0, logit)  # a term of weight 0 counts for nothing, even if it is infinite
    value = zero if negative == zero else negative * softplus(logit)
    value += zero if positive == zero else positive * softplus(-logit)
    return value, negative * sigmoid(logit) - positive * sigmoid(-logit)


def hinge(prediction, target):
    """Return max(0, 1 - target * prediction)."""
    margin, zero = cast(1, prediction) - target * prediction, cast(0, prediction)
    return (zero, zero) if margin <= 0 else (margin, -target if margin == margin else margin)


def squared_hinge(prediction, target):
    """Return max(0, 1 - target * prediction)**2."""
    margin, zero = cast(1, prediction) - target * prediction, cast(0, prediction)
    return (zero, zero) if margin <= 0 else (margin * margin, -(margin + margin) * target)


def margin(prediction, target, threshold):
    """Return max(0, threshold - target * prediction), whose derivative at the threshold itself is -target.

    With the threshold 0 it is the loss of Rosenblatt's perceptron.
    """
    excess, zero = threshold - target * prediction, cast(0, prediction)
    return (zero, zero) if excess < 0 else (excess, -target)


def modified_huber(prediction, target):
    """Zhang 2004: max(0, 1 - target * prediction)**2 from the margin -1 on, below it -4 target * prediction."""
    margin, zero, four = target * prediction, cast(0, prediction), cast(4, prediction)
    missing = cast(1, prediction) - margin
    if margin < -1:
        return -four * margin, -four * target
    return (zero, zero) if missing <= 0 else (missing * missing, -(missing + missing) * target)


def half_squared(prediction, target):
    """Return (prediction - target)**2 / 2."""
    error = prediction - target
    return cast(0.5, prediction) * error * error, error


def squared_epsilon_insensitive(prediction, target, epsilon):
    """Return max(0, |prediction - target| - epsilon)**2."""
    error, zero = prediction - target, cast(0, prediction)
    excess = abs(error) - epsilon
    return (zero, zero) if excess <= 0 else (excess * excess, (excess + excess) * sign(error))


def poisson(prediction, target):
    """Return e**prediction - target * prediction: its limit where one of the two is infinite."""
    rate = exp(prediction)
    alone = target == 0 or rate + rate == rate > 0
    return rate if alone else rate - target * prediction, rate - target


def poisson_of_rate(rate, target, eps):
    """Return rate - target * log(rate + eps): its limit where one of the two is infinite."""
    shifted, one = rate + eps, cast(1, rate)
    alone = target == 0 or rate + rate == rate > 0
    return rate if alone else rate - target * log(shifted), one if target == 0 else one - target / shifted


def quantile(prediction, target, q):
    """Koenker & Bassett 1978: q * error for error = target - prediction > 0, else (q - 1) * error."""
    error = target - prediction
    slope = q if error > 0 else (q - cast(1, q) if error < 0 else cast(0, q) * error)
    return slope * error, -slope


def kullback_leibler(log_probability, target):
    """Return target * (log(target) - log_probability), and 0 if the target is 0."""
    value = target * (log(target) - log_probability)
    return (cast(0, target) if target == 0 else value), -target


# Which targets a loss takes. NaN passes: a missing or wrong number is not hidden, it makes the result NaN.


def any_target(target):
    """Return True: every number will do."""
    return True


def probability(target):
    """Return True unless the target is outside [0, 1]."""
    return not (target < 0 or target > 1)


def sign_target(target):
    """Return True unless the target is another number than -1 and 1."""
    return abs(target) == 1 or target != target


def count_target(target):
    """Return True unless the target is negative."""
    return not target < 0
