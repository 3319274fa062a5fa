"""Adan, FTRL and Prodigy beyond what all optimizers must do: figures of other libraries, sparse data, the shared d."""

import copy

import numpy as np
import pytest
from scipy import sparse

import gd
from gd import reference
from gd.optimizers import OPTIMIZERS

START = [0.5, -1.0, 2.0, 0.0]
GRADIENTS = np.array([[1.0, -0.5, 0.02, -3.0], [-2.0, 0.25, 0.02, 1.0], [0.5, 4.0, -0.01, 2.0]])
FTRL_L1 = {"lr": 0.1, "l1": 0.1, "l2": 0.1, "l2_shrinkage": 0.2, "beta": 1.0}
PRODIGY = {"d0": 1e-5, "weight_decay": 0.1, "d_coef": 2.0, "growth_rate": 3.0}
FIGURES = [  # after six steps in float64: of Keras 3.15's Ftrl, pytorch_optimizer 4.1's Adan and prodigyopt 1.1.2
    (
        "FTRL",
        FTRL_L1,
        (0, 1, 2),
        [0.16880484990790381, -0.26639752797884664, -0.024361365651722745, 0.00828070694622646],
    ),
    (
        "Adan",
        {"lr": 0.1, "weight_decay": 0.1},
        (0, 1, 2),
        [0.4634752051282749, -1.0160104157048169, 1.5983856326687298, 0.023639570276422973],
    ),
    (
        "Prodigy",
        PRODIGY,
        (0, 0, 0),
        [0.49440420832991805, -0.9943394937061021, 1.9942102905697052, 0.005531075407709134],
    ),
]


@pytest.mark.parametrize("name, keywords, order, expected", FIGURES)
def test_figures_of_other_libraries(name, keywords, order, expected):
    p = np.array(START)
    optimizer = OPTIMIZERS[name](p, **keywords)
    for k in order * 2:
        optimizer.step(GRADIENTS[k])
    np.testing.assert_allclose(p, expected, rtol=1e-12)


# --- FTRL


def clicks(rng, rows=4000, features=300):
    """Return sparse rows with 1 for each feature that they have, labels that depend on ten features, and these."""
    X = sparse.csr_array((rng.random((rows, features)) < 0.05).astype(float))
    true = np.zeros(features)
    true[:10] = rng.choice([-3.0, 3.0], 10)
    return X, (rng.random(rows) < 1 / (1 + np.exp(-(X @ true)))).astype(float), true


@pytest.mark.parametrize("convert", [sparse.csr_array, lambda X: X.toarray()])
def test_ftrl_makes_the_weights_of_features_without_effect_exactly_zero(convert, rng):
    X, y, true = clicks(rng)
    model = gd.LinearModel(300, loss="logistic", dtype=np.float64)
    gd.fit(model, convert(X), y, gd.FTRL(model.parameters, lr=0.5, l1=0.25), batch_size=64, epochs=1, progress=False)
    w = model.parameters["w"]
    assert (w[:10] * true[:10] > 0).all()
    assert np.count_nonzero(w[10:]) < 60


def test_ftrl_steps_the_features_of_each_batch_as_dense_steps_of_these_would(rng, dtype):
    X, y, _ = clicks(rng, 200, 50)
    w = np.zeros((50, 1), dtype)
    optimizer, expected = gd.FTRL(w, lr=0.5, l1=0.3), {k: np.zeros(1) for k in range(50)}
    states, keywords = {k: {} for k in range(50)}, {"lr": 0.5, "l1": 0.3}
    for batch in np.split(np.arange(200), 20):
        part = X[batch]
        error = 1 / (1 + np.exp(-(part @ w[:, 0].astype(float)))) - y[batch]
        g = (part.data * np.repeat(error, np.diff(part.indptr)))[:, None]
        optimizer.step_rows(None, part.indices, g.astype(dtype))
        for k in np.unique(part.indices):
            reference.ftrl(expected[k], g[part.indices == k, 0].sum(keepdims=True), states[k], 1, **keywords)
    close = {"rtol": 1e-12 if dtype == np.float64 else 1e-4, "atol": 1e-12 if dtype == np.float64 else 1e-5}
    found = np.array([expected[k][0] for k in range(50)])
    np.testing.assert_allclose(w[:, 0], found, **close)
    assert np.array_equal(w[:, 0] == 0, found == 0)
    assert 0 < np.count_nonzero(w) < 50


@pytest.mark.parametrize("power", [-0.5, -0.7, 0.0])
def test_ftrl_with_a_rate_of_zero_moves_nothing(power, rng, dtype):
    p = rng.standard_normal(20).astype(dtype)
    before, optimizer = p.copy(), gd.FTRL(p, lr=0.0, learning_rate_power=power)
    optimizer.step(np.ones_like(p))
    assert np.array_equal(p, before)
    assert not optimizer.state_dict()["linear"].any()


def test_ftrl_has_its_own_l1_and_l2(rng):
    with pytest.raises(ValueError, match="FTRL: proximal must be False"):
        gd.FTRL(np.zeros(3), l1=0.1, proximal=True)
    p = {"w": np.zeros(4), "b": np.zeros(4)}
    optimizer = gd.FTRL(p, lr=0.1, l1=5.0, groups=[{"params": ["b"], "l1": 0.0, "l2": 3.0}])
    optimizer.step({"w": np.ones(4), "b": np.ones(4)})
    assert not p["w"].any()
    assert p["b"] == pytest.approx(-1 / (np.sqrt(1.1) / 0.1 + 3.0))


def test_ftrl_keeps_its_state_in_full(rng):
    g, found = rng.standard_normal((5, 600)).astype(np.float32), []
    for state_dtype in (None, "int8"):
        p = np.zeros(600, np.float32)
        optimizer = gd.FTRL(p, lr=0.1, state_dtype=state_dtype)
        for each in g:
            optimizer.step(each)
        found.append(p)
    assert np.array_equal(*found)


# --- Prodigy


def arrays_of(rng, count, size=40):
    return [rng.standard_normal(size) for _ in range(count)]


@pytest.mark.parametrize("count", [3, 10])  # of which the second is stepped by one call
@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.5, "ema": 0.9, "l2": 0.1}])
def test_all_arrays_of_prodigy_share_d(count, options, rng):
    start = arrays_of(rng, count)
    p, expected = [each.copy() for each in start], {k: each.copy() for k, each in enumerate(start)}
    vector = gd.ParameterVector.from_arrays({str(k): each for k, each in enumerate(start)})
    optimizer, other = gd.Prodigy(p, d0=1e-3, **options), gd.Prodigy(vector, d0=1e-3, **options)
    plain = reference.Optimizer("Prodigy", expected, d0=1e-3, **options)
    for _ in range(30):
        g = [each + 0.1 * rng.standard_normal(each.size) for each in p]
        optimizer.step(g)
        other.step(gd.ParameterVector.from_arrays({str(k): each for k, each in enumerate(g)}))
        plain.step(dict(enumerate(g)))
    assert optimizer.d > 0.1
    assert optimizer.d == other.d == pytest.approx(plain.state[0]["d"], rel=1e-12)
    for k, each in enumerate(p):
        np.testing.assert_allclose(each, expected[k], rtol=1e-12, atol=1e-12)
        assert np.array_equal(each, vector[str(k)])


def test_groups_and_arrays_that_join_later_share_d(rng):
    start = arrays_of(rng, 3)
    p, q = ({"a": start[0].copy(), "b": start[1].copy()} for _ in range(2))
    optimizer = gd.Prodigy(p, d0=1e-3, groups=[{"params": ["b"], "weight_decay": 0.1}])
    alone = gd.Prodigy(q, d0=1e-3)
    for _ in range(10):
        optimizer.step({"a": p["a"].copy(), "b": None})
        alone.step({"a": q["a"].copy(), "b": None})
    assert optimizer.groups[0].d == optimizer.d == alone.d > 1e-3
    optimizer.add_group({"params": {"c": start[2]}, "lr": 0.5})
    optimizer.step({key: each.copy() for key, each in optimizer.params.items()})
    assert optimizer.groups[1].d == optimizer.groups[0].d == optimizer.d
    assert np.abs(start[2] - optimizer.state_dict()["c.start"]).max() > 1e-4  # at d, not at d0


def test_what_is_not_finite_stops_the_estimate_and_leaves_a_state_that_loads(rng):
    p = rng.standard_normal(30)
    optimizer = gd.Prodigy(p, d0=1e-3)
    for _ in range(5):
        optimizer.step(p.copy())
    d, bad = optimizer.d, p.copy()
    bad[3] = np.nan
    optimizer.step(bad)
    optimizer.step(np.ones(30))
    assert optimizer.d == d
    assert np.isfinite(np.delete(p, 3)).all()
    gd.Prodigy(np.zeros(30)).load_state_dict(optimizer.state_dict())


def test_d_numerator_may_be_negative_and_d_may_not(rng):
    p = rng.standard_normal(30)
    optimizer = gd.Prodigy(p, lr=100.0)
    optimizer.step(np.ones(30))
    optimizer.step(-np.ones(30))
    state = optimizer.state_dict()
    assert state["d_numerator"] < 0
    other = gd.Prodigy(p.copy())
    other.load_state_dict(state)
    assert copy.deepcopy(other).state_dict()["d_numerator"] == state["d_numerator"]
    with pytest.raises(ValueError, match=r"state\['d'\] must be in"):
        other.load_state_dict(state | {"d": -1.0})


def test_gradients_of_zero_leave_prodigy_where_it_is():
    p = np.ones(5)
    optimizer = gd.Prodigy(p)
    for _ in range(3):
        optimizer.step(np.zeros(5))
    assert (p == 1).all()
    assert optimizer.d == optimizer.d0


def test_prodigy_refuses_what_it_cannot_measure():
    with pytest.raises(TypeError, match="Prodigy steps whole arrays, it cannot step single rows"):
        gd.Prodigy(np.ones((3, 2))).step_rows(None, np.array([1]), np.ones((1, 2)))
    with pytest.raises(TypeError, match="state_dtype, param_dtype and bfloat16 are not for Prodigy"):
        gd.Prodigy(np.ones(3, np.float32), state_dtype="int8")
