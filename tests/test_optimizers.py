"""Optimizers against plain NumPy and PyTorch, and the contract that all of them keep."""

import copy
import pickle

import numpy as np
import pytest

import gd
from gd import reference
from gd.checks.values import Range
from gd.kernels.rules.sgd import SGDCoefficients
from gd.optimizers import OPTIMIZERS

NAMES = sorted(OPTIMIZERS)
VARIANTS = {
    "SGD": [{"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.5}, {"momentum": 0.9, "nesterov": True}],
    "Adagrad": [{"lr_decay": 0.1, "initial_accumulator_value": 0.1}, {"eps": 1e-3, "eps_inside": True}],
    "RMSprop": [
        {"momentum": 0.9},
        {"centered": True},
        {"centered": True, "momentum": 0.5, "rho": 0.9},
        {"eps": 1e-3, "eps_inside": True},
    ],
    "Adadelta": [{"lr": 0.5, "rho": 0.95, "eps": 1e-3}],
    "Adam": [
        {"amsgrad": True, "betas": (0.9, 0.9)},
        {"amsgrad": "corrected", "betas": (0.9, 0.9)},
        {"betas": (0.5, 0.9)},
        {"bias_correction": False},
        {"eps": 1e-3, "eps_inside": True},
        {"eps": 1e-3, "eps_hat": True},
        {"eps": 1e-3, "eps_hat": True, "eps_inside": True},
    ],
    "AdamW": [{"weight_decay": 0.1}, {"amsgrad": True}],
    "Adamax": [{"eps": 1e-2, "eps_inside": False}, {"bias_correction": False}],
    "NAdam": [{"momentum_decay": 1.0}, {"momentum_decay": np.inf}, {"eps": 1e-3, "eps_hat": True}],
    "RAdam": [{"threshold": 4.0, "betas": (0.8, 0.9)}, {"eps_hat": False, "eps": 1e-3, "eps_inside": True}],
    "Rprop": [{"etas": (0.3, 2.0), "step_sizes": (1e-3, 0.1)}],
    "ASGD": [{"lambd": 0.1, "alpha": 0.5, "t0": 5}],
    "Lion": [{"betas": (0.5, 0.9)}],
    "Yogi": [{"bias_correction": False, "initial_accumulator_value": 0.1}, {"eps_hat": True}, {"eps_inside": True}],
    "AdaBelief": [{"bias_correction": False, "eps": 1e-6}, {"eps": 1e-3, "eps_hat": True}, {"eps_inside": True}],
    "LAMB": [{"weight_decay": 0.1, "bias_correction": False}, {"eps": 1e-2, "eps_inside": True}, {"eps_hat": True}],
    "LARS": [{"l2": 0.1, "momentum": 0.5, "trust_coefficient": 0.1}],
    "AdEMAMix": [{"warmup": 10, "alpha": 8.0}, {"eps": 1e-3, "eps_hat": True, "betas": (0.8, 0.9, 0.99)}],
    "ADOPT": [{"clip": False}, {"betas": (0.8, 0.99), "eps": 0.5}],
    "Adafactor": [
        {"momentum": 0.9, "weight_decay": 0.1, "d": 0.5},
        {"eps_inside": True, "relative_step": False, "scale_parameter": False, "d": np.inf, "beta2_decay": -0.5},
        {"eps": (0.7, 0.5)},
    ],
    "SM3": [{"momentum": 0.0}, {"eps": 0.0, "momentum": 0.5}],
    "Muon": [{"adam_betas": (0.8, 0.9), "adam_eps": 1e-3, "momentum": 0.5}],
    "Adan": [
        {"weight_decay": 0.1, "betas": (0.9, 0.5, 0.95)},
        {"weight_decay": 0.1, "no_prox": True, "eps": 1e-3, "eps_hat": True},
        {"eps": 1e-3, "eps_inside": True},
    ],
    "FTRL": [
        {"l1": 0.3, "l2": 0.1, "beta": 1.0, "lr": 0.1},
        {"initial_accumulator_value": 0.0, "l2_shrinkage": 0.1, "l1": 0.01},
        {"learning_rate_power": -0.7, "l1": 0.1},
        {"learning_rate_power": 0.0, "initial_accumulator_value": 0.0, "lr": 0.01},
    ],
    "Prodigy": [
        {"weight_decay": 0.1, "d0": 1e-3, "d_coef": 2.0, "bias_correction": True},
        {"beta3": 0.9, "growth_rate": 1.5, "d0": 1e-2, "safeguard_warmup": True, "lr": lambda step: 0.1 * (step + 1)},
    ],
    "ScheduleFreeAdamW": [
        {"warmup_steps": 10, "r": 1.0, "weight_decay": 0.1},
        {"lr": lambda step: 0.01 / (1 + step), "betas": (0.5, 0.9), "weight_lr_power": 1.0},
        {"eps": 1e-3, "eps_hat": True},
    ],
}
SHARED = [
    {"l1": 1e-2},
    {"l2": 1e-2, "maximize": True},
    {"weight_decay": 0.1},
    {"lr": lambda step: 0.1 / (1 + step)},
]
STAGES = [  # every combination of the stages around a rule, on two rules
    {"clip_value": 0.5},
    {"clip_norm": 2.0},
    {"ema": 0.9},
    {"clip_norm_each": 1.0, "clip_norm": 1.5},
    {"clip_value": 0.3, "clip_norm": 5.0, "l1": 1e-2, "l2": 1e-2, "weight_decay": 0.1, "maximize": True, "ema": 0.5},
]
TRUST = [name for name in NAMES if OPTIMIZERS[name].trust_norms]  # their step depends on the whole array
MATRICES = {  # slots of a matrix that are not those of a vector
    "Adafactor": ("row_var", "col_var", "exp_avg"),
    "SM3": ("accumulator_0", "accumulator_1"),
    "Muon": ("momentum_buffer",),
}
BOUNDED = ("Lion", "Rprop", "ADOPT")  # an infinite gradient takes a finite step
CASES = [(name, {}) for name in NAMES]
CASES += [(name, keywords) for name, variants in VARIANTS.items() for keywords in variants]
CASES += [(name, keywords) for name in NAMES for keywords in SHARED]
CASES += [(name, keywords) for name in ("Momentum", "Adam", "LAMB") for keywords in STAGES]
PROXIMAL = {"proximal": True, "l1": 0.3, "l2": 0.01, "ema": 0.5, "weight_decay": 0.1}
CASES += [(name, PROXIMAL) for name in NAMES if OPTIMIZERS[name].has_rate]
CASES += [("SGD", PROXIMAL | {"momentum": 0.5, "dampening": 0.2}), ("RMSprop", PROXIMAL | {"momentum": 0.5})]


def gradients(rng, size, dtype, steps):
    return [rng.standard_normal(size).astype(dtype) for _ in range(steps)]


def test_every_optimizer_has_a_reference():
    assert set(reference.OPTIMIZERS) == set(OPTIMIZERS)


@pytest.mark.parametrize("name, keywords", CASES)
def test_equals_plain_numpy(name, keywords, rng, dtype):
    start = rng.standard_normal(1023).astype(dtype)
    p, expected = start.copy(), start.astype(np.float64)
    optimizer = OPTIMIZERS[name](p, **keywords)
    plain = reference.Optimizer(name, {"p": expected}, **keywords)
    for g in gradients(rng, 1023, dtype, 20):
        assert optimizer.step(g, grad_scale=0.5) is True
        plain.step({"p": g.astype(np.float64)}, grad_scale=0.5)
    assert optimizer.steps == 20
    assert not np.array_equal(p, start)
    tolerance = 1e-12 if dtype == np.float64 else 2e-6

    def close(actual, desired):  # sums over steps cancel: their error is that of the largest
        np.testing.assert_allclose(actual, desired, rtol=tolerance, atol=tolerance * max(1, np.abs(desired).max()))

    close(p, expected)
    if optimizer.ema is not None:
        close(optimizer.ema_params(), plain.averages["p"])
    for slot, array in optimizer.state_dict().items():
        if slot in plain.state["p"]:
            close(array, plain.state["p"][slot])


def test_coefficients_of_many_steps_are_those_of_each_to_the_bit(dtype):
    for name, keywords in CASES:
        if not OPTIMIZERS[name].by_array or callable(keywords.get("lr")):
            continue
        coefficients = OPTIMIZERS[name](np.zeros(3, dtype), **keywords)._structure.arrays[None].update.coefficients
        for start in (0, 5_000):
            rows = coefficients.ahead(start, 50)
            each = [coefficients.vector(t, 1.0, reuse=False) for t in range(start, start + 50)]
            assert rows.dtype == dtype
            assert rows.tobytes() == np.stack(each).tobytes(), (name, keywords, start)


def test_a_formula_of_a_user_is_not_given_an_array_of_steps():
    class Own(gd.Adam):
        def coefficients(self, t, lr):
            return super().coefficients(t, lr if t < 10 else lr / 2)

    optimizer = Own(np.zeros(3))
    assert optimizer._structure.arrays[None].update.coefficients.ahead(0, 20) is None


@pytest.mark.parametrize("name", NAMES)
def test_every_size_serial_and_parallel_and_sliced_give_the_same_bits(name, rng, dtype, size):
    start, g = rng.standard_normal((2, size)).astype(dtype)
    results = []
    for parallel_from in (np.inf, 1):
        with gd.kernels.compiler.splitting(parallel_from):
            p = start.copy()
            optimizer = OPTIMIZERS[name](p)
            optimizer.step(g)
            optimizer.step(g)
            results.append(p)
    cut = size // 3
    pieces = [start[:cut].copy(), start[cut:].copy()] if cut else [start.copy()]
    optimizer = OPTIMIZERS[name](pieces)
    for _ in range(2):
        optimizer.step([g[:cut], g[cut:]] if cut else [g])
    assert np.array_equal(*results)
    assert np.array_equal(np.concatenate(pieces), results[0]) or name in TRUST
    expected = start.astype(np.float64)
    plain = reference.Optimizer(name, {"p": expected})
    for _ in range(2):
        plain.step({"p": g.astype(np.float64)})
    tolerance = 1e-13 if dtype == np.float64 else 1e-6
    np.testing.assert_allclose(results[0], expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_lists_dicts_and_parameter_vectors_step_alike(name, rng, dtype):
    shapes = {"W": (5, 3), "b": (3,), "U": (2, 2, 2)}
    arrays = {key: rng.standard_normal(shape).astype(dtype) for key, shape in shapes.items()}
    grads = [{key: rng.standard_normal(shape).astype(dtype) for key, shape in shapes.items()} for _ in range(3)]
    as_list, as_dict = [a.copy() for a in arrays.values()], {key: a.copy() for key, a in arrays.items()}
    vectors = [gd.ParameterVector.from_arrays(arrays) for _ in range(3)]
    makers = [OPTIMIZERS[name](params) for params in (as_list, as_dict, *vectors)]
    for g in grads:
        vector = gd.ParameterVector.from_arrays(g)
        for optimizer, given in zip(makers, (list(g.values()), g, g, vector, vector.vector), strict=True):
            optimizer.step(given)
    for k, key in enumerate(shapes):
        for other in (as_list[k], *(vector[key] for vector in vectors)):
            assert np.array_equal(as_dict[key], other)
    flat = makers[-1].state_dict()
    assert all(np.array_equal(value, flat[key]) for key, value in makers[1].state_dict().items())


@pytest.mark.parametrize("name", NAMES)
def test_state_dict_resumes_bit_for_bit(name, rng, dtype):
    keywords = VARIANTS.get(name, [{}])[0]
    p = rng.standard_normal((7, 3)).astype(dtype)
    optimizer = OPTIMIZERS[name]({"W": p}, **keywords)
    first, second = ([{"W": g.reshape(7, 3)} for g in gradients(rng, 21, dtype, 3)] for _ in range(2))
    for g in first:
        optimizer.step(g)
    saved, q = optimizer.state_dict(), p.copy()
    other = OPTIMIZERS[name]({"W": q}, **keywords)
    other.load_state_dict(saved)
    for g in second:
        optimizer.step(g)
        other.step(g)
    assert other.steps == 6
    assert np.array_equal(p, q)
    assert saved["steps"] == 3  # a copy: later steps left it alone
    slots = MATRICES.get(name, other.slots)
    assert set(saved) == {"steps", *other.scalars, *other.derived, *(f"W.{slot}" for slot in slots)}


def test_the_product_of_nadam_is_part_of_its_state(rng):
    betas, gradients = (gd.schedules.OneCycle(0.1, 12).momentum, 0.999), rng.standard_normal((12, 6))
    p, q = np.ones(6), np.ones(6)
    whole, halves = (gd.NAdam(each, betas=betas) for each in (p, q))
    for step, g in enumerate(gradients):
        whole.step(g)
        halves.step(g)
        state = halves.state_dict()
        assert state["mu_product"] == halves.mu_product < (0.9 if step else 1.0)
        halves = gd.NAdam(q, betas=betas)
        halves.load_state_dict(state)
    assert np.array_equal(p, q)
    fixed = gd.NAdam(p)
    for g in gradients[:3]:
        fixed.step(g)
    older = fixed.state_dict()
    product = older.pop("mu_product")  # which states of version 1 lack
    fixed.load_state_dict(older)
    assert fixed.mu_product == product == fixed.mu(1) * fixed.mu(2) * fixed.mu(3)


def test_load_state_dict_refuses_what_does_not_match_and_changes_nothing(rng):
    p = rng.standard_normal(4)
    optimizer = gd.Adam(p)
    optimizer.step(p.copy())
    before = optimizer.state_dict()
    good = gd.Adam(np.ones(4)).state_dict()
    for state, error, match in (
        ([], TypeError, "state must be a dict"),
        ({"steps": 1}, KeyError, "exp_avg"),
        (good | {"extra": 1}, KeyError, "extra"),
        (good | {"steps": -1}, ValueError, "steps"),
        (good | {"steps": 1.5}, TypeError, "steps"),
        (good | {"exp_avg_sq": np.ones(3)}, ValueError, "exp_avg_sq"),
        (good | {"exp_avg_sq": np.ones(4, np.float32)}, TypeError, "exp_avg_sq"),
    ):
        with pytest.raises(error, match=match):
            optimizer.load_state_dict(state)
        after = optimizer.state_dict()
        assert after["steps"] == 1
        assert all(np.array_equal(before[key], after[key]) for key in optimizer.slots)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
@pytest.mark.parametrize("as_vector", [True, False])
def test_copies_step_their_own_copy_of_the_params(clone, as_vector, rng):
    arrays = {"W": rng.standard_normal((3, 2)), "b": rng.standard_normal(2)}
    params = gd.ParameterVector.from_arrays(arrays) if as_vector else arrays
    g = {key: rng.standard_normal(array.shape) for key, array in arrays.items()}
    optimizer = gd.Adam(params, lr=0.1, betas=(0.5, 0.9))
    optimizer.step(g)
    before = {key: array.copy() for key, array in params.items()}
    other_params, other = clone((params, optimizer))
    assert other.params is other_params
    other.step(g)
    assert all(np.array_equal(before[key], params[key]) for key in params)
    optimizer.step(g)
    assert all(np.array_equal(other_params[key], params[key]) for key in params)
    assert other.steps == optimizer.steps == 2


def test_hyperparameters_are_fixed_and_keys_must_differ():
    optimizer = gd.SGD(np.ones(3), momentum=0.9)
    for name, value in (("momentum", 0.0), ("nesterov", True)):
        with pytest.raises(AttributeError, match=f"SGD: {name} is fixed at construction"):
            setattr(optimizer, name, value)
    for name, value in (("params", np.ones(3)), ("groups", ())):
        with pytest.raises(AttributeError, match=f"SGD: {name} is fixed at construction"):
            setattr(optimizer, name, value)
    with pytest.raises(ValueError, match="keys that read alike"):
        gd.Adam({1: np.ones(2), "1": np.ones(2)})


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_untouched_and_may_be_read_only(name, rng, dtype):
    g = rng.standard_normal(100).astype(dtype)
    before = g.copy()
    g.flags.writeable = False
    OPTIMIZERS[name](rng.standard_normal(100).astype(dtype)).step(g)
    assert np.array_equal(g, before)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in TRUST])
def test_nan_and_infinity_stay_in_their_element(name, rng, dtype, walk):
    p, g = rng.standard_normal((2, 100)).astype(dtype)
    g[3], g[70] = np.nan, np.inf
    optimizer = OPTIMIZERS[name](p)
    for _ in range(2):
        optimizer.step(g)
    assert np.isnan(p[3])
    assert not np.isfinite(p[70]) or name in BOUNDED
    assert np.isfinite(np.delete(p, [3, 70])).all()


def test_second_step_compiles_nothing_new(rng):
    p, g = rng.standard_normal((2, 50))
    optimizer = gd.Adam(p)
    optimizer.step(g)
    kernel = gd.kernels.compiler.join(
        gd.kernels.loops.update.update, optimizer.rule, *optimizer._structure.arrays[None].update.stages
    )
    before = len(kernel.compiled)
    for _ in range(3):
        optimizer.step(g)
    assert len(kernel.compiled) == before


def test_learning_rate_is_a_number_or_a_schedule(rng):
    seen = []
    optimizer = gd.SGD(np.zeros(2), lr=lambda step: seen.append(step) or 1.0 / (step + 1))
    for _ in range(3):
        optimizer.step(np.ones(2))
    assert seen == [0, 1, 2]
    assert optimizer.lr == 0.25
    optimizer.lr = 0.5
    assert optimizer.lr == 0.5
    with pytest.raises(ValueError, match="lr must be in"):
        optimizer.lr = -1


def test_schedule_that_returns_nonsense_raises_before_anything_changes():
    p = np.zeros(2)
    optimizer = gd.SGD(p, lr=lambda step: -1.0)
    with pytest.raises(ValueError, match=r"lr\(0\) must be in"):
        optimizer.step(np.ones(2))
    assert optimizer.steps == 0
    assert not p.any()


OUT_OF_RANGE = [
    (name, parameter, allowed)
    for name in NAMES
    for parameter, allowed in {**OPTIMIZERS[name].ranges, "lr": Range(0, np.inf), "l1": Range(0, np.inf)}.items()
]


@pytest.mark.parametrize("name, parameter, allowed", OUT_OF_RANGE)
def test_hyperparameters_out_of_range_are_refused(name, parameter, allowed):
    if isinstance(allowed, Range):
        bad = [*allowed.outside(), "1", None, True, np.array([0.5, 0.5])]
    elif isinstance(allowed, tuple):
        bad = [tuple(each.low - 1 for each in allowed), 0.5, (0.5,), None]
    else:
        bad = [1, "yes", *([] if parameter == "beta3" else [None])]
    for value in bad:
        with pytest.raises((TypeError, ValueError), match=rf"{name}: {parameter}(\[\d\])? must be"):
            OPTIMIZERS[name](np.ones(3), **{parameter: value})


def test_unknown_and_contradictory_keywords_are_refused():
    with pytest.raises(TypeError, match="Adam: unexpected keyword 'momentum'"):
        gd.Adam(np.ones(3), momentum=0.9)
    with pytest.raises(ValueError, match="nesterov=True needs momentum"):
        gd.SGD(np.ones(3), nesterov=True)


def misaligned(size):
    return np.zeros(size * 8 + 1, np.uint8)[1:].view(np.float64)


def read_only(size):
    array = np.ones(size)
    array.flags.writeable = False
    return array


BAD_PARAMS = [
    ([1.0, 2.0], TypeError, r"params\[0\] must be a NumPy array"),
    (None, TypeError, "params must be a NumPy array"),
    ({}, ValueError, "at least one array"),
    (np.ones(3, np.int64), TypeError, "dtype int64"),
    (np.ones(3, ">f8"), TypeError, "dtype >f8"),
    (np.ones(3, np.float16), TypeError, "dtype float16"),
    (np.ones((3, 3)).T[:2], ValueError, "not contiguous"),
    (np.ones(6)[::2], ValueError, "not contiguous"),
    (np.ones(6)[::-1], ValueError, "not contiguous"),
    (np.ma.masked_array(np.ones(3)), TypeError, "MaskedArray"),
    (misaligned(3), ValueError, "not aligned"),
    (read_only(3), ValueError, "read-only"),
    ({"a": np.ones(3), "b": "x"}, TypeError, r"params\['b'\]"),
]


@pytest.mark.parametrize("params, error, match", BAD_PARAMS, ids=range(len(BAD_PARAMS)))
def test_bad_params_are_refused(params, error, match):
    with pytest.raises(error, match=f"Adam: .*{match}"):
        gd.Adam(params)


def test_overlapping_params_are_refused():
    x = np.ones(10)
    with pytest.raises(ValueError, match=r"params\[1\] overlaps params\[0\]"):
        gd.Adam([x[:6], x[5:]])


BAD_GRADS = [
    ([1.0, 2.0, 3.0], TypeError, "grads must be a NumPy array"),
    (None, TypeError, "grads must be a NumPy array"),
    (np.ones(3, np.float32), TypeError, "grads has dtype float32, params is float64"),
    (np.ones(4), ValueError, r"grads has shape \(4,\), params has \(3,\)"),
    (np.ones(6)[::2], ValueError, "not contiguous"),
    (np.array(1.0), ValueError, "shape"),
]


@pytest.mark.parametrize("grads, error, match", BAD_GRADS, ids=range(len(BAD_GRADS)))
def test_bad_grads_are_refused_and_nothing_changes(grads, error, match):
    p = np.ones(3)
    optimizer = gd.Adam(p)
    with pytest.raises(error, match=f"Adam.step: .*{match}"):
        optimizer.step(grads)
    assert np.array_equal(p, np.ones(3))
    assert optimizer.steps == 0
    assert not optimizer.state_dict()["exp_avg"].any()


def test_grads_of_another_structure_are_refused():
    params = {"W": np.ones(3), "b": np.ones(2)}
    optimizer = gd.Adam(params)
    for grads, match in (
        ({"W": np.ones(3), "c": None}, r"none for params\['b'\]; unknown grads\['c'\]"),
        ({"W": np.ones(3)}, r"none for params\['b'\]"),
        ({"W": np.ones(3), "b": np.ones(2), "c": np.ones(1)}, r"unknown grads\['c'\]"),
        ({"W": np.ones(3), "b": np.ones(3)}, r"grads\['b'\] has shape"),
    ):
        with pytest.raises(ValueError, match=match):
            optimizer.step(grads)
    with pytest.raises(ValueError, match="shapes"):
        gd.Adam(gd.ParameterVector({"a": 3})).step(gd.ParameterVector({"a": 2}))
    assert np.array_equal(params["W"], np.ones(3))


def test_grads_that_overlap_params_are_refused():
    x = np.ones(10)
    single, several = gd.Adam(x[:4]), gd.Adam([x[:4], x[4:8]])
    with pytest.raises(ValueError, match="grads overlaps params"):
        single.step(x[2:6])
    with pytest.raises(ValueError, match="grads overlaps params"):
        single.step(x[:4])
    for grads in ([np.ones(4), x[:4]], [x[6:], np.ones(4)]):
        with pytest.raises(ValueError, match="overlaps"):
            several.step(grads)
    several.step([np.ones(4), np.ones(4)])
    with pytest.raises(ValueError, match="overlaps"):  # also after good ones were seen
        several.step([np.ones(4), x[:4]])
    assert x[9] == 1


@pytest.mark.parametrize("scale", [np.nan, np.inf, "1", None])
def test_bad_grad_scale_is_refused(scale):
    p = np.ones(3)
    with pytest.raises((TypeError, ValueError), match="grad_scale"):
        gd.SGD(p).step(np.ones(3), grad_scale=scale)
    assert np.array_equal(p, np.ones(3))


def test_representation_names_the_hyperparameters():
    assert repr(gd.Momentum(np.ones(2), l2=0.5)) == "Momentum(lr=0.01, momentum=0.9, l2=0.5)"


def clipped_sign(p, g, c: SGDCoefficients):
    """A rule of a user's own."""
    return (p - c.lr * min(max(g, -c.lr), c.lr),)


def test_a_user_can_write_an_optimizer_which_joins_no_registry(rng, dtype):
    class Clipped(gd.Optimizer):
        """Defined outside gd: its kernel works, and is not cached on disk."""

        rule = staticmethod(clipped_sign)

        def __init__(self, params, lr, **options):
            super().__init__(params, lr, {}, **options)

        def coefficients(self, t, lr):
            return SGDCoefficients(lr)

    p, g = rng.standard_normal((2, 100)).astype(dtype)
    expected = p - dtype.type(0.5) * np.clip(g, -0.5, 0.5)
    Clipped(p, 0.5).step(g)
    np.testing.assert_allclose(p, expected, rtol=1e-6)
    assert "Clipped" not in OPTIMIZERS


@pytest.mark.parametrize("case", ["of a group", "scheduled", "of a resumption"])
def test_schedule_free_averages_whatever_its_beta1_is(case, rng):
    def optimizer_of(beta1):
        return gd.ScheduleFreeAdamW(params, lr=0.1, groups=[{"params": ["b"], "betas": (beta1, 0.999)}])

    params, states = {"a": np.zeros(3), "b": np.ones(3)}, {"a": {}, "b": {}}
    expected = {name: p.copy() for name, p in params.items()}
    optimizer = optimizer_of((lambda step: 0.9 if step < 10 else 0.5) if case == "scheduled" else 0.9)
    if case == "of a group":
        optimizer = optimizer_of(0.5)
    for t in range(1, 21):
        if t == 11 and case == "of a resumption":
            state, optimizer = optimizer.state_dict(), optimizer_of(0.5)
            optimizer.load_state_dict(state)
        if t == 5 and case != "scheduled":  # as a state of version 0.1.0
            state = optimizer.state_dict()
            del state["beta1"], state["groups[0].beta1"]
            optimizer = optimizer_of(optimizer.groups[0].betas[0])
            optimizer.load_state_dict(state)
        optimizer.step({name: 2 * (p - np.arange(3)) for name, p in params.items()})
        averages = optimizer.averaged_params()
        for name, p in expected.items():
            beta1 = 0.5 if name == "b" and (t > 10 or case == "of a group") else 0.9
            g = 2 * (p - np.arange(3))
            reference.schedule_free_adamw(p, g, states[name], t, lr=0.1, betas=(beta1, 0.999))
            np.testing.assert_allclose(params[name], p, rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(averages[name], states[name]["x"], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("optimizer_class", [gd.ScheduleFreeAdamW, gd.ASGD])
@pytest.mark.parametrize("several", [False, True])
def test_an_optimizer_whose_params_hold_averages_neither_steps_nor_averages_them_again(optimizer_class, several):
    params = [np.ones(2) for _ in range(9)] if several else np.ones(2)
    g = [np.ones(2)] * 9 if several else np.ones(2)
    optimizer = optimizer_class(params, lr=0.1, ema=0.5)
    optimizer.step(g)
    optimizer.step(g)
    y, x = np.copy(params), np.copy(optimizer.averaged_params())
    calls = [lambda: optimizer.step(g), lambda: gd.averaged(optimizer).__enter__()]
    if optimizer_class is gd.ScheduleFreeAdamW:
        calls.append(optimizer.averaged_params)
    if several:
        calls.append(lambda: optimizer.add_group({"params": [np.ones(2)]}))
    with gd.averaged(optimizer):
        for call in calls:
            with pytest.raises(RuntimeError, match=r"params hold averages until the end of the block of gd\.averaged"):
                call()
        assert np.array_equal(params, x)
        optimizer.accumulate(g)
    assert np.array_equal(params, y)
    assert optimizer.steps == 2
    assert optimizer.step(g)
    assert not optimizer.inside.holds_gradients  # it took those, too
    assert optimizer.step(g)
    with pytest.raises(ZeroDivisionError), gd.averaged(optimizer, "ema"):
        raise ZeroDivisionError
    assert optimizer.step(g)
    assert optimizer.steps == 5


def test_an_average_of_read_only_parameters_is_refused_as_a_step_is():
    p = np.ones(3)
    optimizer = gd.ASGD(p)
    p.flags.writeable = False
    with pytest.raises(ValueError, match=r"averaged: params has become read-only; set its flags\.writeable to True"):
        gd.averaged(optimizer).__enter__()


def test_a_proximal_step_needs_an_l1_somewhere(rng):
    for options in ({}, {"groups": [{"params": ["b"], "l1": 0.0}]}, {"l1": 0.0}):
        with pytest.raises(ValueError, match="SGD: l1 must be above 0 with proximal, got 0"):
            gd.SGD({"a": np.ones(2), "b": np.ones(2)}, proximal=True, **options)
    with pytest.raises(ValueError, match=r"SGD: groups\[0\]: l1 must be above 0 with proximal, got 0"):
        gd.SGD({"a": np.ones(2)}, groups=[{"params": ["a"], "proximal": True}])
    for options in ({"groups": [{"params": ["b"], "l1": 2.0}]}, {"l1": 2.0, "groups": [{"params": ["a"], "l1": 0.0}]}):
        params = {"a": np.ones(2), "b": np.ones(2)}
        gd.SGD(params, lr=1.0, proximal=True, **options).step({key: np.zeros(2) for key in params})
        assert params["a"].tolist() == [1, 1]
        assert params["b"].tolist() == [0, 0]


def test_no_rows_may_be_an_empty_list_as_numpy_makes_it_an_array():
    p = np.ones((3, 2))
    optimizer = gd.SGD(p, lr=1.0)
    assert optimizer.step_rows(None, np.array([]), np.empty((0, 2)))
    assert optimizer.steps == 1
    with pytest.raises(TypeError, match="rows has dtype float64, expected integer indices"):
        optimizer.step_rows(None, np.array([0.0]), np.empty((1, 2)))
    assert (p == 1).all()
