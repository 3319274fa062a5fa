"""Where parts meet that were written apart: each case is one that went wrong once."""

import numpy as np
import pytest

import gd


def test_a_tree_of_the_wrong_structure_is_refused_when_norms_are_clipped():
    params = {"a": [np.zeros(3), np.zeros(3)]}
    optimizer = gd.SGD(params, lr=0.1, clip_norm=10.0)
    for _ in range(4):
        optimizer.step({"a": [np.ones(3), np.ones(3)]})
    before = params["a"][0].copy()
    with pytest.raises(ValueError, match="structure of params"):
        optimizer.step([np.ones(3), np.ones(3)])
    np.testing.assert_array_equal(params["a"][0], before)


@pytest.mark.parametrize("kind", [gd.Prodigy, gd.Muon, gd.Adafactor, gd.SM3, gd.Optimizer])
def test_functions_are_of_optimizers_that_step_arrays_one_by_one(kind):
    with pytest.raises(TypeError, match=f"function_of: kind must be .*, got {kind.__name__}"):
        gd.functional.function_of(kind)


def test_adafactor_takes_an_empty_array():
    params = [np.ones((2, 2)), np.zeros((0, 3)), np.zeros(0)]
    optimizer = gd.Adafactor(params)
    assert optimizer.step([np.ones((2, 2)), np.zeros((0, 3)), np.zeros(0)])
    assert optimizer.steps == 1


def test_rprop_begins_with_its_rate_as_a_function_too():
    p, q = np.zeros(2), np.zeros(2)
    state, optimizer = gd.functional.initial_state(gd.functional.rprop, p, lr=0.1), gd.Rprop(q, lr=0.1)
    for t in (1, 2, 3):
        gd.functional.rprop(p, np.ones(2), *state, t=t, lr=0.1)
        optimizer.step(np.ones(2))
    np.testing.assert_array_equal(p, q)


def test_what_minimize_reports_belongs_to_x():
    def rosenbrock(x):
        return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2

    def slope(x):
        return np.array([-400 * x[0] * (x[1] - x[0] ** 2) - 2 * (1 - x[0]), 200 * (x[1] - x[0] ** 2)])

    options = {"line_search": None, "maxiter": 4, "lr": 1e-4}
    found = gd.minimize(rosenbrock, [-1.0, 1.0], jac=slope, method="LBFGS", options=options)
    assert found.fun == rosenbrock(found.x)
    np.testing.assert_array_equal(found.jac, slope(found.x))
    found = gd.minimize(lambda x: np.nan, [1.0, 1.0], jac=lambda x: 2 * x, options={"lr": 0.1})
    assert (found.success, found.status) == (False, 3)


def test_check_rule_refuses_what_does_not_step_elements():
    with pytest.raises(TypeError, match="rule must step element by element, got Muon"):
        gd.check_rule(gd.Muon, lambda p, g, c: (p,))


def test_pytorch_refuses_schedules_and_takes_empty_sparse_gradients():
    torch = pytest.importorskip("torch")
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    with pytest.raises(TypeError, match="lr must be a number, got a schedule"):
        gd.pytorch.Optimizer([p], gd.SGD, lr=lambda step: 0.1).step()
    bag = torch.nn.EmbeddingBag(4, 2, sparse=True, mode="sum")
    optimizer = gd.pytorch.Optimizer([*bag.parameters(), p], gd.SGD, lr=0.1)
    bag(torch.zeros(0, dtype=torch.long), torch.zeros(1, dtype=torch.long)).sum().backward()
    optimizer.step()
    assert p.detach().tolist() == pytest.approx([0.9] * 3)


@pytest.mark.parametrize("name", ["SGDRegressor", "SGDClassifier", "LogisticRegression"])
def test_estimators_need_targets(name):
    estimators = pytest.importorskip("gd.estimators")
    with pytest.raises(ValueError, match="requires y to be passed"):
        getattr(estimators, name)().fit(np.random.default_rng(0).standard_normal((20, 2)), None)
