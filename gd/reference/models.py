"""Linear models and networks: the mean loss of a batch, and its gradients."""

from .activations import ACTIVATIONS
from .losses import LOSSES


def linear_model_gradient(X, y, w, b, loss="mse", **parameters):
    """Return the loss, X^T s and the sum of s, where s is the derivative of the loss with respect to X w + b."""
    value, slopes = LOSSES[loss](X @ w + b, y, **parameters)
    return value, X.T @ slopes, slopes.sum(axis=0)


def forward(parameters, X, activation="relu"):
    """Return the inputs of all layers, then the output."""
    function, layers, inputs = ACTIVATIONS[activation][0], len(parameters) // 2, [X]
    for k in range(1, layers + 1):
        z = inputs[-1] @ parameters[f"W{k}"]
        z += parameters[f"b{k}"]
        inputs.append(z if k == layers else function(z))
    return inputs


def loss_and_gradients(parameters, X, y, activation="relu", loss="softmax_cross_entropy"):
    """Return the mean loss of a batch and its gradients, a dict like parameters, by backpropagation.

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
