"""Parameters in nested lists, tuples and dicts: steps as those of a flat dict, names, and what is refused."""

import copy
import pickle
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
from communicators import Communicator

import gd
from gd.optimizers import OPTIMIZERS
from gd.parameters import entries

Layer = namedtuple("Layer", "w b")
SHAPES = {
    "layers": [{"w": "3x2", "b": "2"}, (), {"w": "2x4", "b": "4"}],
    "head": Layer("4x1", "1"),
    "scale": "3",
    "pairs": (("2", "2"), [("2", "3"), "5"]),
}
FEW = {"a": {"w": "3", "b": "2"}, "c": ("4",)}
DEEP = {"w": [{"v": [(Layer(["3"], {"x": "2"}), "4x1x2")]} for _ in range(4)], "more": [["2", "3"], ["4"]]}
PATHS = [
    *("layers[0].w", "layers[0].b", "layers[2].w", "layers[2].b", "head.w", "head.b", "scale"),
    *("pairs[0][0]", "pairs[0][1]", "pairs[1][0][0]", "pairs[1][0][1]", "pairs[1][1]"),
]


def tree_of(shapes, rng, dtype=np.float32):
    """Return a tree with random arrays of the shapes in another."""
    if isinstance(shapes, dict):
        return {key: tree_of(each, rng, dtype) for key, each in shapes.items()}
    if isinstance(shapes, (list, tuple)):
        return getattr(shapes, "_make", type(shapes))([tree_of(each, rng, dtype) for each in shapes])
    return rng.standard_normal(tuple(map(int, shapes.split("x")))).astype(dtype)


def flat(tree):
    return {key: array for key, (_, array) in entries("test", "tree", tree).items()}


def turned(tree):
    """Return the same tree with the keys of its dicts in another order, as JAX has them, and tuples for lists."""
    if isinstance(tree, dict):
        return {key: turned(tree[key]) for key in sorted(tree, reverse=True)}
    return tuple(map(turned, tree)) if isinstance(tree, (list, tuple)) else tree


@pytest.mark.parametrize("name", ["SGD", "Adam", "LAMB", "NAdam"])
@pytest.mark.parametrize("shapes", [SHAPES, DEEP, [("3", "2"), ("2x2",)]], ids=["many", "deep", "few"])
def test_a_tree_steps_as_a_flat_dict(shapes, name, rng):
    params = tree_of(shapes, rng)
    twin = {key: array.copy() for key, array in flat(params).items()}
    options = {"ema": 0.9} | ({"clip_norm": 1.0} if name == "Adam" else {})
    optimizer, other = OPTIMIZERS[name](params, **options), OPTIMIZERS[name](twin, **options)
    for step in range(5):
        grads = tree_of(shapes, rng)
        given = turned(grads) if step % 2 else grads
        if step == 3:
            optimizer.accumulate(given)
            other.accumulate(flat(grads))
            given = grads
        assert optimizer.step(given)
        assert other.step(flat(grads))
    for key, array in flat(params).items():
        assert np.array_equal(array, twin[key]), key
    saved, expected = optimizer.state_dict(), other.state_dict()
    assert saved.keys() == expected.keys()
    assert all(np.array_equal(saved[key], expected[key]) for key in saved)
    average = optimizer.ema_params()
    assert type(average) is type(params)
    assert all(map(np.array_equal, flat(average).values(), flat(other.ema_params()).values()))
    for clone in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        clone.step(grads)
        assert clone.state_dict().keys() == saved.keys()


def test_names_and_groups_of_a_tree(rng):
    params = tree_of(SHAPES, rng)
    groups = [{"params": ["layers", "head.b"], "lr": 0.0}, {"params": ["pairs[1]"], "lr": 2.0}]
    optimizer = gd.Momentum(params, lr=1.0, groups=groups)
    assert list(optimizer.state_dict()) == ["steps", *(f"{path}.velocity" for path in PATHS)]
    before, ones = copy.deepcopy(params), flat(params)
    optimizer.step(tree_map(np.ones_like, params))
    rates = [0.0] * 4 + [1.0, 0.0] + [1.0] * 3 + [2.0] * 3
    for rate, (path, array) in zip(rates, flat(before).items(), strict=True):
        np.testing.assert_array_equal(ones[path], array - np.float32(rate))
    assert optimizer.step_rows("layers[0].w", np.array([1]), np.ones((1, 2), np.float32))
    optimizer.add_group({"params": {"new": [np.ones(2, np.float32)]}, "lr": 3.0})
    optimizer.step(tree_map(np.ones_like, optimizer.params))
    assert optimizer.params["new"][0].tolist() == [-2.0, -2.0]
    assert "new[0].velocity" in optimizer.state_dict()


def tree_map(function, tree):
    if isinstance(tree, dict):
        return {key: tree_map(function, each) for key, each in tree.items()}
    if isinstance(tree, (list, tuple)):
        return getattr(tree, "_make", type(tree))([tree_map(function, each) for each in tree])
    return function(tree)


@pytest.mark.parametrize("shapes", [SHAPES, FEW], ids=["many", "few"])
def test_arrays_and_branches_without_a_gradient_are_left_alone(shapes, rng):
    params = tree_of(shapes, rng)
    first = next(iter(params))
    before, optimizer = copy.deepcopy(params), gd.Adam(params)
    grads = tree_map(np.ones_like, params)
    for _ in range(2):
        assert optimizer.step(grads | {first: None})
    moved = {key: not np.array_equal(array, flat(before)[key]) for key, array in flat(params).items()}
    assert moved == {key: not key.startswith(first) for key in moved}
    assert optimizer.state_dict()["layers[0].w.step" if shapes is SHAPES else "a.w.step"] == 0
    optimizer.accumulate(grads | {first: None})
    assert optimizer.step()
    assert np.array_equal(next(iter(flat(params).values())), next(iter(flat(before).values())))


def test_distributed_trains_a_tree(rng):
    params = tree_of(SHAPES, rng)
    twin = copy.deepcopy(params)
    optimizer = gd.Distributed(gd.Adam, params, Communicator(), lr=0.1, ema=0.9)
    other = gd.Adam(twin, lr=0.1, ema=0.9)
    for _ in range(3):
        grads = tree_of(SHAPES, rng)
        optimizer.step(turned(grads))
        other.step(grads)
    for own, expected in ((params, twin), (optimizer.ema_params(), other.ema_params())):
        assert own.keys() == expected.keys()
        assert all(map(np.array_equal, flat(own).values(), flat(expected).values()))
    with pytest.raises(ValueError, match=r"grads\['head'\].w has shape \(2,\), params\['head'\].w has \(4, 1\)"):
        optimizer.step(grads | {"head": Layer(np.ones(2, np.float32), grads["head"].b)})


def test_a_parameter_vector_in_a_tree_is_a_dict_of_its_arrays(rng):
    model = gd.MLP([2, 3, 1], loss="mse")
    params = {"net": model.parameters, "scale": np.ones(1, np.float32)}
    optimizer = gd.Adam(params, ema=0.9)
    grads = {"net": model.parameters.copy(), "scale": np.ones(1, np.float32)}
    assert optimizer.step(grads)
    assert optimizer.step({"net": dict(grads["net"]), "scale": None})
    average = optimizer.ema_params()["net"]
    assert isinstance(average, gd.ParameterVector)
    assert average.shapes == model.parameters.shapes
    assert "net.W1.exp_avg" in optimizer.state_dict()
    before = model.parameters.vector.copy()
    with gd.averaged(optimizer):
        assert np.array_equal(model.parameters.vector, average.vector)
    assert np.array_equal(model.parameters.vector, before)


def test_orders_of_memory_survive_copies_of_8_bit_states(rng):
    w = np.ones((2, 3, 4), np.float32).transpose(1, 0, 2)
    params = {"a": [w, {"b": np.ones(2, np.float32)}]}
    optimizer = gd.Adam(params, state_dtype="int8")
    both = copy.deepcopy((params, optimizer))
    assert both[1].params is both[0]
    assert both[1].params["a"] is both[0]["a"]
    assert both[1].state_dict().keys() == optimizer.state_dict().keys()


def test_the_gradient_of_a_tree_is_checked():
    params = {"a": [np.array([1.0, 2.0])], "b": (np.array([3.0]),)}
    grads = {"a": [np.array([2.0, 4.0])], "b": (np.array([6.5]),)}
    check = gd.gradient_check(lambda p: np.sum(p["a"][0] ** 2) + np.sum(p["b"][0] ** 2), params, grads)
    assert check.index == ("b[0]", 0)


@dataclass
class Point:
    x: np.ndarray


def _cycle():
    tree = {"a": [np.ones(2)]}
    tree["a"].append(tree)
    return tree


SAME = np.ones(3)
REFUSED = [
    (_cycle(), ValueError, "a dict in params holds itself"),
    ({"a": SAME, "b": [SAME]}, ValueError, r"params\['b'\]\[0\] overlaps params\['a'\] in memory"),
    ({"a": {"b": np.ones(1)}, "a.b": np.ones(2)}, ValueError, "keys that read alike, got 'a.b' twice"),
    ({"a": [np.ones(2), Point(1)]}, TypeError, r"params\['a'\]\[1\] must not be a dataclass, got Point; pass a dict"),
    (Point(1), TypeError, "params must not be a dataclass, got Point"),
    ({"a": [{}, ()]}, ValueError, "params must hold at least one array"),
    ({"a": {"x": [np.ones(2), None]}}, TypeError, r"params\['a'\]\['x'\]\[1\] must be a NumPy array, got NoneType"),
    ([(np.ones(2), np.ones(2, int))], TypeError, r"params\[0\]\[1\] has dtype int64"),
]


@pytest.mark.parametrize("params, error, match", REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_tree_of_arrays_is_refused(params, error, match):
    with pytest.raises(error, match=f"^Adam: .*{match}"):
        gd.Adam(params)


def test_too_deep_a_tree_is_refused():
    tree = np.ones(1)
    for _ in range(150):
        tree = [tree]
    with pytest.raises(ValueError, match="a list in params is in more than 100 others"):
        gd.Adam(tree)


@pytest.mark.parametrize("shapes", [SHAPES, FEW], ids=["many", "few"])
def test_wrong_gradients_name_their_path_and_change_nothing(shapes, rng):
    params = tree_of(shapes, rng)
    before, optimizer = copy.deepcopy(params), gd.Adam(params)
    grads = tree_map(np.ones_like, params)
    first = next(iter(params))
    branch = copy.deepcopy(grads[first])
    layer = branch[0] if shapes is SHAPES else branch
    label = r"\['layers'\]\[0\]" if shapes is SHAPES else r"\['a'\]"
    right = layer["w"]
    for wrong, match in (
        (np.ones((7, 7), np.float32), rf"grads{label}\['w'\] has shape \(7, 7\), params{label}\['w'\] has"),
        (right.astype(int), rf"grads{label}\['w'\] has dtype int64"),
        ([right], rf"grads{label}\['w'\] must be a NumPy array, got list"),
    ):
        layer["w"] = wrong
        for _ in range(2):
            with pytest.raises((TypeError, ValueError), match=match):
                optimizer.step(grads | {first: branch})
    layer["w"] = right
    layer["more"] = right
    with pytest.raises(ValueError, match=rf"structure of params; unknown grads{label}\['more'\]"):
        optimizer.step(grads | {first: branch})
    with pytest.raises(ValueError, match="and .* more" if shapes is SHAPES else "unknown"):
        optimizer.step(list(flat(grads).values()))
    assert all(map(np.array_equal, flat(params).values(), flat(before).values()))
    assert optimizer.steps == 0
