"""Losses: each returns its mean and the gradient with respect to the prediction."""

import numpy as np

from .activations import log_softmax, sigmoid, softmax, softplus


def mean(values, derivatives):
    return np.mean(values, dtype=np.float64), derivatives / values.size


def mse(prediction, target):
    """Mean of the squared errors over all elements."""
    error = prediction - target
    return np.mean(error * error, dtype=np.float64), 2 / error.size * error


def mae(prediction, target):
    return mean(np.abs(prediction - target), np.sign(prediction - target))


def huber(prediction, target, delta=1.0):
    """Huber 1964."""
    error = prediction - target
    near = np.abs(error) <= delta
    return mean(
        np.where(near, error**2 / 2, delta * (np.abs(error) - delta / 2)), np.where(near, error, delta * np.sign(error))
    )


def epsilon_insensitive(prediction, target, epsilon=0.1):
    """Vapnik 1995."""
    error = prediction - target
    excess = np.maximum(np.abs(error) - epsilon, 0)
    return mean(excess, np.where(excess > 0, np.sign(error), 0))


def smooth_l1(prediction, target, beta=1.0):
    """Girshick 2015."""
    error = prediction - target
    if beta == 0:
        return mae(prediction, target)
    near = np.abs(error) < beta
    return mean(
        np.where(near, error**2 / 2 / beta, np.abs(error) - beta / 2), np.where(near, error / beta, np.sign(error))
    )


def binary_cross_entropy_with_logits(prediction, target, positive_weight=1.0):
    """-weight t log s - (1 - t) log(1 - s), where s = sigmoid(prediction)."""
    return mean(
        positive_weight * target * softplus(-prediction) + (1 - target) * softplus(prediction),
        (1 - target) * sigmoid(prediction) - positive_weight * target * sigmoid(-prediction),
    )


def hinge(prediction, target):
    margin = 1 - target * prediction
    return mean(np.maximum(margin, 0), np.where(margin > 0, -target, 0))


def squared_hinge(prediction, target):
    margin = np.maximum(1 - target * prediction, 0)
    return mean(margin**2, -2 * margin * target)


def poisson(prediction, target, log_input=True, eps=1e-8):
    if log_input:
        return mean(np.exp(prediction) - target * prediction, np.exp(prediction) - target)
    return mean(prediction - target * np.log(prediction + eps), 1 - target / (prediction + eps))


def quantile(prediction, target, q=0.5):
    """Koenker & Bassett 1978."""
    error = target - prediction
    slope = np.where(error > 0, q, np.where(error < 0, q - 1, 0))
    return mean(slope * error, -slope)


def kl_divergence(prediction, target):
    """Kullback & Leibler 1951; predictions are log-probabilities."""
    positive = target > 0
    values = np.where(positive, target * (np.log(np.where(positive, target, 1)) - prediction), 0)
    return mean(values, -target)


def softmax_cross_entropy(logits, labels, label_smoothing=0.0, class_weights=None, ignore_index=None):
    """Mean over the rows of -sum_j weight_j target_j log softmax(logits)_j; Szegedy et al. 2016."""
    classes = logits.shape[1]
    weights = np.ones(classes) if class_weights is None else class_weights
    if labels.ndim == 2:
        target, counted = labels, np.ones(len(logits))
    else:
        kept = np.ones(len(logits), bool) if ignore_index is None else labels != ignore_index
        target = np.eye(classes)[np.where(kept, labels, 0)]
        counted = kept * weights[np.where(kept, labels, 0)]
        target = target * kept[:, None]
        label_smoothing = label_smoothing * kept[:, None]
    shares = weights * ((1 - label_smoothing) * target + label_smoothing / classes)
    values = -np.sum(shares * log_softmax(logits), axis=1)
    gradient = softmax(logits) * shares.sum(axis=1, keepdims=True) - shares
    return np.sum(values, dtype=np.float64) / counted.sum(), gradient / counted.sum()


LOSSES = {
    "mse": mse,
    "mae": mae,
    "huber": huber,
    "epsilon_insensitive": epsilon_insensitive,
    "smooth_l1": smooth_l1,
    "binary_cross_entropy_with_logits": binary_cross_entropy_with_logits,
    "hinge": hinge,
    "squared_hinge": squared_hinge,
    "poisson": poisson,
    "quantile": quantile,
    "kl_divergence": kl_divergence,
    "softmax_cross_entropy": softmax_cross_entropy,
}
