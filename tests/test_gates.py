"""Gates: what they take has the bits of the Python path, what they refuse has changed nothing."""

import copy
import itertools
import pickle
import sys
import threading
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest

import gd
from gd.activations.functions import ACTIVATIONS
from gd.kernels import gates, settings
from gd.kernels.array_layout import KNOWN, PLACED_FROM
from gd.kernels.compiler import splitting
from gd.optimizers import OPTIMIZERS

pytestmark = pytest.mark.skipif(not gates.OPEN, reason="there are no gates here")
NAMES = ("leaky_relu", "hard_tanh", "softmax", "tanh")
CALLS = 3_000
MANY_CALLS = 40_000


def test_there_are_gates_on_this_platform():
    assert (KNOWN and not settings.DEBUG) == gates.OPEN


def arrays(rng):
    """Return arrays and other objects, most of them plain, which share memory in part."""
    base = rng.standard_normal(64).astype(rng.choice(["f4", "f8"]))
    other = base.astype("f8" if base.dtype == "f4" else "f4")
    frozen = base[:24].copy()
    frozen.flags.writeable = False
    odd = np.empty(24 * base.itemsize + 1, np.uint8)[1:].view(base.dtype)
    odd[:] = base[:24]
    plain = [base[:24], base[24:48], base[:24].reshape(4, 6), base[24:48].reshape(4, 6), base[:24].copy()]
    return plain * 3 + [
        *(base[8:32], base[:48:2], base[:0], base[0], base[:1], base[:24].reshape(4, 6).T, base[:24].reshape(2, 3, 4)),
        *(other[:24], base[:24].astype(">f4"), base[:24].astype("f2"), np.arange(24), frozen, odd),
        *(base[:24].view(np.matrix), np.ma.masked_array(base[:24]), pickle.loads(pickle.dumps(base[:24]))),
        *(list(base[:24]), 3.0, None, "x", base[:24].view(np.recarray)),
    ]


def parameters(rng, names):
    values = (0.5, 1.5, 0.0, -1.0, 1e-320, 1e60, np.nan, np.inf, 1, True, np.float32(0.5), np.float64(0.5), "1", None)
    given = {name: values[rng.integers(len(values))] for name in names if rng.random() < 0.5}
    return given | ({"other": 1.0} if rng.random() < 0.02 else {})


def outcome(function, seed, places, given):
    """Return what a call with objects at these places of a pool returns or raises, and the bytes of all arrays then."""
    pool = arrays(np.random.default_rng(seed))
    *operands, out = (None if place is None else pool[place] for place in places)
    try:
        y = function(*operands, out, **given)
        result = type(y), y.dtype, y.shape, y.tobytes(), y is out
    except (TypeError, ValueError) as error:
        result = type(error), str(error)
    return result, [each.tobytes() for each in pool if isinstance(each, np.ndarray)]


def compare(calls, rng):
    """Make random calls twice, with closed and open gates; return how many of them a gate took."""
    taken = [0]
    for _ in range(calls):
        activation = ACTIVATIONS[NAMES[rng.integers(len(NAMES))]]
        form = rng.integers(3 if activation.backward_from_output else 2)
        function = (activation.forward, activation.backward, activation.backward_from_output)[form]
        seed, size = rng.integers(2**32), len(arrays(rng))
        places = [rng.integers(15 if rng.random() < 0.8 else size) for _ in range(2 + (form > 0))]
        places[-1] = places[-1] if rng.random() < 0.5 else None
        given = parameters(rng, activation.parameters) if rng.random() < 0.5 else {}
        with closed():
            expected = outcome(function, seed, places, given)
        gate, enter = activation._gates[form], activation._gates[form].enter
        if enter is not gates.refuse:
            gate.enter = lambda *call, enter=enter: counted(taken, enter(*call))
        found = outcome(function, seed, places, given)
        if enter is not gates.refuse:
            gate.enter = enter
        assert found == expected, (function, places, given)
    return taken[0]


def counted(taken, result):
    taken[0] += result is not None
    return result


@contextmanager
def closed():
    gates.close()
    try:
        yield
    finally:
        gates.close(-1)


def test_random_calls_end_as_in_python(rng):
    assert compare(CALLS, rng) > CALLS / 10


def test_many_random_calls_end_as_in_python(rng):
    assert compare(MANY_CALLS, rng) > MANY_CALLS / 10


def loss_of(function, arguments, options):
    try:
        value, gradient = function(*arguments, **options)
        return repr(value), gradient.dtype, gradient.shape, gradient.tobytes(), gradient is options.get("out")
    except (TypeError, ValueError) as error:
        return type(error), str(error)


@pytest.mark.parametrize(
    "function, options",
    [
        (gd.huber, [{}, {"delta": 0.5}, {"delta": -1.0}, {"delta": 2}, {"delta": np.nan}, {"reduction": "sum"}]),
        (gd.binary_cross_entropy_with_logits, [{}]),
        (gd.softmax_cross_entropy, [{}, {"label_smoothing": 0.1}, {"ignore_index": 1}]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_losses_end_as_in_python(function, options, rng):
    for shape, dtype in itertools.product([(5, 7), (3, 2), (1_300, 3), (80, 130), (1, 1), (0, 3)], ("f4", "f8")):
        p, other = rng.standard_normal((2, *shape)).astype(dtype)
        if function is gd.softmax_cross_entropy:
            label = rng.integers(0, shape[1], shape[0])
            wrong = label.copy()
            wrong[:1] = shape[1]
            targets = [label, wrong, -1 - label, label.astype("i4"), label[1:], label.astype(dtype), label.tolist()]
        else:
            targets = [(other > 0).astype(dtype), other, other[1:], other.astype("f2"), p, None, other.T]
        for target, each in itertools.product(targets, options):
            for out in (None, "new", "p", "target", "part"):
                found = []
                for is_open in (False, True, True):
                    memory = np.concatenate((p.reshape(-1), np.zeros(8, dtype)))
                    own, t = memory[: p.size].reshape(shape), copy.copy(target)
                    place = {"new": np.ones_like(p), "p": own, "target": t, "part": memory[8:].reshape(shape)}
                    given = each | ({} if out is None else {"out": place[out]})
                    with nullcontext() if is_open else closed():
                        result = loss_of(function, (own, t), given)
                    found.append((result, memory.tobytes(), t.tobytes() if isinstance(t, np.ndarray) else t))
                assert found[0] == found[1] == found[2], (shape, dtype, target, given)


@pytest.mark.parametrize("name", ["tanh", "tanh_backward", "softmax"])
def test_large_arrays_pass_and_their_results_are_aligned(name, rng):
    function, sizes = getattr(gd, name), ((7_001, 3), (300, 200), (1_000, 100))
    for shape in sizes:
        operands = rng.standard_normal((1 + name.endswith("backward"), *shape)).astype(np.float32)
        with closed():
            expected = function(*operands)
        for _ in range(3):
            y = function(*operands)
            assert y.tobytes() == expected.tobytes()
            assert y.shape == shape
            assert y.flags.writeable
            assert y.ctypes.data % 4096 == 2048 or y.nbytes < PLACED_FROM
        own = operands[-1].copy()
        assert function(*operands[:-1], own, out=own) is own
        assert np.array_equal(own, expected)
        memory = np.zeros(2 * own.size, np.float32)
        x, out = memory[: own.size].reshape(shape), memory[1 : 1 + own.size].reshape(shape)
        with pytest.raises(ValueError, match="overlaps"):
            function(*operands[:-1], x, out=out)
        assert not memory.any()


def test_results_are_new_arrays_that_nobody_else_counts():
    x = np.ones(10, np.float32)
    gd.relu(x)
    before = sys.getrefcount(x), sys.getrefcount(x.dtype), sys.getrefcount(None)
    for _ in range(1_000):
        y = gd.relu(x)
    count = sys.getrefcount(y)
    assert (y.base, y.flags.owndata, count) == (None, True, 2)
    after = sys.getrefcount(x), sys.getrefcount(x.dtype), sys.getrefcount(None)
    assert np.abs(np.subtract(after, before)).max() < 100  # NumPy's dtype objects and None have other users


def test_observers_and_splitting_see_all_calls():
    x = np.ones(10, np.float32)
    gd.relu(x)
    with gd.profile() as profile:
        gd.relu(x)
    assert [row.calls for row in profile.rows] == [1]
    assert ACTIVATIONS["relu"]._gates[0].enter(0, None, x) is not None
    with splitting(1):
        assert ACTIVATIONS["relu"]._gates[0].enter(0, None, x) is None


def steps(optimizers, shapes, rng, count=6):
    """Take steps of both optimizers, one with closed gates; return their parameters."""
    made = []
    for cls, options in optimizers:
        params = {f"p{k}": np.ones(shape, np.float32) for k, shape in enumerate(shapes)}
        made.append(cls(params, **options))
    for _ in range(count):
        grads = {key: rng.standard_normal(p.shape).astype(np.float32) for key, p in made[0].params.items()}
        with closed():
            made[0].step(grads)
        made[1].step(grads)
    return made


@pytest.mark.parametrize("name", ["SGD", "Adam", "RAdam", "AdEMAMix", "ASGD", "Rprop", "LAMB"])
def test_steps_have_the_bits_of_python(name, rng):
    cls = OPTIMIZERS[name]
    options = {"l1": 0.01, "clip_value": 1.0}
    a, b = steps([(cls, options)] * 2, [(3,), (2, 5), (), (0,)], rng)
    assert a.steps == b.steps == 6
    for key, p in a.params.items():
        assert p.tobytes() == b.params[key].tobytes()
    for key, value in a.state_dict().items():
        assert np.array_equal(value, b.state_dict()[key], equal_nan=True)


def test_steps_with_schedules_and_copies_have_the_bits_of_python(rng):
    options = {"lr": lambda t: 0.1 / (1 + t)}
    a, b = steps([(gd.Adam, options)] * 2, [(3,), (2, 5)], rng)
    assert b._small._enter is not gates.refuse
    again = copy.deepcopy(b)
    grads = {key: np.ones_like(p) for key, p in b.params.items()}
    before = {key: p.copy() for key, p in b.params.items()}
    for _ in range(3):
        again.step(grads)
    assert all(np.array_equal(p, b.params[key]) for key, p in before.items())
    a.step(grads)
    b.step(grads)
    assert all(np.array_equal(p, b.params[key]) for key, p in a.params.items())
    assert b.steps == 7
    assert again.steps == 9


def test_what_does_not_fit_a_step_is_refused_in_python():
    p = np.ones((2, 3), np.float32)
    optimizer = gd.Adam({"a": p, "b": np.ones(4, np.float32)})
    good = {"a": np.ones((2, 3), np.float32), "b": np.ones(4, np.float32)}
    for _ in range(3):
        optimizer.step(good)
    before, steps = p.copy(), optimizer.steps
    for key, bad, message in (
        ("a", np.ones((3, 2), np.float32), "has shape"),
        ("a", np.ones((2, 3)), "has dtype"),
        ("a", p, "overlaps"),
        ("b", p.reshape(-1)[2:], "overlaps"),
        ("a", [1.0], "must be a NumPy array"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            optimizer.step(good | {key: bad})
    with pytest.raises(ValueError, match="unknown grads"):
        optimizer.step(good | {"c": p})
    with pytest.raises(ValueError, match="none for"):
        optimizer.step({"a": good["a"]})
    p.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        optimizer.step(good)
    p.flags.writeable = True
    assert np.array_equal(p, before)
    assert optimizer.steps == steps
    optimizer.step(dict(reversed(good.items())))  # in another order
    optimizer.step(good | {"b": None})
    assert optimizer.steps == steps + 2
    assert optimizer.state_dict()["a.step"] == optimizer.state_dict()["b.step"] + 1
    optimizer.step(good)
    assert optimizer.steps == steps + 3


def test_a_shape_that_the_user_changes_is_not_that_of_gradients():
    p = np.ones((2, 3), np.float32)
    optimizer = gd.SGD(p, lr=1.0)
    for _ in range(3):
        optimizer.step(np.ones((2, 3), np.float32))
    p.shape = (6,)
    with pytest.raises(ValueError, match="has shape"):
        optimizer.step(np.ones(6, np.float32))
    optimizer.step(np.ones((2, 3), np.float32))
    assert p.tolist() == [-3.0] * 6


def test_averages_and_accumulated_gradients_go_on_in_python():
    p, g = np.ones(3, np.float32), np.ones(3, np.float32)
    optimizer = gd.SGD(p, lr=1.0, ema=0.5)
    for _ in range(3):
        optimizer.step(g)
    optimizer.accumulate(g)
    optimizer.step(g)
    assert p.tolist() == [-4.0] * 3
    optimizer.step(g)
    assert p.tolist() == [-5.0] * 3
    with gd.averaged(optimizer), pytest.raises(RuntimeError, match="averages"):
        optimizer.step(g)
    optimizer.step(g)
    assert p.tolist() == [-6.0] * 3


def test_parameter_vectors_step_by_vectors_of_their_names(rng):
    shapes = {"W": (2, 3), "b": (3,)}
    made = [gd.Adam(gd.ParameterVector(shapes)) for _ in range(2)]
    for k in range(6):
        grads = gd.ParameterVector(shapes)
        grads.vector[:] = rng.standard_normal(9)
        given = grads if k % 2 else grads.vector
        with closed():
            made[0].step(given)
        made[1].step(given)
    assert made[1]._small._enter is not gates.refuse
    assert np.array_equal(made[0].params.vector, made[1].params.vector)
    before = made[1].params.vector.copy()
    made[1].params["b"].flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        made[1].step(grads)
    made[1].params["b"].flags.writeable = True
    with pytest.raises(ValueError, match="has shapes"):
        made[1].step(gd.ParameterVector({"W": (3, 2), "b": (3,)}))
    assert np.array_equal(before, made[1].params.vector)
    other = gd.ParameterVector(dict(reversed(shapes.items())))
    other["b"][:], made[1].params.vector[:] = 1, 0
    made[1].step(other)
    assert made[1].params["b"].all()


def test_threads_may_call_gates_at_once():
    x = np.linspace(-3, 3, 5_000, dtype=np.float32)  # long enough to release the GIL
    expected, wrong = gd.tanh(x), []

    def work():
        wrong.extend(k for k in range(200) if not np.array_equal(gd.tanh(x), expected))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong


@pytest.mark.parametrize(
    "options", [{"clip_norm": 0.5}, {"skip_nonfinite": True}, {"clip_norm_each": 0.1}, {"clip_norm": 0.5, "l2": 0.1}]
)
@pytest.mark.parametrize("shapes", [[(100,)], [(7,), (50, 50), (3,)]])
def test_steps_that_need_norms_pass_a_gate_with_the_bits_of_python(options, shapes, rng, monkeypatch):
    params = [rng.standard_normal(shape).astype("f4") for shape in shapes]
    one = len(shapes) == 1
    made = [gd.Adam(each[0] if one else each, **options) for each in (params, copy.deepcopy(params))]
    for _ in range(8):
        grads = [rng.standard_normal(shape).astype("f4") for shape in shapes]
        made[0].step(grads[0] if one else grads, grad_scale=0.5)
        with closed():
            made[1].step(grads[0] if one else grads, grad_scale=0.5)
        assert made[0].grad_norm == made[1].grad_norm
    for p, q in zip(params, [made[1].params] if one else made[1].params, strict=True):
        assert p.tobytes() == q.tobytes()
    if one or "clip_norm_each" not in options:
        monkeypatch.setattr(made[0]._steps, "take", None)
        assert made[0].step(grads[0] if one else grads)
    if "skip_nonfinite" in options:
        monkeypatch.undo()
        grads[0][0] = np.nan
        assert not made[0].step(grads[0] if one else grads)
