"""Tensors of PyTorch and arrays of JAX in the place of NumPy's, in the whole API: taken as they are, or refused."""

import copy
import warnings
from collections.abc import Mapping

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")
for _each in ("safetensors", "joblib"):
    pytest.importorskip(_each)

from bad_calls import CALLABLE, REFUSALS, fault_of, snapshot
from bad_values import arrays_in
from good_calls import World, good_call, parameters_of

import gd

REFUSED = {"save": "tree"}  # which would come back as another type
WRITTEN = ("out", "params", "group", "p", "state")  # of gd.functional the last two


def calls_with(world, each):
    """Yield (argument, good call) for each argument that holds arrays and nothing of gd."""
    names = [parameter.name for parameter in parameters_of(each)]
    for name, value in good_call(each, World(2, world.folder, names)).arguments.items():
        if any(True for _ in arrays_in(value)) and not isinstance(value, gd.ParameterVector):
            yield name


def converted(value, convert):
    """Return an argument with its arrays converted."""
    if isinstance(value, np.ndarray):
        return convert(value)
    if isinstance(value, (list, tuple)):
        return type(value)(converted(each, convert) for each in value)
    if isinstance(value, Mapping) and not isinstance(value, gd.ParameterVector):
        return {key: converted(each, convert) for key, each in value.items()}
    return value


def takes(each, convert, folder, read_only):
    """Make calls with one argument converted, and compare them with those of arrays."""
    for name in calls_with(World(2, folder), each):
        results = []
        for convert_if in (convert, lambda array: array):
            call = good_call(each, World(2, folder, {name}))
            if name in call.arguments:
                call.arguments[name] = converted(call.arguments[name], convert_if)
            before = snapshot((call.receiver, call.arguments))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    results.append(snapshot((call(), call.receiver, call.arguments), call.world.folder))
                except REFUSALS as error:
                    text = str(error.args[0])
                    assert convert_if is convert, text
                    assert fault_of(each, text, {name, *call.arguments}) is None
                    may = (read_only and name in WRITTEN) or REFUSED.get(each.name) == name or "index must be" in text
                    assert may, f"{name} was refused: {text}"
                    assert snapshot((call.receiver, call.arguments)) == before
                    break
        else:
            assert results[0] == results[1], f"with {name} converted the result is another"


@pytest.mark.parametrize("each", CALLABLE, ids=lambda each: each.name)
def test_tensors_are_taken_as_their_memory(each, tmp_path):
    torch = pytest.importorskip("torch")
    takes(each, torch.from_numpy, tmp_path, read_only=False)


@pytest.mark.parametrize("each", CALLABLE, ids=lambda each: each.name)
def test_arrays_of_jax_are_taken_where_they_are_read(each, tmp_path):
    jax = pytest.importorskip("jax")
    takes(each, jax.numpy.asarray, tmp_path, read_only=True)


def test_an_optimizer_steps_the_tensors_of_a_module_as_torch_does():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).double()
    other = copy.deepcopy(module)
    optimizer = gd.Adam([p.detach() for p in module.parameters()], lr=0.1)
    theirs = torch.optim.Adam(other.parameters(), lr=0.1)
    X = torch.randn(5, 3, dtype=torch.float64)
    for _ in range(5):
        for each in (module, other):
            each.zero_grad()
            each(X).square().sum().backward()
        optimizer.step([p.grad for p in module.parameters()])
        theirs.step()
    for p, q in zip(module.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=0)


def test_one_tensor_and_copies_of_its_optimizer():
    torch = pytest.importorskip("torch")
    p, g = torch.zeros(4), torch.ones(4)
    optimizer = gd.SGD(p, lr=1.0)
    assert optimizer.step(g)
    assert p.tolist() == [-1] * 4
    assert copy.deepcopy(optimizer).step(g)
    assert p.tolist() == [-1] * 4
    optimizer.accumulate(g)
    optimizer.step()
    assert p.tolist() == [-2] * 4
    vector = gd.ParameterVector({"a": (2,), "b": (2,)})
    gd.SGD(vector, lr=1.0).step(g)
    assert vector.vector.tolist() == [-1] * 4


@pytest.mark.parametrize("several", [False, True])
def test_parameters_in_bfloat16_take_gradients_of_either_width(several):
    torch = pytest.importorskip("torch")
    p, g = torch.zeros(4, dtype=torch.bfloat16), torch.full((4,), 0.5)
    halves, wrapped = p.view(torch.uint16), (lambda each: [each]) if several else (lambda each: each)
    optimizer = gd.SGD(wrapped(halves), lr=1.0, param_dtype="bfloat16")
    optimizer.step(wrapped(g))
    optimizer.step(wrapped(g.bfloat16().view(torch.uint16)))
    optimizer.accumulate(wrapped(g))
    optimizer.step()
    assert p.tolist() == [-1.5] * 4


def test_tensors_that_cannot_be_shared_are_refused_with_advice():
    torch = pytest.importorskip("torch")
    p = torch.ones(3, requires_grad=True)
    for call, match in (
        (lambda: gd.Adam(p), r"Adam: params is a torch.Tensor that requires grad; pass params.detach\(\).numpy\(\)"),
        (lambda: gd.Adam([p]), r"Adam: params\[0\] is .* pass params\[0\].detach\(\).numpy\(\)"),
        (lambda: gd.Adam(np.ones(3, np.float32)).step(p), r"Adam.step: grads is .*requires grad"),
        (lambda: gd.sigmoid(torch.nn.Parameter(torch.ones(3))), r"sigmoid: x is a torch.Tensor that requires grad"),
        (lambda: gd.sigmoid(torch.ones(3, device="meta")), "sigmoid: x is a torch.Tensor on meta, which has no values"),
        (
            lambda: gd.sigmoid(torch.ones(3).bfloat16()),
            r"sigmoid: x is .* of bfloat16, .*; pass x.float\(\).numpy\(\), and keep",
        ),
        (
            lambda: gd.SGD(p.bfloat16()),
            r"SGD: params .* pass params.detach\(\).float\(\).numpy\(\), and keep that copy if",
        ),
        (lambda: gd.SGD([p.bfloat16()]), r"take params\[0\].detach\(\).view\(torch.uint16\).numpy\(\)"),
        (
            lambda: gd.SGD(np.ones(3, np.uint16)),
            "SGD: params has dtype uint16, .* for bfloat16 pass param_dtype='bfloat16'",
        ),
        (lambda: gd.sigmoid(torch.ones(3).to_sparse()), "sigmoid: x must be a NumPy array, got a torch.Tensor"),
        (lambda: gd.sigmoid(torch.ones(3, dtype=torch.float16)), "sigmoid: x has dtype float16"),
    ):
        with pytest.raises(TypeError, match=match):
            call()
    with pytest.raises(ValueError, match="sigmoid: x is not contiguous"):
        gd.sigmoid(torch.ones(2, 3).T)
    assert p.tolist() == [1, 1, 1]
    halves = p.bfloat16()  # the advice can be followed
    kept = halves.detach().float().numpy()
    assert gd.SGD(kept, lr=1.0).step(np.ones(3, np.float32))
    assert gd.SGD(halves.detach().view(torch.uint16).numpy(), lr=1.0, param_dtype="bfloat16").step(kept)
    assert halves.tolist() == [1, 1, 1]


def test_arrays_of_jax_are_refused_with_advice_where_they_would_be_written():
    jax = pytest.importorskip("jax")
    x = jax.numpy.ones(3)
    with pytest.raises(ValueError, match=r"Adam: params is read-only and would be written to; np.array\(params\)"):
        gd.Adam(x)
    with pytest.raises(ValueError, match="sigmoid: out is read-only"):
        gd.sigmoid(x, out=x)
    with pytest.raises(TypeError, match=r"sigmoid: x must be a NumPy array, got a jax\.Array"):
        jax.jit(gd.sigmoid)(x)
    p = np.zeros(3, np.float32)
    gd.SGD(p, lr=1.0).step(x)
    assert p.tolist() == [-1] * 3
