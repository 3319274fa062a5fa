"""Which arguments hold when a training resumes: those given now, else those of the checkpoint; and how it tells."""

import re
import warnings

import numpy as np
import pytest
from communicators import Communicator

import gd
from gd.schedules import CosineDecay, LinearWarmup, OneCycle, Piecewise, ReduceOnPlateau

pytest.importorskip("safetensors")
X = np.random.default_rng(0).standard_normal((40, 3))
Y = X @ np.ones(3) + np.random.default_rng(1).standard_normal(40)
HELD = X[:20] * 1.5, Y[:20].copy()


FIT = "batch_size seed accumulate emphasis evaluate early_stopping validation".split()


def train(path, epochs=2, optimizer=gd.Adam, told=None, comm=None, model=None, y=Y, **keywords):
    """Train, or go on; return (model, optimizer, history). `told` is the one line, None if there is none to be."""
    arguments = {name: keywords.pop(name) for name in tuple(keywords) if name in FIT}
    model = model or gd.LinearModel(3, dtype=np.float64)
    if comm is None:
        made = optimizer(model.parameters, **keywords)
    else:
        made = gd.Distributed(optimizer, model.parameters, comm, **keywords)
    arguments = {"batch_size": 8, "checkpoint": path, "resume": True, "progress": False, "comm": comm} | arguments
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        history = gd.fit(model, X, y, made, epochs=epochs, **arguments)
    lines = [str(each.message) for each in seen]
    assert len(lines) == (told is not None), lines
    if told is not None:
        assert lines[0] == f"fit: {told.format(path=path)}"
    return model, made, history


def same(one, other):
    return np.array_equal(one.parameters.vector, other.parameters.vector)


def adam(lr, decay, model, state, steps):
    """Take full-batch steps of Adam with decoupled decay in plain NumPy."""
    p, m, v = model.parameters.vector.copy(), state["exp_avg"].copy(), state["exp_avg_sq"].copy()
    for t in range(state["steps"] + 1, state["steps"] + steps + 1):
        r = X @ p[:3] + p[3] - Y
        g = 2 * np.append(X.T @ r, r.sum()) / len(Y)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        p = p * (1 - lr * decay) - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return p


def flat(state):
    """Return the state of a linear model's optimizer with one vector for each slot."""
    return {"steps": state["steps"]} | {
        slot: np.append(state[f"w.{slot}"], state[f"b.{slot}"]) for slot in ("exp_avg", "exp_avg_sq")
    }


def test_what_is_given_now_holds_and_one_line_tells(tmp_path):
    path = tmp_path / "c"
    model, optimizer, _ = train(path, batch_size="all", lr=1e-3)
    expected = adam(1e-5, 0.5, model, flat(optimizer.state_dict()), 3)
    resumed, optimizer, history = train(
        path, 5, batch_size="all", lr=1e-5, weight_decay=0.5,
        told="the training in {path} goes on with lr=1e-05 (it had 0.001), weight_decay=0.5 (it had 0.0)",
    )  # fmt: skip
    np.testing.assert_allclose(resumed.parameters.vector, expected, rtol=1e-12)
    assert (history.lr, optimizer.weight_decay) == ([1e-3] * 2 + [1e-5] * 3, 0.5)
    train(path, 6, batch_size="all", lr=1e-5, weight_decay=0.5)  # which the checkpoint knows by now


@pytest.mark.parametrize(
    "optimizer, arguments",
    [
        (gd.Adam, {"lr": 0.02, "weight_decay": 0.5, "betas": (0.8, 0.99), "clip_norm": 0.5}),
        (gd.AdamW, {"amsgrad": True, "ema": 0.9, "l2": 0.1}),
        (gd.SGD, {"momentum": 0.5, "nesterov": True, "lr": 0.01}),
        (gd.SGD, {"lr": 0.01, "groups": [{"params": ["w"], "lr": 0.05, "l1": 0.1}]}),
        (gd.Adam, {"state_dtype": "int8", "seed": 3}),
    ],
    ids=str,
)
def test_what_is_left_out_comes_from_the_checkpoint(optimizer, arguments, tmp_path):
    whole, expected, _ = train(tmp_path / "whole", 5, optimizer, **arguments)
    train(tmp_path / "c", 2, optimizer, **arguments)
    model = gd.LinearModel(3, dtype=np.float64)
    made = optimizer(model.parameters)
    with pytest.warns(UserWarning, match=f"the training in {tmp_path / 'c'} keeps .*, which was not given"):
        gd.fit(model, X, Y, made, 8, 5, checkpoint=tmp_path / "c", resume=True, progress=False)
    assert same(model, whole)
    assert repr(made) == repr(expected)
    assert [group.lr for group in made.groups] == [group.lr for group in expected.groups]
    for name, value in expected.state_dict().items():
        assert np.array_equal(made.state_dict()[name], value)


def test_other_groups_have_their_own_rates(tmp_path):
    path = tmp_path / "c"
    train(path, 2, gd.SGD, lr=0.01, groups=[{"params": ["w"], "lr": 0.02}])
    told = "the training in {path} goes on with groups=({{'params': ('b',)}},) (it had ({{'params': ('w',)}},)), "
    told += "groups[0].lr=0.01 (it had 0.02)"
    optimizer = train(path, 3, gd.SGD, lr=0.01, groups=[{"params": ["b"]}], told=told)[1]
    assert optimizer.groups[0].lr == 0.01
    told = "the training in {path} goes on with groups[0].lr=0.05 (it had 0.01)"
    optimizer = train(path, 4, gd.SGD, lr=0.01, groups=[{"params": ["b"], "lr": 0.05}], told=told)[1]
    assert (optimizer.lr, optimizer.groups[0].lr) == (0.01, 0.05)


def test_schedules_of_other_arguments_are_compared_by_what_they_say(tmp_path):
    path, cycle = tmp_path / "c", OneCycle(0.1, 50)
    given = {"lr": lambda step: 0.01, "betas": (cycle.momentum, 0.999)}
    train(path, 2, **given)
    train(path, 3, **given)
    told = "the training in {path} goes on with betas=(0.9, 0.999) (it had (OneCycle.momentum(of="
    model = gd.LinearModel(3, dtype=np.float64)
    optimizer = gd.Adam(model.parameters, lr=given["lr"], betas=(0.9, 0.999))
    with pytest.warns(UserWarning, match=re.escape(told.format(path=path))):
        gd.fit(model, X, Y, optimizer, 8, 4, checkpoint=path, resume=True, progress=False)
    model = gd.LinearModel(3, dtype=np.float64)
    with pytest.raises(gd.CheckpointError, match=r"with lr=test_schedules_of.*<lambda>, which it does not hold"):
        gd.fit(model, X, Y, gd.Adam(model.parameters), 8, 5, checkpoint=path, resume=True)


def test_a_default_that_is_given_holds_too(tmp_path):
    train(tmp_path / "c", weight_decay=0.5)
    told = "the training in {path} goes on with weight_decay=0.0 (it had 0.5)"
    assert train(tmp_path / "c", 4, weight_decay=0.0, told=told)[1].weight_decay == 0.0


def test_a_rate_that_a_callback_lowered_goes_on_unless_another_is_given(tmp_path):
    def lowering(optimizer):
        def callback(history):
            optimizer.lr = 0.01

        return callback

    for name, lr in (("given", {"lr": 0.1}), ("left", {})):
        path, model = tmp_path / name, gd.LinearModel(3, dtype=np.float64)
        optimizer = gd.SGD(model.parameters, **lr)
        gd.fit(model, X, Y, optimizer, 8, 2, callbacks=lowering(optimizer), checkpoint=path, progress=False)
        first = lr.get("lr", 1e-3)
        told = "the training in {path} keeps lr=0.01, which was set during it"
        assert train(path, 4, gd.SGD, told=told, **lr)[2].lr == [first, 0.01, 0.01, 0.01]
        told = f"the training in {{path}} goes on with lr=0.03 (it had {first})"
        assert train(path, 5, gd.SGD, lr=0.03, told=told)[2].lr[-1] == 0.03
        train(path, 6, gd.SGD, told="the training in {path} keeps lr=0.03, which was not given")


def test_schedules_may_change(tmp_path):
    path = tmp_path / "c"
    train(path, 2, lr=CosineDecay(0.1, 10))
    longer = CosineDecay(0.1, 40)
    told = (
        "the training in {path} goes on with lr=CosineDecay(lr=0.1, steps=40, lr_min=0.0) "
        "(it had CosineDecay(lr=0.1, steps=10, lr_min=0.0))"
    )
    history = train(path, 4, lr=longer, told=told)[2]
    assert history.lr[2:] == [longer(14), longer(19)]
    text = "CosineDecay(lr=0.1, steps=40, lr_min=0.0)"
    told = f"the training in {{path}} goes on with lr=0.03 (it had {text})"
    assert train(path, 5, lr=0.03, told=told)[2].lr[-1] == 0.03
    told = f"the training in {{path}} goes on with lr={text} (it had 0.03)"
    assert train(path, 6, lr=longer, told=told)[2].lr[-1] == longer(29)
    told = f"the training in {{path}} keeps lr={text}, which was not given"
    assert train(path, 7, told=told)[2].lr[-1] == longer(34)


def test_a_plateau_keeps_its_count_with_another_patience_but_not_at_another_rate(tmp_path):
    def resumed(epochs, lr, plateau_patience):
        plateau = ReduceOnPlateau(lr, 0.5, plateau_patience, threshold=1e9, threshold_mode="abs")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            history = train_quietly(tmp_path / "c", epochs, LinearWarmup(plateau, 1))
        return plateau.reductions, history.lr

    assert resumed(4, 0.01, 0) == (3, [0.01, 0.01, 0.005, 0.0025])
    assert resumed(6, 0.01, 50)[1][-2:] == [0.00125, 0.00125]
    assert resumed(7, 0.04, 50)[1][-1] == 0.04


def train_quietly(path, epochs, lr, kind=gd.SGD):
    model = gd.LinearModel(3, dtype=np.float64)
    optimizer = kind(model.parameters, lr=lr)
    return gd.fit(model, X, Y, optimizer, 8, epochs, checkpoint=path, resume=True, progress=False)


def test_arguments_of_fit_may_change_or_be_left_out(tmp_path):
    path = tmp_path / "c"
    given = {"seed": 3, "accumulate": 2}
    whole = train(tmp_path / "whole", 4, **given)[0]
    train(path, 2, **given)
    told = "the training in {path} keeps batch_size=8, seed=3, accumulate=2, which was not given"
    model, optimizer, _ = train(path, 4, batch_size=None, told=told)
    assert same(model, whole)
    assert optimizer.steps == 4 * 3
    told = "the training in {path} goes on with batch_size=20 (it had 8), seed=0 (it had 3), accumulate=1 (it had 2)"
    assert train(path, 5, batch_size=20, seed=0, accumulate=1, told=told)[1].steps == 12 + 2


def test_emphasis_may_begin_and_end(tmp_path):
    def steps(epochs, told, **keywords):
        model = gd.MLP([3, 4, 1], loss="mse", dtype=np.float64)
        return train(tmp_path / "c", epochs, model=model, y=Y[:, np.newaxis].copy(), told=told, **keywords)[1].steps

    assert steps(1, None) == 5
    assert steps(2, "the training in {path} goes on with emphasis=0.5 (it had 0.0)", emphasis=0.5) == 5 + 8
    assert steps(3, "the training in {path} keeps emphasis=0.5, which was not given") == 5 + 8 + 8
    assert steps(4, "the training in {path} goes on with emphasis=0.0 (it had 0.5)", emphasis=0.0) == 5 + 8 + 8 + 5


@pytest.mark.parametrize("rule", [gd.EarlyStopping(9), 9, None], ids=["rule", "patience", "none"])
def test_after_an_early_stop_more_patience_goes_on_from_the_last_epoch(rule, tmp_path):
    given = {"lr": 0.3, "validation": HELD, "ema": 0.9}
    path, held = tmp_path / "c", gd.EarlyStopping(2, min_delta=0.3)
    rule = gd.EarlyStopping(9, min_delta=0.3) if isinstance(rule, gd.EarlyStopping) else rule
    whole, optimizer, expected = train(tmp_path / "whole", 12, early_stopping=rule, **given)
    stopped = train(path, 12, early_stopping=held, **given)
    assert stopped[2].stopped
    done = len(stopped[2].loss)
    assert done < 10
    told = f"nothing is left to do, as the last 2 of the {done} epochs in {{path}} were no better, got patience=2: "
    told += "it goes on with a larger one, or without early_stopping"
    again = train(path, 12, early_stopping=held, told=told, **given)
    assert same(again[0], stopped[0])
    assert again[2].stopped
    old, news = str(held), str(gd.EarlyStopping(9) if rule == 9 else rule)
    told = f"the training in {{path}} goes on with early_stopping={news} (it had {old})"
    resumed, other, found = train(path, 12, early_stopping=rule, told=told, **given)
    assert found.loss == expected.loss
    assert (len(found.loss), found.stopped) == (len(expected.loss), expected.stopped)
    assert same(resumed, whole)
    assert np.array_equal(other.ema_params().vector, optimizer.ema_params().vector)


def test_where_nothing_is_left_one_line_says_so(tmp_path):
    model = train(tmp_path / "c", 3)[0]
    told = "nothing is left to do, as the training in {path} has 3 epochs, got epochs=2"
    assert same(train(tmp_path / "c", 2, told=told)[0], model)


def test_checkpoints_of_the_format_before_still_load(tmp_path):
    path, given = tmp_path / "c", {"lr": 0.05, "early_stopping": 9}
    whole = train(tmp_path / "whole", 4, **given)[0]
    train(path, 2, **given)
    tree = gd.load(path)
    for name in ("arguments", "plateaus", "early_stopping"):
        del tree[name]
    del tree["training"]["evaluate"]
    gd.save(path, tree)
    anew = "the training in {path} counts anew for early_stopping"
    assert same(train(path, 4, told=anew, **given)[0], whole)
    gd.save(path, tree | {"training": tree["training"] | {"batch_size": 40}})
    train(path, 4, batch_size="all", told=anew, **given)
    gd.save(path, tree)
    told = "the training in {path} goes on with lr=0.01 (it had 0.05) and counts anew for early_stopping"
    assert train(path, 4, lr=0.01, early_stopping=9, told=told)[2].lr[-1] == 0.01


def test_an_optimizer_that_cannot_take_what_was_saved_stays_as_it_was(tmp_path):
    train(tmp_path / "c", weight_decay=0.5, lr=0.1)
    tree = gd.load(tmp_path / "c")
    tree["optimizer"]["w.exp_avg"] = np.zeros(7)
    gd.save(tmp_path / "c", tree)
    model = gd.LinearModel(3, dtype=np.float64)
    optimizer = gd.Adam(model.parameters)
    before = vars(optimizer).copy()
    with pytest.raises(gd.CheckpointError, match="is not of this training"):
        gd.fit(model, X, Y, optimizer, 8, 9, checkpoint=tmp_path / "c", resume=True)
    assert vars(optimizer) == before
    optimizer.step(model.parameters.zeros_like())
    with (
        gd.Adam(model.parameters, state_dir=tmp_path / "state") as optimizer,
        pytest.raises(gd.CheckpointError, match=r"with state_dir, the optimizer must be made with weight_decay=0.5"),
    ):
        gd.fit(model, X, Y, optimizer, 8, 9, checkpoint=tmp_path / "c", resume=True)


def test_several_ranks_follow_the_same_rule(tmp_path):
    comm = Communicator()
    whole = train(tmp_path / "whole", 4, comm=comm, lr=0.05, weight_decay=0.5, clip_norm=0.5)[0]
    train(tmp_path / "c", 2, comm=comm, lr=0.05, weight_decay=0.5, clip_norm=0.5)
    told = "the training in {path} keeps weight_decay=0.5, clip_norm=0.5, which was not given"
    assert same(train(tmp_path / "c", 4, comm=comm, lr=0.05, told=told)[0], whole)
    told = "the training in {path} goes on with lr=0.01 (it had 0.05), clip_norm=None (it had 0.5)"
    train(tmp_path / "c", 5, comm=comm, lr=0.01, weight_decay=0.5, clip_norm=None, told=told)


def test_a_watch_that_cannot_be_compared_begins_anew_and_the_line_says_so(tmp_path):
    def saved(path, **keywords):
        train(tmp_path / path, 3, **{"lr": 0.02, "validation": HELD, "ema": 0.9} | keywords)
        return {"lr": 0.02, "validation": HELD, "ema": 0.9, "early_stopping": 1}

    rule = gd.EarlyStopping(1, restore_best=False)
    given, told = saved("score", early_stopping=1), "the training in {path} counts anew for early_stopping"
    tree = gd.load(tmp_path / "score")
    for name in ("arguments", "plateaus", "early_stopping"):
        del tree[name]
    for record in ("validation_loss", "head_losses", "head_scores"):
        del tree["history"][record]
    tree["watch"]["best"] = tree["watch"]["mark"] = 0.99  # as 0.1.0, which watched the score
    gd.save(tmp_path / "score", tree)
    history = train(tmp_path / "score", 5, told=told, **given)[2]
    assert not history.stopped
    assert np.isnan(history.validation_loss).tolist() == [True] * 3 + [False] * 2
    assert len(history.score) == 5
    given = saved("average", early_stopping=1)
    told = "the training in {path} goes on with evaluate='ema' (it had 'parameters') and counts anew for early_stopping"
    assert not train(tmp_path / "average", 5, told=told, evaluate="ema", **given)[2].stopped
    given = saved("last", early_stopping=rule)
    told = f"the training in {{path}} goes on with early_stopping={gd.EarlyStopping(1)} (it had {rule}) "
    optimizer = train(tmp_path / "last", 5, told=told + "and counts anew for early_stopping", **given)[1]
    assert optimizer.steps == 5 * 5


def test_the_best_epoch_has_its_rate_and_the_counts_of_its_plateau(tmp_path):
    def train(epochs, told=None, lr=0.4):
        model, plateau = gd.LinearModel(3, dtype=np.float64), ReduceOnPlateau(0.01, patience=0, monitor=lambda h: 1.0)
        optimizer = gd.SGD(model.parameters, lr=lr, groups=[{"params": ["b"], "lr": plateau}])

        def halved(history):
            optimizer.lr /= 2

        rule = gd.EarlyStopping(3, monitor=lambda history: abs(len(history.loss) - 2))
        path = {"checkpoint": tmp_path / "c", "resume": True}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            history = gd.fit(
                model, X, Y, optimizer, 8, epochs, early_stopping=rule, callbacks=halved, progress=False, **path
            )
        return history, optimizer, plateau

    train(3)  # the best is the second epoch, at lr = 0.2 and after one reduction
    history, optimizer, plateau = train(9)
    assert history.stopped
    assert history.lr == [0.4, 0.2, 0.1, 0.05, 0.025]
    assert (optimizer.lr, plateau.reductions, plateau.bad) == (0.2, 1, 0)
    assert optimizer.steps == 2 * 5


def test_the_rate_of_rprop_is_of_its_first_step(tmp_path):
    train(tmp_path / "c", 1, gd.Rprop, batch_size="all")
    told = "the training in {path} goes on with lr=1e-07 (it had 0.01); "
    told += "lr has no effect on the step sizes of Rprop after its first step"
    train(tmp_path / "c", 2, gd.Rprop, batch_size="all", lr=1e-7, told=told)


@pytest.mark.parametrize(
    "one, other, match",
    [
        (lambda: gd.LinearModel(3, l1=0.1), lambda: gd.LinearModel(3, l1=0.2), "l1=0.1, this one has 0.2"),
        (lambda: gd.LinearModel(3, loss="huber"), lambda: gd.LinearModel(3, loss="huber", delta=2.0), "delta=None"),
        (lambda: gd.LinearModel(3), lambda: gd.LinearModel(3, fit_intercept=False), "fit_intercept=True"),
        (lambda: mlp(), lambda: mlp(output="tanh"), "output='identity', this one has 'tanh'"),
        (lambda: mlp(loss="huber", loss_parameters={"delta": 1.0}), lambda: mlp(loss="huber"), "loss_parameters="),
        (lambda: mlp(activation="elu", activation_parameters={"alpha": 2.0}), lambda: mlp(activation="elu"), "activa"),
        (lambda: mlp(dropout=0.1), lambda: mlp(dropout=[0.2]), "dropout="),
        (lambda: mlp(dropout=0.1), lambda: mlp(dropout=[0.1]), None),
        (lambda: mlp(activation_parameters={}), lambda: mlp(loss_parameters={}), None),
        (lambda: gd.LinearModel(3, loss="squared"), lambda: gd.LinearModel(3, l2=0), None),
        (lambda: heads(gd.Head(2)), lambda: heads(2), None),
        (lambda: heads(gd.Head(2)), lambda: heads(gd.Head(2, weight=0.5)), "heads="),
    ],
)
def test_models_are_compared_by_their_arguments(one, other, match, tmp_path):
    def fit(model, epochs):
        targets = Y if isinstance(model, gd.LinearModel) else Y[:, np.newaxis].copy()
        targets = {"a": np.arange(40) % 2} if "heads" in repr(model) else targets
        data = X.astype(np.float32), ({"a": targets["a"]} if isinstance(targets, dict) else targets.astype(np.float32))
        optimizer = gd.SGD(model.parameters)
        return gd.fit(model, *data, optimizer, 8, epochs, checkpoint=tmp_path / "c", resume=True, progress=False)

    fit(one(), 1)
    if match is None:
        assert len(fit(other(), 2).loss) == 2
    else:
        with pytest.raises(gd.CheckpointError, match=f"c is of a training with {match}"):
            fit(other(), 2)


def mlp(**keywords):
    return gd.MLP([3, 4, 1], **{"loss": "mse"} | keywords)


def heads(head):
    return gd.MLP([3, 4], heads={"a": head})


def test_weights_of_rows_are_not_added_or_removed(tmp_path):
    model = gd.LinearModel(3, dtype=np.float64)
    keywords = {"checkpoint": tmp_path / "c", "resume": True, "progress": False}
    gd.fit(model, X, Y, gd.SGD(model.parameters), 8, 1, sample_weight=np.ones(40), **keywords)
    with pytest.raises(gd.CheckpointError, match="sample_weight=True, this one has False"):
        gd.fit(model, X, Y, gd.SGD(model.parameters), 8, 2, **keywords)


def test_rates_of_groups_follow_the_rate_that_they_had(tmp_path):
    groups = [{"params": ["b"], "weight_decay": 0.1}]
    train(tmp_path / "c", 2, lr=0.1, groups=groups)
    told = "the training in {path} goes on with lr=0.2 (it had 0.1) and "
    told += "keeps groups=({{'params': ('b',), 'weight_decay': 0.1}},), which was not given"
    optimizer = train(tmp_path / "c", 3, lr=0.2, told=told)[1]
    assert (optimizer.lr, optimizer.groups[0].lr, optimizer.groups[0].weight_decay) == (0.2, 0.2, 0.1)
    cosine = CosineDecay(0.1, 40)
    train(tmp_path / "cosine", 2, lr=cosine, groups=[{"params": ["b"], "l2": 0.1}])
    told = "the training in {path} keeps groups=({{'params': ('b',), 'l2': 0.1}},), which was not given"
    optimizer = train(tmp_path / "cosine", 4, lr=cosine, told=told)[1]
    assert optimizer.groups[0].lr == cosine(20)


def test_a_rate_that_was_set_counts_as_given(tmp_path):
    def resumed(path, told, **rates):
        model = gd.LinearModel(3, dtype=np.float64)
        optimizer = gd.Adam(model.parameters, groups=[{"params": ["b"], "lr": 0.5}])
        owners = {"lr": optimizer, "group": optimizer.groups[0]}
        for name, rate in rates.items():
            owners[name].lr = rate
        with pytest.warns(UserWarning, match=re.escape(told)):
            gd.fit(model, X, Y, optimizer, 8, 3, checkpoint=path, resume=True, progress=False)
        return optimizer.lr, optimizer.groups[0].lr

    for name, rates, expected, told in (
        ("lr", {"lr": 1e-3}, (1e-3, 0.5), "goes on with lr=0.001 (it had 0.1)"),
        ("group", {"group": 0.7}, (0.1, 0.7), "goes on with groups[0].lr=0.7 (it had 0.5) and keeps lr=0.1"),
    ):
        train(tmp_path / name, 2, lr=0.1, groups=[{"params": ["b"], "lr": 0.5}])
        assert resumed(tmp_path / name, told, **rates) == expected


def test_averages_of_the_checkpoint_are_evaluated_where_ema_is_left_out(tmp_path):
    train(tmp_path / "c", 2, ema=0.9, evaluate="ema", validation=HELD)
    told = "the training in {path} keeps ema=0.9, which was not given"
    assert train(tmp_path / "c", 3, evaluate="ema", validation=HELD, told=told)[1].ema == 0.9
    with pytest.raises(gd.CheckpointError, match="evaluate='ema' needs an optimizer made with ema"):
        train(tmp_path / "c", 4, evaluate="ema", ema=None, validation=HELD)


@pytest.mark.parametrize("lr, kept", [(CosineDecay(0.1, 24), True), (0.2, False)], ids=str)
def test_a_plateau_keeps_its_count_over_another_schedule(lr, kept, tmp_path):
    def plateau(lr):
        return ReduceOnPlateau(lr, 0.5, 0, threshold=1e9, threshold_mode="abs")

    train(tmp_path / "c", 3, lr=plateau(CosineDecay(0.1, 12)))
    other = plateau(lr)
    with pytest.warns(UserWarning, match="c goes on with lr=ReduceOnPlateau") as seen:
        train_quietly(tmp_path / "c", 4, other, gd.Adam)
    assert ("counts anew for lr" in str(seen[0].message)) is not kept
    assert other.reductions == (3 if kept else 0)


def test_no_sentence_tells_of_an_early_stop_that_was_none(tmp_path):
    given = {"validation": HELD, "lr": 0.3}
    rule = gd.EarlyStopping(9, min_delta=100.0)
    train(tmp_path / "c", 5, early_stopping=rule, **given)
    told = "nothing is left to do, as the last 4 of the 5 epochs in {path} were no better, got patience=2: "
    told += "it goes on with a larger one, or without early_stopping"
    less = gd.EarlyStopping(2, min_delta=100.0)
    assert train(tmp_path / "c", 9, early_stopping=less, told=told, **given)[2].stopped is True
    train(tmp_path / "d", 9, early_stopping=less, **given)
    more = gd.EarlyStopping(np.int64(2), min_delta=50.0)
    told = f"the training in {{path}} goes on with early_stopping={gd.EarlyStopping(2, 50.0)} (it had {less})"
    history = train(tmp_path / "d", 9, early_stopping=more, told=told, **given)[2]
    assert (len(history.loss), history.stopped) == (5, True)


def test_a_rate_alone_is_taken_with_a_state_dir(tmp_path):
    keywords = {"checkpoint": tmp_path / "c", "resume": True, "progress": False}
    for epochs, given in ((1, {"lr": 0.1}), (2, {})):
        model = gd.LinearModel(3, dtype=np.float64)
        with (
            gd.Adam(model.parameters, state_dir=tmp_path / f"state{epochs}", **given) as optimizer,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            history = gd.fit(model, X, Y, optimizer, 8, epochs, **keywords)
    assert history.lr == [0.1, 0.1]


def test_schedules_of_gd_that_are_left_out_are_made_again(tmp_path):
    def given():
        cycle, plateau = OneCycle(0.1, 50), ReduceOnPlateau(0.05, 0.5, 0, threshold=1e9, threshold_mode="abs")
        groups = [{"params": ["b"], "lr": CosineDecay(0.2, 30)}]
        lr = Piecewise([8], [LinearWarmup(cycle, 3), plateau])
        return {"lr": lr, "betas": (cycle.momentum, 0.99), "groups": groups}

    whole = train(tmp_path / "whole", 6, **given())
    train(tmp_path / "c", 3, **given())
    model = gd.LinearModel(3, dtype=np.float64)
    optimizer = gd.Adam(model.parameters)
    with pytest.warns(UserWarning, match=r"keeps lr=Piecewise\(.*, which was not given"):
        history = gd.fit(model, X, Y, optimizer, 8, 6, checkpoint=tmp_path / "c", resume=True, progress=False)
    assert history.lr == whole[2].lr
    assert same(model, whole[0])


def test_a_state_that_does_not_fit_names_the_arguments(tmp_path):
    train(tmp_path / "c", 1, gd.SGD)
    for given, match in (({"ema": 0.9}, r"has ema=0.9 \(it had None\)"), ({"momentum": 0.9}, r"has momentum=0.9 \(it")):
        with pytest.raises(gd.CheckpointError, match=f"c is not of this training, which {match}"):
            train(tmp_path / "c", 2, gd.SGD, **given)
