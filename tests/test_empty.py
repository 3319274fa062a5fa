"""Arrays without elements and single numbers, where they are valid: results are empty, or those of one element."""

import numpy as np
import pytest
import scipy.sparse

import gd
from gd.activations import ACTIVATIONS
from gd.losses import LOSSES

NO_ROWS = np.ones((0, 4), np.float32)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_of_nothing_and_of_a_number(name):
    each, given = ACTIVATIONS[name], {"weight": 0.1} if name == "prelu" else {}
    for x in (NO_ROWS, np.ones((3, 0))):
        y = each.forward(x, **given)
        assert y.shape == ((*x.shape[:-1], x.shape[-1] // 2) if name == "maxout" else x.shape)
        assert each.backward(y, x, **given).shape == x.shape
    if each.elementwise:
        x = np.array(-0.5)
        assert each.forward(x, **given) == each.forward(x.reshape(1), **given)[0]
        assert each.backward(x, x, **given) == each.backward(x.reshape(1), x.reshape(1), **given)[0]
    else:
        with pytest.raises(ValueError, match=f"{name}: x must have at least one dimension"):
            each.forward(np.array(1.0))


def test_dropout_and_one_hot_of_nothing():
    assert gd.dropout(NO_ROWS).shape == (0, 4)
    assert gd.one_hot(np.empty(0, int), 3).shape == (0, 3)
    assert gd.prelu_backward(NO_ROWS, NO_ROWS, np.ones(4, np.float32))[1].tolist() == [0] * 4
    normalizer = gd.Normalizer().fit(np.ones((3, 4), np.float32) * np.arange(3, dtype=np.float32)[:, np.newaxis])
    assert normalizer.transform(NO_ROWS).shape == (0, 4)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_nothing_and_of_a_number(name):
    function, labels = LOSSES[name].function, LOSSES[name].labels
    target = np.empty(0, int) if labels else NO_ROWS
    for reduction, expected in (("mean", np.nan), ("sum", 0.0)):
        value, gradient = function(NO_ROWS, target, reduction)
        np.testing.assert_equal(value, expected)
        assert gradient.shape == (0, 4)
    assert function(NO_ROWS, target, "none")[0].shape == (target.shape)
    if not labels:
        values = [function(np.full(shape, 0.5), np.full(shape, 1.0)) for shape in ((), 1)]
        assert values[0] == values[1]


def test_models_predict_no_rows():
    sparse = scipy.sparse.csr_matrix(NO_ROWS)
    for X in (NO_ROWS, sparse):
        model = gd.MLP([4, 5, 3])
        assert model.forward(X).shape == (0, 3)
        assert model.predict(X).shape == (0,)
        assert model.layer_outputs(X)[0].shape == (0, 5)
        assert gd.LinearModel(4).predict(X).shape == (0,)
        assert gd.LinearModel(4, 3, "softmax").predict(X).shape == (0,)
        for each, y in ((model, np.empty(0, int)), (gd.LinearModel(4), np.empty(0, np.float32))):
            loss, gradients = each.loss_and_gradients(X, y)
            assert loss == 0
            assert not gradients.vector.any()
            assert np.isnan(each.evaluate(X, y)[:2]).all()
    X, w = np.ones((3, 4)), np.zeros(4)
    for rows, kept in ((np.empty(0, int), 3), (None, 0)):
        loss, dw, db = gd.linear_regression_gradient(X[:kept], np.ones(kept), w, 0.0, rows=rows)
        assert loss == db == 0
        assert not dw.any()


@pytest.mark.parametrize("form", [dict, list])
def test_optimizers_take_arrays_of_no_elements_and_numbers_in_any_structure(form, rng):
    shapes = {"none": (0, 3), "number": (), "order": (3, 4), "cube": (2, 3, 4), "one": (1,), "column": (5, 1)}

    def made(start):
        arrays = {
            key: np.full(shape, start) + (rng.standard_normal(shape) if start else 0) for key, shape in shapes.items()
        }
        arrays = {key: np.array(each, order="F") for key, each in arrays.items()}
        arrays["cube"] = arrays["cube"].transpose(1, 0, 2)
        return arrays if form is dict else list(arrays.values())

    p, g = made(0.0), made(1.0)
    many, few = gd.SGD(p, lr=1.0), gd.SGD(nested := {"in": made(0.0)}, lr=1.0, clip_norm=1e9)
    for optimizer, grads in ((many, g), (few, {"in": g})):
        assert optimizer.step(grads)
        optimizer.accumulate(grads)
        assert optimizer.step()
    for params in (p, nested["in"]):
        for key in shapes if form is dict else range(len(shapes)):
            np.testing.assert_array_equal(params[key], -2 * g[key])
    for number in (np.float64(2.0), np.array(2.0)):
        single = np.zeros(())
        assert gd.SGD(single, lr=1.0).step(number)
        assert single == -2.0
    empty = np.zeros((0, 2))
    assert gd.Adam(empty).step(np.zeros((0, 2)))
