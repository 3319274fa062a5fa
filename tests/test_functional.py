"""Functions of arrays that the caller owns: the same bits as an optimizer's steps, and nothing kept between calls."""

import inspect
import threading

import numpy as np
import pytest

import gd
from gd.functional import FUNCTIONS, function_of, initial_state
from gd.kernels import gates
from gd.optimizers import functions, one_by_one

OPTIONS = {
    "plain": {},
    "clip_norm": {"clip_norm": 0.5, "skip_nonfinite": True},
    "clip_norm_each": {"clip_norm_each": 0.1, "ema": 0.9},
    "both norms": {"clip_norm": 0.5, "clip_norm_each": 0.4},
    "stages": {"clip_value": 0.3, "l1": 0.01, "l2": 0.1, "weight_decay": 0.1, "maximize": True},
}


def taken(monkeypatch):
    """Return a list that grows with each call that goes on in Python."""
    calls = []
    step = functions.Rule.step
    monkeypatch.setattr(functions.Rule, "step", lambda *given: calls.append(given) or step(*given))
    return calls


def same_steps(name, options, shape, dtype, rng, count=4, **other):
    """Step by an optimizer and by its function; compare parameters and state after each step."""
    kind, function = one_by_one()[name], FUNCTIONS[name.lower()]
    p = np.array(rng.standard_normal(shape), dtype)
    q = p.copy()
    optimizer, state = kind(q, lr=0.01, **options, **other), initial_state(function, p, **options, **other)
    numbers = {"scalars": {}} if kind.scalars else {}
    for t in range(1, count + 1):
        g = np.array(rng.standard_normal(shape), dtype)
        optimizer.step(g, grad_scale=0.5)
        assert function(p, g, *state, t=t, lr=0.01, grad_scale=0.5, **options, **other, **numbers)
        assert p.tobytes() == q.tobytes()
        for slot, each in zip(optimizer._state.slots, state, strict=True):
            assert optimizer._state.copies(slot).tobytes() == each.tobytes()
    return optimizer


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", one_by_one())
def test_a_function_has_the_bits_of_the_optimizer(name, options, rng, dtype):
    same_steps(name, OPTIONS[options], (4, 25), dtype, rng)


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3_000,), (40_000,)])
@pytest.mark.parametrize("options", ["plain", "clip_norm"])
def test_sizes_with_the_bits_of_the_optimizer(options, shape, rng, dtype):
    same_steps("Adam", OPTIONS[options], shape, dtype, rng)


@pytest.mark.parametrize(
    "name, options",
    [
        ("Adam", {"amsgrad": True}),
        ("Adam", {"betas": [0.8, 0.9]}),
        ("SGD", {"momentum": 0.9, "nesterov": True}),
        ("SGD", {"momentum": 0.9, "l1": 0.1, "proximal": True}),
        ("RMSprop", {"momentum": 0.9, "centered": True}),
    ],
)
def test_options_may_ask_for_other_state(name, options, rng):
    same_steps(name, options, 30, np.float32, rng)


@pytest.mark.skipif(not gates.OPEN, reason="there are no gates here")
@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.1}, {"clip_norm_each": 0.1}, {"skip_nonfinite": True}])
@pytest.mark.parametrize("size", [100, 5_000, 50_000])
def test_plain_arrays_pass_a_gate_after_the_first(options, size, rng, monkeypatch):
    p, g, m, v = rng.standard_normal((4, size)).astype("f4")
    v = abs(v)
    calls = taken(monkeypatch)
    for t in range(1, 6):
        assert gd.functional.adam(p, g, m, v, t=t, betas=(0.9, 0.99), **options)
    assert len(calls) <= 1


def test_layouts_tensors_and_large_norms(rng):
    p = np.asfortranarray(rng.standard_normal((3, 4)))
    q, g = p.copy(), rng.standard_normal((3, 4))
    m, v = initial_state(gd.functional.adam, p)
    assert gd.functional.adam(p, g, m, v, t=1)
    gd.Adam(q).step(g)
    np.testing.assert_array_equal(p, q)
    huge, one = np.full(100, 1e38, np.float32), np.zeros(100, np.float32)
    other = one.copy()
    for _ in range(3):
        gd.functional.sgd(one, huge, t=1, lr=1.0, clip_norm=1.0)
        gd.SGD(other, lr=1.0, clip_norm=1.0).step(huge)
    assert one.tobytes() == other.tobytes()


def test_a_step_with_a_nan_is_skipped():
    p, g = np.ones(3), np.array([1.0, np.nan, 2.0])
    for _ in range(3):
        assert not gd.functional.sgd(p, g, t=1, skip_nonfinite=True)
    assert p.tolist() == [1, 1, 1]


def test_arrays_may_be_any_at_each_call(rng):
    sizes = [3, 100, 7_000]
    params = [rng.standard_normal(n) for n in sizes]
    copies = [p.copy() for p in params]
    states = [initial_state(gd.functional.nadam, p) for p in params]
    optimizer = gd.NAdam(copies)
    for t in range(1, 9):
        grads = [rng.standard_normal(n) for n in sizes]
        optimizer.step(grads)
        for p, g, state in zip(params, grads, states, strict=True):
            gd.functional.nadam(p, g, *state, t=t)
    assert all(np.array_equal(a, b) for a, b in zip(params, copies, strict=True))


def test_threads_may_call_one_function_at_once(rng):
    def work(k):
        p, m, v = ps[k], *states[k]
        for t in range(1, 300):
            gd.functional.adam(p, grads[k], m, v, t=t, lr=0.01 * (k + 1), clip_norm=1.0 + k, grad_scale=1.0 + k)

    grads = list(rng.standard_normal((4, 50)))
    results = []
    for threaded in (True, False):
        ps, states = [np.zeros(50) for _ in grads], [(np.zeros(50), np.zeros(50)) for _ in grads]
        threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        for each in threads:
            each.start() if threaded else each.run()
        for each in threads if threaded else ():
            each.join()
        results.append([p.tobytes() for p in ps])
    assert results[0] == results[1]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "change, error, match",
    [
        ({"p": 3}, TypeError, "adam: p must be a NumPy array"),
        ({"p": np.zeros(4, np.int64)}, TypeError, "adam: p has dtype int64"),
        ({"g": np.zeros(3)}, ValueError, r"adam: g has shape \(3,\), p has \(4,\)"),
        ({"g": None}, TypeError, "adam: g must be a NumPy array"),
        ({"g": np.zeros(4, np.float32)}, TypeError, "adam: g has dtype float32"),
        ({"m": np.zeros(4, np.float32)}, TypeError, r"adam: state\[0\] has dtype float32"),
        ({"v": np.zeros((2, 2))}, ValueError, r"adam: state\[1\] has shape"),
        ({"v": np.zeros(8)[::2]}, ValueError, r"adam: state\[1\] is not contiguous"),
        ({"v": "m"}, ValueError, "adam: .* overlaps .* in memory"),
        ({"g": "m"}, ValueError, "adam: .* overlaps .* in memory"),
        ({"g": "p"}, ValueError, "adam: g overlaps p in memory"),
        ({"t": 0}, ValueError, "adam: t must be"),
        ({"t": 1.5}, TypeError, "adam: t must be"),
        ({"lr": -1.0}, ValueError, "adam: lr must be"),
        ({"lr": abs}, TypeError, "adam: lr must be"),
        ({"betas": (0.9, 1.0)}, ValueError, r"adam: betas\[1\] must be"),
        ({"betas": (abs, 0.9)}, TypeError, "adam: betas must be a number, got a schedule"),
        ({"clip_norm": 0}, ValueError, "adam: clip_norm must be"),
        ({"zero_grads": True}, TypeError, "adam: unexpected keyword 'zero_grads'"),
        ({"nonsense": 1}, TypeError, "adam: unexpected keyword 'nonsense'"),
        ({"grad_scale": np.inf}, ValueError, "adam: grad_scale must be"),
        ({"scalars": {}}, TypeError, "adam: scalars must be left out"),
        ({"amsgrad": True}, TypeError, r"adam: state must be 3 arrays \(exp_avg, exp_avg_sq, max_exp_avg_sq\)"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_changes(change, error, match, first):
    good = {"p": np.ones(4), "g": np.ones(4), "m": np.ones(4), "v": np.ones(4), "t": 2}
    if not first:
        gd.functional.adam(*(np.ones(4) for _ in range(4)), t=1)
    given = good | {name: good[value] if isinstance(value, str) else value for name, value in change.items()}
    before = {name: each.tobytes() for name, each in given.items() if isinstance(each, np.ndarray)}
    arrays = [given.pop(name) for name in "pgmv"]
    with pytest.raises(error, match=match):
        gd.functional.adam(*arrays, **given)
    after = dict(zip("pgmv", arrays, strict=True))
    assert all(after[name].tobytes() == each for name, each in before.items())


def test_numbers_of_the_state_belong_to_the_caller():
    function, p = gd.functional.schedulefreeadamw, np.ones(3)
    state, numbers = initial_state(function, p), {}
    function(p, np.ones(3), *state, t=1, scalars=numbers)
    assert numbers.keys() == one_by_one()["ScheduleFreeAdamW"].scalars.keys()
    for wrong in (None, {"lr_max": 1.0}, [1.0]):
        with pytest.raises(TypeError, match="schedulefreeadamw: scalars must be"):
            function(p, np.ones(3), *state, t=2, scalars=wrong)


def test_signatures_and_documentation_are_those_of_the_classes():
    assert set(FUNCTIONS) == {name.lower() for name in one_by_one()}
    parameters = inspect.signature(gd.functional.adamw).parameters
    assert list(parameters)[:5] == ["p", "g", "state", "t", "lr"]
    own = inspect.signature(gd.AdamW).parameters
    for name in ("lr", "betas", "eps", "weight_decay"):
        assert parameters[name].default == own[name].default
    for name, function in FUNCTIONS.items():
        assert getattr(gd.functional, name) is function
        text = function.__doc__
        assert all(f"{each}" in text for each in ("p : ndarray", "*state", "grad_scale", "Returns"))
        assert "callable" not in text


def test_a_class_of_users_has_a_function_too():
    class Halving(gd.SGD):
        """Half of SGD's step."""

        def coefficients(self, t, lr):
            return super().coefficients(t, lr / 2)

    function, p = function_of(Halving), np.zeros(2)
    assert function(p, np.ones(2), t=1, lr=1.0)
    assert (function.__name__, p.tolist()) == ("halving", [-0.5, -0.5])
    with pytest.raises(TypeError, match="initial_state: function must be one of"):
        initial_state(abs, p)
