"""Gradients of another dtype than the parameters': steps as those of rounded gradients, and refusals with advice."""

import copy
import pickle

import numpy as np
import pytest
from communicators import Communicator

import gd
from gd.optimizers import OPTIMIZERS

WIDE = {"float64": np.float64, "float32": np.float32}


def halves(g):
    """Return the upper halves of float32 numbers, and these numbers."""
    upper = (g.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return upper, (upper.astype(np.uint32) << 16).view(np.float32)


def structure_of(kind, rng):
    make = rng.standard_normal
    if kind == "one":
        return make(600)
    if kind == "order":
        return {"w": np.asfortranarray(make((4, 70))), "b": make(())}
    if kind == "vector":
        return gd.ParameterVector.from_arrays({"w": make((3, 100)), "b": make(5)})
    if kind == "tree":
        return {"layers": [(make((2, 150)), make(3)) for _ in range(5)]}
    return [make(40 + k) for k in range(9)]


def mapped(function, tree):
    if isinstance(tree, gd.ParameterVector):
        return gd.ParameterVector.from_arrays({key: function(each) for key, each in tree.items()})
    if isinstance(tree, dict):
        return {key: mapped(function, each) for key, each in tree.items()}
    return [mapped(function, each) for each in tree] if isinstance(tree, (list, tuple)) else function(tree)


def leaves(tree):
    if isinstance(tree, (dict, gd.ParameterVector)):
        return [array for each in tree.values() for array in leaves(each)]
    return [array for each in tree for array in leaves(each)] if isinstance(tree, list) else [tree]


OPTIONS = [{}, {"skip_nonfinite": True, "clip_norm": 3.0, "ema": 0.9}, {"zero_grads": True}, {"track_norms": True}]


@pytest.mark.parametrize("kind", ["one", "order", "vector", "tree", "list"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_step_is_that_of_rounded_gradients(kind, options, rng):
    for own, grad_dtype in (("float32", "float64"), ("float64", "float32")):
        for name in ("Adam", "LAMB") if kind in ("one", "list") and own == "float32" else ("Adam",):
            p = mapped(lambda each, own=own: each.astype(own), structure_of(kind, rng))
            q = copy.deepcopy(p)
            optimizer = OPTIMIZERS[name](p, grad_dtype=grad_dtype, **options)
            expected = OPTIMIZERS[name](q, **options)
            for step in range(4):
                g = mapped(lambda each, to=grad_dtype: each.astype(to), structure_of(kind, rng))
                rounded = mapped(lambda each, own=own: each.astype(own), g)
                if step == 2:
                    for each, gradient in ((optimizer, g), (expected, rounded)):
                        each.accumulate(gradient, 0.5)
                        each.step()
                elif step == 3:
                    assert expected.step(mapped(np.copy, rounded)) == optimizer.step(rounded)
                else:
                    assert optimizer.step(g) == expected.step(rounded)
                    assert all((each == 0).all() == ("zero_grads" in options) for each in leaves(g))
            for each, other in zip(leaves(p), leaves(q), strict=True):
                assert np.array_equal(each, other)


@pytest.mark.parametrize("several", [False, True])
def test_gradients_in_bfloat16(several, rng):
    p = [np.ones(300, np.float32) for _ in range(9)] if several else np.ones(300, np.float32)
    q = copy.deepcopy(p)
    optimizer, expected = gd.Adam(p, grad_dtype="bfloat16"), gd.Adam(q)
    for _ in range(3):
        pairs = [halves(rng.standard_normal(300)) for _ in range(9)]
        optimizer.step([half for half, _ in pairs] if several else pairs[0][0])
        expected.step([g for _, g in pairs] if several else pairs[0][1])
    assert np.array_equal(p, q)
    with pytest.raises(TypeError, match="LAMB: state_dtype, param_dtype and bfloat16 are not for LAMB"):
        gd.LAMB(np.ones(3), grad_dtype="bfloat16")


def test_rows_and_shards_and_copies_round_their_gradients(rng):
    table, rows = np.ones((5, 3), np.float32), np.array([4, 1, 4])
    expected, g = table.copy(), rng.standard_normal((3, 3))
    gd.Adagrad(table, grad_dtype="float64").step_rows(None, rows, g)
    gd.Adagrad(expected).step_rows(None, rows, g.astype(np.float32))
    assert np.array_equal(table, expected)
    params = {"a": np.ones(4, np.float32), "b": [np.ones((2, 3), np.float32)]}
    twin, grads = copy.deepcopy(params), {"a": rng.standard_normal(4), "b": [rng.standard_normal((2, 3))]}
    gd.Distributed(gd.Adam, params, Communicator(), grad_dtype="float64").step(grads)
    clone = pickle.loads(pickle.dumps(gd.Adam(twin, grad_dtype="float64", groups=[{"params": ["b"]}])))
    clone.step(grads)
    for own, other in ((params["a"], clone.params["a"]), (params["b"][0], clone.params["b"][0])):
        assert np.array_equal(own, other)


def test_a_gradient_that_overflows_as_it_is_rounded_is_infinite():
    for several in (False, True):
        p = [np.ones(2, np.float32) for _ in range(9)] if several else np.ones(2, np.float32)
        g = [np.array([1e300, 1.0])] * 9 if several else np.array([1e300, 1.0])
        optimizer = gd.SGD(p, grad_dtype="float64", skip_nonfinite=True)
        assert not optimizer.step(g)
        assert np.array_equal(p, np.ones_like(p))


@pytest.mark.parametrize("count", [1, 9])
def test_other_dtypes_are_refused_with_what_to_do(count, tmp_path):
    p = [np.ones(3, np.float32) for _ in range(count)]
    label, optimizer = r"^Adam.step: grads\[0\] has dtype", gd.Adam(p)
    for dtype, match in (
        (np.float64, r"float64, params\[0\] is float32; pass .*, or make the optimizer with grad_dtype='float64'$"),
        (np.float16, r"float16, params\[0\] is float32; pass grads\[0\].astype\(np.float32\)$"),
        (np.uint16, "uint16.*; for bfloat16 make the optimizer with grad_dtype='bfloat16'$"),
        (np.int64, r"int64, params\[0\] is float32$"),
    ):
        with pytest.raises(TypeError, match=f"{label} {match}"):
            optimizer.step([np.ones(3, dtype)] * count)
    with pytest.raises(ValueError, match="Adam: grad_dtype must be one of bfloat16, float32, float64, got 'float16'"):
        gd.Adam(p, grad_dtype="float16")
    with pytest.raises(TypeError, match="Adam: state_dir takes no other dtype"):
        gd.Adam(p, grad_dtype="float64", state_dir=tmp_path / "state")
    with pytest.raises(ValueError, match="Distributed: grad_dtype must be one of float32, float64, got 'bfloat16'"):
        gd.Distributed(gd.Adam, p, Communicator(), grad_dtype="bfloat16")
    optimizer = gd.Adam(p, grad_dtype="float64")
    p[0].flags.writeable = False
    with pytest.raises(ValueError, match=r"params\[0\] has become read-only"):
        optimizer.step([np.ones(3)] * count)
    assert all((each == 1).all() for each in p)
