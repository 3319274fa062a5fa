"""What differs by array: clipping of each norm, groups that join later; and parameters that a generator yields."""

import copy
import math
import pickle
from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import gd
from gd.optimizers import OPTIMIZERS

NAMES = sorted(OPTIMIZERS)


# --- Clipping the norm of each array


def gradients(rng, dtype=np.float64):
    return {"W": 5 * rng.standard_normal((4, 3)).astype(dtype), "b": 0.01 * rng.standard_normal(3).astype(dtype)}


def within(limit, g):
    """Return g with a norm of at most a limit."""
    return g * min(1.0, limit / np.linalg.norm(g))


@pytest.mark.parametrize("kind", ["dict", "vector", "list"])
def test_each_gradient_is_brought_within_the_limit(kind, rng):
    g = gradients(rng)
    params = {key: np.ones_like(each) for key, each in g.items()}
    if kind == "vector":
        params = gd.ParameterVector.from_arrays(params)
        given = gd.ParameterVector.from_arrays(g)
    elif kind == "list":
        params, given = (
            [*params.values(), *(np.ones(2) for _ in range(9))],
            [*g.values(), *(np.ones(2) for _ in range(9))],
        )
    else:
        given = g
    optimizer = gd.SGD(params, lr=1.0, clip_norm_each=0.5)
    assert optimizer.step(given, grad_scale=0.5)
    W, b = (params[key] for key in ((0, 1) if kind == "list" else ("W", "b")))
    np.testing.assert_allclose(W, 1 - within(0.5, 0.5 * g["W"]), rtol=1e-13)
    np.testing.assert_allclose(b, 1 - 0.5 * g["b"], rtol=1e-13)
    extra = 9 * 2 * 0.25 if kind == "list" else 0
    norm = math.sqrt(sum(np.sum(np.square(0.5 * each)) for each in g.values()) + extra)
    assert optimizer.grad_norm == pytest.approx(norm, rel=1e-13)  # before it was clipped


def test_limits_of_groups_and_of_all_arrays_combine(rng):
    g = gradients(rng)
    params = {key: np.zeros_like(each) for key, each in g.items()}
    groups = [{"params": ["b"], "clip_norm_each": 0.005}]
    gd.SGD(params, lr=1.0, clip_norm_each=2.0, clip_norm=0.7, clip_value=0.3, groups=groups).step(g)
    each = {"W": within(2.0, g["W"]), "b": within(0.005, g["b"])}
    scale = 0.7 / math.sqrt(sum(np.sum(np.square(one)) for one in each.values()))
    for key, one in each.items():
        np.testing.assert_allclose(params[key], -np.clip(scale * one, -0.3, 0.3), rtol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_is_that_of_gradients_clipped_before(name, rng):
    start = {key: rng.standard_normal(each.shape) for key, each in gradients(rng).items()}
    params, others = copy.deepcopy(start), copy.deepcopy(start)
    optimizer, other = OPTIMIZERS[name](params, clip_norm_each=0.25), OPTIMIZERS[name](others)
    for _ in range(3):
        g = gradients(rng)
        optimizer.step(g)
        other.step({key: within(0.25, each) for key, each in g.items()})
    for key in params:
        np.testing.assert_allclose(params[key], others[key], rtol=1e-11)


def test_norms_that_overflow_are_clipped_and_infinite_ones_are_not(rng):
    params = [np.zeros(4, np.float32) for _ in range(3)]
    g = [np.full(4, 3e38, np.float32), np.full(4, 0.1, np.float32), np.array([np.inf, 0, 0, 0], np.float32)]
    optimizer = gd.SGD(params, lr=1.0, clip_norm_each=1.0)
    optimizer.step(g)
    np.testing.assert_allclose(params[0], -0.5, rtol=1e-6)
    np.testing.assert_allclose(params[1], -0.1, rtol=1e-6)
    assert np.isnan(params[2][0])
    skipping = gd.SGD(params, lr=1.0, clip_norm_each=1.0, skip_nonfinite=True)
    assert skipping.step(g) is False
    assert skipping.step([*g[:2], None])


def test_norms_are_those_of_what_was_clipped(rng):
    g = gradients(rng, np.float32)
    optimizer = gd.SGD({key: np.ones_like(each) for key, each in g.items()}, clip_norm_each=0.5, track_norms=True)
    optimizer.step(g)
    assert optimizer.norms.gradient == pytest.approx(math.hypot(0.5, np.linalg.norm(g["b"])), rel=1e-6)


def test_each_norm_is_clipped_as_torch_does(rng):
    torch = pytest.importorskip("torch")
    g = gradients(rng)
    theirs = [torch.ones(each.shape, dtype=torch.float64, requires_grad=True) for each in g.values()]
    ours = [p.detach().clone() for p in theirs]
    their_optimizer, optimizer = torch.optim.Adam(theirs, lr=0.1), gd.Adam(ours, lr=0.1, clip_norm_each=0.5)
    for _ in range(3):
        g = gradients(rng)
        for p, each in zip(theirs, g.values(), strict=True):
            p.grad = torch.from_numpy(each.copy())
            torch.nn.utils.clip_grad_norm_([p], 0.5 - 5e-7)  # it divides by the norm + 1e-6
        their_optimizer.step()
        optimizer.step(list(g.values()))
    for p, q in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.numpy(), rtol=1e-5)


def test_a_network_trains_with_each_norm_clipped(rng):
    X, y = rng.standard_normal((64, 5)).astype(np.float32), rng.integers(0, 3, 64)
    losses = []
    for limit in (None, 1e6, 0.1):
        model = gd.MLP([5, 8, 3], seed=0)
        optimizer = gd.SGD(model.parameters, lr=0.1, clip_norm_each=limit)
        losses.append(gd.fit(model, X, y, optimizer, batch_size=16, epochs=2).loss[-1])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[2] > losses[0]


# --- Groups that join later


def state_of(optimizer, key):
    return {name: each for name, each in optimizer.state_dict().items() if name.startswith(f"{key}.")}


@pytest.mark.parametrize("kind", ["list", "dict", "tuple"])
@pytest.mark.parametrize("name", NAMES)
def test_new_arrays_step_as_those_of_a_new_optimizer(name, kind, rng):
    """And the old ones as if nothing had changed; a schedule goes on with the steps of all."""
    old, new = rng.standard_normal((4, 3)), rng.standard_normal(5)
    alone, alone_new = old.copy(), new.copy()
    first = {"list": [old], "dict": {"W": old}, "tuple": (old,)}[kind]
    optimizer, other = OPTIMIZERS[name](first, lr=0.05), OPTIMIZERS[name](alone, lr=0.05)
    wrapped = {"list": lambda *each: list(each), "tuple": lambda *each: each}
    wrapped["dict"] = lambda *each: dict(zip("Wb", each, strict=False))
    for _ in range(2):
        g = rng.standard_normal((4, 3))
        optimizer.step(wrapped[kind](g))
        other.step(g)
    optimizer.add_group({"params": {"b": new} if kind == "dict" else [new], "lr": 0.01})
    assert type(optimizer.params) is type(first)
    assert len(first) == 1  # the user's own is not touched
    newcomer = OPTIMIZERS[name](alone_new, lr=0.01)
    for clone in (False, True):
        if clone:
            optimizer = pickle.loads(pickle.dumps(optimizer))
            old, new = optimizer.params.values() if kind == "dict" else optimizer.params
        for _ in range(2):
            g, h = rng.standard_normal((4, 3)), rng.standard_normal(5)
            optimizer.step(wrapped[kind](g, h))
            other.step(g)
            newcomer.step(h)
    assert optimizer.steps == 6
    np.testing.assert_array_equal(old, alone)
    if name != "ScheduleFreeAdamW":  # whose weights are those of the steps of all
        np.testing.assert_array_equal(new, alone_new)
    key = "b" if kind == "dict" else 1
    assert optimizer.state_dict()[f"{key}.step"] == 4
    assert optimizer.groups[0].lr == 0.01


def test_a_state_after_joining_loads_into_an_optimizer_made_with_all_groups(rng):
    params = [np.ones(3) for _ in range(9)]
    optimizer = gd.Adam(params, lr=0.1)
    optimizer.step([np.ones(3)] * 9)
    optimizer.add_group({"params": (np.ones(2) for _ in range(3)), "weight_decay": 0.1})
    optimizer.add_group({"params": np.ones((2, 2))})
    g = [rng.standard_normal(p.shape) for p in optimizer.params]
    assert optimizer._steps._lists  # all in one call
    optimizer.step(g)
    groups = [{"params": [9, 10, 11], "weight_decay": 0.1}, {"params": [12]}]
    other = gd.Adam([p.copy() for p in optimizer.params], lr=0.1, groups=groups)
    other.load_state_dict(optimizer.state_dict())
    for each in (optimizer, other):
        each.step(g)
    assert all(map(np.array_equal, optimizer.params, other.params))
    with pytest.raises(ValueError, match=r"grads must have the structure of params; none for params\[9\]"):
        optimizer.step(g[:9])


def test_a_group_joins_before_the_first_step_and_follows_the_schedule(rng):
    rates = []
    a, b = np.zeros(2), np.zeros(2)
    optimizer = gd.SGD([a], lr=lambda step: rates.append(step) or 1.0)
    optimizer.add_group({"params": [b]})
    optimizer.step([np.ones(2), np.ones(2)])
    assert "0.step" not in optimizer.state_dict()
    optimizer.add_group({"params": [np.zeros(1)], "maximize": True})
    rates.clear()
    optimizer.step([np.ones(2), np.ones(2), np.ones(1)])
    assert set(rates) == {1}
    assert optimizer.params[2] == 1
    assert a.tolist() == b.tolist() == [-2, -2]


def test_groups_that_cannot_join_are_refused_and_change_nothing(tmp_path):
    p = np.ones(3)
    optimizer = gd.Adam([p], groups=[{"params": [0], "lr": 0.1}])
    optimizer.step([np.ones(3)])
    before, saved = p.copy(), optimizer.state_dict()
    for group, error, match in (
        ({"lr": 0.1}, TypeError, "group must be a dict with params, got"),
        ([np.ones(2)], TypeError, "group must be a dict with params, got"),
        ({"params": []}, ValueError, "group: params must hold at least one array, got none"),
        ({"params": [[1.0]]}, TypeError, r"group: params\[0\]\[0\] must be a NumPy array, got float"),
        ({"params": [p]}, ValueError, r"group: params\[1\] overlaps params\[0\]"),
        ({"params": {"a": np.ones(2)}}, TypeError, "group: params must be a list, as the optimizer's are, got dict"),
        ({"params": [np.ones(2)], "rho": 1}, TypeError, "group has an unexpected keyword 'rho'"),
        ({"params": [np.ones(2)], "lr": -1.0}, ValueError, "group: lr must be in"),
        ({"params": [np.ones(4)[::2]]}, ValueError, r"group: params\[0\] is not contiguous"),
    ):
        with pytest.raises(error, match=rf"Adam.add_group: {match}"):
            optimizer.add_group(group)
    assert optimizer.params == [p]
    assert len(optimizer.groups) == 1
    assert all(np.array_equal(saved[key], each) for key, each in optimizer.state_dict().items())
    assert np.array_equal(p, before)
    group = {"params": [np.ones(2)]}
    for params in (np.ones(3), gd.ParameterVector({"a": 2})):
        with pytest.raises(TypeError, match="group can join params that are a list, a tuple or a dict, not a"):
            gd.Adam(params).add_group(group)
    with pytest.raises(ValueError, match="params has the key 'a', which the optimizer has already"):
        gd.Adam({"a": np.ones(2)}).add_group({"params": {"a": np.ones(2)}})
    kept = gd.Adam([np.ones(2)], state_dir=tmp_path / "state")
    with kept, pytest.raises(TypeError, match="group cannot join an optimizer with state_dir"):
        kept.add_group(group)
    optimizer.accumulate([np.ones(3)])
    with pytest.raises(ValueError, match="group cannot join between accumulate and step"):
        optimizer.add_group(group)


@pytest.mark.parametrize("kind", ["OrderedDict", "named tuple", "subclass"])
def test_groups_join_parameters_in_any_structure_that_the_constructor_takes(kind):
    pair = namedtuple("pair", "W b")(np.ones(2), np.ones(3))
    params = {"OrderedDict": OrderedDict(pair._asdict()), "named tuple": pair}.get(kind, type("own", (list,), {})(pair))
    optimizer = gd.SGD(params, lr=1.0)
    optimizer.add_group({"params": {"c": np.ones(4)} if kind == "OrderedDict" else [np.ones(4)], "lr": 0.5})
    g = [np.ones(2), np.ones(3), np.ones(4)]
    assert optimizer.step(dict(zip("Wbc", g, strict=True)) if kind == "OrderedDict" else g)
    assert type(optimizer.params) is {"OrderedDict": dict, "named tuple": tuple, "subclass": list}[kind]
    found = optimizer.params.values() if kind == "OrderedDict" else optimizer.params
    assert [each.tolist() for each in found] == [[0, 0], [0, 0, 0], [0.5] * 4]
    assert len(params) == 2  # the user's own is not touched


def test_groups_join_as_in_torch(rng):
    torch = pytest.importorskip("torch")
    theirs = [
        torch.ones(3, dtype=torch.float64, requires_grad=True),
        torch.ones(2, dtype=torch.float64, requires_grad=True),
    ]
    ours = [p.detach().clone() for p in theirs]
    their_optimizer, optimizer = torch.optim.AdamW(theirs[:1], lr=0.1), gd.AdamW(ours[:1], lr=0.1)
    for turn in range(6):
        if turn == 3:
            their_optimizer.add_param_group({"params": theirs[1:], "lr": 0.05, "weight_decay": 0.2})
            optimizer.add_group({"params": ours[1:], "lr": 0.05, "weight_decay": 0.2})
        g = [torch.from_numpy(rng.standard_normal(p.shape)) for p in ours[: 1 + (turn >= 3)]]
        for p, each in zip(theirs, g, strict=False):
            p.grad = each.clone()
        their_optimizer.step()
        optimizer.step(g)
    for p, q in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.numpy(), rtol=1e-12)


# --- Parameters that a generator yields


def test_generators_are_taken_as_lists(rng):
    arrays = {"a": rng.standard_normal(3), "b": rng.standard_normal(2)}
    listed = [p.copy() for p in arrays.values()]
    g = [rng.standard_normal(3), rng.standard_normal(2)]
    for params in ((p for p in arrays.values()), arrays.values(), iter(arrays.values())):
        optimizer, other = gd.Adam(params), gd.Adam(listed)
        assert isinstance(optimizer.params, list)
        assert optimizer.step(each for each in g)
        optimizer.accumulate(iter(g))
        assert optimizer.step()
        for _ in range(2):
            other.step(g)
    assert all(map(np.array_equal, arrays.values(), listed))
    used = iter(listed)
    list(used)
    with pytest.raises(ValueError, match="Adam: params must hold at least one array, got none"):
        gd.Adam(used)
    with pytest.raises(ValueError, match="none for params"):
        gd.Adam(listed).step(each for each in g[:1])


def test_the_parameters_of_a_module_are_taken_or_named():
    torch = pytest.importorskip("torch")
    module = torch.nn.Linear(3, 2)
    with pytest.raises(TypeError, match=r"params\[0\] is a torch.Tensor that requires grad; pass params\[0\].detach"):
        gd.Adam(module.parameters())
    optimizer = gd.SGD((p.detach() for p in module.parameters()), lr=1.0)
    before = module.weight.detach().clone()
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step(p.grad for p in module.parameters())
    assert torch.equal(module.weight.detach(), before - 1)
