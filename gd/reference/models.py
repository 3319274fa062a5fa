"""Linear models and networks: the mean loss of a batch, and its gradients."""

import numpy as np

from .activations import ACTIVATIONS
from .losses import (
    LOSSES,
    binary_cross_entropy_with_logits,
    hinge,
    huber,
    mean,
    mse,
    poisson,
    quantile,
    softmax_cross_entropy,
    squared_hinge,
)


def epsilon_insensitive(prediction, target, epsilon=0.1):
    """Vapnik 1995."""
    error = prediction - target
    excess = np.maximum(np.abs(error) - epsilon, 0)
    return mean(excess, np.where(excess > 0, np.sign(error), 0))


LINEAR_LOSSES = {
    "squared": mse,
    "logistic": binary_cross_entropy_with_logits,
    "hinge": hinge,
    "squared_hinge": squared_hinge,
    "huber": huber,
    "epsilon_insensitive": epsilon_insensitive,
    "quantile": quantile,
    "poisson": poisson,
    "softmax": softmax_cross_entropy,
}


def linear_model_gradient(X, y, w, b, loss="squared", **parameters):
    """Return the loss, X^T slopes and the sum of slopes, where slopes is the derivative of the loss at X w + b."""
    value, slopes = LINEAR_LOSSES[loss](X @ w + b, y, **parameters)
    return value, X.T @ slopes, slopes.sum(axis=0)


def forward(parameters, X, activation="relu"):
    """Return the inputs of all layers, and the output."""
    function, layers, inputs = ACTIVATIONS[activation][0], len(parameters) // 2, [X]
    for k in range(1, layers + 1):
        z = inputs[-1] @ parameters[f"W{k}"]
        z += parameters[f"b{k}"]
        inputs.append(z if k == layers else function(z))
    return inputs


def loss_and_gradients(parameters, X, y, activation="relu", loss="softmax_cross_entropy"):
    """Return the mean loss of a batch and its gradient as a dict like parameters, by backpropagation.

    Rumelhart, Hinton & Williams 1986. The derivative of an activation is taken at z = a W + b, kept from
    the forward pass.
    """
    function, derivative = ACTIVATIONS[activation]
    layers = len(parameters) // 2
    a, zs, inputs = X, [], []
    for k in range(1, layers + 1):
        inputs.append(a)
        z = a @ parameters[f"W{k}"]
        z += parameters[f"b{k}"]
        zs.append(z)
        a = z if k == layers else function(z)
    value, delta = LOSSES[loss](a, y)
    gradients = {}
    for k in range(layers, 0, -1):
        gradients[f"W{k}"] = inputs[k - 1].T @ delta
        gradients[f"b{k}"] = delta.sum(axis=0)
        if k > 1:
            delta = delta @ parameters[f"W{k}"].T
            delta *= derivative(zs[k - 2])
    return value, gradients


def predict(parameters, X, activation="relu"):
    """Return the class of each row."""
    return forward(parameters, X, activation)[-1].argmax(axis=1)


def train_epoch(parameters, X, y, optimizer, batches, activation="relu", loss="softmax_cross_entropy"):
    """Take one step for each array of row indices; return the mean loss."""
    total = 0.0
    for rows in batches:
        value, gradients = loss_and_gradients(parameters, X[rows], y[rows], activation, loss)
        optimizer.step(gradients)
        total += value * len(rows)
    return total / len(X)
