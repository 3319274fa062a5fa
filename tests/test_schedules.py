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
        assert schedule(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-11, abs=1e-15), step
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
