"""What a step can do besides its formula: clipping, skipping, averages, groups, accumulation, rows; convergence."""

import collections
import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gd
from gd.checks.values import Range
from gd.optimizers import OPTIMIZERS
from gd.optimizers.update import grouped

NAMES = sorted(OPTIMIZERS)
ELEMENTWISE = [name for name in NAMES if OPTIMIZERS[name].elementwise]


def states_equal(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key], equal_nan=True) for key in a)


# --- Clipping and skipping


@pytest.mark.parametrize("size", [1, 63, 64, 65, 2047, 2048, 2049, 100_003])
def test_the_norm_is_right_and_the_same_serial_and_parallel(size, rng, dtype):
    g = rng.standard_normal(size).astype(dtype)
    norms = []
    for parallel_from in (np.inf, 1):
        with gd.kernels.compiler.splitting(parallel_from):
            optimizer = gd.SGD(np.zeros(size, dtype), clip_norm=1.0)
            optimizer.step(g, grad_scale=0.5)
            norms.append(optimizer.grad_norm)
    assert norms[0] == norms[1]
    assert norms[0] == pytest.approx(0.5 * math.sqrt(math.fsum(float(x) ** 2 for x in g)), rel=1e-14)


@pytest.mark.parametrize("scale", [1e-320, 1e-300, 1e-200, 1e-150, 1.0, 1e150, 1e200, 1e300])
def test_the_norm_neither_overflows_nor_underflows(scale):
    g = [np.full(3000, scale), np.full(6, 2 * scale), np.zeros(10)]
    p = [np.zeros_like(each) for each in g]
    optimizer = gd.SGD(p, lr=1.0, clip_norm=1e-310 if scale < 1e-310 else scale)
    optimizer.step(g)
    expected = math.sqrt(3024) * scale
    assert optimizer.grad_norm == pytest.approx(expected, rel=1e-2 if scale < 1e-310 else 1e-14)
    if scale > 1e-310:
        np.testing.assert_allclose(p[0], -scale / math.sqrt(3024), rtol=1e-13)
        np.testing.assert_allclose(p[1], -2 * scale / math.sqrt(3024), rtol=1e-13)


def test_float32_norms_of_extremes():
    for scale in (1e-44, 1e-30, 1e30, 3e38):
        g = np.full(5000, scale, np.float32)
        optimizer = gd.SGD(np.zeros_like(g), clip_norm=1.0)
        optimizer.step(g)
        assert optimizer.grad_norm == pytest.approx(float(g[0]) * math.sqrt(5000), rel=1e-13)


def test_a_short_gradient_is_not_clipped(rng):
    g = rng.standard_normal(50)
    p, q = np.zeros(50), np.zeros(50)
    clipped, plain = gd.Adam(p, clip_norm=1e3), gd.Adam(q)
    assert clipped.grad_norm is None
    clipped.step(g)
    plain.step(g)
    assert np.array_equal(p, q)
    assert plain.grad_norm is None
    assert clipped.grad_norm == pytest.approx(np.linalg.norm(g), rel=1e-14)


def test_clip_norm_comes_before_clip_value_and_penalties(rng):
    g = 10 * rng.standard_normal(40)
    p = np.ones(40)
    gd.SGD(p, lr=1.0, clip_norm=5.0, clip_value=0.5, l2=0.25, weight_decay=0.125).step(g, grad_scale=2.0)
    expected = np.clip(g * 5 / np.linalg.norm(g), -0.5, 0.5)
    np.testing.assert_allclose(p, 0.875 - (expected + 0.25), rtol=1e-13)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_skip_nonfinite_leaves_everything_as_it_was(name, bad, rng, dtype, walk):
    params = {"W": rng.standard_normal((30, 5)).astype(dtype), "b": rng.standard_normal(5).astype(dtype)}
    g = {key: rng.standard_normal(p.shape).astype(dtype) for key, p in params.items()}
    optimizer = OPTIMIZERS[name](params, skip_nonfinite=True, clip_value=1.0)
    assert optimizer.step(g) is True
    before, saved = {key: p.copy() for key, p in params.items()}, optimizer.state_dict()
    for key, place in (("W", (29, 4)), ("b", 0)):
        broken = {k: array.copy() for k, array in g.items()}
        broken[key][place] = bad
        assert optimizer.step(broken) is False
        assert not math.isfinite(optimizer.grad_norm)
        assert states_equal(before, params)
        assert states_equal(saved, optimizer.state_dict())
    assert optimizer.step(g) is True
    assert optimizer.steps == 2


def test_a_huge_but_finite_gradient_is_not_skipped():
    p = np.zeros(10_000)
    assert gd.Lion(p, skip_nonfinite=True).step(np.full(10_000, 1.7e308)) is True
    assert p[0] == -1e-4
    assert (
        gd.SGD(p, skip_nonfinite=True).step(np.full(10_000, 1.7e308), grad_scale=10.0) is False
    )  # it is infinite then


# --- Averages of the parameters


def test_ema_starts_from_the_parameters_and_is_saved(rng, dtype):
    for params in (
        rng.standard_normal(9).astype(dtype),
        [rng.standard_normal(3).astype(dtype), rng.standard_normal((2, 2)).astype(dtype)],
        gd.ParameterVector.from_arrays({"a": rng.standard_normal(3).astype(dtype)}),
    ):
        optimizer = gd.Adam(params, lr=0.1, ema=0.75)
        start = optimizer.ema_params()
        assert type(start) is type(params)
        first = (
            start
            if isinstance(start, np.ndarray)
            else next(iter(start.values() if hasattr(start, "values") else start))
        )
        now = params if isinstance(params, np.ndarray) else (params["a"] if hasattr(params, "keys") else params[0])
        assert np.array_equal(first, now)
        grads = copy.deepcopy(params)
        before = now.copy()
        optimizer.step(grads)
        after = optimizer.ema_params()
        after = after if isinstance(after, np.ndarray) else (after["a"] if hasattr(after, "keys") else after[0])
        np.testing.assert_allclose(after, 0.75 * before + 0.25 * now, rtol=1e-6)
        assert any(key.endswith("ema") for key in optimizer.state_dict())
    with pytest.raises(ValueError, match=r"Adam.ema_params: the optimizer was made without ema"):
        gd.Adam(np.ones(2)).ema_params()


def test_averaged_params_of_asgd(rng):
    p = rng.standard_normal(6)
    optimizer, seen = gd.ASGD(p, t0=3.0), []
    for _ in range(10):
        optimizer.step(rng.standard_normal(6))
        seen.append(p.copy())
    np.testing.assert_allclose(optimizer.averaged_params(), np.mean(seen[4:], axis=0), rtol=1e-1)
    assert not np.array_equal(optimizer.averaged_params(), p)


# --- Groups


@pytest.mark.parametrize("name", NAMES)
def test_groups_step_as_optimizers_of_their_own(name, rng, dtype):
    def arrays():
        return {"W": np.full((4, 3), 0.5, dtype), "b": np.full(3, 0.25, dtype), "E": np.full((5, 2), -0.5, dtype)}

    gradients = [{key: rng.standard_normal(p.shape).astype(dtype) for key, p in arrays().items()} for _ in range(4)]
    override = {"lr": 0.03, "weight_decay": 0.0, "l1": 0.01}
    together, apart = arrays(), arrays()
    optimizer = OPTIMIZERS[name](together, lr=0.01, weight_decay=0.1, groups=[{"params": ["b", "E"], **override}])
    first = OPTIMIZERS[name]({"W": apart["W"]}, lr=0.01, weight_decay=0.1)
    second = OPTIMIZERS[name]({key: apart[key] for key in "bE"}, **override)
    for g in gradients:
        optimizer.step(g)
        first.step({"W": g["W"]})
        second.step({key: g[key] for key in "bE"})
    assert states_equal(together, apart)
    restored = OPTIMIZERS[name](arrays(), lr=0.01, weight_decay=0.1, groups=[{"params": ["b", "E"], **override}])
    restored.load_state_dict(optimizer.state_dict())
    assert states_equal(restored.state_dict(), optimizer.state_dict())


def test_a_group_may_change_what_state_there_is_and_its_rate_can_be_set(rng):
    p = [np.ones(3), np.ones(3), np.ones(3)]
    optimizer = gd.SGD(
        p, lr=0.5, groups=[{"params": [1], "momentum": 0.5}, {"params": [2], "lr": lambda s: 1 / (1 + s)}]
    )
    assert set(optimizer.state_dict()) == {"steps", "1.momentum_buffer"}
    for _ in range(2):
        optimizer.step([np.ones(3)] * 3)
    assert [each[0] for each in p] == [0.0, 1 - 0.5 - 0.75, 1 - 1 - 0.5]
    assert optimizer.groups[1].lr == 1 / 3
    optimizer.groups[1].lr = 0.25
    assert copy.deepcopy(optimizer).groups[1].lr == 0.25
    optimizer.step([np.ones(3)] * 3)
    assert p[2][0] == 1 - 1 - 0.5 - 0.25


def test_groups_of_a_parameter_vector_take_every_form_of_gradient(rng):
    arrays = {"W": rng.standard_normal((3, 2)), "b": rng.standard_normal(2)}
    g = gd.ParameterVector.from_arrays({key: rng.standard_normal(p.shape) for key, p in arrays.items()})
    results = []
    for grads in (g, g.vector, dict(g)):
        params = gd.ParameterVector.from_arrays(arrays)
        optimizer = gd.Adam(params, groups=[{"params": ["b"], "lr": 0.1}])
        optimizer.step(grads)
        results.append(params.vector.copy())
        for clone in (copy.deepcopy((params, optimizer)), pickle.loads(pickle.dumps((params, optimizer)))):
            clone[1].step(g)
            assert not np.array_equal(clone[0].vector, params.vector)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


@pytest.mark.parametrize(
    "groups, error, match",
    [
        ("W", TypeError, "groups must be a list of dicts"),
        ([{"lr": 0.1}], TypeError, r"groups\[0\]\['params'\] must be a list of keys"),
        ([{"params": ["c"]}], ValueError, "'c' is no key of params"),
        ([{"params": ["W"]}, {"params": ["W"]}], ValueError, r"groups\[1\].*'W' is in two groups"),
        ([{"params": ["W"], "clip_norm": 1.0}], TypeError, "unexpected keyword 'clip_norm'"),
        ([{"params": ["W"], "rho": 1.0}], TypeError, "unexpected keyword 'rho'"),
        ([{"params": ["W"], "lr": -1.0}], ValueError, r"Adam: groups\[0\]: lr must be in"),
        ([{"params": ["W"], "betas": 0.9}], TypeError, r"Adam: groups\[0\]: betas must be"),
    ],
)
def test_bad_groups_are_refused(groups, error, match):
    with pytest.raises(error, match=match):
        gd.Adam({"W": np.ones(3), "b": np.ones(2)}, groups=groups)


def test_one_array_has_no_groups():
    with pytest.raises(ValueError, match=r"groups needs params to be a list or a dict"):
        gd.Adam(np.ones(3), groups=[{"params": [0]}])


# --- Gradients that are missing or come in parts


@pytest.mark.parametrize("as_vector", [True, False])
def test_an_array_without_a_gradient_keeps_its_state_and_count(as_vector, rng):
    arrays = {"a": rng.standard_normal(4), "b": rng.standard_normal(3)}
    params = gd.ParameterVector.from_arrays(arrays) if as_vector else {key: p.copy() for key, p in arrays.items()}
    optimizer = gd.Adam(params)
    ga, gb = rng.standard_normal(4), rng.standard_normal(3)
    optimizer.step({"a": ga, "b": None})
    assert np.array_equal(params["b"], arrays["b"])
    optimizer.step({"a": ga, "b": gb})
    alone = {key: gd.Adam(p) for key, p in arrays.items()}
    alone["a"].step(ga)
    alone["a"].step(ga)
    alone["b"].step(gb)
    assert all(np.array_equal(params[key], arrays[key]) for key in arrays)
    saved = optimizer.state_dict()
    assert (saved["steps"], saved["a.step"], saved["b.step"]) == (2, 2, 1)
    twin_params = gd.ParameterVector.from_arrays(params) if as_vector else {key: p.copy() for key, p in params.items()}
    twin = gd.Adam(twin_params)
    twin.load_state_dict(saved)
    for each in (optimizer, twin):
        each.step({"a": ga, "b": gb})
    assert all(np.array_equal(params[key], twin_params[key]) for key in arrays)
    with pytest.raises(KeyError, match=r"a\.step"):
        twin.load_state_dict({key: value for key, value in saved.items() if key != "a.step"})


@pytest.mark.parametrize("kind", ["array", "list", "dict", "vector"])
def test_accumulated_gradients_step_as_their_sum(kind, rng, dtype):
    arrays = {"a": rng.standard_normal((4, 2)).astype(dtype), "b": rng.standard_normal(3).astype(dtype)}

    def structured(arrays):
        if kind == "vector":
            return gd.ParameterVector.from_arrays(arrays)
        copies = {key: array.copy() for key, array in arrays.items()}
        return copies["a"] if kind == "array" else (list(copies.values()) if kind == "list" else copies)

    params, expected = structured(arrays), structured(arrays)
    optimizer, other = gd.Adam(params), gd.Adam(expected)
    for _ in range(2):
        parts = [{k: rng.standard_normal(a.shape).astype(dtype) for k, a in arrays.items()} for _ in range(3)]
        for part in parts:
            optimizer.accumulate(structured(part), grad_scale=2.0)
        assert optimizer.step(grad_scale=0.25)
        total = {key: sum(dtype.type(2) * part[key] for part in parts) for key in arrays}
        other.step(structured(total), grad_scale=0.25)
    flat = [np.concatenate([np.ravel(x) for x in _leaves(each)]) for each in (params, expected)]
    np.testing.assert_allclose(*flat, rtol=1e-6 if dtype == np.float32 else 1e-14)
    with pytest.raises(TypeError, match=r"Adam.step: grads must be .*, as nothing was accumulated"):
        optimizer.step()


def _leaves(params):
    if isinstance(params, np.ndarray):
        return [params]
    return list(params) if isinstance(params, list) else list(params.values())


def test_accumulation_leaves_out_what_never_got_a_gradient():
    p = {"a": np.zeros(2), "b": np.zeros(2)}
    optimizer = gd.SGD(p, lr=1.0)
    optimizer.accumulate({"a": np.ones(2), "b": None})
    optimizer.accumulate({"a": np.ones(2), "b": None})
    optimizer.step()
    assert p["a"].tolist() == [-2, -2]
    assert p["b"].tolist() == [0, 0]
    assert optimizer.state_dict()["b.step"] == 0
    with pytest.raises(ValueError, match=r"SGD.accumulate: grads"):
        optimizer.accumulate({"a": np.ones(2)})


# --- Rows


ALL_STAGES = {"l2": 0.1, "weight_decay": 0.1, "clip_norm": 1.0, "ema": 0.5}
ROWS = [(name, {}) for name in ELEMENTWISE] + [(name, ALL_STAGES) for name in ("SGD", "Adagrad", "Adam")]


@pytest.mark.parametrize("name, keywords", ROWS, ids=lambda value: value if isinstance(value, str) else "-".join(value))
def test_rows_step_as_a_matrix_of_their_own(name, keywords, rng, dtype, walk):
    matrix = rng.standard_normal((300, 7)).astype(dtype)
    before, optimizer = matrix.copy(), OPTIMIZERS[name](matrix, **keywords)
    touched = np.sort(rng.permutation(300)[:280])
    own = matrix[touched]
    other = OPTIMIZERS[name](own, **keywords)
    for _ in range(3):
        rows = rng.permutation(np.concatenate([touched, touched[:100], touched[:50]]))
        g = rng.integers(-4, 5, (rows.size, 7)).astype(dtype)  # sums of them are exact
        summed = np.zeros((300, 7), dtype)
        np.add.at(summed, rows, g)
        assert optimizer.step_rows(None, rows, g, grad_scale=0.5)
        other.step(summed[touched], grad_scale=0.5)
    assert np.array_equal(matrix[touched], own)
    untouched = np.setdiff1d(np.arange(300), touched)
    assert np.array_equal(matrix[untouched], before[untouched])
    assert optimizer.steps == 3


GOLDEN = 0x9E3779B97F4A7C15  # by which rows are scattered over a table
LAST_OF_TABLE = [k * pow(GOLDEN, -1, 2**64) % 2**64 for k in range(2**64 - 40, 2**64)]  # rows that all come to its end


@pytest.mark.parametrize("most", [40, 300, 10**6, 2**62])
@pytest.mark.parametrize("n", [1, 2, 33, 1000])
def test_positions_are_grouped_by_rows(most, n, rng):
    rows = np.minimum(rng.integers(0, most, n), rng.integers(0, most, n))
    rows[n // 2 :] = rng.choice(rows[: n // 2 + 1], n - n // 2)
    if most == 2**62:
        rows[: n // 2] = rng.choice([row for row in LAST_OF_TABLE if row < most], n // 2)
    found, order, starts = grouped(rows, most)
    different, first = np.unique(rows, return_index=True)
    assert np.array_equal(found, different[np.argsort(first)])
    expected = [np.flatnonzero(rows == row) for row in found]
    assert np.array_equal(order, np.concatenate(expected))
    assert np.array_equal(starts, np.cumsum([0, *map(len, expected)]))


@pytest.mark.parametrize("cast", [np.int32, np.uint8, np.int64])
def test_rows_of_any_integers_and_any_number_of_threads_give_the_same_bits(cast, rng, dtype):
    start, results = rng.standard_normal((200, 5)).astype(dtype), []
    rows, g = np.minimum(rng.geometric(0.03, 900), 200) - 1, rng.standard_normal((900, 5)).astype(dtype)
    for parallel_from in (np.inf, 1):
        with gd.kernels.compiler.splitting(parallel_from):
            matrix = start.copy()
            gd.Adagrad(matrix).step_rows(None, rows.astype(cast), g)
            results.append(matrix)
    assert np.array_equal(*results)


@pytest.mark.filterwarnings("ignore:Sparse invariant")
def test_rows_equal_pytorch_sparse_adam(rng):
    torch = pytest.importorskip("torch")
    matrix = rng.standard_normal((20, 3))
    tensor = torch.tensor(matrix, requires_grad=True)
    optimizer, other = gd.Adam({"E": matrix}, eps_hat=True), torch.optim.SparseAdam([tensor])
    for _ in range(10):
        rows, g = rng.integers(0, 20, 8), rng.standard_normal((8, 3))
        optimizer.step_rows("E", rows, g)
        tensor.grad = torch.sparse_coo_tensor(torch.from_numpy(rows[None]), torch.from_numpy(g), (20, 3))
        other.step()
    np.testing.assert_allclose(matrix, tensor.detach().numpy(), rtol=1e-12)


def test_rows_and_dense_arrays_of_one_batch_are_one_step(rng):
    params = {"E": rng.standard_normal((6, 2)), "W": rng.standard_normal(3)}
    optimizer = gd.Adam(params, lr=lambda step: 0.1 / (1 + step))
    for step in range(1, 4):
        optimizer.step({"E": None, "W": rng.standard_normal(3)})
        optimizer.step_rows("E", np.array([1, 2]), rng.standard_normal((2, 2)))
        assert optimizer.steps == step
    saved = optimizer.state_dict()
    assert saved["E.step"] == saved["W.step"] == 3


def test_bad_rows_are_refused_and_nothing_changes(rng):
    params = {"E": np.ones((4, 2)), "b": np.ones(2)}
    optimizer = gd.Adam(params)
    g = np.ones((2, 2))
    for arguments, error, match in (
        (("X", np.array([0, 1]), g), KeyError, "key must be one of 'E', 'b', got 'X'"),
        (("b", np.array([0, 1]), g), ValueError, "must be a matrix"),
        (("E", [0, 1], g), TypeError, "rows must be a NumPy array"),
        (("E", np.array([0.0, 1.0]), g), TypeError, "rows has dtype float64"),
        (("E", np.array([[0, 1]]), g), ValueError, "rows must be a vector"),
        (("E", np.array([], int), np.ones((1, 2))), ValueError, r"grad_rows must have shape \(0, 2\), got \(1, 2\)"),
        (("E", np.array([0, 4]), g), ValueError, "rows must be 0 to 3, got 4"),
        (("E", np.array([-1, 0]), g), ValueError, "rows must be 0 to 3, got -1"),
        (("E", np.array([0, 1, 2]), g), ValueError, "grad_rows has shape"),
        (("E", np.array([0, 1]), g.astype(np.float32)), TypeError, "grad_rows has dtype float32"),
        (("E", np.array([0, 1]), params["E"][:2]), ValueError, "grad_rows overlaps"),
        (("E", np.array([0, 1]), g, np.nan), ValueError, "grad_scale"),
    ):
        with pytest.raises(error, match=match):
            optimizer.step_rows(*arguments)
    with pytest.raises(TypeError, match=r"LAMB.step_rows: LAMB steps whole arrays"):
        gd.LAMB(np.ones((4, 2))).step_rows(None, np.array([0]), np.ones((1, 2)))
    assert (params["E"] == 1).all()
    assert optimizer.steps == 0


# --- Trust ratios


@pytest.mark.parametrize("name", ["LAMB", "LARS"])
def test_trust_ratios_are_one_where_a_norm_is_zero(name, rng):
    p = {"zero": np.zeros(5), "still": np.ones(5)}
    OPTIMIZERS[name](p, lr=0.5).step({"zero": np.ones(5), "still": np.zeros(5)})
    np.testing.assert_allclose(p["zero"], -0.5, rtol=1e-5)
    assert (p["still"] == 1).all()


@pytest.mark.parametrize("name", ["LAMB", "LARS"])
def test_a_parameter_vector_has_a_ratio_for_each_name(name, rng):
    arrays = {"W": rng.standard_normal((5, 4)), "b": 10 * rng.standard_normal(4)}
    g = {key: rng.standard_normal(p.shape) for key, p in arrays.items()}
    vector = gd.ParameterVector.from_arrays(arrays)
    OPTIMIZERS[name](vector).step(gd.ParameterVector.from_arrays(g).vector)
    OPTIMIZERS[name](arrays).step(g)
    assert all(np.array_equal(vector[key], arrays[key]) for key in arrays)


# --- Convergence

RATES = {  # name -> rate on the quadratic and on Rosenbrock's function, and hyper-parameters
    "SGD": (0.05, 1e-3, {"momentum": 0.9}),
    "Momentum": (0.05, 1e-3, {}),
    "Nesterov": (0.05, 1e-3, {}),
    "Adagrad": (0.5, 0.5, {}),
    "RMSprop": (gd.schedules.InverseTimeDecay(0.02, 0.01), gd.schedules.InverseTimeDecay(0.02, 0.01), {}),
    "Adadelta": (1.0, gd.schedules.CosineDecay(1.0, 19_000), {"rho": 0.95}),
    "Adam": (0.05, 0.02, {}),
    "AdamW": (0.05, 0.02, {"weight_decay": 0.0}),
    "Adamax": (0.05, 0.05, {}),
    "NAdam": (0.05, gd.schedules.CosineDecay(0.02, 19_000), {}),
    "RAdam": (0.05, 0.02, {}),
    "Rprop": (0.01, 0.01, {}),
    "ASGD": (0.05, 1e-3, {"lambd": 0.0}),
    "Lion": (gd.schedules.CosineDecay(0.02, 4900), gd.schedules.CosineDecay(0.01, 19_000), {}),
    "Yogi": (0.05, 0.02, {}),
    "AdaBelief": (0.02, 0.01, {}),
    "LAMB": (gd.schedules.CosineDecay(0.02, 4900), gd.schedules.CosineDecay(0.02, 19_000), {}),
    "LARS": (gd.schedules.CosineDecay(5.0, 4900), gd.schedules.CosineDecay(5.0, 19_000), {}),
    "AdEMAMix": (0.01, gd.schedules.CosineDecay(5e-3, 19_000), {"betas": (0.9, 0.999, 0.99)}),
    "ADOPT": (0.05, gd.schedules.CosineDecay(0.02, 19_000), {"betas": (0.9, 0.99)}),
    "ScheduleFreeAdamW": (0.1, 0.02, {}),
    "Adafactor": (gd.schedules.CosineDecay(0.05, 4900), gd.schedules.CosineDecay(0.02, 19_000), {}),
    "SM3": (0.5, 0.5, {}),
    "Muon": (0.05, 0.02, {"weight_decay": 0.0}),
    "Adan": (0.05, 0.02, {}),
    "FTRL": (0.5, 0.5, {}),
    "Prodigy": (1.0, 1.0, {}),
}


def quadratic(x):
    target, curvature = np.array([3.0, -2.0]), np.array([1.0, 10.0])
    return curvature * (x - target), target


def rosenbrock(x):
    a, b = x
    return np.array([-2 * (1 - a) - 40 * a * (b - a * a), 20 * (b - a * a)]), np.ones(2)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("function, steps", [(quadratic, 5000), (rosenbrock, 20_000)])
def test_reaches_the_minimum(name, function, steps):
    lr, valley, keywords = RATES[name]
    x = np.array([-1.2, 1.0])
    optimizer = OPTIMIZERS[name](x, lr=lr if function is quadratic else valley, **keywords)
    for _ in range(steps):
        gradient, minimum = function(x)
        optimizer.step(gradient)
    result = optimizer.averaged_params() if name == "ScheduleFreeAdamW" else x
    assert np.abs(result - minimum).max() < 1e-3


# --- A property: whatever is wrong raises before anything changes


def _bad_value(allowed):
    if isinstance(allowed, Range):
        return st.sampled_from([*allowed.outside(), "1", None, True, 1j, [0.5]])
    if isinstance(allowed, tuple):
        return st.sampled_from(
            [0.5, None, "betas", (0.5,) * (len(allowed) + 1), tuple(each.low - 1 for each in allowed)]
        )
    return st.sampled_from([1, 0.5, "yes", None])


SHARED = {
    "lr": Range(0.0, math.inf),
    "l1": Range(0.0, math.inf),
    "l2": Range(0.0, math.inf),
    "weight_decay": Range(0.0, math.inf),
    "maximize": bool,
    "skip_nonfinite": bool,
}
OPTIONAL = dict.fromkeys(("clip_value", "clip_norm_each", "clip_norm"), Range(0.0, math.inf, False, True))
OPTIONAL["ema"] = Range(0.0, 1.0)


@settings(max_examples=400)
@given(st.data())
def test_a_wrong_hyperparameter_raises_and_names_itself(data):
    name = data.draw(st.sampled_from(NAMES))
    allowed = {**OPTIMIZERS[name].ranges, **SHARED, **OPTIONAL}
    keyword = data.draw(st.sampled_from(sorted(allowed)))
    value = data.draw(_bad_value(allowed[keyword]))
    if keyword in (*OPTIONAL, "beta3") and value is None:
        return
    with pytest.raises((TypeError, ValueError), match=f"^{name}: {keyword}"):
        OPTIMIZERS[name]({"a": np.ones(2)}, **{keyword: value})


FAULTS = {
    "another shape": lambda g: np.ones((*g.shape, 2), g.dtype),
    "another dtype": lambda g: g.astype(np.float32 if g.dtype == np.float64 else np.float64),
    "integers": lambda g: np.ones(g.shape, int),
    "other byte order": lambda g: g.astype(g.dtype.newbyteorder()),
    "a column": lambda g: np.ones((3, 2), g.dtype)[:, :1],
    "strided": lambda g: np.repeat(g, 2, axis=0)[::2],
    "reversed": lambda g: np.ones_like(g)[::-1],
    "object": lambda g: g.astype(object),
    "a list": lambda g: g.tolist(),
    "0-d": lambda g: np.array(1.0, g.dtype),
    "empty": lambda g: np.ones(0, g.dtype),
    "a string": lambda g: "gradient",
    "masked": lambda g: np.ma.masked_array(g),
    "misaligned": lambda g: np.zeros(g.nbytes + 1, np.uint8)[1:].view(g.dtype).reshape(g.shape),
}


@settings(max_examples=300)
@given(st.data())
def test_a_wrong_gradient_raises_and_changes_nothing(data):
    name = data.draw(st.sampled_from(NAMES))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    params = {"W": np.ones((3, 2), dtype), "b": np.ones(3, dtype)}
    grads = {key: np.full_like(p, 0.5) for key, p in params.items()}
    optimizer = OPTIMIZERS[name](params, clip_norm=data.draw(st.sampled_from([None, 1.0])))
    optimizer.step(grads)
    before, saved = {key: p.copy() for key, p in params.items()}, optimizer.state_dict()
    key = data.draw(st.sampled_from(["W", "b"]))
    bad = {**grads, key: FAULTS[data.draw(st.sampled_from(sorted(FAULTS)))](grads[key])}
    bad = data.draw(st.sampled_from([bad, {key: grads[key]}, {**grads, "c": grads["b"]}, list(bad.values()), 1.0]))
    call = data.draw(st.sampled_from(["step", "accumulate"]))
    with pytest.raises((TypeError, ValueError), match=f"^{name}.{call}: "):
        getattr(optimizer, call)(bad)
    assert states_equal(before, params)
    assert states_equal(saved, optimizer.state_dict())


# --- What a review found


def test_gradients_in_another_order_go_by_name():
    p, g = gd.ParameterVector({"a": (2,), "b": (3,)}), gd.ParameterVector({"b": (3,), "a": (2,)})
    g["a"][:], g["b"][:] = 1, 10
    optimizer = gd.SGD(p, lr=1.0)
    optimizer.step(g)
    optimizer.accumulate(g)
    optimizer.step()
    assert p["a"].tolist() == [-2, -2]
    assert p["b"].tolist() == [-20, -20, -20]


@pytest.mark.parametrize("keys", ["a", "ab"])
def test_a_step_without_any_gradient_is_none(keys):
    params, others = ({key: np.ones(3) for key in keys} for _ in range(2))
    optimizer, other = gd.Adam(params, lr=0.1), gd.Adam(others, lr=0.1)
    assert optimizer.step(dict.fromkeys(keys)) is False
    assert optimizer.steps == 0
    for each, arrays in ((optimizer, params), (other, others)):
        each.step({key: np.full(3, 0.5) for key in arrays})
    assert states_equal(params, others)


def test_a_schedule_that_raises_adds_nothing_to_what_was_accumulated():
    broken = [False]

    def lr(step):
        return -1.0 if broken[0] else 0.1

    p = np.zeros(2)
    optimizer = gd.SGD(p, lr=lr)
    optimizer.accumulate(np.ones(2))
    broken[0] = True
    with pytest.raises(ValueError, match=r"SGD.step: lr\(0\)"):
        optimizer.step(np.ones(2))
    broken[0] = False
    optimizer.step(np.ones(2))
    assert p.tolist() == [-0.2, -0.2]


def test_named_tuples_and_odd_keys():
    Pair = collections.namedtuple("Pair", "W b")
    optimizer = gd.SGD(Pair(np.ones(2), np.ones(1)), ema=0.5)
    assert isinstance(optimizer.ema_params(), Pair)
    with pytest.raises(TypeError, match=r"groups\[0\]\['params'\] must be a list of keys"):
        gd.SGD({"a": np.ones(2)}, groups=[{"params": [["a"]]}])
    with pytest.raises(KeyError, match="key must be one of 'a'"):
        gd.SGD({"a": np.ones((2, 2))}).step_rows(["a"], np.array([0]), np.ones((1, 2)))
    with pytest.raises(ValueError, match=r"SGD: lr must be in \[0, inf\)"):
        gd.SGD(np.ones(2), lr=10**400)


@pytest.mark.parametrize("name", ["LAMB", "LARS"])
def test_a_trust_ratio_that_overflows_makes_parameters_infinite_without_a_warning(name):
    p = np.full(10, 1e38, np.float32)
    for _ in range(3):
        OPTIMIZERS[name](p, lr=1e30).step(np.full(10, 1e-30, np.float32))
    assert not np.isfinite(p).any()


@pytest.mark.parametrize("keywords", [{}, {"clip_norm": 1.0}, {"skip_nonfinite": True}, {"ema": 0.9}], ids=str)
def test_a_batch_without_rows_is_a_step_that_changes_no_row(keywords, rng, dtype):
    params = {"E": rng.standard_normal((5, 3)).astype(dtype), "b": np.zeros(2, dtype)}
    before, optimizer = params["E"].copy(), gd.Adam(params, lr=0.1, **keywords)
    assert optimizer.step_rows("E", np.array([], int), np.empty((0, 3), dtype))
    assert np.array_equal(params["E"], before)
    assert optimizer.steps == 1
    torch = pytest.importorskip("torch")
    tensor = torch.nn.Parameter(torch.from_numpy(before.copy()))
    lazy = torch.optim.SparseAdam([tensor], lr=0.1)
    for rows in ([], [1, 3]):
        g = rng.standard_normal((len(rows), 3)).astype(dtype)
        tensor.grad = torch.sparse_coo_tensor(torch.tensor([rows], dtype=torch.long), torch.from_numpy(g), (5, 3))
        lazy.step()
        if rows:
            optimizer.step_rows("E", np.array(rows), g)
    if not keywords or "ema" in keywords or "skip_nonfinite" in keywords:
        np.testing.assert_allclose(params["E"], tensor.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["array", "list", "many", "vector", "inside", "rows"])
def test_parameters_that_became_read_only_are_not_written_to(kind, rng):
    arrays = [rng.standard_normal((4, 3)) for _ in range(12 if kind == "many" else 2)]
    params: object = arrays
    if kind in ("array", "rows"):
        params, arrays = arrays[0], arrays[:1]
    if kind in ("vector", "inside"):
        params = gd.LinearModel(3, dtype=np.float64).parameters
        arrays = [params.vector]
    optimizer = gd.Adam(params)

    def step():
        if kind == "inside":
            model = gd.LinearModel(3, dtype=np.float64)
            model.parameters = params
            return gd.fit(model, np.ones((9, 3)), np.ones(9), optimizer, 2, 1, progress=False)
        if kind == "rows":
            return optimizer.step_rows(None, np.array([1]), np.ones((1, 3)))
        if kind == "vector":
            return optimizer.step(np.ones_like(params.vector))
        return optimizer.step(np.ones((4, 3)) if kind == "array" else [np.ones((4, 3)) for _ in arrays])

    step()
    arrays[-1].flags.writeable = False
    before, steps = [each.copy() for each in arrays], optimizer.steps
    with pytest.raises(ValueError, match=r"Adam.*: params(\[\d+\]|\.vector)? has become read-only"):
        step()
    assert all(np.array_equal(*each) for each in zip(arrays, before, strict=True))
    assert optimizer.steps == steps
    arrays[-1].flags.writeable = True
    step()


def test_a_structure_whose_only_key_is_none(rng):
    p, g = rng.normal(size=5), rng.normal(size=5)
    for options in ({}, {"clip_norm": 0.1}, {"groups": [{"params": [None], "weight_decay": 0.1}]}):
        params, twin = {None: p.copy()}, {"w": p.copy()}
        named = [{**group, "params": ["w"]} for group in options.get("groups", [])]
        one, other = gd.Adam(params, **options), gd.Adam(twin, **options | ({"groups": named} if named else {}))
        for _ in range(3):
            one.step({None: g})
            other.step({"w": g})
        one.accumulate({None: g})
        other.accumulate({"w": g})
        assert one.step()
        assert other.step()
        np.testing.assert_array_equal(params[None], twin["w"])
        assert one.state_dict().keys() == {"steps", "None.exp_avg", "None.exp_avg_sq"}
