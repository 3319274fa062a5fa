"""ParameterVector, initializers and batches."""

import copy
import pickle

import numpy as np
import pytest

import gd
from gd.batches import batches, shuffled
from gd.initializers import INITIALIZERS, constant


def test_views_lie_one_after_the_other_in_an_aligned_vector(dtype):
    parameters = gd.ParameterVector({"W": (3, 5), "b": 5, "U": [2, 2, 2]}, dtype)
    assert list(parameters) == ["W", "b", "U"]
    assert len(parameters) == 3
    assert parameters.dtype == dtype
    assert [view.shape for view in parameters.values()] == [(3, 5), (5,), (2, 2, 2)]
    assert parameters.vector.shape == (28,)
    assert parameters.vector.ctypes.data % 64 == 0
    assert not parameters.vector.any()
    parameters.vector[:] = np.arange(28)
    assert parameters["b"].tolist() == [15, 16, 17, 18, 19]
    parameters["U"][...] = 7
    assert parameters.vector[20:].tolist() == [7] * 8


@pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p)), lambda p: p.copy()]
)
def test_copies_have_views_of_their_own_vector(clone):
    parameters = gd.ParameterVector.from_arrays({"W": np.arange(6.0).reshape(2, 3), "b": np.ones(2)})
    other = clone(parameters)
    assert np.array_equal(other.vector, parameters.vector)
    other["W"][0, 0] = 99
    assert other.vector[0] == 99
    assert parameters.vector[0] == 0
    assert not parameters.zeros_like().vector.any()


@pytest.mark.parametrize("frozen", ["W", "b", "vector"])
@pytest.mark.parametrize("options", [{}, {"groups": [{"params": ["W"], "lr": 0.5}]}, {"clip_norm": 1.0}], ids=str)
def test_no_part_of_a_vector_is_stepped_once_it_is_read_only(frozen, options):
    parameters = gd.ParameterVector({"W": (2, 3), "b": (3,)})
    optimizer = gd.SGD(parameters, lr=1.0, **options)
    array = parameters.vector if frozen == "vector" else parameters[frozen]
    array.flags.writeable = False
    g = gd.ParameterVector({"W": (2, 3), "b": (3,)})
    g.vector[:] = 1
    label = r"params\.vector" if frozen == "vector" else rf"params\['{frozen}'\]"
    calls = [lambda: optimizer.step(g), lambda: optimizer.step(g.vector), lambda: optimizer.step(dict(g))]
    if frozen != "b":
        calls.append(lambda: optimizer.step_rows("W", np.array([0]), np.ones((1, 3), np.float32)))
    for call in calls:
        with pytest.raises(ValueError, match=rf"SGD\.step.*: {label} has become read-only; set its flags.writeable"):
            call()
    with pytest.raises(ValueError, match=rf"SGD: {label} is read-only"):
        gd.SGD(parameters, lr=1.0)
    assert not parameters.vector.any()
    assert optimizer.steps == 0
    if frozen == "b":  # an array without a gradient may be
        assert optimizer.step({"W": g["W"], "b": None})
    array.flags.writeable = True
    assert optimizer.step(g)


@pytest.mark.parametrize("frozen", ["W1", "vector"])
def test_no_model_is_trained_once_it_is_read_only(frozen, rng):
    X, targets = rng.random((9, 3), np.float32), rng.random(9, np.float32)
    for model in (gd.MLP([3, 4, 1], loss="mse", max_norm=0.01), gd.LinearModel(3)):
        y = targets[:, None] if isinstance(model, gd.MLP) else targets
        optimizer = gd.Adam(model.parameters, lr=0.1)
        array = model.parameters.get(frozen, model.parameters.vector)
        array.flags.writeable = False
        before = model.parameters.vector.copy()
        with pytest.raises(ValueError, match="has become read-only"):
            gd.fit(model, X, y, optimizer, epochs=1, progress=False)
        if isinstance(model, gd.MLP):
            with pytest.raises(ValueError, match=r"MLP\.constrain: .* has become read-only"):
                model.constrain()
        assert np.array_equal(model.parameters.vector, before)
        assert optimizer.steps == 0


def test_from_arrays_takes_any_order_of_memory_and_refuses_mixed_dtypes():
    W = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    assert np.array_equal(gd.ParameterVector.from_arrays({"W": W})["W"], W)
    with pytest.raises(TypeError, match=r"arrays\['b'\] has dtype float32, arrays\['W'\] is float64"):
        gd.ParameterVector.from_arrays({"W": W, "b": np.ones(2, np.float32)})
    with pytest.raises(TypeError, match=r"arrays\['W'\] must be a NumPy array"):
        gd.ParameterVector.from_arrays({"W": [1.0]})


@pytest.mark.parametrize("shapes", [{}, {"W": (-1,)}, {"W": (2.5,)}, {"W": "ab"}], ids=str)
def test_bad_shapes_are_refused(shapes):
    with pytest.raises(ValueError, match="ParameterVector: shapes"):
        gd.ParameterVector(shapes)


def test_bad_dtype_is_refused():
    with pytest.raises(TypeError, match="float16"):
        gd.ParameterVector({"W": 3}, np.float16)


VARIANCES = {"lecun": lambda i, o: 1 / i, "glorot": lambda i, o: 2 / (i + o), "xavier": lambda i, o: 2 / (i + o)}
VARIANCES["he"] = lambda i, o: 2 / i


@pytest.mark.parametrize("kind", ["normal", "uniform"])
@pytest.mark.parametrize("name", VARIANCES)
def test_initializers_have_their_variance(name, kind, dtype):
    weights = INITIALIZERS[f"{name}_{kind}"]((300, 200), 0, dtype)
    variance = VARIANCES[name](300, 200)
    assert weights.dtype == dtype
    assert weights.var() == pytest.approx(variance, rel=0.03)
    assert abs(weights.mean()) < 4 * (variance / weights.size) ** 0.5
    if kind == "uniform":
        assert np.abs(weights).max() <= (3 * variance) ** 0.5 * 1.0001


@pytest.mark.parametrize("name", [name for name in INITIALIZERS if name != "zeros"])
def test_initializers_follow_from_the_seed(name):
    initializer = INITIALIZERS[name]
    assert np.array_equal(initializer((5, 4), 1), initializer((5, 4), np.random.default_rng(1)))
    assert not np.array_equal(initializer((5, 4), 1), initializer((5, 4), 2))
    assert np.array_equal(initializer((5, 4), 1), initializer((5, 4), 1, np.float64).astype(np.float32))
    for bad in ((0, 3), 5, ("a",)):
        with pytest.raises(ValueError, match="shape"):
            initializer(bad)
    with pytest.raises(TypeError, match="dtype"):
        initializer((2, 2), 0, np.int32)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4)], ids=str)
def test_orthogonal_is(shape):
    q = gd.initializers.orthogonal(shape, 0, np.float64)
    product = q @ q.T if shape[0] <= shape[1] else q.T @ q
    np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-14)


def test_zeros_and_constant():
    assert not gd.initializers.zeros((2, 3)).any()
    assert (constant(0.5)((2, 3)) == 0.5).all()


def test_every_row_comes_once_an_epoch_in_an_order_of_its_own():
    epochs = [list(batches(103, 10, seed=3, epoch=k)) for k in range(2)]
    for epoch in epochs:
        assert [len(rows) for rows in epoch] == [10] * 10 + [3]
        assert np.array_equal(np.sort(np.concatenate(epoch)), np.arange(103))
    assert not np.array_equal(np.concatenate(epochs[0]), np.concatenate(epochs[1]))
    assert np.array_equal(shuffled(103, 3, 1), np.concatenate(epochs[1]))
    assert not np.array_equal(shuffled(103, 3, 1), shuffled(103, 4, 1))
    with pytest.raises(ValueError, match="batch_size"):
        list(batches(10, 0, 0, 0))
