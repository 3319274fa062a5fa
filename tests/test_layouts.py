"""Parameters of every shape and memory layout: single numbers, arrays without elements, transposed and other orders."""

import copy
import pickle

import numpy as np
import pytest
from communicators import Communicator

import gd
from gd.optimizers import OPTIMIZERS

NAMES = sorted(OPTIMIZERS)
ELEMENTWISE = [name for name in NAMES if not OPTIMIZERS[name].trust_norms]


# --- Single numbers and arrays without elements


@pytest.mark.parametrize("name", NAMES)
def test_numbers_and_empty_arrays_step_like_others(name, rng):
    full = [rng.standard_normal(3), rng.standard_normal(1)]
    params = [full[0].copy(), np.ones((0, 3)), full[1].reshape(()).copy(), np.ones(0)]
    optimizer, other = OPTIMIZERS[name](params), OPTIMIZERS[name](full)
    for _ in range(3):
        g = [rng.standard_normal(3), rng.standard_normal(1)]
        optimizer.step([g[0], np.ones((0, 3)), g[1].reshape(()), np.ones(0)])
        other.step(g)
    assert np.array_equal(params[0], full[0])
    assert params[2].shape == ()
    assert params[2] == full[1][0]
    clone = pickle.loads(pickle.dumps(optimizer))
    assert {key: np.shape(each) for key, each in clone.state_dict().items()} == {
        key: np.shape(each) for key, each in optimizer.state_dict().items()
    }


@pytest.mark.parametrize(
    "options",
    [
        {"clip_norm": 1.0, "skip_nonfinite": True, "ema": 0.5},
        {"state_dtype": "int8", "zero_grads": True, "track_norms": True},
        {"state_dtype": "bfloat16"},
    ],
    ids=lambda options: "-".join(options),
)
@pytest.mark.parametrize("count", [1, 3, 12])
def test_options_take_empty_arrays(options, count):
    params = [np.ones((), np.float32), np.ones((2, 0), np.float32), np.ones(3, np.float32)] * 4
    params = [p.copy() for p in params[-count:]]
    optimizer = gd.Adam(params, lr=0.5, **options)
    assert optimizer.step([np.ones_like(p) for p in params])
    assert all(p.size == 0 or abs(p - 0.5).max() < 0.01 for p in params)
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.accumulate([np.ones_like(p) for p in params])
    assert optimizer.step()
    only = gd.Adam(np.ones((0, 3)), **options)
    assert only.step(np.ones((0, 3)))
    assert only.steps == 1


def test_a_number_takes_the_scalars_that_numpy_computes():
    p = np.array(3.0)
    optimizer = gd.SGD(p, lr=0.25)
    for _ in range(2):
        assert optimizer.step(2 * (p - 1))  # a np.float64
    assert p == 1.5
    both = gd.SGD([p, np.ones(2)], lr=0.25)
    assert both.step([2 * (p - 1), None])
    assert p == 1.25
    for bad in (1.0, np.float32(1), np.ones(1)):
        with pytest.raises((TypeError, ValueError), match=r"SGD\.step: grads"):
            optimizer.step(bad)
    with pytest.raises(TypeError, match="grads must be a NumPy array, got float64"):  # it could not be set to 0
        gd.SGD(p, zero_grads=True).step(np.float64(1))


def test_an_empty_array_overlaps_nothing(rng):
    x = rng.standard_normal(20)
    params = [x[4:4], x[:8], x[0:0], *(np.ones(1) for _ in range(8))]
    optimizer = gd.SGD(params, lr=1.0)
    others = [np.ones(1)] * 8
    for _ in range(2):
        with pytest.raises(ValueError, match=r"grads\[1\] overlaps params\[1\]"):
            optimizer.step([np.ones(0), x[2:10], x[3:3], *others])
    assert optimizer.step([x[5:5], np.ones(8), None, *others])


def test_parameter_vectors_hold_numbers_and_empty_arrays(rng):
    parameters = gd.ParameterVector.from_arrays({"scale": np.array(2.0), "none": np.ones((0, 4)), "b": np.ones(3)})
    assert parameters.shapes == {"scale": (), "none": (0, 4), "b": (3,)}
    assert parameters.vector.tolist() == [2, 1, 1, 1]
    optimizer = gd.LAMB(parameters, lr=0.5)
    assert optimizer.step({"scale": np.array(1.0), "none": np.ones((0, 4)), "b": np.ones(3)})
    np.testing.assert_allclose(parameters.vector, [1.0, 0.5, 0.5, 0.5], rtol=1e-5)
    assert copy.deepcopy(optimizer).params["scale"] == parameters["scale"]
    assert gd.ParameterVector({"a": ()})["a"].shape == ()
    with pytest.raises(ValueError, match=r"shapes\['a'\] must be integers, 0 or above, got \(-1,\)"):
        gd.ParameterVector({"a": (-1,)})


def test_a_state_folder_and_rows_of_empty_arrays(tmp_path):
    params = [np.ones(0), np.ones(3)]
    for _ in range(2):
        with gd.Adam(params, lr=0.25, state_dir=tmp_path / "state") as optimizer:
            optimizer.step([np.ones(0), np.ones(3)])
    np.testing.assert_allclose(params[1], 0.5, rtol=1e-6)
    for rows in (0, 2):
        optimizer = gd.Adam(np.ones((3, 0)))
        assert optimizer.step_rows(None, np.arange(rows), np.ones((rows, 0)))
    assert gd.Adam(np.ones((0, 3))).step_rows(None, np.arange(0), np.ones((0, 3)))


def test_numbers_and_empty_tensors_step_as_in_torch():
    torch = pytest.importorskip("torch")
    theirs = [
        torch.ones(0, 3, requires_grad=True),
        torch.ones(2, requires_grad=True),
        torch.tensor(1.0).requires_grad_(),
    ]
    ours = [p.detach().clone() for p in theirs]
    their_optimizer, optimizer = torch.optim.Adam(theirs), gd.Adam(ours)
    for turn in range(2):
        for p in theirs:
            p.grad = torch.full_like(p, 0.5)
        their_optimizer.step()
        optimizer.step([torch.full_like(p, 0.5) for p in ours])
        if turn == 0:
            gd.pytorch.to_torch(optimizer, their_optimizer)
            gd.pytorch.from_torch(their_optimizer, optimizer)
    for p, q in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.numpy(), rtol=1e-6)


# --- Axes in another order in memory


def ordered(array, order):
    """Return a copy of an array whose memory has its axes in an order, the slowest first."""
    return array.transpose(order).copy().transpose(np.argsort(order))


ORDERS = {"W": (1, 0), "K": (0, 2, 3, 1), "T": (2, 0, 1), "b": (0,)}  # a transposed matrix, channels_last, some other
SHAPES = {"W": (5, 7), "K": (4, 3, 2, 5), "T": (3, 4, 6), "b": (9,)}


def both(rng, dtype=np.float64, keys=SHAPES):
    """Return random arrays in C order, and the same in other orders."""
    arrays = {key: rng.standard_normal(SHAPES[key]).astype(dtype) for key in keys}
    return arrays, {key: ordered(array, ORDERS[key]) for key, array in arrays.items()}


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


OPTIONS = [
    {},
    {"ema": 0.5, "clip_value": 0.5, "l1": 0.01, "l2": 0.1, "weight_decay": 0.1},
    {"zero_grads": True},
    {"groups": [{"params": ["K"], "lr": 0.3}]},
]


@pytest.mark.parametrize("name, options", [*((name, {}) for name in NAMES), *(("Adam", each) for each in OPTIONS[1:])])
def test_arrays_in_any_order_of_memory_step_as_in_c_order(name, options, rng):
    """Element for element; norms, which follow memory, to rounding."""
    plain, others = both(rng)
    optimizer, other = OPTIMIZERS[name](plain, **options), OPTIMIZERS[name](others, **options)
    for turn in range(3):
        g, in_order = both(rng)
        optimizer.step({key: each.copy() for key, each in g.items()})
        given = in_order if turn != 1 else g  # in the order of params or in C order
        other.step(given)
        if "zero_grads" in options:
            assert not any(each.any() for each in given.values())
    state, others_state = optimizer.state_dict(), other.state_dict()
    if name in ELEMENTWISE:
        assert same(plain, others)
        assert same(state, others_state)
    for key, array in others.items():
        np.testing.assert_allclose(array, plain[key], rtol=1e-12)
        assert array.flags.c_contiguous is (key == "b")
    other.load_state_dict(state)  # states do not depend on the order
    optimizer.load_state_dict(others_state)
    if "ema" in options:
        assert same(optimizer.ema_params(), other.ema_params())
    if hasattr(optimizer, "averaged_params") and name in ELEMENTWISE:
        assert same(optimizer.averaged_params(), other.averaged_params())


@pytest.mark.parametrize(
    "name, options",
    [
        *((name, {"state_dtype": "int8"}) for name in ELEMENTWISE),
        ("Adam", {"state_dtype": "bfloat16"}),
        ("LAMB", {}),
        ("Adam", {"clip_norm": 1.0, "track_norms": True}),
    ],
)
def test_a_step_is_that_of_the_memory(name, options, rng):
    """Also where blocks and norms follow it: bit for bit that of the transposed arrays, which are in C order."""
    _, params = both(rng, np.float32)
    memory = {key: p.transpose(ORDERS[key]).copy() for key, p in params.items()}
    optimizer, other = OPTIMIZERS[name](params, **options), OPTIMIZERS[name](memory, **options)
    for _ in range(3):
        _, g = both(rng, np.float32)
        optimizer.step(g)
        other.step({key: each.transpose(ORDERS[key]).copy() for key, each in g.items()})
    assert all(np.array_equal(params[key].transpose(ORDERS[key]), memory[key]) for key in params)
    assert optimizer.norms == other.norms
    assert optimizer.grad_norm == other.grad_norm


def test_states_in_8_bits_go_back_only_to_the_same_order(rng):
    plain, others = both(rng, np.float32, ["W"])
    optimizer, other = (gd.Adam(each, state_dtype="int8") for each in (plain, others))
    for each in (optimizer, other):
        each.step({"W": np.ones((5, 7), np.float32)})
    other.load_state_dict(other.state_dict())
    assert same(pickle.loads(pickle.dumps(other)).state_dict(), other.state_dict())
    with pytest.raises(KeyError, match=r"does not match this optimizer in W.exp_avg, W.exp_avg.axes_1_0"):
        other.load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("kind", ["one", "list", "tuple", "dict"])
def test_states_in_8_bits_are_pickled_with_the_order_of_their_parameters(kind, protocol, rng):
    _, given = both(rng, np.float32, ["K", "W", "b"])
    wrapped = {"one": lambda g: g["K"], "list": lambda g: list(g.values()), "tuple": lambda g: (*g.values(),)}
    wrap = wrapped.get(kind, dict)
    optimizer = gd.Adam(wrap(given), lr=0.1, state_dtype="int8")
    optimizer.step(wrap(both(rng, np.float32, ["K", "W", "b"])[1]))
    params, other = pickle.loads(pickle.dumps((optimizer.params, optimizer), protocol))
    if kind in ("list", "dict"):
        assert params is other.params
    g = wrap(both(rng, np.float32, ["K", "W", "b"])[1])
    for each in (optimizer, other):
        each.step(g)
    assert same(other.state_dict(), optimizer.state_dict())
    for p, q in zip(*(arrays_in(each.params) for each in (optimizer, other)), strict=True):
        assert np.array_equal(p, q)


def arrays_in(params):
    return [array for _, array in gd.parameters.entries("test", "params", params).values()]


@pytest.mark.parametrize("kind", ["array", "many", "bfloat16", "accumulated", "folder"])
def test_every_way_to_step_follows_memory(kind, rng, tmp_path):
    shapes = [(6, 4)] * (12 if kind == "many" else 1)
    plain = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    options = {"param_dtype": "bfloat16", "master_weights": True} if kind == "bfloat16" else {}
    if kind == "bfloat16":
        plain = [(p.view(np.uint32) >> 16).astype(np.uint16) for p in plain]
    others = [np.asfortranarray(p) for p in plain]
    if kind in ("array", "folder"):
        plain, others = plain[0], others[0]
    folder = (lambda name: {"state_dir": tmp_path / name}) if kind == "folder" else (lambda name: options)
    optimizer, other = gd.Adam(plain, **folder("a")), gd.Adam(others, **folder("b"))
    for turn in range(4):
        g = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
        g_others = [np.asfortranarray(each) if turn % 2 else each for each in g]
        if kind in ("array", "folder"):
            g, g_others = g[0], g_others[0]
        if kind == "accumulated":
            optimizer.accumulate(g)
            other.accumulate(g_others)
        optimizer.step(g)
        other.step(g_others)
    assert np.array_equal(plain, others)
    assert same(optimizer.state_dict(), other.state_dict())
    for copied in (copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))) if kind != "folder" else ():
        clones = copied(optimizer), copied(other)
        for clone in clones:
            clone.step(g)
        assert np.array_equal(clones[0].params, clones[1].params)
        assert not np.array_equal(clones[1].params, others)


def test_a_c_ordered_gradient_among_many_is_not_taken_for_memory(rng):
    params = [np.asfortranarray(rng.standard_normal((4, 4))) for _ in range(10)]
    expected, optimizer = [p.copy() for p in params], gd.SGD(params, lr=1.0)
    assert optimizer._steps._list is not None
    for turn in range(2):
        g = [rng.standard_normal((4, 4)) for _ in range(10)]
        optimizer.step([np.asfortranarray(each) if turn else each for each in g])
        expected = [p - each for p, each in zip(expected, g, strict=True)]
    assert all(np.array_equal(*pair) for pair in zip(params, expected, strict=True))


@pytest.mark.parametrize("name, options", [("Adam", {}), ("Adam", {"ema": 0.5, "clip_norm": 0.1}), ("SGD", {})])
def test_rows_of_a_transposed_matrix_step(name, options, rng):
    plain = rng.standard_normal((6, 4))
    other = np.asfortranarray(plain)
    optimizers = [OPTIMIZERS[name](p, lr=0.1, **options) for p in (plain, other)]
    for _ in range(3):
        rows, g = rng.integers(0, 6, 5), rng.standard_normal((5, 4))
        optimizers[0].step_rows(None, rows, g)
        optimizers[1].step_rows(None, rows, np.asfortranarray(g))
    np.testing.assert_allclose(other, plain, rtol=1e-14)
    assert optimizers[0].state_dict().keys() == optimizers[1].state_dict().keys()


def test_a_state_folder_knows_the_order_of_its_arrays(tmp_path):
    with gd.Adam(np.ones((3, 2)).T, state_dir=tmp_path / "state") as optimizer:
        optimizer.step(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"does not hold exp_avg of params, 6 x float64"):
        gd.Adam(np.ones((2, 3)), state_dir=tmp_path / "state")
    with gd.Adam(np.ones((3, 2)).T, state_dir=tmp_path / "state") as optimizer:
        assert optimizer.steps == 1


@pytest.mark.parametrize("several", [False, True])
def test_ranks_exchange_arrays_in_c_order(several, rng, tmp_path):
    """So that a checkpoint of arrays in one order loads into those of another."""
    pytest.importorskip("safetensors")
    plain, others = both(rng)
    if not several:
        plain, others = plain["K"], others["K"]
    pair = [gd.Distributed(gd.Adam, params, Communicator(), ema=0.5) for params in (plain, others)]
    g, g_others = both(rng)
    pair[0].step(g if several else g["K"])
    pair[1].step(g_others if several else g_others["K"])
    assert same(pair[0].state_dict(), pair[1].state_dict())
    averages = [each.ema_params() for each in pair]
    assert same(plain, others) if several else np.array_equal(plain, others)
    assert same(*averages) if several else np.array_equal(*averages)
    pair[0].save(str(tmp_path / "saved"))
    pair[1].step(g_others if several else g_others["K"])
    pair[1].load(str(tmp_path / "saved"))
    assert same(plain, others) if several else np.array_equal(plain, others)


@pytest.mark.parametrize("kind", ["one", "list", "vector"])
def test_a_step_sets_its_gradients_to_zero_and_accumulate_only_reads(kind, rng):
    arrays, others = both(rng, keys="W" if kind == "one" else SHAPES)
    fixed, given = arrays, {key: each.copy(order="K") for key, each in others.items()}
    for each in fixed.values():
        each.flags.writeable = False
    params = gd.ParameterVector({key: each.shape for key, each in arrays.items()}, np.float64)
    params = {"one": np.zeros((5, 7)), "list": [np.zeros_like(each) for each in arrays.values()]}.get(kind, params)
    wrapped = {"one": lambda g: g["W"], "list": lambda g: list(g.values()), "vector": dict}[kind]
    optimizer = gd.SGD(params, lr=1.0, zero_grads=True, skip_nonfinite=True)
    optimizer.accumulate(wrapped(fixed))
    assert not optimizer.step(wrapped(given), grad_scale=1e308)  # is skipped, and keeps its gradients
    assert optimizer.step(
        params.zeros_like() if kind == "vector" else wrapped({key: np.zeros_like(each) for key, each in arrays.items()})
    )
    assert same(given, others)
    optimizer.accumulate(wrapped(fixed))
    assert optimizer.step(wrapped(given))
    assert not any(each.any() for each in given.values())
    stepped = params.values() if kind == "vector" else [params] if kind == "one" else params
    for p, g, h in zip(stepped, fixed.values(), others.values(), strict=True):
        assert np.array_equal(p, -(g + h))
    one = given["W"]
    overlapping = gd.SGD([np.zeros((5, 7)), np.zeros((5, 7))], zero_grads=True)
    overlapping.accumulate([one, one])
    with pytest.raises(ValueError, match="overlap"):  # also after they were read
        overlapping.step([one, one])


def test_strided_memory_is_refused_with_advice_that_keeps_the_data():
    x = np.ones((6, 4))
    for p in (x[::2], x[:, ::2], x[::-1], np.broadcast_to(np.ones(4), (6, 4)), x[:, :3].T):
        with pytest.raises(
            ValueError, match=r"Adam: params is not contiguous; it is written to, so keep the array that"
        ):
            gd.Adam(p)
        with pytest.raises(ValueError, match=r"SGD.step: grads is not contiguous; pass np.ascontiguousarray\(grads\)"):
            gd.SGD(np.ones(p.shape)).step(p)
    frozen = np.ones((2, 3)).T
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="grads is read-only"):  # it would be set to 0
        gd.SGD(np.ones((3, 2)), zero_grads=True).step(frozen)
    assert (x == 1).all()


@pytest.mark.parametrize("name", ["Adam", "RMSprop", "Adadelta", "NAdam"])
def test_channels_last_and_transposed_tensors_step_as_in_torch(name, rng):
    torch = pytest.importorskip("torch")

    def tensors():
        K = torch.tensor(rng.standard_normal(SHAPES["K"]).astype(np.float32))
        return [
            K.to(memory_format=torch.channels_last),
            torch.tensor(rng.standard_normal(SHAPES["W"]).astype(np.float32)).T,
        ]

    theirs = tensors()
    ours = [p.clone() for p in theirs]
    assert [p.stride() for p in ours] == [p.stride() for p in theirs]
    their_optimizer = getattr(torch.optim, name)([p.requires_grad_() for p in theirs], lr=0.01)
    optimizer = OPTIMIZERS[name](ours, lr=0.01)
    for turn in range(4):
        for p, g in zip(theirs, tensors(), strict=True):
            p.grad = g
        their_optimizer.step()
        optimizer.step([p.grad.contiguous() if turn % 2 else p.grad for p in theirs])
        if turn == 1:  # each goes on with the other's state
            state = optimizer.state_dict()
            gd.pytorch.to_torch(optimizer, their_optimizer)
            gd.pytorch.from_torch(their_optimizer, optimizer)
            assert same(optimizer.state_dict(), state)
    for p, q in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.numpy(), rtol=2e-5, atol=1e-6)
