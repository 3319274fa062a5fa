"""States in bfloat16 and 8 bits, parameters in bfloat16: what is stored, what comes back, and how training goes on."""

import copy
import hashlib
import pickle

import numpy as np
import pytest

import gd
from gd import reference
from gd.checks.arrays import ALIGNMENT, PAGE, PLACED_FROM, address
from gd.kernels.compiler import splitting
from gd.kernels.storage import stored_size
from gd.optimizers import OPTIMIZERS

STORED = [name for name in OPTIMIZERS if OPTIMIZERS[name].elementwise]
STATEFUL = [name for name in STORED if OPTIMIZERS[name].slots != OPTIMIZERS[name].exact]
SMALL = ("bfloat16", "int8")
SIZES = [1, 7, 255, 256, 257, 1000, 5000]


def halves(x):
    """Return float32 numbers as bfloat16, cut off."""
    return (np.asarray(x, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def floats(stored, size):
    """Return a state array as floats."""
    if stored.dtype == np.uint16:
        return reference.from_bfloat16(stored)
    return reference.from_8_bits(stored, size) if stored.dtype.itemsize == 1 else stored


def kept(x, state_dtype, unsigned=False, seed=0):
    """Return numbers after they were stored once: the accumulator of Adagrad, or SGD's momentum, from a zero state."""
    p = np.zeros(x.size, np.float32)
    if unsigned:
        optimizer = gd.Adagrad(p, lr=0.0, state_dtype=state_dtype, seed=seed)
        optimizer.step(np.sqrt(x).astype(np.float32))
    else:
        optimizer = gd.SGD(p, lr=0.0, momentum=0.5, state_dtype=state_dtype, seed=seed)
        optimizer.step(x.astype(np.float32))
    (stored,) = (value for name, value in optimizer.state_dict().items() if name != "steps")
    return floats(stored, x.size)


# --- What is stored


@pytest.mark.parametrize("unsigned", [False, True])
@pytest.mark.parametrize("state_dtype", SMALL)
@pytest.mark.parametrize("size", SIZES)
def test_what_comes_back_is_next_to_what_was_stored(size, state_dtype, unsigned, rng):
    x = np.exp(rng.uniform(-6, 0, size)) * (1 if unsigned else rng.choice([-1, 1], size))
    x[rng.random(size) < 0.1] = 0
    found, step = kept(x, state_dtype, unsigned), 1 / 8 if state_dtype == "int8" else 1 / 128
    assert np.all(np.abs(found - x) <= 1.001 * step * np.abs(x) + 1e-7 * np.abs(x).max())
    if state_dtype == "int8":
        mantissa = 16 * np.frexp(found)[0]
        assert np.array_equal(mantissa, np.round(mantissa))  # four significant bits
    if not (unsigned and state_dtype == "int8"):
        assert np.array_equal(np.sign(found), np.sign(x))


@pytest.mark.parametrize("state_dtype", SMALL)
def test_rounding_is_right_in_the_mean(state_dtype, rng):
    x = np.exp(rng.uniform(-4, 0, 700))
    found = np.mean([kept(x, state_dtype, unsigned=True, seed=seed) for seed in range(400)], axis=0)
    step = 1 / 8 if state_dtype == "int8" else 1 / 128
    assert np.all(np.abs(found / x - 1) < 5 * step / 2 / np.sqrt(400) + 1e-6)


def test_small_numbers_become_zero_but_for_those_that_are_divided_by():
    x = np.zeros(300)
    x[:4] = 1.0, 1e-6, 1e-12, 0.0
    assert kept(x, "int8").tolist() == [1] + 299 * [0]
    found = kept(x, "int8", unsigned=True)
    assert found[0] == 1
    assert found[1] == pytest.approx(1e-6, rel=1 / 8)
    assert not found[256:].any()
    assert np.all((found[2:256] > 0) & (found[2:256] <= 2.0**-31))


@pytest.mark.parametrize("size", [1, 300])
def test_a_first_state_is_rounded_to_a_code(size):
    p = np.zeros(size, np.float32)
    stored = gd.Adagrad(p, initial_accumulator_value=0.1, state_dtype="int8").state_dict()["sum"]
    assert set(floats(stored, size)) == {0.1015625}


def test_bfloat16_is_that_of_torch(rng):
    torch = pytest.importorskip("torch")
    p, g = rng.standard_normal((2, 1000)).astype(np.float32)
    tensor = torch.from_numpy(p).to(torch.bfloat16)
    shared = tensor.view(torch.uint16).numpy()  # the tensor's memory
    gd.SGD(shared, lr=0.5, param_dtype="bfloat16").step(halves(g))
    expected = reference.from_bfloat16(halves(torch.from_numpy(p).to(torch.bfloat16).float().numpy()))
    expected = expected - np.float32(0.5) * reference.from_bfloat16(halves(g))
    lower, upper, _ = reference.bfloat16(expected)
    found = tensor.float().numpy()
    assert np.all((found == reference.from_bfloat16(lower)) | (found == reference.from_bfloat16(upper)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("state_dtype", SMALL)
def test_what_is_not_finite_does_not_get_lost(bad, state_dtype):
    x = np.linspace(1, 2, 600)
    x[300] = bad
    found = kept(x, state_dtype)
    assert not np.isfinite(found[300])
    assert np.all(np.isfinite(found[:256]))
    assert np.all(np.isfinite(found[512:]))


@pytest.mark.parametrize("scale", [1e-44, 1e-38, 1e-30, 1e30, 3e38])
@pytest.mark.parametrize("state_dtype", SMALL)
def test_extremes(scale, state_dtype):
    x = np.float32(scale) * np.array([1, 0.5, 0, -1], np.float32)
    found = kept(x, state_dtype)
    assert np.all(np.abs(found - x) <= np.abs(x) / 8 + 1.2e-38)


@pytest.mark.parametrize("name", STATEFUL)
@pytest.mark.parametrize("state_dtype", SMALL)
def test_states_are_small(name, state_dtype):
    n = 100_000
    wide, small = (
        {k: v for k, v in f.state_dict().items() if np.ndim(v)}
        for f in (
            OPTIMIZERS[name](np.zeros(n, np.float32)),
            OPTIMIZERS[name](np.zeros(n, np.float32), state_dtype=state_dtype),
        )
    )
    assert wide.keys() == small.keys()
    for slot, array in small.items():
        if slot not in OPTIMIZERS[name].exact:
            assert array.nbytes <= {"bfloat16": 0.5, "int8": 0.27}[state_dtype] * wide[slot].nbytes
    assert stored_size(1) == 5


@pytest.mark.parametrize("name", STATEFUL)
@pytest.mark.parametrize("own", [False, True])
def test_large_arrays_do_not_alias(own, name):
    """No two begin less than 256 bytes apart modulo a page, but for those that begin at the same place."""
    n = PLACED_FROM // 4
    p = gd.ParameterVector({"p": n}).vector if own else memoryview(bytearray(4 * n + 5000))
    if not own:
        p = np.frombuffer(p, np.uint8)
        start = (16 - address(p)) % PAGE  # where malloc maps large arrays
        p = p[start : start + 4 * n].view(np.float32)
    optimizer = OPTIMIZERS[name](p, ema=0.9)
    result = gd.relu(p)
    places = [address(each) % PAGE for each in (p, result, *optimizer._structure.arrays[None].slots)]
    assert all(place % ALIGNMENT == 0 for place in places[1:])
    assert places[1] == PAGE // 2
    places = sorted(set(places))
    gaps = np.diff([*places, places[0] + PAGE])
    assert gaps.min() >= 256


def test_small_arrays_take_no_page():
    states = gd.Adam(np.zeros(100, np.float32))._structure.arrays[None].slots
    assert all(each.base.nbytes == each.nbytes + ALIGNMENT for each in states)


# --- Steps


@pytest.mark.parametrize("state_dtype", SMALL)
@pytest.mark.parametrize("name", STORED)
def test_a_step_is_that_of_the_decoded_state(name, state_dtype, rng):
    """The same rule, from the same state: parameters agree, and the new state is next to the exact one."""
    n = 700
    p = rng.standard_normal(n).astype(np.float32)
    optimizer = OPTIMIZERS[name](p, state_dtype=state_dtype, weight_decay=0.01)
    for _ in range(3):
        optimizer.step(rng.standard_normal(n).astype(np.float32))
    q, g = p.copy(), rng.standard_normal(n).astype(np.float32)
    exact = OPTIMIZERS[name](q, weight_decay=0.01)
    state = {k: floats(v, n) if np.ndim(v) else v for k, v in optimizer.state_dict().items()}
    exact.load_state_dict(state)
    optimizer.step(g)
    exact.step(g)
    np.testing.assert_array_equal(p, q)
    expected = exact.state_dict()
    for slot, array in optimizer.state_dict().items():
        if np.ndim(array):
            found, step = floats(array, n), 1 / 8 if state_dtype == "int8" else 1 / 128
            limit = 2.0**-15 if array.dtype == np.int8 else 0
            largest = np.abs(expected[slot]).max()
            assert np.all(np.abs(found - expected[slot]) <= 1.001 * step * np.abs(expected[slot]) + limit * largest)


@pytest.mark.parametrize(
    "name, options, digest",
    [
        ("SGD", {"momentum": 0.5, "state_dtype": "int8"}, "5f411889aefc8c47"),
        ("SGD", {"momentum": 0.5, "state_dtype": "bfloat16"}, "7c66f535b64709e4"),
        ("Adagrad", {"seed": 1, "state_dtype": "int8"}, "74ab8f1ffb00c78f"),
        ("RMSprop", {"rho": 0.75, "momentum": 0.5, "centered": True, "state_dtype": "int8"}, "76da18eab74e8082"),
        ("Adagrad", {"param_dtype": "bfloat16", "state_dtype": "int8"}, "71924bb462005c2d"),
        ("SGD", {"momentum": 0.5, "param_dtype": "bfloat16", "master_weights": True}, "6281a806dd42ca86"),
        ("Adagrad", {"ema": 0.5, "l2": 0.25, "track_norms": True, "state_dtype": "int8"}, "7c9f1406ae2a1303"),
    ],
)
def test_the_bits_of_a_training_do_not_change(name, options, digest):
    """They follow from sums, products, quotients and roots, whose results are the same on every processor."""
    x = (np.arange(1000) * 159 % 997 - 498).astype(np.float32) / 512
    p = halves(x) if "param_dtype" in options else x.copy()
    optimizer = OPTIMIZERS[name](p, lr=0.125, **options)
    for k in range(3):
        g = np.float32(k - 1.25) * x * x * x
        g[900] = 2.0 ** (10 * k)  # in the last block, which is a short one
        optimizer.step(g)
    content = [each.tobytes() for each in map(np.asarray, (p, *optimizer.state_dict().values()))]
    assert hashlib.sha256(b"".join(content)).hexdigest()[:16] == digest


@pytest.mark.parametrize(
    "options",
    [
        {"state_dtype": "bfloat16"},
        {"state_dtype": "int8", "ema": 0.9, "l2": 0.1},
        {"param_dtype": "bfloat16", "state_dtype": "int8"},
        {"param_dtype": "bfloat16", "master_weights": True},
    ],
)
def test_the_same_bits_for_any_number_of_threads_and_after_a_restart(options, tmp_path, rng):
    results, n = [], 70_001
    start, gradients = rng.standard_normal(n).astype(np.float32), rng.standard_normal((4, n)).astype(np.float32)
    if "param_dtype" in options:
        start, gradients = halves(start), [halves(g) for g in gradients]
    for parallel_from, threads in ((np.inf, 1), (1, 1), (1, 2)):
        with splitting(parallel_from), gd.threads(min(threads, gd.get_threads())):
            p = {"a": start.copy(), "b": start[:300].reshape(3, 100).copy()}
            optimizer = gd.Adam(p, lr=0.01, **options)
            for k, g in enumerate(gradients):
                optimizer.step({"a": g, "b": g[:300].reshape(3, 100)})
                if k == 1:
                    gd.save(tmp_path / "state.safetensors", optimizer.state_dict())
                    copied = {key: each.copy() for key, each in p.items()}
                    resumed = gd.Adam(copied, lr=0.01, **options)
                    resumed.load_state_dict(gd.load(tmp_path / "state.safetensors"))
                elif k > 1:
                    resumed.step({"a": g, "b": g[:300].reshape(3, 100)})
            assert all(np.array_equal(p[key], copied[key]) for key in p)
            results.append((p, optimizer.state_dict(), resumed.state_dict()))
    for p, state, again in results:
        assert all(np.array_equal(p[key], results[0][0][key]) for key in p)
        assert all(np.array_equal(state[key], results[0][1][key]) for key in state)
        assert all(np.array_equal(state[key], again[key]) for key in state)


@pytest.mark.parametrize("options", [{"state_dtype": "int8"}, {"param_dtype": "bfloat16", "master_weights": True}])
@pytest.mark.parametrize("name", ["ASGD", "ScheduleFreeAdamW"])
def test_averages_of_parameters_are_not_rounded(name, options, rng):
    p, g = rng.standard_normal((2, 12)).astype(np.float32)
    q, small = reference.from_bfloat16(halves(p)), "param_dtype" in options
    optimizer = OPTIMIZERS[name](halves(p).reshape(3, 4) if small else q.copy().reshape(3, 4), **options, ema=0.5)
    expected = OPTIMIZERS[name](q.reshape(3, 4), ema=0.5)
    for _ in range(3):
        expected.step(reference.from_bfloat16(halves(g)).reshape(3, 4))
        optimizer.step((halves(g) if small else reference.from_bfloat16(halves(g))).reshape(3, 4))
    close = {"rtol": 0.02, "atol": 1e-3}
    np.testing.assert_allclose(optimizer.averaged_params(), expected.averaged_params(), **close)
    np.testing.assert_allclose(optimizer.ema_params(), expected.ema_params(), **close)
    assert all(each.dtype == np.float32 for each in (optimizer.averaged_params(), optimizer.ema_params()))


def test_the_seed_decides(rng):
    g, found = rng.standard_normal(5000).astype(np.float32), []
    for seed in (0, 0, 1, 2**70):
        optimizer = gd.Adam(np.zeros(5000, np.float32), state_dtype="int8", seed=seed)
        optimizer.step(g)
        found.append(optimizer.state_dict()["exp_avg"].tobytes())
    assert found[0] == found[1]
    assert len(set(found)) == 3


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies(copied, rng):
    optimizer = gd.Adam(np.zeros(300, np.float32), state_dtype="int8")
    optimizer.step(rng.standard_normal(300).astype(np.float32))
    again, g = copied(optimizer), rng.standard_normal(300).astype(np.float32)
    again.step(g)
    optimizer.step(g)
    assert np.array_equal(again.params, optimizer.params)
    assert again.state_dict()["exp_avg"].tobytes() == optimizer.state_dict()["exp_avg"].tobytes()


def test_halves_lose_nothing(rng):
    """With the lower halves kept, parameters go the way of float32, of which they show the upper halves."""
    p = rng.standard_normal(3000).astype(np.float32)
    p = reference.from_bfloat16(halves(p))
    small, wide = halves(p), p.copy()
    optimizer = gd.Adam(small, lr=1e-4, param_dtype="bfloat16", master_weights=True)
    expected = gd.Adam(wide, lr=1e-4)
    for _ in range(50):
        g = halves(rng.standard_normal(3000))
        optimizer.step(g)
        expected.step(reference.from_bfloat16(g))
    assert np.array_equal(small, halves(wide))
    low = optimizer.state_dict()["master_low"].astype(np.uint32)
    assert np.array_equal((small.astype(np.uint32) << 16 | low).view(np.float32), wide)


def test_rounding_to_the_nearest_stalls_where_stochastic_rounding_does_not():
    """Steps of 1e-4 are below half a unit of 1.0 in bfloat16."""
    stochastic = halves(np.ones(4096))
    optimizer = gd.SGD(stochastic, lr=1e-4, param_dtype="bfloat16")
    nearest = np.ones(4096, np.float32)
    for _ in range(1000):
        optimizer.step(halves(np.ones(4096)))
        moved = (nearest - np.float32(1e-4)).view(np.uint32)
        nearest = reference.from_bfloat16(((moved + 0x7FFF + (moved >> 16 & 1)) >> 16).astype(np.uint16))
    assert np.all(nearest == 1)
    assert reference.from_bfloat16(stochastic).mean() == pytest.approx(0.9, abs=1e-3)


def test_structures(rng):
    vector = gd.ParameterVector({"W": (30, 20), "b": (20,)}, dtype=np.float32)
    optimizer = gd.Adam(vector, lr=0.1, state_dtype="int8")
    grads = vector.zeros_like()
    grads.vector[:] = rng.standard_normal(620)
    before = vector.vector.copy()
    assert optimizer.step(grads)
    assert not np.array_equal(before, vector.vector)
    assert optimizer.step({"W": grads["W"], "b": None})
    assert optimizer.state_dict()["b.step"] == 1
    grouped = gd.Adam(
        [np.zeros(300, np.float32), np.zeros(5, np.float32)],
        state_dtype="bfloat16",
        groups=[{"params": [1], "lr": 0.5}],
    )
    grouped.step([np.ones(300, np.float32), np.ones(5, np.float32)])
    assert grouped.groups[0].state_dtype == "bfloat16"
    assert [each.dtype for each in grouped.state_dict().values() if np.ndim(each)] == [np.uint16] * 4


def test_a_network_trains_with_small_states():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((512, 20)).astype(np.float32)
    y = (X[:, 0] * X[:, 1] > 0).astype(np.intp)
    losses = {}
    for state_dtype in (None, *SMALL):
        model = gd.MLP([20, 64, 2], seed=0)
        optimizer = gd.Adam(model.parameters, lr=3e-3, state_dtype=state_dtype)
        history = gd.fit(model, X, y, optimizer, batch_size=64, epochs=30, seed=0, progress=False)
        losses[state_dtype] = history.loss[-1]
    assert losses["bfloat16"] == pytest.approx(losses[None], rel=0.1)
    assert losses["int8"] == pytest.approx(losses[None], rel=0.25)


# --- What else is done in the pass


@pytest.mark.parametrize("options", [{}, {"state_dtype": "int8"}, {"param_dtype": "bfloat16"}])
def test_gradients_are_set_to_zero(options, rng, walk):
    g = rng.standard_normal(3001).astype(np.float32)
    p = np.zeros(3001, np.float32)
    if "param_dtype" in options:
        p, g = halves(p), halves(g)
    q, kept = p.copy(), g.copy()
    gd.Adam(p, **options).step(g)
    assert np.array_equal(g, kept)
    gd.Adam(q, zero_grads=True, **options).step(g)
    assert not g.any()
    assert np.array_equal(p, q)


@pytest.mark.parametrize("options", [{}, {"state_dtype": "int8"}, {"weight_decay": 0.1, "clip_norm": 1.0}])
@pytest.mark.parametrize("scale", [1.0, 1e25])
def test_norms_are_those_of_the_step(options, scale, rng, dtype, walk):
    p = [rng.standard_normal(n).astype(dtype) for n in (3001, 7)]
    g = [(scale * rng.standard_normal(each.size)).astype(dtype) for each in p]
    before, plain = [each.copy() for each in p], [each.copy() for each in p]
    optimizer = gd.Adam(p, lr=0.1, track_norms=True, **options)
    assert optimizer.norms is None
    optimizer.step(g, grad_scale=-0.5)
    gd.Adam(plain, lr=0.1, **options).step(g, grad_scale=-0.5)
    assert all(np.array_equal(a, b) for a, b in zip(p, plain, strict=True))
    wide = [np.concatenate(each).astype(np.float64) for each in (g, p, before)]
    expected = [0.5 * np.linalg.norm(wide[0]), np.linalg.norm(wide[1] - wide[2]), np.linalg.norm(wide[1])]
    if "clip_norm" in options:
        expected[0] = min(1.0, expected[0])
    np.testing.assert_allclose(optimizer.norms, expected, rtol=1e-5 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("name", ["Adam", "SGD", "Rprop", "ScheduleFreeAdamW"])
def test_a_step_by_blocks_has_the_bits_of_a_plain_one(name, rng, dtype):
    n, results = 1000, []
    start, gradients = rng.standard_normal(n).astype(dtype), rng.standard_normal((3, n)).astype(dtype)
    for options in ({}, {"track_norms": True}):
        p = start.copy()
        optimizer = OPTIMIZERS[name](p, ema=0.9, l1=0.1, clip_value=0.8, **options)
        for g in gradients:
            optimizer.step(g)
        results.append({"p": p} | optimizer.state_dict())
    assert all(np.array_equal(results[0][key], results[1][key]) for key in results[0])


def test_gradients_that_are_set_to_zero_are_writeable_and_apart(rng):
    p = [np.zeros(3), np.zeros(3)]
    optimizer, g = gd.SGD(p, zero_grads=True), np.ones(3)
    with pytest.raises(ValueError, match="overlap"):
        optimizer.step([g, g])
    fixed = np.ones(3)
    fixed.flags.writeable = False
    gd.SGD(np.zeros(3), track_norms=True).step(fixed)
    with pytest.raises(ValueError, match="read-only"):
        optimizer.step([g, fixed])
    assert g.all()
    assert not any(each.any() for each in p)


def test_gradients_of_different_steps_are_not_known_to_be_apart():
    p, both = [np.zeros(3), np.zeros(3)], np.ones(5)
    optimizer = gd.SGD(p, zero_grads=True)
    optimizer.step([np.ones(3), both[:3]])
    first, second = both[2:], both[:3]
    optimizer.step([np.ones(3), second])
    optimizer.step([first, None])
    both[:] = 1
    with pytest.raises(ValueError, match="overlap"):
        optimizer.step([first, second])
    assert both.all()


@pytest.mark.parametrize("options", [{}, {"state_dtype": "int8"}, {"track_norms": True}])
def test_a_gradient_that_is_copied_is_set_to_zero(options):
    p, again = np.zeros((3, 4)), np.zeros((3, 4))
    optimizer, expected = gd.Adam(p, zero_grads=True, **options), gd.Adam(again, **options)
    for k in range(1, 4):
        g = np.full((3, 4), k, np.float64, order="CF"[k % 2])
        expected.step(g)
        optimizer.step(g)
        assert not g.any()
    assert np.array_equal(p, again)


# --- Gradients in bfloat16


@pytest.mark.parametrize("scale", [1.0, 1e30])
def test_gradients_are_clipped(scale, rng):
    """As those of float32 are, which they are given as here, too."""
    start = halves(rng.standard_normal(3001))
    g = halves(scale * rng.standard_normal(3001))
    p, q = start.copy(), start.copy()
    wide = reference.from_bfloat16(start)
    options = {"lr": 0.1, "clip_norm": 1.0}
    small = gd.SGD(p, param_dtype="bfloat16", master_weights=True, **options)
    mixed = gd.SGD(q, param_dtype="bfloat16", master_weights=True, **options)
    expected = gd.SGD(wide, **options)
    for _ in range(3):
        small.step(g, grad_scale=0.5)
        mixed.step(reference.from_bfloat16(g), grad_scale=0.5)
        expected.step(reference.from_bfloat16(g), grad_scale=0.5)
        assert small.grad_norm == pytest.approx(expected.grad_norm, rel=1e-6)
    low = small.state_dict()["master_low"].astype(np.uint32)
    np.testing.assert_allclose((p.astype(np.uint32) << 16 | low).view(np.float32), wide, rtol=1e-5, atol=1e-6)
    assert np.array_equal(p, q)


def test_gradients_that_are_not_finite_are_skipped(rng):
    p = halves(rng.standard_normal(700))
    optimizer, kept = gd.Adam(p, param_dtype="bfloat16", state_dtype="int8", skip_nonfinite=True), p.copy()
    g = halves(rng.standard_normal(700))
    g[600] = 0x7F80
    assert not optimizer.step(g)
    assert np.array_equal(p, kept)
    g[600] = 0x7F7F
    assert not optimizer.step(g, grad_scale=2.0)
    assert np.array_equal(p, kept)
    assert optimizer.step(g)
    assert not np.array_equal(p, kept)


def test_gradients_are_accumulated_in_float32(rng):
    start, gradients = halves(rng.standard_normal(700)), [halves(rng.standard_normal(700)) for _ in range(5)]
    p, q = start.copy(), start.copy()
    optimizer = gd.Adam(p, param_dtype="bfloat16")
    for g in gradients:
        optimizer.accumulate(g, grad_scale=0.25)
    optimizer.step()
    total = np.zeros(700, np.float32)
    for g in gradients:
        total += np.float32(0.25) * reference.from_bfloat16(g)
    gd.Adam(q, param_dtype="bfloat16").step(total)
    assert np.array_equal(p, q)


# --- Errors


def test_errors(rng):
    p = np.zeros(10, np.float32)
    for options, text in (
        ({"state_dtype": "int4"}, "state_dtype"),
        ({"state_dtype": 8}, "state_dtype"),
        ({"param_dtype": "int8"}, "param_dtype"),
        ({"param_dtype": "bfloat16"}, "uint16"),
        ({"master_weights": True}, "master_weights"),
        ({"seed": -1}, "seed"),
        ({"seed": 0.5}, "seed"),
    ):
        with pytest.raises((TypeError, ValueError), match=text):
            gd.Adam(p, **options)
    with pytest.raises(TypeError, match="LAMB: state_dtype"):
        gd.LAMB(p, state_dtype="int8")
    with pytest.raises(TypeError, match="dtype uint16"):
        gd.Adam(halves(p))
    optimizer = gd.Adam(halves(p), param_dtype="bfloat16")
    with pytest.raises(TypeError, match="grads has dtype float64"):
        optimizer.step(p.astype(np.float64))
    with pytest.raises(TypeError, match="step_rows"):
        gd.Adam(np.zeros((3, 4), np.float32), state_dtype="int8").step_rows(None, np.array([1]), np.ones((1, 4), "f"))
    with pytest.raises(AttributeError, match="state_dtype is fixed"):
        optimizer.state_dtype = None
