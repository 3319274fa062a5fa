"""All gradients of MLP against finite differences and PyTorch's autograd, in float64."""

from math import sqrt

import numpy as np
import pytest

import gd
from gd.activations.functions import ACTIVATIONS
from gd.kernels.compiler import splitting
from gd.kernels.random_numbers import key_of, random_bits
from gd.losses.functions import LOSSES
from gd.models.architecture import UNITS

WIDTHS, ROWS = [4, 6, 5, 3], 40  # two blocks of rows
ACTIVATION_NAMES = {
    "hard_tanh": "hardtanh",
    "hard_swish": "hardswish",
    "log_sigmoid": "logsigmoid",
}
pytestmark = pytest.mark.filterwarnings("ignore:gradient_check. the function has a kink")
LOSS_NAMES = {
    "softmax_cross_entropy": "cross_entropy",
    "mse": "mse_loss",
    "mae": "l1_loss",
    "huber": "huber_loss",
    "smooth_l1": "smooth_l1_loss",
    "poisson": "poisson_nll_loss",
    "binary_cross_entropy_with_logits": "binary_cross_entropy_with_logits",
}
LOSS_FORMULAS = {
    "hinge": lambda torch, p, t: (1 - t * p).clamp(min=0).mean(),
    "squared_hinge": lambda torch, p, t: (1 - t * p).clamp(min=0).square().mean(),
    "epsilon_insensitive": lambda torch, p, t, epsilon=0.1: ((p - t).abs() - epsilon).clamp(min=0).mean(),
    "quantile": lambda torch, p, t, q=0.5: torch.maximum(q * (t - p), (q - 1) * (t - p)).mean(),
    "kl_divergence": lambda torch, p, t: torch.nn.functional.kl_div(p, t, reduction="sum") / t.numel(),
}
SMALL = 1e-11  # times the largest entry


@pytest.fixture(autouse=True)
def serial():
    """Compile one kernel, not two: that parallel ones give the same bits is tested elsewhere."""
    with splitting(np.inf):
        yield


def activate(torch, name, z, slopes=None, **parameters):
    if name == "identity":
        return z
    if name == "scaled_tanh":
        return 1.7159 * torch.tanh(2 / 3 * z)
    if name == "hard_sigmoid":  # PyTorch's own takes 1 / 6 in float32 for its derivative
        return torch.clamp(z + 3, 0, 6) / 6
    if name == "unit_step":
        return (z >= 0).to(z.dtype) + 0 * z
    if name == "maxout":
        return z.reshape(len(z), -1, parameters.get("pieces", 2)).amax(dim=2)
    if name == "prelu":
        return torch.where(z > 0, z, slopes * z)
    if name in ("softmax", "log_softmax"):
        return getattr(torch, name)(z, dim=1)
    function = getattr(torch.nn.functional, ACTIVATION_NAMES.get(name, name))
    if name == "gelu":
        return function(z, approximate="tanh" if parameters.get("approximate") else "none")
    return function(z, **parameters)


def loss_of(torch, name, prediction, target, **parameters):
    if name in LOSS_FORMULAS:
        return LOSS_FORMULAS[name](torch, prediction, target, **parameters)
    if name == "softmax_cross_entropy":
        parameters = {
            "weight": parameters.get("class_weights"),
            "label_smoothing": parameters.get("label_smoothing", 0.0),
        }
        parameters["weight"] = None if parameters["weight"] is None else torch.from_numpy(parameters["weight"])
    return getattr(torch.nn.functional, LOSS_NAMES[name])(prediction, target, **parameters)


def mask(shape, rate, seed, step, layer):
    """Which elements dropout keeps, by its definition: a function of seed, step, layer and position."""
    positions = np.arange(np.prod(shape), dtype=np.uint64)
    with np.errstate(over="ignore"):
        bits = random_bits(random_bits(key_of(seed, step), layer), positions)
    return (bits >= np.uint64(rate * 2.0**64)).reshape(shape) / (1 - rate)


def trunk(torch, model, tensors, X, rates, step, **parameters):
    """The output of the last hidden layer."""
    a = torch.from_numpy(X * mask(X.shape, rates[0], model.seed, step, 0))
    for k, rate in enumerate(rates[1:], start=1):
        z = a @ tensors[f"W{k}"] + tensors[f"b{k}"]
        a = activate(torch, model.activation, z, tensors.get(f"a{k}"), **parameters)
        a = a * torch.from_numpy(mask(tuple(a.shape), rate, model.seed, step, k))
    return a


def agree(torch, model, X, y, outputs, step=0, dropout=None, **parameters):
    """Compare loss and gradients with PyTorch's; `outputs` maps the suffix of weights to f(z) -> loss."""
    value, gradients = model.loss_and_gradients(X, y, step=step)
    tensors = {name: torch.tensor(view.copy(), requires_grad=True) for name, view in model.parameters.items()}
    hidden = sum(name.startswith("W") for name in tensors) - len(outputs)
    a = trunk(torch, model, tensors, X, dropout or [0.0] * (hidden + 1), step, **parameters)
    loss = sum(f(a @ tensors[f"W{end}"] + tensors[f"b{end}"]) for end, f in outputs.items())
    loss.backward()
    assert value == pytest.approx(loss.item(), rel=1e-12)
    largest = max(float(tensor.grad.abs().max()) for tensor in tensors.values())
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, tensors[name].grad.numpy(), rtol=0, atol=SMALL * largest, err_msg=name)


def example(rng, loss="softmax_cross_entropy", outputs=3):
    X = rng.standard_normal((ROWS, WIDTHS[0]))
    if LOSSES[loss].labels:
        return X, rng.integers(0, outputs, ROWS)
    y = rng.random((ROWS, outputs))
    return X, np.sign(y - 0.5) if "hinge" in loss else y / y.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("activation", UNITS)
def test_activation(activation, rng):
    model = gd.MLP(WIDTHS, activation, dtype=np.float64, seed=1)
    X, y = example(rng)
    for name in ("b1", "b2"):
        model.parameters[name][:] = rng.standard_normal(model.parameters[name].shape)
    if activation != "unit_step":  # its derivative is 0
        assert model.gradient_check(X, y).error < 1e-6
    torch = pytest.importorskip("torch")
    agree(torch, model, X, y, {"3": lambda z: torch.nn.functional.cross_entropy(z, torch.from_numpy(y))})


@pytest.mark.parametrize(
    "activation, parameters",
    [
        ("leaky_relu", {"negative_slope": 0.2}),
        ("gelu", {"approximate": True}),
        ("maxout", {"pieces": 3}),
        ("prelu", {"weight": 0.1}),
    ],
)
def test_activation_with_parameters(activation, parameters, rng):
    model = gd.MLP(WIDTHS, activation, dtype=np.float64, activation_parameters=parameters)
    X, y = example(rng)
    if activation == "prelu":
        assert (model.parameters["a1"] == 0.1).all()
    torch = pytest.importorskip("torch")
    cross_entropy = lambda z: torch.nn.functional.cross_entropy(z, torch.from_numpy(y))  # noqa: E731
    agree(torch, model, X, y, {"3": cross_entropy}, **parameters)


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_loss(loss, rng):
    model = gd.MLP(WIDTHS, "tanh", loss=loss, dtype=np.float64)
    X, y = example(rng, loss)
    assert model.gradient_check(X, y).error < 1e-6
    value, gradients = model.loss_and_gradients(X, y)
    expected, gradient = LOSSES[loss].function(model.forward(X), y)
    assert value == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(gradients["b3"], gradient.sum(axis=0), rtol=1e-12, atol=1e-14)
    torch = pytest.importorskip("torch")
    agree(torch, model, X, y, {"3": lambda z: loss_of(torch, loss, z, torch.from_numpy(y))})


CASES = {  # output, loss, loss_parameters
    "sigmoid": ("sigmoid", "mse", {}),
    "scaled_tanh": ("scaled_tanh", "mse", {}),
    "softmax": ("softmax", "mse", {}),
    "log_softmax": ("log_softmax", "kl_divergence", {}),
    "fused softmax": ("softmax", "softmax_cross_entropy", {}),
    "fused sigmoid": ("sigmoid", "binary_cross_entropy_with_logits", {}),
    "quantile": ("identity", "quantile", {"q": 0.9}),
    "smoothed": ("identity", "softmax_cross_entropy", {"label_smoothing": 0.1}),
    "weighted": ("identity", "softmax_cross_entropy", {"class_weights": np.array([1.0, 0.5, 2.0])}),
}


@pytest.mark.parametrize("case", CASES)
def test_output_and_parameters_of_losses(case, rng):
    output, loss, parameters = CASES[case]
    model = gd.MLP(WIDTHS, "tanh", loss=loss, dtype=np.float64, output=output, loss_parameters=parameters)
    X, y = example(rng, loss)
    torch = pytest.importorskip("torch")
    fused = "fused" in case

    def loss_function(z):
        prediction = z if fused else activate(torch, output, z)
        return loss_of(torch, loss, prediction, torch.from_numpy(y), **parameters)

    agree(torch, model, X, y, {"3": loss_function})
    z = model.forward(X)
    if output != "identity":
        logits = gd.MLP(WIDTHS, "tanh", loss=loss, dtype=np.float64)
        logits.parameters.vector[:] = model.parameters.vector
        np.testing.assert_array_equal(z, ACTIVATIONS[output].forward(logits.forward(X)))


@pytest.mark.parametrize("dropout", [0.5, [0.1, 0.9], [0.2, 0.0, 0.7]], ids=str)
@pytest.mark.parametrize("activation", ["elu", "gelu"])  # whose derivatives come from the output, and the input
def test_dropout(activation, dropout, rng):
    model = gd.MLP(WIDTHS, activation, dropout=dropout, dtype=np.float64, seed=3)
    X, y = example(rng)
    assert model.gradient_check(X, y).error < 1e-6
    rates = {2: [0.0, *np.atleast_1d(dropout)], 3: dropout, 1: [0.0, dropout, dropout]}[np.size(dropout)]
    torch = pytest.importorskip("torch")
    outputs = {"3": lambda z: torch.nn.functional.cross_entropy(z, torch.from_numpy(y))}
    for step in (0, 5):
        agree(torch, model, X, y, outputs, step, list(rates))


@pytest.mark.parametrize("hidden", [[6, 5], []], ids=str)
def test_heads_with_missing_targets(hidden, rng):
    weights = rng.random(4) + 0.5
    heads = {
        "ner": 3,
        "pos": gd.Head(4, weight=0.3, loss_parameters={"class_weights": weights, "label_smoothing": 0.1}),
        "age": gd.Head(2, "huber", weight=2.0, loss_parameters={"delta": 0.7}),
        "sure": gd.Head(1, "mse", output="sigmoid"),
    }
    dropout = [0.2, 0.5, 0.3][: 1 + len(hidden)]
    model = gd.MLP([4, *hidden], "tanh", heads=heads, dropout=dropout, dtype=np.float64)
    X = rng.standard_normal((ROWS, 4))
    y = {
        "ner": rng.integers(-1, 3, ROWS),
        "pos": rng.integers(-1, 4, ROWS),
        "age": rng.standard_normal((ROWS, 2)),
        "sure": rng.random((ROWS, 1)),
    }
    y["age"][rng.random(ROWS) < 0.3] = np.nan
    assert model.gradient_check(X, y).error < 1e-6
    torch = pytest.importorskip("torch")
    there = {name: torch.from_numpy(each) for name, each in y.items()}
    present = ~there["age"][:, 0].isnan()
    functional = torch.nn.functional
    smoothed = {"weight": torch.from_numpy(weights), "label_smoothing": 0.1, "reduction": "sum"}
    count = sum(weights[label] for label in y["pos"] if label >= 0)
    outputs = {
        "_ner": lambda z: functional.cross_entropy(z, there["ner"], ignore_index=-1),
        "_pos": lambda z: 0.3 * functional.cross_entropy(z, there["pos"], ignore_index=-1, **smoothed) / count,
        "_age": lambda z: 2 * functional.huber_loss(z[present], there["age"][present], delta=0.7),
        "_sure": lambda z: functional.mse_loss(torch.sigmoid(z), there["sure"]),
    }
    agree(torch, model, X, y, outputs, 7, dropout)


def test_training_equals_pytorch_over_20_steps(rng):
    torch = pytest.importorskip("torch")
    model = gd.MLP(WIDTHS, "relu", dtype=np.float64)
    X, y = example(rng)
    tensors = {name: torch.tensor(view.copy(), requires_grad=True) for name, view in model.parameters.items()}
    other = torch.optim.Adam(tensors.values())
    gd.fit(model, X, y, gd.Adam(model.parameters), batch_size=ROWS, epochs=20, progress=False)
    for _ in range(20):
        other.zero_grad()
        a = trunk(torch, model, tensors, X, [0.0] * 3, 0)
        torch.nn.functional.cross_entropy(a @ tensors["W3"] + tensors["b3"], torch.from_numpy(y)).backward()
        other.step()
    for name, view in model.parameters.items():
        np.testing.assert_allclose(view, tensors[name].detach().numpy(), rtol=1e-9, atol=1e-9 / sqrt(view.size))
