"""LinearModel: whole epochs in compiled code, to the bit what a loop in Python does; sparse rows; its ends."""

import copy
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from scipy import sparse

import gd
from gd.batches import batches
from gd.kernels.compiler import splitting
from gd.models import linear_model
from gd.optimizers import OPTIMIZERS

EPOCHS, BATCH = 2, 60


def data(loss, outputs, dtype, n=500, features=33):
    rng = np.random.default_rng(7)
    X = rng.standard_normal((n, features)).astype(dtype)
    if loss == "softmax":
        return X, rng.integers(0, outputs, n)
    y = rng.standard_normal((n,) if outputs is None else (n, outputs)).astype(dtype)
    return X, (y > 0).astype(dtype) if loss == "logistic" else y


def make(cls, model, **keywords):
    return cls(model.parameters, **({} if cls is gd.LARS else {"lr": 0.01}), **keywords)


def python_loop(model, optimizer, X, y, loss, l1, l2, batch=BATCH):
    """What a user would write with the public functions."""
    gradients, (w, b) = model.parameters.zeros_like(), model.parameters.values()
    for epoch in range(EPOCHS):
        for rows in batches(X.shape[0], batch, 0, epoch):
            gd.linear_model_gradient(X, y, w, b, loss, rows, out=(gradients["w"], gradients["b"]))
            gradients["w"][...] += w.dtype.type(l1) * np.sign(w) if l1 else w.dtype.type(l2) * w
            optimizer.step(gradients)


def compare(cls, loss, outputs, dtype, convert=np.asarray, l1=0.0, **keywords):
    l2 = 0.0 if l1 else 1e-3
    X, y = data(loss, outputs, dtype)
    X, results = convert(X), []
    for way in range(2):
        model = gd.LinearModel(X.shape[1], outputs, loss, l1=l1, l2=l2, dtype=dtype)
        optimizer = make(cls, model, **keywords)
        if way:
            python_loop(model, optimizer, X, y, loss, l1, l2)
        else:
            gd.fit(model, X, y, optimizer, batch_size=BATCH, epochs=EPOCHS, progress=False)
        results.append((model.parameters.vector, optimizer.state_dict()))
    (ours, state), (expected, other) = results
    assert np.array_equal(ours, expected)
    assert ours.any()
    assert all(np.array_equal(state[key], other[key]) for key in other)


@pytest.mark.parametrize("cls", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_compiled_epochs_have_the_bits_of_a_loop_in_python(cls):
    compare(cls, "squared", None, np.float32)


@pytest.mark.parametrize("outputs", [None, 3])
def test_l1_alone_is_a_penalty_too(outputs):
    compare(gd.SGD, "squared", outputs, np.float64, l1=1e-2)


@pytest.mark.parametrize("loss, outputs", [("logistic", None), ("softmax", 4), ("squared", 3)])
def test_every_kind_of_model(loss, outputs, dtype):
    compare(gd.Adam, loss, outputs, dtype)


@pytest.mark.parametrize("loss, outputs", [("logistic", None), ("softmax", 4)])
def test_sparse_rows(loss, outputs):
    compare(gd.Adam, loss, outputs, np.float64, sparse.csr_matrix)
    compare(gd.SGD, loss, outputs, np.float64, sparse.csr_array, clip_norm=1.0)  # Python sees every batch


def test_options_of_the_optimizer():
    compare(gd.Adam, "squared", None, np.float64, weight_decay=0.1, l1=1e-3, ema=0.9)
    compare(gd.SGD, "squared", None, np.float64, clip_norm=0.1, skip_nonfinite=True)
    X, y = data("squared", None, np.float64)
    rates = gd.schedules.ExponentialDecay(0.1, 0.9)
    model = gd.LinearModel(33, dtype=np.float64)
    optimizer = gd.SGD(model.parameters, lr=rates)
    history = gd.fit(model, X, y, optimizer, batch_size=BATCH, epochs=EPOCHS, progress=False)
    assert optimizer.steps == EPOCHS * 9
    assert history.lr == [rates(8), rates(17)]


@pytest.mark.parametrize("batch_size", [1, 499, 500, 5000])
def test_stochastic_to_batch_gradient_descent(batch_size):
    X, y = data("squared", None, np.float64)
    model = gd.LinearModel(33, dtype=np.float64)
    optimizer = gd.SGD(model.parameters, lr=1e-3)
    history = gd.fit(model, X, y, optimizer, batch_size=batch_size, epochs=2, progress=False)
    assert optimizer.steps == 2 * -(-500 // batch_size)
    assert history.loss[1] < history.loss[0]


@pytest.mark.parametrize("batch, last", [(2049, 2048), (2048, 2047), (65, 64), (33, 1)])
def test_a_shorter_last_batch_may_have_more_blocks(batch, last):
    X, y = data("squared", None, np.float32, n=batch + last)
    vectors = []
    for way in range(2):
        model = gd.LinearModel(33)
        optimizer = gd.Adam(model.parameters, lr=0.01)
        if way:
            python_loop(model, optimizer, X, y, "squared", 0.0, 0.0, batch)
        else:
            gd.fit(model, X, y, optimizer, batch, EPOCHS, progress=False)
        vectors.append(model.parameters.vector)
    assert np.array_equal(*vectors)


def test_history_is_that_of_every_batch_by_itself(monkeypatch):
    X, y = data("softmax", 4, np.float64)
    results = []
    for name, value in (("CHUNK", 1), ("CHUNK", 50_000_000), ("COMPILED", 0)):
        monkeypatch.setattr(linear_model, name, value)
        model = gd.LinearModel(33, 4, "softmax", l1=0.01, l2=0.1, dtype=np.float64)
        optimizer = gd.Adam(model.parameters, lr=0.01)
        history = gd.fit(model, X, y, optimizer, batch_size=BATCH, epochs=2, progress=False)
        results.append((model.parameters.vector.copy(), history))
    for vector, history in results[1:]:
        assert np.array_equal(vector, results[0][0])
        np.testing.assert_allclose(history.loss, results[0][1].loss, rtol=1e-12)


@pytest.mark.parametrize("loss, outputs, convert", [("squared", None, np.asarray), ("softmax", 4, sparse.csr_array)])
def test_bits_do_not_depend_on_threads(loss, outputs, convert):
    X, y = data(loss, outputs, np.float64)
    X, vectors = convert(X), []
    for parallel_from in (1, np.inf):
        with splitting(parallel_from):
            model = gd.LinearModel(33, outputs, loss, dtype=np.float64)
            gd.fit(model, X, y, gd.Adam(model.parameters), batch_size=BATCH, epochs=2, progress=False)
            vectors.append(model.parameters.vector.copy())
    assert np.array_equal(*vectors)


@pytest.mark.parametrize("batch_size", [50, 500])
def test_a_loss_that_is_not_finite_ends_before_its_step(batch_size):
    X, y = data("squared", None, np.float64)
    X[499] = np.nan
    model = gd.LinearModel(33, dtype=np.float64)
    optimizer = gd.ScheduleFreeAdamW(model.parameters, lr=0.01)
    with pytest.raises(FloatingPointError, match=r"fit: the loss is nan in epoch 1, at step"):
        gd.fit(model, X, y, optimizer, batch_size=batch_size, epochs=1, progress=False)
    assert np.isfinite(model.parameters.vector).all()
    bad = next(k for k, rows in enumerate(batches(500, batch_size, 0, 0)) if 499 in rows)
    assert optimizer.steps == bad
    again = gd.LinearModel(33, dtype=np.float64)
    other, (w, b) = gd.ScheduleFreeAdamW(again.parameters, lr=0.01), again.parameters.values()
    gradients = again.parameters.zeros_like()
    for rows in list(batches(500, batch_size, 0, 0))[:bad]:
        gd.linear_model_gradient(X, y, w, b, "squared", rows, out=(gradients["w"], gradients["b"]))
        other.step(gradients)
    assert np.array_equal(model.parameters.vector, again.parameters.vector)
    assert optimizer.weight_sum == other.weight_sum


def test_a_schedule_that_fails_changes_nothing():
    X, y = data("squared", None, np.float64)
    model = gd.LinearModel(33, dtype=np.float64)
    optimizer = gd.Adam(model.parameters, lr=lambda step: 0.1 if step < 3 else -1.0)
    with pytest.raises(ValueError, match=r"lr\(3\) must be in"):
        gd.fit(model, X, y, optimizer, batch_size=BATCH, epochs=1, progress=False)
    assert optimizer.steps == 0
    assert not model.parameters.vector.any()


def test_training_reaches_the_optimum():
    datasets = pytest.importorskip("sklearn.datasets")
    linear = pytest.importorskip("sklearn.linear_model")
    X, y = datasets.load_diabetes(return_X_y=True)
    X, y = np.ascontiguousarray(X / X.std(axis=0)), (y - y.mean()) / y.std()
    model = gd.LinearModel(10, dtype=np.float64)
    gd.fit(model, X, y, gd.SGD(model.parameters, lr=0.2, momentum=0.9), batch_size=442, epochs=3000, progress=False)
    exact = linear.LinearRegression().fit(X, y)
    np.testing.assert_allclose(model.parameters["w"], exact.coef_, atol=1e-6)
    X, y = datasets.load_digits(return_X_y=True)
    X = np.ascontiguousarray(X / 16)
    model = gd.LinearModel(64, 10, "softmax", l2=0.01, dtype=np.float64)
    gd.fit(model, X, y, gd.SGD(model.parameters, lr=0.5, momentum=0.95), batch_size=len(X), epochs=2000, progress=False)
    exact = linear.LogisticRegression(C=1 / (0.01 * len(X)), tol=1e-10, max_iter=10_000).fit(X, y)
    np.testing.assert_allclose(model.parameters["w"].T, exact.coef_, atol=1e-4)
    _, gradients = model.loss_and_gradients(X, y)
    assert np.abs(gradients.vector).max() < 1e-9


def test_penalties_are_part_of_the_loss():
    X, y = data("squared", None, np.float64)
    model = gd.LinearModel(33, l1=0.3, l2=0.7, dtype=np.float64)
    model.parameters.vector[:] = np.random.default_rng(0).standard_normal(34)
    value, gradients = model.loss_and_gradients(X, y)
    w, h = model.parameters["w"], 1e-6
    expected = np.mean((X @ w + model.parameters["b"] - y) ** 2) + 0.3 * np.abs(w).sum() + 0.35 * w @ w
    assert value == pytest.approx(expected, rel=1e-12)
    for j in range(34):
        before, values = model.parameters.vector[j], []
        for shift in (h, -h):
            model.parameters.vector[j] = before + shift
            values.append(model.loss_and_gradients(X, y)[0])
        model.parameters.vector[j] = before
        assert gradients.vector[j] == pytest.approx((values[0] - values[1]) / (2 * h), abs=1e-6)


def test_forward_predict_and_score():
    X, y = data("softmax", 4, np.float32)
    model = gd.LinearModel(33, 4, "softmax")
    gd.fit(model, X, y, gd.Adam(model.parameters, lr=0.05), epochs=30, progress=False)
    assert model.forward(X).shape == (500, 4)
    assert model.score(X, y) == np.mean(model.predict(X) == y) > 0.4
    X, y = data("logistic", None, np.float32)
    model = gd.LinearModel(33, loss="logistic")
    gd.fit(model, X, y, gd.Adam(model.parameters, lr=0.05), epochs=30, progress=False)
    assert model.score(X, y) == np.mean((model.predict(X) > 0) == (y > 0.5)) > 0.55
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict(X), model.predict(X))
    assert np.array_equal(copy.deepcopy(model).predict(X), model.predict(X))


def test_early_stopping():
    X, y = data("squared", None, np.float64)
    model = gd.LinearModel(33, dtype=np.float64)
    optimizer = gd.SGD(model.parameters, lr=0.1)
    scores = []

    def note(history):
        scores.append((history.score[-1], model.parameters.vector.copy()))

    history = gd.fit(
        model,
        X[:300],
        y[:300],
        optimizer,
        50,
        200,
        (X[300:], y[300:]),
        early_stopping=5,
        callbacks=note,
        progress=False,
    )
    assert len(history.score) < 200
    best = max(range(len(scores)), key=lambda k: scores[k][0])
    assert len(scores) == best + 1 + 5
    assert np.array_equal(model.parameters.vector, scores[best][1])
    stop = gd.EarlyStopping(patience=2, min_delta=1e9, restore_best=False)
    history = gd.fit(model, X, y, optimizer, epochs=50, early_stopping=stop, progress=False)
    assert len(history.loss) == 3
    for bad in ({"patience": 0}, {"min_delta": -1.0}, {"restore_best": 1}):
        with pytest.raises((TypeError, ValueError), match=f"EarlyStopping: {next(iter(bad))} must"):
            gd.EarlyStopping(**bad)


def test_bad_arguments_are_refused():
    for arguments, keywords, match in (
        ((0,), {}, "features must be at least 1"),
        ((3,), {"loss": "softmax"}, "outputs must be the number of classes"),
        ((3, 0), {}, "outputs must be at least 1"),
        ((3,), {"loss": "mses"}, "loss must be one of"),
        ((3,), {"l1": -1.0}, "l1 must be in"),
        ((3,), {"delta": 1.0}, "unexpected keyword 'delta'"),
        ((3,), {"dtype": int}, "dtype must be float32 or float64"),
    ):
        with pytest.raises((TypeError, ValueError), match=f"LinearModel: {match}"):
            gd.LinearModel(*arguments, **keywords)
    model = gd.LinearModel(3)
    with pytest.raises(ValueError, match="X has 2 columns, the model has 3 features"):
        model.predict(np.ones((2, 2), np.float32))
    with pytest.raises(TypeError, match="X has dtype float64, the model is float32"):
        model.predict(np.ones((2, 3)))


def test_sparse_matrices_that_kernels_cannot_take():
    good = sparse.random_array((20, 9), density=0.3, format="csr", rng=np.random.default_rng(0))
    w, y = np.zeros(9), np.zeros(20)

    def broken(change):
        bad = good.copy()
        change(bad)
        return bad

    def outside(X):
        X.indices[3] = 9

    def negative(X):
        X.indices[3] = -1

    def backwards(X):
        X.indptr[2] = X.indptr[-1] + 5

    for X, error, match in (
        (good.tocsc(), TypeError, r"in CSR, got csc; pass X.tocsr\(\)"),
        (good.astype(int), TypeError, "X has dtype int64, expected float32 or float64"),
        (broken(outside), ValueError, "X has elements outside its 9 columns, in row"),
        (broken(negative), ValueError, "X has elements outside its 9 columns, in row"),
        (broken(backwards), ValueError, "X has elements outside its 9 columns, in row"),
    ):
        with pytest.raises(error, match=match):
            gd.linear_regression_gradient(X, y, w, 0.0)
    assert gd.linear_regression_gradient(broken(outside), y, w, 0.0, rows=np.array([19]))[0] == 0.0
    with pytest.raises(ValueError, match=r"LinearModel\.forward: X has elements outside"):
        gd.LinearModel(9, dtype=np.float64).forward(broken(outside))


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_sparse_matrices_with_either_index_without_elements_and_mapped(dtype, tmp_path):
    joblib = pytest.importorskip("joblib")
    X = sparse.random_array((20, 9), density=0.3, format="csr", rng=np.random.default_rng(0))
    X.indices, X.indptr = X.indices.astype(dtype), X.indptr.astype(dtype)
    w, y = np.ones(9), np.ones(20)
    expected = gd.linear_regression_gradient(X.toarray(), y, w, 0.0)
    joblib.dump(X, tmp_path / "X")
    for each in (X, joblib.load(tmp_path / "X", mmap_mode="r")):
        np.testing.assert_allclose(gd.linear_regression_gradient(each, y, w, 0.0)[1], expected[1], rtol=1e-12)
    empty = sparse.csr_array((20, 9))
    assert gd.linear_regression_gradient(empty, y, w, 0.0)[:2][0] == 1.0


def test_batches_that_are_skipped_do_not_count():
    X, y = data("squared", None, np.float64)
    X[7] = np.nan
    model = gd.LinearModel(33, dtype=np.float64)
    optimizer = gd.SGD(model.parameters, lr=0.1, skip_nonfinite=True)
    history = gd.fit(model, X, y, optimizer, 50, 30, None, gd.EarlyStopping(5, restore_best=False), progress=False)
    assert np.isfinite(history.loss).all()
    assert history.stopped
    assert optimizer.steps == 9 * len(history.loss)


def test_accumulated_gradients_are_part_of_the_first_step():
    X, y = data("squared", None, np.float64)
    vectors = []
    for keywords in ({}, {"clip_norm": 1e12}):
        model = gd.LinearModel(33, dtype=np.float64)
        optimizer = gd.SGD(model.parameters, lr=0.1, **keywords)
        optimizer.accumulate(np.ones(34))
        gd.fit(model, X, y, optimizer, 250, 1, progress=False)
        vectors.append(model.parameters.vector)
    np.testing.assert_allclose(*vectors, rtol=1e-12)


def test_scores_of_poisson_are_those_of_rates():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 2))
    y = rng.poisson(np.exp(X @ [0.8, -0.5] + 1)).astype(float)
    model = gd.LinearModel(2, loss="poisson", dtype=np.float64)
    history = gd.fit(model, X, y, gd.Adam(model.parameters, lr=0.05), validation=(X, y), epochs=40, progress=False)
    metrics = pytest.importorskip("sklearn.metrics")
    assert history.score[-1] == pytest.approx(metrics.d2_tweedie_score(y, np.exp(model.forward(X)), power=1))
    assert history.score[-1] > 0.5


def test_mapped_data_larger_than_the_memory_allowed(tmp_path):
    pytest.importorskip("resource")
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux limits the memory of a process without its files")
    program = """
        import resource, sys
        import numpy as np
        import gd

        rows, features, allowed = 160_000, 100, 2**25
        X = np.memmap(sys.argv[1], np.float32, "w+", shape=(rows, features))
        assert X.nbytes >= 1.9 * allowed
        rng = np.random.default_rng(0)
        for start in range(0, rows, 10_000):
            X[start : start + 10_000] = rng.standard_normal((10_000, features), np.float32)
        X.flush()
        X = np.memmap(sys.argv[1], np.float32, "r", shape=(rows, features))
        y = X[:, 0].copy()

        def train(epochs):
            model = gd.LinearModel(features)
            gd.fit(model, X, y, gd.Adam(model.parameters, lr=0.01), batch_size=256, epochs=epochs, progress=False)
            return model

        train(1).score(X[:1000], y[:1000])  # compiles and makes BLAS take its buffers: memory of their own
        used = int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (used + allowed, used + allowed))
        try:
            np.ones(X.shape, np.float32)
        except MemoryError:
            pass
        else:
            raise AssertionError("there is no limit")
        assert train(2).score(X, y) > 0.99
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "X")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
