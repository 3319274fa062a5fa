"""Everything again in plain NumPy, straight from the papers.

It is the oracle of the tests, the baseline of the benchmarks and `gd train --compare numpy`, and
documentation that runs. It is written as a careful NumPy user would write it, in place where that is
natural, and imports nothing of the rest of gd.
"""

import numpy as np

# --- Optimizers: f(p, g, state, t, **keywords) updates p and the arrays of state in place at step t = 1, 2, ...


def sgd(p, g, state, t, lr=1e-3, momentum=0.0, dampening=0.0, nesterov=False):
    """PyTorch's SGD; the first buffer is the gradient itself."""
    if momentum:
        b = _slot(state, "momentum_buffer", p)
        b *= momentum
        b += g if t == 1 else (1 - dampening) * g
        g = g + momentum * b if nesterov else b
    p -= lr * g


def momentum(p, g, state, t, lr=1e-2, momentum=0.9):
    """Polyak 1964."""
    v = _slot(state, "velocity", p)
    v *= momentum
    v -= lr * g
    p += v


def nesterov(p, g, state, t, lr=1e-2, momentum=0.9):
    """Nesterov 1983, at the look-ahead point."""
    v = _slot(state, "velocity", p)
    v *= momentum
    v -= lr * g
    p += momentum * v - lr * g


def adagrad(p, g, state, t, lr=1e-2, lr_decay=0.0, initial_accumulator_value=0.0, eps=1e-10, eps_inside=False):
    """Duchi, Hazan & Singer 2011."""
    s = _slot(state, "sum", p, initial_accumulator_value)
    s += g * g
    p -= lr / (1 + (t - 1) * lr_decay) * g / _root(s, eps, eps_inside)


def rmsprop(p, g, state, t, lr=1e-2, rho=0.99, eps=1e-8, momentum=0.0, centered=False, eps_inside=False):
    """Tieleman & Hinton 2012; Graves 2013 (centered)."""
    v = _slot(state, "square_avg", p)
    v *= rho
    v += (1 - rho) * g * g
    variance = v
    if centered:
        a = _slot(state, "grad_avg", p)
        a *= rho
        a += (1 - rho) * g
        variance = np.maximum(v - a * a, 0)
    u = g / _root(variance, eps, eps_inside)
    if momentum:
        b = _slot(state, "momentum_buffer", p)
        b *= momentum
        b += u
        u = b
    p -= lr * u


def adam(p, g, state, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, bias_correction=True, eps_inside=False):
    """Kingma & Ba 2015, algorithm 1."""
    beta1, beta2 = betas
    m, v = _slot(state, "exp_avg", p), _slot(state, "exp_avg_sq", p)
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g * g
    correction1, correction2 = (1 - beta1**t, 1 - beta2**t) if bias_correction else (1, 1)
    p -= lr / correction1 * m / _root(v / correction2, eps, eps_inside)


def _slot(state, name, p, value=0.0):
    return state.setdefault(name, np.full_like(p, value))


def _root(v, eps, eps_inside):
    return np.sqrt(v + eps) if eps_inside else np.sqrt(v) + eps


# name -> (formula, keywords that differ from its own defaults)
OPTIMIZERS = {
    "SGD": (sgd, {}),
    "Momentum": (momentum, {}),
    "Nesterov": (nesterov, {}),
    "Adagrad": (adagrad, {}),
    "RMSprop": (rmsprop, {}),
    "Adam": (adam, {}),
    "AdamW": (adam, {"weight_decay": 1e-2}),
}


class Optimizer:
    """An optimizer of `OPTIMIZERS` over a dict of arrays, with the keywords that all of them take."""

    def __init__(self, name, params, *, lr=None, l1=0.0, l2=0.0, weight_decay=None, maximize=False, **keywords):
        self.formula, defaults = OPTIMIZERS[name]
        self.keywords = keywords if lr is None else {"lr": lr, **keywords}
        self.params, self.steps = params, 0
        self.l1, self.l2, self.maximize = l1, l2, maximize
        self.weight_decay = defaults.get("weight_decay", 0.0) if weight_decay is None else weight_decay
        self.lr = self.formula.__defaults__[0] if lr is None else lr
        self.state = {key: {} for key in params}

    def step(self, grads, grad_scale=1.0):
        """Penalties, decoupled decay (Loshchilov & Hutter 2019), then the formula."""
        lr = self.lr(self.steps) if callable(self.lr) else self.lr
        self.steps += 1
        for key, p in self.params.items():
            g = grads[key]
            if grad_scale != 1 or self.maximize:
                g = (-grad_scale if self.maximize else grad_scale) * g
            if self.l2:
                g = g + self.l2 * p
            if self.l1:
                g = g + self.l1 * np.sign(p)
            if self.weight_decay:
                p *= 1 - lr * self.weight_decay
            self.formula(p, g, self.state[key], self.steps, **{**self.keywords, "lr": lr})


# --- Activations: (forward(x), derivative(x)); the parameters have gd's defaults


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x > 0, 1, e) / (1 + e)


ACTIVATIONS = {
    "identity": (lambda x: x + 0, lambda x: np.ones_like(x)),
    "sigmoid": (sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    "tanh": (np.tanh, lambda x: 1 / np.cosh(np.clip(x, -350, 350)) ** 2),
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(x.dtype)),
    "leaky_relu": (
        lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x),
        lambda x, negative_slope=0.01: np.where(x > 0, 1, negative_slope).astype(x.dtype),
    ),
    "elu": (
        lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
        lambda x, alpha=1.0: np.where(x > 0, 1, alpha * np.exp(np.minimum(x, 0))),
    ),
}


# --- Losses: mean value and gradient with respect to the prediction


def mse(prediction, target):
    """Mean of the squared errors over all elements."""
    error = prediction - target
    return np.mean(error * error, dtype=np.float64), 2 / error.size * error


def softmax_cross_entropy(logits, labels):
    """Mean over the rows of -log softmax(logits)[label]."""
    rows = np.arange(len(logits))
    shifted = logits - logits.max(axis=1, keepdims=True)
    e = np.exp(shifted)
    total = e.sum(axis=1, keepdims=True)
    value = np.mean(np.log(total[:, 0]) - shifted[rows, labels], dtype=np.float64)
    gradient = e / total
    gradient[rows, labels] -= 1
    gradient /= len(logits)
    return value, gradient


LOSSES = {"mse": mse, "softmax_cross_entropy": softmax_cross_entropy}


# --- Networks: a dict of arrays W1, b1, W2, b2, ...


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
