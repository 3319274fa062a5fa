"""fit on batches that come from a function of the epoch, an iterable or an iterator."""

import itertools
import re

import numpy as np
import pytest

import gd
from gd.batches import batches

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((50, 6), np.float32), RNG.integers(0, 3, 50)


def network(**keywords):
    return gd.MLP([6, 8, 3], seed=1, **keywords)


def shuffled(epoch):
    """The batches that fit itself takes of X and Y."""
    for rows in batches(50, 16, seed=0, epoch=epoch):
        yield X[rows], Y[rows]


def fit(model, given, optimizer=None, **keywords):
    optimizer = optimizer or gd.Adam(model.parameters, lr=0.01)
    return gd.fit(model, given, None, optimizer, progress=False, **keywords)


@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.5}], ids=str)
@pytest.mark.parametrize("make", [lambda: network(dropout=0.3), lambda: gd.LinearModel(6, 3, "softmax")])
def test_a_function_of_the_epoch_that_gives_the_batches_of_fit_trains_alike(make, options):
    model, other = make(), make()
    validation = X[:20].copy(), Y[:20].copy()
    optimizer = gd.Adam(model.parameters, lr=0.01, **options)
    found = fit(model, shuffled, optimizer, epochs=3, validation=validation)
    expected = gd.fit(
        other, X, Y, gd.Adam(other.parameters, lr=0.01, **options), 16, 3, validation, progress=False
    )  # fmt: skip
    np.testing.assert_allclose(model.parameters.vector, other.parameters.vector, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-6)
    np.testing.assert_allclose(found.validation_loss, expected.validation_loss, rtol=1e-5)
    assert optimizer.steps == 3 * 4


def test_iterables_begin_anew_in_each_epoch_and_iterators_go_on():
    listed = [(X[k : k + 10], Y[k : k + 10]) for k in range(0, 50, 10)]
    seen = []

    def generated():
        for number in itertools.count():
            seen.append(number)
            yield listed[number % 5]

    models, histories = [network() for _ in range(4)], []
    for model, (given, keywords) in zip(
        models,
        (
            (listed, {}),
            (generated(), {"steps_per_epoch": 5}),
            (iter(listed * 3), {"steps_per_epoch": 5}),
            (lambda epoch: listed, {"steps_per_epoch": 5}),
        ),
        strict=True,
    ):
        histories.append(fit(model, given, epochs=3, **keywords))
    for model, history in zip(models[1:], histories[1:], strict=True):
        assert np.array_equal(model.parameters.vector, models[0].parameters.vector)
        assert history.loss == histories[0].loss
    assert seen == list(range(15))  # none is read in vain
    model = network()
    assert len(fit(model, listed, epochs=1, steps_per_epoch=2).loss) == 1
    twin = network()
    fit(twin, listed[:2], epochs=1)
    assert np.array_equal(model.parameters.vector, twin.parameters.vector)


def test_the_loader_of_torch_gives_batches():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    model, other = network(), network()
    fit(model, torch.utils.data.DataLoader(data, batch_size=16), epochs=2)
    fit(other, [(X[k : k + 16], Y[k : k + 16]) for k in range(0, 50, 16)], epochs=2)
    assert np.array_equal(model.parameters.vector, other.parameters.vector)


def test_a_training_on_a_function_resumes_bit_for_bit(tmp_path):
    pytest.importorskip("safetensors")

    def noisy(epoch):
        rng = np.random.default_rng(epoch)
        for x, y in shuffled(epoch):
            yield x + rng.standard_normal(x.shape).astype(np.float32), y

    def train(path, epochs, given=noisy, **keywords):
        model = network(dropout=0.3)
        history = fit(model, given, epochs=epochs, checkpoint=tmp_path / path, resume=True, **keywords)
        return model.parameters.vector, history.loss

    whole = train("whole", 5)
    train("cut", 2)
    found = train("cut", 5)
    assert np.array_equal(found[0], whole[0])
    assert found[1] == whole[1]
    with pytest.warns(UserWarning, match=r"goes on with steps_per_epoch=2 \(it had None\)"):
        train("cut", 6, steps_per_epoch=2)
    kind = "must be a function of the epoch, or a list, to resume from it, got generator"
    with pytest.raises(TypeError, match=f"fit: X {kind}"):
        train("cut", 7, shuffled(0), steps_per_epoch=4)
    model = network(dropout=0.3)
    with pytest.raises(gd.CheckpointError, match="rows=None, this one has 50"):
        gd.fit(model, X, Y, gd.Adam(model.parameters), epochs=9, checkpoint=tmp_path / "cut", resume=True)


def test_early_stopping_and_heads_and_steps_that_are_counted_on():
    model = gd.MLP([6, 8], heads={"a": 3, "b": gd.Head(1, loss="mse")})
    targets = {"a": Y[:20].copy(), "b": X[:20, :1].copy()}
    batch = X[:20].copy(), targets
    optimizer, epochs = gd.Adam(model.parameters, lr=0.3), []

    def given(epoch):
        epochs.append(epoch)
        return [batch, batch]

    rule = gd.EarlyStopping(1, min_delta=1e9)
    assert fit(model, given, optimizer, epochs=9, early_stopping=rule, validation=batch).stopped
    optimizer = gd.Adam(model.parameters)
    fit(model, given, optimizer, epochs=2, steps_per_epoch=2)
    fit(model, given, optimizer, epochs=2, steps_per_epoch=2)
    assert epochs == [0, 1, 0, 1, 2, 3]


def test_batches_have_weights():
    weights = np.where(Y == 0, 0.0, 1.0 + Y).astype(np.float32)
    one, other = network(), network()
    fit(one, [(X, Y, weights)], epochs=3)
    optimizer = gd.Adam(other.parameters, lr=0.01)
    gd.fit(other, X, Y, optimizer, "all", 3, sample_weight=weights, progress=False)
    np.testing.assert_allclose(one.parameters.vector, other.parameters.vector, rtol=1e-4, atol=1e-6)


def test_objects_with_a_length_and_numbered_batches():
    class Numbered:
        def __len__(self):
            return 5

        def __getitem__(self, k):  # as a Dataset of torch, which need not end
            return X[10 * k : 10 * k + 10], Y[10 * k : 10 * k + 10]

    expected, listed = network(), [Numbered()[k] for k in range(5)]
    fit(expected, listed, epochs=2)
    for given in (Numbered(), lambda epoch: Numbered()):
        model = network()
        fit(model, given, epochs=2)
        assert np.array_equal(model.parameters.vector, expected.parameters.vector)


def test_batches_in_which_no_row_counts_take_no_step():
    weights = np.ones(20, np.float32)
    batches = [(X[:20], Y[:20], weights), (X[20:20], Y[20:20]), (X[20:40], Y[20:40], 0 * weights), (X[:9], Y[:9], None)]
    model, twin = network(), network()
    optimizer = gd.Adam(model.parameters, lr=0.01)
    found = fit(model, batches, optimizer, epochs=2, steps_per_epoch=4)
    expected = fit(twin, [batches[0], batches[3]], epochs=2)
    assert optimizer.steps == 4
    assert found.loss == expected.loss
    assert np.array_equal(model.parameters.vector, twin.parameters.vector)


def test_wrong_batches_are_named_by_number_and_epoch():
    listed = [(X[k : k + 10], Y[k : k + 10]) for k in range(0, 50, 10)]
    for given, keywords, match in (
        ([(X, Y), (X[:, :5].copy(), Y)], {}, "fit: batch 2 of epoch 1: X has 5 columns, the model has 6 features"),
        ([(X, Y), X], {}, "fit: batch 2 of epoch 1 must be (X, y) or (X, y, sample_weight), got ndarray"),
        ([(X, Y, Y, Y)], {}, "fit: batch 1 of epoch 1 must be (X, y) or (X, y, sample_weight), got tuple of 4"),
        (lambda: listed, {}, "fit: X must be a function of the epoch, such as lambda epoch: batches, got "),
        (lambda epoch: 3, {}, "fit: X(0) must be an iterable of (X, y), got int"),
        ([], {}, "fit: X must give some batches in each epoch, it ended after 0 in epoch 1"),
        (listed, {"steps_per_epoch": 6}, "fit: X must give 6 batches in each epoch, it ended after 5 in epoch 1"),
        (iter(listed), {"steps_per_epoch": 3}, "fit: X must give 3 batches in each epoch, it ended after 2 in epoch 2"),
        (iter(listed), {}, "steps_per_epoch must be given where X is an iterator, such as a list_iterator, got None"),
        (listed, {"steps_per_epoch": 0}, "fit: steps_per_epoch must be "),
        (listed, {"batch_size": 16}, "fit: batch_size must be left out where X gives the batches, got 16"),
        (listed, {"emphasis": 0.5}, "fit: emphasis must be left out where X gives the batches, got 0.5"),
        (listed, {"seed": 0}, "fit: seed must be left out where X gives the batches, got 0"),
    ):
        with pytest.raises((TypeError, ValueError), match=re.escape(match)):
            fit(network(), given, epochs=2, **keywords)
    model = network()
    with pytest.raises(TypeError, match="fit: steps_per_epoch must be left out where X is data, got 3"):
        gd.fit(model, X, Y, gd.Adam(model.parameters), steps_per_epoch=3)
    with pytest.raises(OSError, match="the disk is gone"):
        fit(model, failing(), steps_per_epoch=2)


def failing():
    raise OSError("the disk is gone")
    yield
