"""Optimizers, activations and losses of a user's module, outside of the package, work wherever gd's own do."""

import copy
import importlib
import inspect
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from communicators import Communicator

import gd
import gd.math
from gd.comparison import compare_optimizers
from gd.kernels.compiler import join
from gd.kernels.loops.elementwise import map_elements
from gd.kernels.settings import INTERPRETED
from gd.surfaces import descend

compiled = pytest.mark.skipif(INTERPRETED, reason="of compiled code")
MODULE = '''
import gd
from gd.math import cast, exp, log1p, sigmoid, sign, tanh


def signum(p, g, momentum, c):
    """The sign of the mean gradient."""
    momentum = c.beta * momentum + c.one_minus_beta * g
    return p - c.lr * sign(momentum), momentum


Signum = gd.optimizer(
    "Signum",
    signum,
    slots=["momentum"],
    defaults={"lr": 0.01, "beta": 0.9},
    ranges={"beta": (0, 1)},
    coefficients=lambda t, lr, beta: {"one_minus_beta": 1 - beta},
)


def forward(x):
    return x / (cast(1, x) + abs(x))


def backward(dy, x):
    size = cast(1, x) + abs(x)
    return dy / (size * size)


def from_output(dy, y):
    rest = cast(1, y) - abs(y)
    return dy * rest * rest


soft = gd.activation("soft", forward, backward, from_output, initializer="glorot_uniform")
scaled = gd.activation("scaled", lambda x, a: a * x, lambda dy, x, a: dy * a, a=(0.5, (0, 10)))


def log_cosh_rule(prediction, target, scale):
    error = (prediction - target) / scale
    size = abs(error)
    return size + log1p(exp(-(size + size))) - cast(0.6931471805599453, error), tanh(error) / scale


log_cosh = gd.loss("log_cosh", log_cosh_rule, scale=(1.0, (0.001, 100)))


def brier_rule(logit, target):
    p = sigmoid(logit)
    error = p - target
    return error * error, (error + error) * p * (cast(1, p) - p)


brier = gd.loss("brier", brier_rule, targets="probabilities")
'''


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "users_own.py").write_text(MODULE)
    sys.path.insert(0, str(folder))
    yield importlib.import_module("users_own")
    sys.path.remove(str(folder))


@pytest.fixture
def data(rng):
    X = rng.standard_normal((60, 4)).astype(np.float32)
    return X, X[:, :1] * 2 + 1, (X[:, 0] > 0).astype(np.intp)


def in_numpy(p, g, momentum, c):
    momentum = c.beta * momentum + (1 - c.beta) * g
    return p - c.lr * np.sign(momentum), momentum


def test_a_class_of_the_short_form_is_like_any_other(own):
    assert str(inspect.signature(own.Signum)) == "(params, lr=0.01, beta=0.9, **options)"
    assert "The sign of the mean gradient." in own.Signum.__doc__
    assert "In [0, 1)." in own.Signum.__doc__
    p = np.ones(3)
    optimizer = own.Signum(p, beta=0.5, weight_decay=0.1)
    assert repr(optimizer) == "Signum(lr=0.01, beta=0.5, weight_decay=0.1)"
    optimizer.step(np.array([1.0, -2.0, 0.0]))
    again = pickle.loads(pickle.dumps(optimizer))
    for each in (again, copy.deepcopy(optimizer)):
        assert type(each) is own.Signum
        np.testing.assert_array_equal(each.state_dict()["momentum"], [0.5, -1.0, 0.0])
    with pytest.raises(ValueError, match=r"Signum: beta must be in \[0, 1\), got 1"):
        own.Signum(p, beta=1)
    with pytest.raises(TypeError, match="Signum: unexpected keyword 'bta'"):
        own.Signum(p, bta=1)
    with pytest.raises(TypeError, match="Signum: missing a required argument: 'params'"):
        own.Signum()


def test_it_equals_plain_numpy(own):
    check = gd.check_rule(own.Signum, in_numpy, elements=0)
    assert all(ulp <= 4 for ulp, _ in check.errors.values())
    assert {result for _, result in check.errors} == {"p", "momentum"}


def test_tuples_bias_correction_and_schedules(rng):
    def rule(p, g, m, v, c):
        m, v = c.beta1 * m + c.one_minus_beta1 * g, c.beta2 * v + c.one_minus_beta2 * (g * g)
        return p - c.step * m / (gd.math.sqrt(v) * c.v_scale + c.eps), m, v

    def coefficients(t, lr, betas, eps):
        rest = {f"one_minus_beta{k}": 1 - beta for k, beta in enumerate(betas, 1)}
        return {**rest, "step": lr / (1 - betas[0] ** t), "v_scale": (1 - betas[1] ** t) ** -0.5}

    given = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8}
    slots = ["exp_avg", "exp_avg_sq"]
    Own = gd.optimizer("Own", rule, slots=slots, defaults=given, coefficients=coefficients, unsigned=["exp_avg_sq"])
    p = rng.standard_normal(50)
    expected, lr = p.copy(), gd.schedules.CosineDecay(0.1, 9)
    optimizer, adam = Own(p, lr=lr, betas=(0.8, 0.99)), gd.Adam(expected, lr=lr, betas=(0.8, 0.99))
    for g in rng.standard_normal((5, 50)):
        optimizer.step(g)
        adam.step(g)
    np.testing.assert_allclose(p, expected, rtol=1e-13)


def test_networks_and_linear_models_take_them(own, data, tmp_path):
    pytest.importorskip("safetensors")
    X, y, labels = data
    for activation, parameters in ((own.soft, None), (own.scaled, {"a": 0.9})):
        given = {"activation": activation, "activation_parameters": parameters, "loss_parameters": {"scale": 2.0}}
        model = gd.MLP([4, 8, 1], loss=own.log_cosh, dropout=0.1, **given)
        history = gd.fit(model, X, y, own.Signum(model.parameters), batch_size=20, epochs=4, progress=False)
        assert history.loss[-1] < history.loss[0]
        assert model.activation is activation
        assert "<loss log_cosh>" in repr(model)
        model.save(tmp_path / "own.safetensors")
        for again in (pickle.loads(pickle.dumps(model)), gd.load_model(tmp_path / "own.safetensors")):
            assert again.activation is activation
            assert again.loss is own.log_cosh
            np.testing.assert_array_equal(again.predict(X), model.predict(X))
    heads = {"a": gd.Head(1, loss=own.log_cosh), "b": gd.Head(2), "c": gd.Head(1, loss=own.brier, output=own.soft)}
    model = gd.MLP([4, 8], heads=heads)
    targets = {"a": y, "b": labels, "c": labels[:, None].astype(np.float32)}
    gd.fit(model, X, targets, own.Signum(model.parameters), batch_size=20, epochs=1, progress=False)
    model.save(tmp_path / "heads.safetensors")
    assert gd.MLP.load(tmp_path / "heads.safetensors")._plan.outputs["c"].output is own.soft
    linear = gd.LinearModel(4, loss=own.log_cosh, scale=2.0)
    history = gd.fit(linear, X, y[:, 0], own.Signum(linear.parameters), batch_size=20, epochs=4, progress=False)
    assert history.loss[-1] < history.loss[0]
    linear.save(tmp_path / "linear.safetensors")
    assert gd.LinearModel.load(tmp_path / "linear.safetensors").loss is own.log_cosh
    with pytest.raises(ValueError, match="output must have backward_from_output"):
        gd.MLP([4, 1], loss="mse", output=own.scaled)


def test_the_derivatives_are_right_in_a_network(own, data):
    X, y, _ = (each.astype(float) for each in data)
    model = gd.MLP([4, 5, 1], activation=own.soft, loss=own.log_cosh, dtype=np.float64)
    assert model.gradient_check(X, y).error < 1e-6


def test_a_model_whose_module_is_not_imported_is_refused(own, data, tmp_path, monkeypatch):
    pytest.importorskip("safetensors")
    model = gd.MLP([4, 8, 1], activation=own.soft, loss="mse")
    model.save(tmp_path / "model.safetensors")
    monkeypatch.delitem(sys.modules, "users_own")
    sentence = "users_own:soft is not known here, and a file imports nothing: import users_own first"
    with pytest.raises(gd.CheckpointError, match=sentence):
        gd.MLP.load(tmp_path / "model.safetensors")
    assert "users_own" not in sys.modules


def test_what_no_variable_holds_cannot_be_saved(own, tmp_path):
    pytest.importorskip("safetensors")
    model = gd.MLP([4, 8, 1], activation=gd.activation("nowhere", own.forward, own.backward), loss="mse")
    with pytest.raises(TypeError, match="<activation nowhere> must be a variable of"):
        model.save(tmp_path / "model.safetensors")


def test_a_training_resumes(own, data, tmp_path):
    pytest.importorskip("safetensors")
    X, y, _ = data

    def trained(epochs, **options):
        model = gd.MLP([4, 8, 1], activation=own.soft, loss=own.log_cosh)
        gd.fit(model, X, y, own.Signum(model.parameters), 20, epochs, progress=False, **options)
        return model.parameters.vector

    path = tmp_path / "checkpoint.safetensors"
    trained(2, checkpoint=path)
    np.testing.assert_array_equal(trained(4, checkpoint=path, resume=True), trained(4))


OPTIONS = [
    {"state_dtype": "int8"},
    {"state_dtype": "bfloat16", "skip_nonfinite": True},
    {"clip_norm": 1.0, "ema": 0.9, "weight_decay": 0.1, "l1": 0.01},
    {"track_norms": True, "zero_grads": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(options))
def test_lists_options_and_low_bits(own, rng, options):
    params = [rng.standard_normal((3, 100)).astype(np.float32), rng.standard_normal(7).astype(np.float32)]
    before = [each.copy() for each in params]
    optimizer = own.Signum(params, groups=[{"params": [1], "lr": 0.5, "beta": 0.5}], **options)
    for _ in range(2):
        optimizer.step([np.ones_like(each) for each in params])
    state = optimizer.state_dict()
    again = own.Signum([each.copy() for each in params], groups=[{"params": [1], "lr": 0.5, "beta": 0.5}], **options)
    again.load_state_dict(state)
    np.testing.assert_array_equal(again.state_dict()["0.momentum"], state["0.momentum"])
    assert all((each < old).all() for each, old in zip(params[1:], before[1:], strict=True))


def test_rows_and_shards(own, rng):
    matrix = np.zeros((4, 3))
    own.Signum(matrix).step_rows(None, np.array([2, 0, 2]), np.ones((3, 3)))
    assert (matrix[[0, 2]] == -0.01).all()
    assert not matrix[[1, 3]].any()
    p, g = rng.standard_normal((2, 500))
    expected = p.copy()
    gd.Distributed(own.Signum, p, Communicator(), lr=0.1).step(g)
    own.Signum(expected, lr=0.1).step(g)
    np.testing.assert_array_equal(p, expected)


def test_functions_take_them(own, data):
    X, y, labels = data
    value, gradient = own.log_cosh(X, X + 1, scale=2.0)
    assert value == pytest.approx(np.log(np.cosh(0.5)), rel=1e-5)
    np.testing.assert_allclose(gradient * X.size, -np.tanh(0.5) / 2, rtol=1e-5)
    np.testing.assert_array_equal(own.soft(X), own.soft.forward(X))
    dropped = gd.dropout(X, 0.5, activation=own.scaled, a=2.0)
    np.testing.assert_array_equal(dropped[dropped != 0], 4 * X[dropped != 0])
    loss, *_ = gd.linear_model_gradient(X, y[:, 0], np.zeros(4, np.float32), 0.0, loss=own.log_cosh)
    assert loss == pytest.approx(np.mean(np.log(np.cosh(y))), rel=1e-4)
    results = compare_optimizers(
        gd.MLP([4, 4, 2]), X, labels, (X, labels), ["SGD", own.Signum], "default", 20, 1, progress=False
    )
    assert [each.optimizer for each in results] == ["SGD", "Signum"]
    assert descend("ravine", own.Signum, 20).optimizer == "Signum"
    assert gd.warmup(own.Signum, own.soft, own.log_cosh, progress=False) > 0
    with gd.profile() as profile:
        own.Signum(np.zeros(3)).step(np.ones(3))
    assert [row.name for row in profile.rows] == ["update-signum"]
    for wrong in (lambda: gd.MLP([2, 2], activation=own.brier), lambda: gd.MLP([2, 2], loss=own.Signum)):
        with pytest.raises(ValueError, match="must be one of"):
            wrong()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_estimators_take_them(own, data):
    pytest.importorskip("sklearn", minversion="1.6")
    from sklearn.base import clone

    from gd.estimators import LinearRegressor, LogisticClassifier, MLPClassifier, MLPRegressor

    X, y, labels = data
    shared = {"optimizer": own.Signum, "lr": 0.05, "max_iter": 30, "random_state": 0}
    for estimator, targets in (
        (MLPClassifier(activation=own.soft, hidden_layer_sizes=8, **shared), labels),
        (MLPRegressor(activation=own.scaled, loss=own.log_cosh, hidden_layer_sizes=8, **shared), y[:, 0]),
        (LinearRegressor(loss=own.log_cosh, **shared), y[:, 0]),
        (LogisticClassifier(loss=own.brier, **shared), labels),
    ):
        fitted = clone(estimator).fit(X, targets)
        assert fitted.score(X, targets) > 0.7
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(X), fitted.predict(X))
    with pytest.raises(ValueError, match="loss must take any numbers, or counts"):
        MLPRegressor(loss=own.brier).fit(X, y[:, 0])


def test_commands_take_them(own, data, tmp_path, monkeypatch, capsys):
    pytest.importorskip("safetensors")
    from gd.__main__ import main

    X, y, _ = data
    rows = [",".join(f"{value:.4f}" for value in row) for row in np.hstack([X, y])]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,c,d,y", *rows]))
    (tmp_path / "users_others.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    of_own = "--optimizer users_others:Signum --activation users_others:soft --loss users_others:log_cosh".split()
    command = ["train", "--data", "rows.csv", "--epochs", "2", "--hidden", "8", *of_own, "--save", "m.safetensors"]
    assert main(command) == 0
    assert "optimizer  Signum(lr=0.01, beta=0.9)" in capsys.readouterr().out
    monkeypatch.delitem(sys.modules, "users_others")
    assert main(["predict", "m.safetensors", "rows.csv"]) == 2
    assert "import users_others first, by --import" in capsys.readouterr().err
    assert main(["predict", "--import", "users_others", "m.safetensors", "rows.csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 61
    for wrong, sentence in (
        ("nowhere:Signum", "cannot import nowhere: No module named 'nowhere'"),
        ("users_others:soft", "users_others has no soft that this option takes"),
        ("sgdd", "or module:name, got 'sgdd'"),
    ):
        with pytest.raises(SystemExit):
            main(["train", "--data", "rows.csv", "--optimizer", wrong])
        assert sentence in capsys.readouterr().err


# --- What is wrong in a rule is told in one sentence

TABLE, FACTOR = {"a": 1.0}, 2.0
HEAD = "import numpy as np\nimport gd\nTABLE, FACTOR = {'a': 1.0}, 2.0\ndef helper(x):\n    return x\n"
FAULTS = {  # the last line of the rule -> the sentence
    "return (p - c.lr * np.linalg.norm(g),)": "cannot be compiled: np.linalg.norm() only supported for array types",
    "return (p - c.rate * g,)": "cannot be compiled: the coefficients have no rate, but lr",
    "return (p - TABLE['a'] * g,)": "cannot be compiled: the global TABLE is a dict",
    "return (p - missing(g),)": "cannot be compiled: name 'missing' is not defined",
    "return (p - helper(g),)": "cannot be compiled: helper is a plain Python function: write @numba.njit above it",
    "return (p - sum([g, g]),)": "it makes an array, a list or a text, and rules compute numbers from numbers",
    "return p - c.lr * g": "must return a tuple of 1 number, got a number",
    "return p - c.lr * g, g": "must return a tuple of 1 number, got (a number, a number)",
    "return (None,)": "must return a tuple of 1 number, got (None,)",
}


def module_of(tmp_path, source, name):
    (tmp_path / f"{name}.py").write_text(source)
    spec = importlib.util.spec_from_file_location(name, tmp_path / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@compiled
@pytest.mark.parametrize("line", FAULTS)
def test_faults_of_a_rule_are_told_in_one_sentence(line, tmp_path):
    source = f"{HEAD}def rule(p, g, c):\n    {line}\nFaulty = gd.optimizer('Faulty', rule)\n"
    module = module_of(tmp_path, source, "faulty")
    p = np.ones(3, np.float32)
    with pytest.raises(TypeError) as caught:
        module.Faulty(p).step(np.ones_like(p))
    text = str(caught.value)
    assert text.startswith("Faulty's rule")
    assert "\n" not in text
    assert FAULTS[line] in text
    assert "faulty.py, line" in text
    if "cannot be compiled" in text and "makes an array" not in text:
        assert f"faulty.py, line 7: `{line}`" in text
    assert (p == 1).all()


@compiled
def test_faults_of_activations_and_losses_are_told_in_one_sentence(own, data):
    X = data[0]
    with pytest.raises(
        TypeError, match=r"bad's forward \(test_own_rules.py, line \d+\) must return a number, got \(a number,"
    ):
        gd.activation("bad", lambda x: (x, x), own.backward)(X)
    with pytest.raises(TypeError, match=r"bad's backward, .*cannot be compiled: name 'nothing' is not defined"):
        gd.activation("bad", own.forward, lambda dy, x: nothing * dy).backward(X, X)  # noqa: F821
    with pytest.raises(TypeError, match=r"bad's rule \(.*\) must return a tuple of 2 numbers, got a number"):
        gd.loss("bad", lambda prediction, target: prediction)(X, X)


def test_wrong_arguments_are_told_at_once(own):
    for wrong, sentence in (
        (lambda: gd.optimizer("Bad", own.signum), r"Bad's rule must take the arguments \(p, g, c\), got \(p, g, mom"),
        (lambda: gd.optimizer("Bad", 3), "rule must be a Python function, got int"),
        (lambda: gd.optimizer("Bad", own.signum, slots=["m"], defaults={"l1": 0}), "'l1' cannot name a hyper-par"),
        (lambda: gd.optimizer("Bad", own.signum, slots=["m"], ranges={"lr": 3}), r"ranges\['lr'\] must be a pair"),
        (lambda: gd.optimizer("Bad", own.signum, slots=["m"], unsigned=["v"]), "must name slots of"),
        (lambda: gd.optimizer("B d", own.signum), "name must be the name of a class"),
        (
            lambda: gd.activation("bad", own.forward, own.forward),
            r"activation: bad's backward must take the arguments \(dy, x\)",
        ),
        (lambda: gd.loss("bad", own.brier_rule, targets="all"), "targets must be one of"),
        (lambda: gd.loss("bad", own.brier_rule, q=0.5), r"must take the arguments \(prediction, target, q\)"),
    ):
        with pytest.raises((TypeError, ValueError), match=sentence):
            wrong()


@compiled
def test_a_global_number_that_changes_is_not_ignored(tmp_path):
    source = (
        "import gd\nFACTOR = 2.0\ndef rule(p, g, c):\n    return (p - FACTOR * g,)\nOwn = gd.optimizer('Own', rule)\n"
    )
    module, p = module_of(tmp_path, source, "changing"), np.ones(2)
    module.Own(p).step(p.copy())
    module.FACTOR = 3.0
    with pytest.raises(TypeError, match=r"the global FACTOR was 2\.0 when the rule was first used and is 3\.0 now"):
        module.Own(p)


def test_a_subclass_says_what_is_missing():
    class NoAnnotation(gd.Optimizer):
        rule = staticmethod(lambda p, g, c: (p,))

        def __init__(self, params, lr=0.1, **options):
            super().__init__(params, lr, {}, **options)

        def coefficients(self, t, lr):
            return (lr,)

    class Bound(NoAnnotation):
        def rule(self, p, g, c):
            return (p,)

    with pytest.raises(TypeError, match="NoAnnotation's rule must take its coefficients as the last argument"):
        NoAnnotation(np.ones(2))
    with pytest.raises(TypeError, match=r"Bound: rule must be declared as `rule = staticmethod\(rule\)`"):
        Bound(np.ones(2))


# --- gd.check_rule and gd.math


@compiled
def test_check_rule_tells_what_vectorizes(own):
    pytest.importorskip("scipy")
    good = gd.check_rule(own.Signum, in_numpy, sizes=[100], dtypes=["float32"], elements=1000)
    assert good.vectorized
    assert not good.widened
    assert good.seconds
    assert good.numpy_seconds
    assert good.ceiling_seconds
    assert "plain NumPy" in str(good)
    assert "memory alone" in str(good)

    def slow(p, g, c):
        return (p - c.lr * np.exp(g) * (1 + 0.5),)

    bad = gd.check_rule(gd.optimizer("Slow", slow), sizes=[100], dtypes=["float32"], elements=0)
    assert bad.calls
    assert not bad.vectorized
    assert "float64 for float32 arrays" in str(bad)


def test_check_rule_finds_a_wrong_derivative(own):
    right = gd.check_rule(own.soft, lambda x: x / (1 + abs(x)), sizes=[100], elements=0)
    assert right.slope_error < 1e-6
    assert max(ulp for ulp, _ in right.errors.values()) < 4
    wrong = gd.check_rule(gd.activation("wrong", own.forward, lambda dy, x: dy), sizes=[10], elements=0)
    assert wrong.slope_error > 0.1
    assert gd.check_rule(own.log_cosh, sizes=[10], elements=0).slope_error < 1e-6
    assert (
        gd.check_rule(own.brier, lambda p, t: (p - t) ** 2 + 1, sizes=[10], elements=0).errors["float64", "value"][1]
        > 0.1
    )


CALLS = {
    "clip": (lambda x: gd.math.clip(x, -0.5, 1), lambda x: np.clip(x, -0.5, 1)),
    "maximum": (lambda x: gd.math.maximum(x, 0), lambda x: np.maximum(x, 0)),
    "minimum": (lambda x: gd.math.minimum(0, x), lambda x: np.minimum(x, 0)),
    "multiply_add": (lambda x: gd.math.multiply_add(x, 2, 1), lambda x: 2 * x + 1),
    "where": (lambda x: gd.math.where(x > 0, x, 0), lambda x: np.where(x > 0, x, 0)),
    "copysign": (lambda x: gd.math.copysign(2 * x, -1), lambda x: -abs(2 * x)),
    "sign": (lambda x: gd.math.sign(x), np.sign),
    "sqrt": (lambda x: gd.math.sqrt(abs(x)), lambda x: np.sqrt(abs(x))),
    "exp": (lambda x: gd.math.exp(x), np.exp),
}


@pytest.mark.parametrize("name", CALLS)
def test_functions_of_gd_math_work_in_rules_and_in_python(name, rng):
    rule, expected = CALLS[name]
    x = rng.standard_normal(99).astype(np.float32)
    out = np.empty_like(x)
    join(map_elements, rule)(x.size, out, x)
    np.testing.assert_allclose(out, expected(x), rtol=3e-7)
    np.testing.assert_allclose(rule(x), expected(x), rtol=3e-7)  # of arrays
    assert float(rule(0.7)) == pytest.approx(float(expected(0.7)))


def test_every_function_of_gd_math_is_documented():
    for name in gd.math.__all__:
        assert getattr(gd.math, name).__doc__, name
        if name not in ("cast", "clip", "copysign", "maximum", "minimum", "multiply_add", "sign", "sqrt", "where"):
            assert name in gd.math.__doc__
            assert np.isfinite(getattr(gd.math, name)(0.5))


CACHED = """
import numpy as np
from gd.kernels import compiler
import users_own
users_own.Signum(np.ones(3)).step(np.ones(3))
print(compiler.compilations)
"""


@compiled
def test_kernels_are_found_again_by_other_processes(own, tmp_path):
    environment = {**os.environ, "GD_CACHE_DIR": str(tmp_path)}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(gd.__file__).parent.parent), str(Path(own.__file__).parent)])
    command = [sys.executable, "-c", textwrap.dedent(CACHED)]
    runs = [subprocess.run(command, env=environment, capture_output=True, text=True, check=True) for _ in range(2)]
    assert int(runs[0].stdout) > 0 == int(runs[1].stdout)
