"""Schedules: PyTorch's values, in closed form; what drives an optimizer; arguments out of range."""

import math

import numpy as np
import pytest

import gd
from gd import reference
from gd import schedules as s

TORCH = [
    (s.StepDecay(0.5, 7, gamma=0.3), lambda o, t: t.StepLR(o, 7, gamma=0.3)),
    (s.MultiStepDecay(0.5, [5, 20, 21]), lambda o, t: t.MultiStepLR(o, [5, 20, 21])),
    (s.ExponentialDecay(0.5, gamma=0.9), lambda o, t: t.ExponentialLR(o, 0.9)),
    (s.InverseTimeDecay(0.5, 0.3), lambda o, t: t.LambdaLR(o, lambda step: 1 / (1 + 0.3 * step))),
    (s.CosineDecay(0.5, 59, lr_min=0.1), lambda o, t: t.CosineAnnealingLR(o, 59, eta_min=0.1)),
    (s.CosineRestarts(0.5, 9), lambda o, t: t.CosineAnnealingWarmRestarts(o, 9)),
    (s.CosineRestarts(0.5, 4, 2, 0.1), lambda o, t: t.CosineAnnealingWarmRestarts(o, 4, 2, eta_min=0.1)),
    (s.PolynomialDecay(0.5, 40, power=2.0), lambda o, t: t.PolynomialLR(o, 40, power=2.0)),
    (s.LinearWarmup(0.5, 10), lambda o, t: t.LinearLR(o, total_iters=10)),
    (
        s.LinearWarmup(s.ExponentialDecay(0.5, gamma=0.9), 10, start_factor=0.1),
        lambda o, t: t.SequentialLR(o, [t.LinearLR(o, 0.1, total_iters=10), t.ExponentialLR(o, 0.9)], [10]),
    ),
    (s.OneCycle(0.5, 60), lambda o, t: t.OneCycleLR(o, 0.5, total_steps=60)),
    (s.OneCycle(0.5, 60, three_phase=True), lambda o, t: t.OneCycleLR(o, 0.5, total_steps=60, three_phase=True)),
    (
        s.OneCycle(0.5, 60, 0.4, "linear", div_factor=10.0, final_div_factor=100.0, three_phase=True),
        lambda o, t: t.OneCycleLR(
            o, 0.5, 60, pct_start=0.4, anneal_strategy="linear", div_factor=10, final_div_factor=100, three_phase=True
        ),
    ),
    (
        s.Piecewise([8, 30], [0.5, s.StepDecay(0.5, 5), 0.5]),
        lambda o, t: t.SequentialLR(o, [t.ConstantLR(o, 1.0), t.StepLR(o, 5), t.ConstantLR(o, 1.0)], [8, 30]),
    ),
]


@pytest.mark.parametrize("schedule, theirs", TORCH, ids=lambda each: type(each).__name__)
@pytest.mark.filterwarnings("ignore")  # PyTorch warns of its own use in SequentialLR
def test_equals_pytorch(schedule, theirs):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.5, momentum=0.9)
    other = theirs(optimizer, torch.optim.lr_scheduler)
    for step in range(60):
        assert schedule(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12, abs=1e-15), step
        if isinstance(schedule, s.OneCycle):
            assert schedule.momentum(step) == pytest.approx(optimizer.param_groups[0]["momentum"], rel=1e-12)
        optimizer.step()
        if step < 59:
            other.step()


PLATEAU = [{}, {"patience": 2, "cooldown": 3}, {"threshold_mode": "abs", "threshold": 0.05, "patience": 1}]


@pytest.mark.parametrize("keywords", [*PLATEAU, *({**each, "mode": "max"} for each in PLATEAU)], ids=str)
def test_reduce_on_plateau_equals_pytorch(keywords, rng):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.5)
    other = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, eps=0.0, min_lr=1e-3, **keywords)
    schedule = s.ReduceOnPlateau(0.5, lr_min=1e-3, **keywords)
    for step in range(100):
        metric = 1 + 1 / (1 + step) + 0.02 * rng.standard_normal()
        other.step(metric)
        schedule.update(metric)
        assert schedule(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
    twin = s.ReduceOnPlateau(0.5, lr_min=1e-3, **keywords)
    twin.load_state_dict(schedule.state_dict())
    assert twin(0) == schedule(0) < 0.5
    assert not s.ReduceOnPlateau(0.5).update(math.nan)


def test_a_plateau_of_the_score_takes_a_higher_one_for_better():
    for keywords, mode in (({"monitor": "score"}, "max"), ({"monitor": "score", "mode": "min"}, "min"), ({}, "min")):
        schedule = s.ReduceOnPlateau(0.1, patience=0, **keywords)
        assert schedule.mode == mode
        assert [schedule.update(score) for score in (0.5, 0.6, 0.4)] == [False, mode == "min", mode == "max"]


def test_classic_forms():
    assert s.StepDecay(1.0, 3, gamma=0.5)(7) == 0.25
    assert s.ExponentialDecay(2.0, rate=0.1)(5) == pytest.approx(2 * math.exp(-0.5), rel=1e-15)
    assert s.InverseTimeDecay(1.0, 0.5)(2) == 0.5
    assert [s.CosineDecay(1.0, 10, 0.25)(step) for step in (0, 10, 11, 1000)] == [1.0, 0.25, 0.25, 0.25]
    assert s.PolynomialDecay(1.0, 10, lr_min=0.5)(20) == 0.5
    assert s.OneCycle(1.0, 10)(1000) == pytest.approx(1 / 25e4)


def test_a_schedule_drives_rate_and_momentum(rng):
    cycle = s.OneCycle(0.1, 20)
    start, gradients = rng.standard_normal(5), rng.standard_normal((20, 5))
    for cls, momentum in ((gd.Momentum, "momentum"), (gd.Adam, "betas")):
        p = start.copy()
        driven = cycle.momentum if momentum == "momentum" else (cycle.momentum, 0.99)
        optimizer = cls(p, lr=cycle, **{momentum: driven})
        expected, state = start.copy(), {}
        formula = reference.OPTIMIZERS[cls.__name__][0]
        for step, g in enumerate(gradients):
            optimizer.step(g)
            value = cycle.momentum(step) if momentum == "momentum" else (cycle.momentum(step), 0.99)
            formula(expected, g, state, step + 1, lr=cycle(step), **{momentum: value})
        np.testing.assert_allclose(p, expected, rtol=1e-12)


OPTIONS = {
    "weight_decay": lambda step: 0.1 * step,
    "l1": lambda step: 0.3 / (1 + step),
    "l2": s.LinearWarmup(0.2, 3),
    "clip_value": lambda step: 0.5 + step,
    "clip_norm_each": s.StepDecay(4.0, 1, gamma=0.5),
    "clip_norm": lambda step: math.inf if step < 2 else 1.0 / step,
    "ema": lambda step: (1 + step) / (10 + step),
}


def _arrays(kind, values):
    return values[0].copy() if kind == "one" else [values[k % 4].copy() for k in range(2 if kind == "two" else 9)]


@pytest.mark.parametrize("kind", ["one", "two", "many"])
@pytest.mark.parametrize("name", OPTIONS)
def test_options_as_schedules_step_as_their_values(name, kind, rng):
    driven, values = OPTIONS[name], rng.standard_normal((4, 7))
    for cls in (gd.AdamW, gd.LAMB) if name == "weight_decay" and kind != "two" else (gd.SGD,):
        for more in ({}, {"zero_grads": True}):
            p, expected = _arrays(kind, values), _arrays(kind, values)
            optimizer, state = cls(p, lr=s.InverseTimeDecay(0.1, 0.5), **more, **{name: driven}), None
            for step in range(5):
                g = _arrays(kind, rng.standard_normal((4, 7)))
                twin = cls(expected, lr=0.1 / (1 + 0.5 * step), **more, **{name: driven(step)})
                if state:
                    twin.load_state_dict(state)
                twin.step([each.copy() for each in g] if isinstance(g, list) else g.copy())
                state = twin.state_dict()
                if step == 3:
                    optimizer.accumulate(g)
                    optimizer.step()
                else:
                    optimizer.step(g)
                for each, other in zip(np.atleast_2d(p), np.atleast_2d(expected), strict=True):
                    assert np.array_equal(each, other), step
                assert getattr(optimizer, name) == driven(step)
            for key, each in optimizer.state_dict().items():
                assert np.array_equal(each, state[key]), key


def test_options_as_schedules_of_groups_and_in_8_bits(rng):
    start, decay = rng.standard_normal((2, 300)).astype(np.float32), lambda step: 0.5 / (1 + step)
    p, q = list(start.copy()), list(start.copy())
    groups = [{"params": [1], "weight_decay": decay, "clip_norm_each": lambda step: 1.0 + step}]
    optimizer = gd.Adam(p, lr=0.1, ema=OPTIONS["ema"], state_dtype="int8", groups=groups)
    assert optimizer.schedules.keys() == {"ema", "groups[0].weight_decay", "groups[0].clip_norm_each", "groups[0].ema"}
    state = None
    for step in range(4):
        g = list(rng.standard_normal((2, 300)).astype(np.float32))
        groups = [{"params": [1], "weight_decay": decay(step), "clip_norm_each": 1.0 + step}]
        twin = gd.Adam(q, lr=0.1, ema=OPTIONS["ema"](step), state_dtype="int8", groups=groups)
        if state:
            twin.load_state_dict(state)
        twin.step(g)
        optimizer.step(g)
        state = twin.state_dict()
        assert np.array_equal(p, q)
    for own, other in zip(optimizer.ema_params(), twin.ema_params(), strict=True):
        assert np.array_equal(own, other)


def test_a_compiled_epoch_follows_schedules_of_options(rng):
    X = rng.standard_normal((60, 3))
    y = X @ np.array([1.0, -2.0, 0.5])
    models = [gd.LinearModel(3, dtype=np.float64) for _ in range(2)]
    options = {"weight_decay": s.CosineDecay(0.5, 12), "ema": OPTIONS["ema"]}
    compiled = gd.Adam(models[0].parameters, lr=0.05, **options)
    stepped = gd.Adam(models[1].parameters, lr=0.05, **options, clip_norm=1e9)  # looks at each gradient first
    for model, optimizer in zip(models, (compiled, stepped), strict=True):
        gd.fit(model, X, y, optimizer, batch_size=10, epochs=2, progress=False)
    assert np.allclose(models[0].parameters.vector, models[1].parameters.vector, rtol=1e-12)
    assert np.allclose(compiled.ema_params().vector, stepped.ema_params().vector, rtol=1e-12)
    assert compiled.weight_decay == stepped.weight_decay == s.CosineDecay(0.5, 12)(11)


def test_a_training_resumes_with_schedules_of_options(rng, tmp_path):
    X = rng.standard_normal((40, 3)).astype(np.float32)
    y, path = X[:, 0].copy(), tmp_path / "model.safetensors"
    decay = s.PolynomialDecay(0.5, 8)

    def train(epochs, **options):
        model = gd.LinearModel(3)
        optimizer = gd.Adam(model.parameters, lr=0.05, **options)
        resume = path.exists()
        gd.fit(model, X, y, optimizer, batch_size=10, epochs=epochs, checkpoint=path, resume=resume, progress=False)
        return model.parameters.vector, optimizer

    optimizer = train(1, weight_decay=decay)[1]
    assert repr(optimizer).endswith(f", weight_decay={decay!r})")
    with pytest.warns(UserWarning, match="keeps weight_decay=PolynomialDecay"):
        resumed, optimizer = train(2)  # the checkpoint holds the schedule
    assert optimizer.schedules == {"weight_decay": decay}
    path.unlink()
    assert np.array_equal(train(2, weight_decay=decay)[0], resumed)


def test_a_schedule_of_an_option_that_leaves_its_range_raises_before_anything_changes():
    for name, wrong in (("clip_norm", 0.0), ("ema", 1.0), ("weight_decay", -1.0)):
        p = [np.ones(3), np.ones(2)]
        optimizer = gd.Adam(p, **{name: lambda step, wrong=wrong: wrong if step else 0.5})
        assert optimizer.step([np.ones(3), np.ones(2)])
        before = [each.copy() for each in p]
        with pytest.raises(ValueError, match=rf"Adam.step: {name}\(1\) must be in"):
            optimizer.step([np.ones(3), np.ones(2)])
        assert all(map(np.array_equal, p, before))
        assert optimizer.steps == 1


def test_a_schedule_of_momentum_that_leaves_its_range_raises_before_anything_changes():
    p = np.ones(3)
    optimizer = gd.SGD(p, momentum=lambda step: 0.9 + step)
    assert optimizer.step(np.ones(3))
    before = p.copy()
    with pytest.raises(ValueError, match=r"SGD.step: momentum\(1\) must be in \[0, 1\), got 1.9"):
        optimizer.step(np.ones(3))
    assert np.array_equal(p, before)
    assert optimizer.steps == 1
    with pytest.raises(ValueError, match="momentum must be in"):
        gd.SGD(p, momentum=lambda step: 2.0)


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda: s.StepDecay(-1.0, 3), "StepDecay: lr must be in"),
        (lambda: s.StepDecay(1.0, 0), "StepDecay: steps must be at least 1"),
        (lambda: s.StepDecay(1.0, 2.5), "StepDecay: steps must be an integer"),
        (lambda: s.MultiStepDecay(1.0, [3, 3]), "milestones must ascend"),
        (lambda: s.MultiStepDecay(1.0, 3), "milestones must be a list"),
        (lambda: s.ExponentialDecay(1.0), "give one of gamma and rate"),
        (lambda: s.CosineDecay(1.0, 10, lr_min=-1.0), "lr_min must be in"),
        (lambda: s.LinearWarmup("fast", 10), "LinearWarmup: after must be"),
        (lambda: s.LinearWarmup(0.1, 10, start_factor=0.0), "start_factor must be in"),
        (lambda: s.OneCycle(0.1, 1), "OneCycle: steps must be at least 2"),
        (lambda: s.OneCycle(0.1, 10, anneal="sine"), "anneal must be one of"),
        (lambda: s.OneCycle(0.1, 10, momenta=(0.9, 1.0)), r"momenta\[1\] must be in"),
        (lambda: s.Piecewise([10], [0.1]), "pieces must be a list of 2"),
        (lambda: s.ReduceOnPlateau(0.1, factor=1.0), "factor must be in"),
        (lambda: s.ReduceOnPlateau(0.1).update("good"), "metric must be a number"),
        (lambda: s.ReduceOnPlateau(0.1).load_state_dict({}), "state must have"),
        (lambda: gd.scale_lr_for_batch(0.1, 0, 32), "batch must be at least 1"),
        (lambda: gd.scale_lr_for_batch(0.1, 64, 32, rule="cubic"), "rule must be one of"),
    ],
)
def test_nonsense_is_refused(make, match):
    with pytest.raises((TypeError, ValueError, KeyError), match=match):
        make()
