"""Many arrays stepped by one call of a kernel: the same bits as one by one, whatever the gradients are."""

import copy
import gc
import pickle
import threading

import numpy as np
import pytest

import gd
from gd.optimizers import OPTIMIZERS, array_lists

NAMES = sorted(name for name, each in OPTIMIZERS.items() if each.elementwise)
VARIANTS = [(name, {}) for name in NAMES] + [
    ("Adam", {"ema": 0.5, "clip_value": 0.5, "weight_decay": 0.1, "l1": 0.01}),
    ("Adam", {"lr": lambda step: 0.1 / (1 + step), "groups": [{"params": list(range(3, 30, 2)), "lr": 0.3}]}),
    ("Adam", {"clip_norm": 1.0, "skip_nonfinite": True}),
    ("Adam", {"clip_norm_each": 0.5, "clip_norm": 1.0, "track_norms": True, "zero_grads": True, "maximize": True}),
    ("Adam", {"state_dtype": "int8", "seed": 3}),
    ("LAMB", {"clip_norm_each": 0.5, "groups": [{"params": [0, 7], "clip_norm_each": 0.1}]}),
    ("LARS", {"ema": 0.5}),
    ("SGD", {"momentum": 0.9, "maximize": True, "groups": [{"params": [0, 1], "momentum": 0.0}]}),
    ("ScheduleFreeAdamW", {"groups": [{"params": [4, 5], "lr": 0.1}]}),
]
SIZES = (1, 7, 100, 1000, 2048, 5000, 40_000)


def arrays(rng, dtypes=("float32",), count=30):
    return [rng.standard_normal(SIZES[k % 7]).astype(dtypes[k % len(dtypes)]) for k in range(count)]


@pytest.fixture
def one_by_one(monkeypatch):
    def make(cls, *arguments, **keywords):
        with monkeypatch.context() as patch:
            patch.setattr(array_lists, "FEWEST", 10**9)
            return cls(*arguments, **keywords)

    return make


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize(
    "name, keywords", VARIANTS, ids=lambda value: value if isinstance(value, str) else "-".join(value)
)
def test_steps_at_once_equal_steps_one_by_one(name, keywords, rng, walk, one_by_one):
    params = arrays(rng, ("float32", "float64"))
    others = copy.deepcopy(params)
    optimizer, other = OPTIMIZERS[name](params, **keywords), one_by_one(OPTIMIZERS[name], others, **keywords)
    assert not other._steps._lists
    for missing in (30, 30, 3, 30, 7):  # from the third step on the arrays differ in their number of steps
        grads = [rng.standard_normal(p.shape).astype(p.dtype) if k % missing else None for k, p in enumerate(params)]
        if missing == 30:
            grads[0] = np.ones_like(params[0])
        again = copy.deepcopy(grads)  # they can be set to 0
        assert optimizer.step(grads, grad_scale=0.5) is other.step(again, grad_scale=0.5) is True
    assert all(np.array_equal(p, q) for p, q in zip(params, others, strict=True))
    assert same(optimizer.state_dict(), other.state_dict())
    assert optimizer.grad_norm == other.grad_norm


CALLS = {  # options: how many calls of kernels a step of many arrays may take, with those that look at new gradients
    "plain": ({}, 2),
    "clip_norm": ({"clip_norm": 1.0}, 4),
    "clip_norm_each": ({"clip_norm_each": 1.0}, 5),
    "skip_nonfinite": ({"skip_nonfinite": True}, 4),
    "zero_grads": ({"zero_grads": True}, 2),
    "track_norms": ({"track_norms": True}, 3),
    "int8": ({"state_dtype": "int8"}, 2),
    "bfloat16": ({"param_dtype": "bfloat16", "clip_norm": 1.0, "master_weights": True}, 4),
    "groups": ({"clip_norm": 1.0, "groups": [{"params": [3], "lr": 0.5}]}, 6),
    "trust": ({}, 4),
}


@pytest.mark.parametrize("kind", CALLS)
def test_a_step_takes_as_many_calls_for_many_arrays_as_for_some(kind, rng, one_by_one):
    keywords, calls = CALLS[kind]
    cls = gd.LAMB if kind == "trust" else gd.Adam
    params = [rng.standard_normal(1 + k % 300).astype(np.float32) for k in range(100)]
    grads = [rng.standard_normal(p.size).astype(np.float32) for p in params]
    if kind == "bfloat16":
        params, grads = ([(each.view(np.uint32) >> 16).astype(np.uint16) for each in some] for some in (params, grads))
    others, own = copy.deepcopy(params), copy.deepcopy(grads)
    optimizer, other = cls(params, **keywords), one_by_one(cls, others, **keywords)
    with gd.profile() as profile:
        optimizer.step(grads)
    assert sum(row.calls for row in profile.rows) <= calls + 1
    with gd.profile() as profile:
        optimizer.accumulate(own)
    assert sum(row.calls for row in profile.rows) <= 2 + len(optimizer.groups) + 1
    other.step(copy.deepcopy(own))
    assert all(np.array_equal(*pair) for pair in zip(params, others, strict=True))
    assert same(optimizer.state_dict(), other.state_dict())
    assert optimizer.grad_norm == other.grad_norm
    assert optimizer.norms == other.norms


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_one_array_decides_whether_all_step(bad, rng, one_by_one):
    start = [rng.standard_normal(50).astype(np.float32) for _ in range(20)]
    results = []
    for make in (lambda *a, **k: gd.Adam(*a, **k), lambda *a, **k: one_by_one(gd.Adam, *a, **k)):
        params = copy.deepcopy(start)
        optimizer = make(params, skip_nonfinite=True, clip_norm=1.0)
        grads = [np.ones_like(p) for p in params]
        grads[7][3] = bad
        grads[8] = None
        with np.errstate(over="ignore"):
            results.append((optimizer.step(grads, grad_scale=1e10), params, optimizer.state_dict()))
    (applied, params, state), (expected, others, other) = results
    assert applied is expected is False
    assert all(np.array_equal(*pair) for pair in zip(params, others, strict=True))
    assert same(state, other)


def test_gradients_that_are_set_to_0_must_be_writeable_and_apart(rng):
    params = [np.ones(6) for _ in range(10)]
    optimizer = gd.SGD(params, lr=1.0, zero_grads=True)
    grads = [np.ones(6) for _ in params]
    assert optimizer.step(grads)
    assert all((g == 0).all() for g in grads)
    both = np.ones(9)
    grads[2], grads[5] = both[:6], both[3:]
    with pytest.raises(ValueError, match=r"SGD.step: grads\[5\] overlaps grads\[2\]"):
        optimizer.step(grads)
    grads[2] = np.ones(6)
    grads[2].flags.writeable = False
    with pytest.raises(ValueError, match=r"SGD.step: grads\[2\]"):
        optimizer.step(grads)
    assert all((p == 0).all() for p in params)


def test_all_of_a_dict_step_in_one_call(rng):
    params = {f"W{k}": rng.standard_normal((4, 5)) for k in range(20)}
    grads = {key: np.ones_like(p) for key, p in params.items()}
    optimizer = gd.Adam(params)
    for given in (grads, dict(reversed(grads.items()))):  # in another order they are looked at one by one
        with gd.profile() as profile:
            optimizer.step(given)
        calls = {row.name: (row.calls, row.items, row.bytes) for row in profile.rows}
        if given is grads:
            assert calls["update_many-adam"] == (1, 400, 7 * 400 * 8)
        else:
            assert calls["update-adam"][0] == 20


def test_accumulated_gradients_and_copies_step_at_once(rng, one_by_one):
    params = arrays(rng)
    others, optimizer = copy.deepcopy(params), gd.Adam(params)
    other = one_by_one(gd.Adam, others)
    parts = [[rng.standard_normal(p.shape).astype(p.dtype) for p in params] for _ in range(3)]
    for each in (optimizer, other):
        each.accumulate(parts[0])
        each.step(parts[1], grad_scale=0.5)
    for clone in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        clone.step(parts[2])
        assert clone._steps._lists
        assert not np.array_equal(clone.params[5], params[5])
    optimizer.step(parts[2])
    other.step(parts[2])
    assert all(np.array_equal(*pair) for pair in zip(params, others, strict=True))
    assert all(np.array_equal(*pair) for pair in zip(params, clone.params, strict=True))


def test_gradients_may_be_other_objects_at_every_step():
    params = [np.zeros(1000) for _ in range(50)]
    optimizer = gd.SGD(params, lr=1.0)
    for step in range(20):
        optimizer.step([np.full(1000, float(step + k)) for k in range(50)])
        gc.collect()
    assert all((p == -(190 + 20 * k)).all() for k, p in enumerate(params))
    grads = [np.ones(1000) for _ in range(50)]
    optimizer.step(grads)
    for k in range(50):
        grads[k] = np.full(1000, 2.0)
        before = params[k][0]
        optimizer.step(grads)
        assert params[k][0] == before - 2


def test_gradients_that_kernels_can_read_are_taken(rng):
    params = [np.zeros((6, 4)) for _ in range(10)]
    optimizer = gd.SGD(params, lr=1.0)
    shared = np.ones((6, 4))
    readonly = np.ones((6, 4))
    readonly.flags.writeable = False
    unpickled = pickle.loads(pickle.dumps(np.ones((6, 4))))  # whose dtype is another object
    mapped = np.ones((6, 4)).view(np.memmap)
    assert optimizer.step([shared] * 5 + [readonly, unpickled, None, shared[:], np.ones((12, 4))[6:]])
    assert optimizer.step([shared] * 9 + [mapped])
    assert [p[0, 0] for p in params] == [-2.0] * 7 + [-1.0] + [-2.0] * 2


FAULTS = {
    "dtype": lambda p: np.ones_like(p, np.float64),
    "byte order": lambda p: np.ones(p.shape, ">f4"),
    "integer": lambda p: np.ones_like(p, np.int32),
    "shape": lambda p: np.ones((p.shape[1], p.shape[0]), p.dtype),
    "dimensions": lambda p: np.ones(p.size, p.dtype),
    "strides": lambda p: np.ones((p.shape[0], 2 * p.shape[1]), p.dtype)[:, ::2],
    "masked": lambda p: np.ma.masked_array(np.ones_like(p)),
    "misaligned": lambda p: np.zeros(p.nbytes + 1, np.uint8)[1:].view(p.dtype).reshape(p.shape),
    "a list": lambda p: p.tolist(),
    "a number": lambda p: 1.0,
    "the parameter": lambda p: p,
    "part of it": lambda p: p.reshape(-1)[:].reshape(p.shape),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_gradient_raises_and_changes_nothing(fault):
    params = [np.full((3, 4), 0.5, np.float32) for _ in range(12)]
    optimizer = gd.Adam(params)
    grads = [np.ones_like(p) for p in params]
    optimizer.step(grads)
    before, saved = [p.copy() for p in params], optimizer.state_dict()
    for k in (0, 5, 11):
        bad = [*grads]
        bad[k] = FAULTS[fault](params[(k + 1) % 12])
        with pytest.raises((TypeError, ValueError), match=rf"^Adam.step: grads\[{k}\]"):
            optimizer.step(bad)
    for bad in (grads[:-1], [*grads, grads[0]], dict(enumerate(grads[1:])), 1.0):
        with pytest.raises((TypeError, ValueError), match=r"^Adam.step: grads"):
            optimizer.step(bad)
    assert all(np.array_equal(*pair) for pair in zip(params, before, strict=True))
    assert same(optimizer.state_dict(), saved)
    assert optimizer.step([None] * 12) is False


def test_a_schedule_that_raises_changes_nothing():
    params = [np.ones(3) for _ in range(10)]
    optimizer = gd.SGD(params, lr=0.5, groups=[{"params": [9], "lr": lambda step: -1.0}])
    with pytest.raises(ValueError, match=r"SGD.step: lr\(0\)"):
        optimizer.step([np.ones(3) for _ in range(10)])
    assert all((p == 1).all() for p in params)
    assert optimizer.steps == 0


def test_python_threads_step_their_own_lists(rng):
    start = [rng.standard_normal(500) for _ in range(40)]
    grads = [rng.standard_normal(500) for _ in range(40)]
    results = [copy.deepcopy(start) for _ in range(6)]

    def work(params):
        optimizer = gd.Adam(params)
        for _ in range(50):
            optimizer.step([g.copy() for g in grads])

    workers = [threading.Thread(target=work, args=(each,)) for each in results]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for each in results[1:]:
        assert all(np.array_equal(*pair) for pair in zip(each, results[0], strict=True))


@pytest.mark.parametrize("written", [True, False])
def test_new_gradients_that_overlap_are_found_wherever_they_lie(written, rng):
    base = np.zeros(20 * 60)
    params = [base[60 * k : 60 * k + 20] for k in range(20)]
    optimizer = gd.Adam(params, zero_grads=written)
    good = [base[60 * k + 20 : 60 * k + 40] for k in range(20)]
    optimizer.step(good)
    for k in (0, 7, 19):
        for shift in (-1, 1, 19):
            bad = list(good)
            bad[k] = base[60 * k + shift : 60 * k + shift + 20] if k or shift > 0 else params[0]
            with pytest.raises(ValueError, match="overlaps"):
                optimizer.step(bad)
    twice = [*good[:-1], good[0]]
    if written:
        with pytest.raises(ValueError, match="overlaps"):
            optimizer.step(twice)
    else:
        assert optimizer.step(twice)
