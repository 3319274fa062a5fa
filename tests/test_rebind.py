"""Optimizer.rebind: other arrays, the same steps; and what pickles and copies of an optimizer mean."""

import copy
import pickle

import numpy as np
import pytest

import gd
from gd.kernels import gates
from gd.optimizers import OPTIMIZERS, rebinding

KINDS = ("array", "list", "dict", "vector", "groups", "many", "fortran", "int8", "bfloat16", "ema")


def make(kind, rng):
    """Return parameters of a kind and a function that makes their optimizer."""
    arrays = {"W": rng.standard_normal((4, 3)).astype("f4"), "b": rng.standard_normal(300).astype("f4")}
    options = {"lr": 0.05}
    if kind in ("array", "ema"):
        return arrays["b"], lambda p: gd.Adam(p, **options, ema=0.9 if kind == "ema" else None)
    if kind == "fortran":
        return np.asfortranarray(arrays["W"]), lambda p: gd.Adam(p, **options)
    if kind == "vector":
        return gd.ParameterVector.from_arrays(arrays), lambda p: gd.Adam(p, **options)
    if kind == "groups":
        return arrays, lambda p: gd.Adam(p, **options, groups=[{"params": ["b"], "lr": 0.2}])
    if kind == "many":
        return [rng.standard_normal(k + 1) for k in range(20)], lambda p: gd.Adam(p, **options, clip_norm=1.0)
    if kind == "int8":
        return arrays, lambda p: gd.Adam(p, **options, state_dtype="int8")
    if kind == "bfloat16":
        halves = {name: (each.view(np.uint32) >> 16).astype(np.uint16) for name, each in arrays.items()}
        return halves, lambda p: gd.Adam(p, **options, param_dtype="bfloat16", master_weights=True)
    return list(arrays.values()) if kind == "list" else arrays, lambda p: gd.Adam(p, **options)


def leaves(params):
    if isinstance(params, np.ndarray):
        return [params]
    return list(params.values()) if hasattr(params, "values") else list(params)


def gradients(params, rng):
    """Return gradients in the structure of parameters, which each call makes anew."""

    def of(p):
        g = rng.standard_normal(p.shape)
        return (g.astype("f4").view(np.uint32) >> 16).astype(np.uint16) if p.dtype == np.uint16 else g.astype(p.dtype)

    if isinstance(params, np.ndarray):
        return of(params)
    return {name: of(p) for name, p in params.items()} if hasattr(params, "items") else list(map(of, params))


def equal(a, b):
    return all(x.tobytes("A") == y.tobytes("A") for x, y in zip(leaves(a), leaves(b), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_an_optimizer_goes_on_with_other_arrays(kind, rng):
    params, optimizer_of = make(kind, rng)
    expected = copy.deepcopy(params)
    optimizer, reference = optimizer_of(params), optimizer_of(expected)
    for _ in range(3):
        for _ in range(3):
            grads = gradients(params, rng)
            optimizer.step(grads)
            reference.step(grads)
        before, params = params, copy.deepcopy(params)
        frozen = copy.deepcopy(before)
        optimizer.rebind(params)
        assert optimizer.params is params or kind in ("bfloat16",)
        grads = gradients(params, rng)
        optimizer.step(grads)
        reference.step(grads)
        assert equal(params, expected)
        assert equal(before, frozen)  # nothing reaches the old arrays any more
        optimizer.accumulate(grads)
        reference.accumulate(grads)
        optimizer.step()
        reference.step()
        assert equal(params, expected)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "vector"])
def test_state_arrays_are_kept_themselves(kind, rng):
    params, optimizer_of = make(kind, rng)
    optimizer = optimizer_of(params)
    for _ in range(3):
        optimizer.step(gradients(params, rng))
    state, other = optimizer.state_dict(), copy.deepcopy(params)
    if kind == "fortran":  # a state has the order of its parameters
        state = {name: np.asfortranarray(each) if np.ndim(each) else each for name, each in state.items()}
    other_optimizer = optimizer_of(other)
    for rounds in range(2):
        other_optimizer.rebind(other, state)
        assert other_optimizer.steps == 3 + rounds
        grads = gradients(params, rng)
        optimizer.step(grads)
        other_optimizer.step(grads)
        assert equal(other, params)
        for name, value in optimizer.state_dict().items():
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(value, state[name])
        state = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}


def test_the_state_of_a_vector_is_a_vector_for_each_slot(rng):
    params, optimizer_of = make("vector", rng)
    optimizer = optimizer_of(params)
    slots = {name: np.zeros_like(params.vector) for name in ("exp_avg", "exp_avg_sq")}
    optimizer.rebind(params, slots)
    optimizer.step(params.copy())
    assert slots["exp_avg"].any()
    optimizer.step({"W": params["W"].copy(), "b": None})
    np.testing.assert_array_equal(optimizer.state_dict()["b.exp_avg"], slots["exp_avg"][12:])


@pytest.mark.skipif(not gates.OPEN, reason="there are no gates here")
@pytest.mark.parametrize("state", [True, False])
def test_one_small_array_is_rebound_by_compiled_code(state, rng, monkeypatch):
    p = rng.standard_normal((4, 25))
    optimizer = gd.Adam(p)
    for _ in range(3):
        optimizer.step(np.ones_like(p))
    monkeypatch.setattr(rebinding, "_rebind", None)
    for _ in range(3):
        q, slots = p.copy(), {name: np.full_like(p, 0.5) for name in optimizer.slots} if state else None
        optimizer.rebind(q, slots)
        optimizer.step(np.ones_like(p))
        assert (q != p).any()
        assert not state or (slots["exp_avg_sq"] != 0.5).all()


FAULTS = {
    "shape": (lambda p: p.reshape(2, 6), ValueError, "params must have shape"),
    "dtype": (lambda p: p.astype("f8"), ValueError, "params must have shape"),
    "layout": (lambda p: np.repeat(p, 2, 1)[:, ::2], ValueError, "params is not contiguous"),
    "order": (np.asfortranarray, ValueError, "params must have its axes in the same order"),
    "kind": (lambda p: [p], ValueError, "params must have the structure of the optimizer's"),
    "no array": (lambda p: None, TypeError, "params must be a NumPy array"),
    "read-only": (lambda p: np.frombuffer(p.tobytes(), p.dtype).reshape(p.shape), ValueError, "params is read-only"),
    "missing": ({"exp_avg_sq": None}, KeyError, "no exp_avg_sq"),
    "unknown": ({"other": np.ones(3)}, KeyError, "state does not match"),
    "state shape": ({"exp_avg": np.ones((3, 3), "f4")}, ValueError, r"state\['exp_avg'\] has shape"),
    "state dtype": ({"exp_avg": np.ones((4, 3))}, TypeError, r"state\['exp_avg'\] has dtype float64"),
    "state order": ({"exp_avg": np.ones((3, 4), "f4").T}, ValueError, r"state\['exp_avg'\] must have its axes"),
    "overlap": ({"exp_avg": "exp_avg_sq"}, ValueError, "overlaps"),
    "params": ({"exp_avg": "params"}, ValueError, "overlaps"),
    "number": ({"steps": -1}, ValueError, r"state\['steps'\]"),
}


@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_match_is_refused_and_nothing_changes(fault, steps, rng):
    p = rng.standard_normal((4, 3)).astype("f4")
    optimizer, expected = gd.Adam(p), p.copy()
    reference = gd.Adam(expected)
    for _ in range(steps):
        optimizer.step(np.ones_like(p))
        reference.step(np.ones_like(p))
    change, error, match = FAULTS[fault]
    q = p.copy()
    state = {slot: np.zeros_like(p) for slot in optimizer.slots}
    if callable(change):
        q, state = change(q), None
    else:
        named = {"params": q, **state}
        state |= {k: named[v] if isinstance(v, str) else v for k, v in change.items()}
        state = {k: v for k, v in state.items() if v is not None}
    with pytest.raises(error, match=match):
        optimizer.rebind(q, state)
    optimizer.step(np.ones_like(p))
    reference.step(np.ones_like(p))
    assert optimizer.params is p
    assert p.tobytes() == expected.tobytes()


def test_overlapping_parameters_and_own_state_are_refused(rng):
    base = rng.standard_normal(20)
    optimizer = gd.Adam([base[:10].copy(), base[10:].copy()])
    with pytest.raises(ValueError, match=r"Adam\.rebind: .* overlaps"):
        optimizer.rebind([base[:10], base[5:15]])
    one = gd.Momentum(base.copy())
    for _ in range(3):
        with pytest.raises(ValueError, match=r"Momentum\.rebind: .* overlaps"):
            one.rebind(one._structure.arrays[None].slots[0])
        one.step(np.ones(20))


def test_a_state_folder_and_averages_refuse(rng, tmp_path):
    p = rng.standard_normal(10)
    with gd.Adam(p, state_dir=tmp_path / "state") as optimizer, pytest.raises(TypeError, match="state_dir"):
        optimizer.rebind(p.copy())
    optimizer = gd.Adam(p, ema=0.9)
    optimizer.step(np.ones(10))
    with gd.averaged(optimizer), pytest.raises(RuntimeError, match="averages"):
        optimizer.rebind(p.copy())


def test_arrays_that_differ_in_their_steps_keep_their_counts(rng):
    params = {"a": np.ones(5), "b": np.ones(5)}
    optimizer = gd.Adam(params)
    optimizer.step({"a": np.ones(5), "b": None})
    optimizer.step({"a": np.ones(5), "b": np.ones(5)})
    optimizer.rebind(copy.deepcopy(params))
    assert (optimizer.state_dict()["a.step"], optimizer.state_dict()["b.step"]) == (2, 1)


@pytest.mark.parametrize("copied", [lambda each: pickle.loads(pickle.dumps(each)), copy.deepcopy])
@pytest.mark.parametrize("kind", KINDS)
def test_parameters_and_optimizer_that_are_copied_together_stay_together(kind, copied, rng):
    params, optimizer_of = make(kind, rng)
    optimizer = optimizer_of(params)
    grads = [gradients(params, rng) for _ in range(6)]
    for g in grads[:3]:
        optimizer.step(g)
    other, other_optimizer = copied((params, optimizer))
    assert other_optimizer.params is other
    assert other is not params
    for g in grads[3:]:
        optimizer.step(g)
        other_optimizer.step(g)
    assert equal(other, params)
    alone = copied(optimizer)  # without its parameters it has copies of its own, which its attribute shows
    alone.step(grads[0])
    assert not equal(alone.params, params)
    optimizer.step(grads[0])
    assert equal(alone.params, params)


def test_a_shallow_copy_steps_the_same_parameters_with_a_state_of_its_own():
    p = np.zeros(3)
    optimizer = gd.Momentum(p, lr=1.0)
    optimizer.step(np.ones(3))
    other = copy.copy(optimizer)
    assert other.params is p
    other.step(np.ones(3))
    optimizer.step(np.ones(3))
    assert p.tolist() == [-4.8] * 3 or np.allclose(p, -4.8)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_clients_that_unpickle_parameters_apart_rebind(name, rng):
    p = rng.standard_normal(40)
    optimizer = OPTIMIZERS[name](p)
    for _ in range(3):
        optimizer.step(np.ones(40))
    q, other = pickle.loads(pickle.dumps(p)), pickle.loads(pickle.dumps(optimizer))
    other.rebind(q)
    other.step(np.ones(40))
    optimizer.step(np.ones(40))
    assert q.tobytes() == p.tobytes()
