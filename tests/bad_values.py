"""What can be wrong with an argument: mutations of a good one, and whether each must be refused.

Those that need not be refused may be accepted, but the call must then do what it does with `canonical`, the same data
as the contract wants it.
"""

import re
from collections.abc import Mapping
from math import inf, isfinite, nan
from typing import NamedTuple

import numpy as np
from good_calls import activation_of
from scipy.sparse import issparse

import gd
from gd.checks.values import CLOSED_UNIT, NON_NEGATIVE, OPEN_UNIT, POSITIVE, REAL, UNIT, Range
from gd.losses import ALIASES, LOSSES
from gd.optimizers import OPTIMIZERS

HUGE = 10**5000  # of more digits than Python writes
KEYWORD = "nonsense"


class Mutation(NamedTuple):
    """A value in place of a good one."""

    label: str
    value: object
    refuse: bool  # it must be; else it may be
    canonical: object
    names: tuple = ()  # besides that of the argument: what a message may name instead
    fits: bool = False  # it may be right after all with another argument that is wrong likewise


def bad(label, value, *names):
    return Mutation(label, value, True, value, names)


def odd(label, value, canonical=None):
    return Mutation(label, value, False, value if canonical is None else canonical)


# --- Numbers and other values without arrays


class Integer(NamedTuple):
    """Integers from low on; of `endless` ones huge values take forever."""

    low: int
    endless: bool = False


class Numbers(NamedTuple):
    """A tuple of numbers, of fixed length or of any."""

    element: object
    fixed: bool = True


FRACTION = Range(0.0, 1.0, False, True)
LIMIT = Range(0.0, inf, False, True)
ANY = Range(-inf, inf, True, True)
SPECS = {  # argument, or pattern of function.argument -> what it may be; what optimizers and rules declare is not here
    r"search\.Uniform\.(low|high)": REAL,
    r"\w+_gradient\.b": REAL,
    r"search\.LogUniform\.(low|high)": POSITIVE,
    r"search\.narrowing_search\.keep": FRACTION,
    r"schedules\.ReduceOnPlateau\.patience": Integer(0),
    r"schedules\.OneCycle\.steps": Integer(2),
    r"pytorch\.from_torch\.steps": Integer(0),
    r"estimators\.\w+\.fit\.early_stopping": bool,
    r"estimators\.\w+\.fit\.(n_jobs|coef_init|intercept_init|offset_init)": None,  # any, or None
    r"estimators\.(SGD\w+|LogisticRegression)\.fit\.(average|verbose)": None,  # numbers or flags
    r"estimators\.SGD\w+\.fit\.tol": None,  # None is one of the values
    r"estimators\.\w+\.fit\.power_t": REAL,
    r"estimators\.\w+\.fit\.(alpha|epsilon)": NON_NEGATIVE,
    r"estimators\.\w+\.fit\.(eta0|learning_rate_init|C|intercept_scaling)": POSITIVE,
    r"estimators\.\w+\.fit\.(momentum|beta_1|beta_2)": UNIT,
    r"estimators\.\w+\.fit\.(l1_ratio|nu)": CLOSED_UNIT,
    r"estimators\.\w+\.fit\.max_fun": Integer(1),
    r"estimators\.\w+\.fit\.(shuffle|nesterovs_momentum|dual)": bool,
    r"estimators\.\w+\.fit\.(solver|learning_rate|penalty|multi_class)": str,
    r"comparison\.compare_optimizers\.lr": str,
    r"surfaces\.descend\.steps": Integer(1, endless=True),
    r"schedules\.Piecewise\.pieces": "pieces",
    r"search\.narrowing_search\.ranges": "ranges",
    r"\w+\.load_state_dict\.state": "mapping",
    r"functional\.\w+\.scalars": "mapping",
    r"functional\.\w+\.t": Integer(1),
    r"optimizers\.function_of\.kind": "object",
    r"optimizers\.initial_state\.function": "function",
    r"schedules\.ReduceOnPlateau\.load_state_dict\.state": "mapping",
    r"(Distributed\.)?save\.tree": "tree",
    r"GradientNorms\.__call__\.history": None,  # not used
    r"(optimizer|activation|loss)\.(name|formula|initializer)": "identifier",
    r"(optimizer|activation|loss)\.(rule|forward|backward|backward_from_output)": "function",
    r"optimizer\.coefficients": "function",
    r"optimizer\.(slots|unsigned|exact)": "names",
    r"optimizer\.(defaults|ranges)": "hyper-parameters",
    r"loss\.targets": str,
    r"(loss\.score|check_rule\.rule)": "object",
    r"check_rule\.reference": "function",
    r"check_rule\.sizes": Numbers(Integer(1), fixed=False),
    r"check_rule\.elements": Integer(0, endless=True),
    "accumulate": Integer(1),
    "activation_parameters": "options",
    "after": NON_NEGATIVE,
    "amsgrad": bool,
    "average": str,
    "base_batch": Integer(1),
    "batch": Integer(1),
    "batch_size": Integer(1),
    "beta3": UNIT,
    "betas": Numbers(UNIT),
    "boundaries": Numbers(Integer(1), fixed=False),
    "callbacks": "functions",
    "checkpoint": "path",
    "class_weight": "weights of classes",
    "classes": Integer(1),
    "closure": "function",
    "comm": "object",
    "clip_norm": LIMIT,
    "clip_norm_each": LIMIT,
    "clip_value": LIMIT,
    "cooldown": Integer(0),
    "coordinates": Integer(1, endless=True),
    "div_factor": POSITIVE,
    "dropout": "rates",
    "dtype": "dtype",
    "dtypes": "dtypes",
    "early_stopping": Integer(1),
    "ema": UNIT,
    "evaluate": str,
    "emphasis": UNIT,
    "epoch": Integer(0),
    "epochs": Integer(1, endless=True),
    "eps": NON_NEGATIVE,
    "every": Integer(1),
    "f": "function",
    "factor": OPEN_UNIT,
    "features": Integer(1),
    "final_div_factor": POSITIVE,
    "gamma": POSITIVE,
    "grad_dtype": str,
    "grad_scale": REAL,
    "group": "group",
    "groups": "groups",
    "heads": "heads",
    "history_size": Integer(1, endless=True),
    "hidden_layer_sizes": Numbers(Integer(1), fixed=False),
    "high": REAL,
    "ignore_index": Integer(-inf),
    "initializer": "initializer",
    "jobs": Integer(1, endless=True),
    "journal": "path",
    "keep": Integer(1, endless=True),
    "key": "key",
    "l1": NON_NEGATIVE,
    "l2": NON_NEGATIVE,
    "label_smoothing": CLOSED_UNIT,
    "line_search": str,
    "logical_shards": Integer(1),
    "loss_parameters": "options",
    "low": REAL,
    "lr": NON_NEGATIVE,
    "lr_max": NON_NEGATIVE,
    "lr_min": NON_NEGATIVE,
    "max_eval": Integer(1, endless=True),
    "max_iter": Integer(1, endless=True),
    "max_norm": POSITIVE,
    "metric": ANY,
    "milestones": Numbers(Integer(1), fixed=False),
    "min_delta": NON_NEGATIVE,
    "model": "object",
    "monitor": "monitor",
    "momenta": Numbers(UNIT),
    "multiplier": Integer(1),
    "n": Integer(1),
    "n_iter_no_change": Integer(1),
    "names": "names",
    "objective": "function",
    "optimizer_class": "object",
    "optimizer_options": "options",
    "optimizers": "choices",
    "options": "choices",
    "outputs": Integer(1),
    "p": CLOSED_UNIT,
    "path": "path",
    "patience": Integer(1),
    "param_dtype": str,
    "pct_start": UNIT,
    "pieces": Integer(1),
    "power": POSITIVE,
    "processes": Integer(1, endless=True),
    "progress": "progress",
    "random_state": "generator",
    "rate": NON_NEGATIVE,
    "rng": "generator",
    "rounds": Integer(1, endless=True),
    "samples": Integer(1, endless=True),
    "seed": Integer(0),
    "shape": Numbers(Integer(1), fixed=False),
    "shapes": "shapes",
    "shrink": FRACTION,
    "start_factor": FRACTION,
    "state_dir": "path",
    "state_dtype": str,
    "step": Integer(0),
    "steps": Integer(1),
    "steps_per_epoch": Integer(1),
    "test": "pair",
    "threshold": NON_NEGATIVE,
    "tol": NON_NEGATIVE,
    "tolerance_change": NON_NEGATIVE,
    "tolerance_grad": NON_NEGATIVE,
    "torch_optimizer": "object",
    "validation": "pair",
    "validation_fraction": OPEN_UNIT,
    "value": REAL,
    "weight": REAL,
    "widths": Numbers(Integer(1), fixed=False),
    "weight_decay": NON_NEGATIVE,
}


def spec_of(call, name):
    """Return what is known of an argument that is not an array: a Range, an Integer, the name of a kind, a type."""
    each, value = call.public, call.arguments[name]
    declared = OPTIMIZERS[each.owner.__name__].ranges if each.owner and each.owner.__name__ in OPTIMIZERS else {}
    if each.name.startswith("functional."):
        declared = next(kind.ranges for kind in OPTIMIZERS.values() if kind.__name__.lower() == each.own)
    if name in declared and each.kind in ("constructor", "function"):
        if declared[name] is bool or isinstance(declared[name], (Range, tuple)):
            return declared[name]
        return SPECS.get(name, bool)
    activation = activation_of(each) if each.owner is None else None
    if activation is not None and name in activation.parameters:
        return Integer(1) if name == "pieces" else activation.parameters[name][1]
    loss = call.arguments.get("loss", each.name)
    loss = LOSSES.get(ALIASES.get(loss, loss))
    if loss is not None and name in loss.parameters and isinstance(value, float):
        return loss.parameters[name][1]
    if name == "negative_slope":
        return NON_NEGATIVE
    for pattern, spec in SPECS.items():
        if re.fullmatch(pattern, f"{each.name}.{name}"):
            return spec
    if name in SPECS:
        return SPECS[name]
    if isinstance(value, (bool, str)):
        return type(value)
    if isinstance(value, (gd.optimizers.Optimizer, gd.EarlyStopping)):
        return "object"
    raise LookupError(f"{each.name}: nothing is known of {name}={value!r:.60}, which bad_values.SPECS should tell")


def of_number(spec, value, optional=False):
    """Yield what a number in a range, or an integer, must not be."""
    integer, value = isinstance(spec, Integer), value if isinstance(value, (int, float)) else 0.1
    yield bad("a str", "1")
    yield bad("True", True)
    yield bad("complex", 1j)
    yield bad("a list", [value])
    yield bad("an array", np.array([0.5, 0.5]))
    yield bad("a 0-d array of str", np.array("1"))
    yield bad("an object", object())
    yield bad("bytes", b"1")
    if not optional:
        yield bad("None", None)
    if not integer or spec.low > -inf:
        yield bad("NaN", nan) if spec != ANY else odd("NaN", nan)
    if integer:
        for label, wrong in (("a fraction", 1.5), ("a float", 2.0), ("infinite", inf), ("NaN", nan)):
            yield bad(label, wrong)
        if spec.low > -inf:
            yield bad("too small", spec.low - 1)
            yield bad("hugely negative", -HUGE)
            yield bad("a negative NumPy integer", np.int8(spec.low - 1))
            yield odd("a NumPy integer", np.int32(value), value)
        if not spec.endless:
            yield odd("2**70", 2**70)
            yield odd("huge", HUGE)
        return
    for label, number in (("infinite", inf), ("minus infinite", -inf), ("huge", HUGE), ("hugely negative", -HUGE)):
        as_float = number if not isinstance(number, int) else inf if number > 0 else -inf
        yield bad(label, number) if as_float not in spec else odd(label, number)
    for label, number in (("too small", spec.low - 1), ("too large", spec.high + 1)):
        if isfinite(number):
            yield bad(label, number)
    for label, number in (("the low end", spec.low), ("the high end", spec.high)):
        if isfinite(number) and number not in spec:
            yield bad(label, number)
    yield odd("a NumPy float", np.float64(value), float(value))


def of_numbers(spec, value):
    """Yield what a tuple of numbers must not be."""
    elements = spec if isinstance(spec, tuple) and not isinstance(spec, Numbers) else [spec.element] * len(value)
    fixed = not isinstance(spec, Numbers) or spec.fixed
    for label, wrong in (("a str", "1"), ("None", None), ("an object", object()), ("a dict", {0: 1})):
        yield bad(label, wrong)
    if fixed:
        yield bad("a number", 0.5)
        yield bad("one more", (*value, value[-1]))
        yield bad("one less", tuple(value[:-1]))
        yield bad("none", ())
    for k, (element, number) in enumerate(zip(elements, value, strict=True)):
        for mutation in of_number(element, number):
            wrong = list(value)
            wrong[k] = mutation.value
            yield mutation._replace(label=f"[{k}] {mutation.label}", value=tuple(wrong), canonical=tuple(wrong))


def of_kind(call, kind, value, optional):
    """Yield what an argument of a kind that SPECS names must not be."""
    world = call.world
    if kind in (
        "object",
        "function",
        "functions",
        "path",
        "pair",
        "heads",
        "shapes",
        "tree",
        "ranges",
        "group",
        "groups",
        "dtype",
    ):
        yield bad("a number", 1.5)
        yield bad("an object", object())
    if not optional and kind not in ("generator", "initializer", "key", "names"):
        yield bad("None", None)
    match kind:
        case "object":
            yield bad("a str", "Adam")
            yield bad("a class", type(value))
        case "function":
            yield bad("a str", "f")
            for label, result in (("returns None", None), ("returns a str", "x"), ("returns an array", np.ones(3))):
                yield bad(f"a function that {label}", lambda *_, result=result: result)
        case "functions":
            yield bad("a str", "f")
            yield bad("a list of numbers", [1])
        case "path":
            yield bad("an integer", 1)
            yield bad("bytes", b"file")
            yield bad("a list", ["file"])
            yield bad("with a null", str(world.folder / "a\0b"))
            folders = ("Checkpoint", "Distributed.save")  # of the first fit looks whether there is one
            if call.public.name not in folders and "state_dir" not in call.arguments:
                yield bad("a folder", str(world.folder), str(world.folder))
        case "dtype":
            for wrong in (
                "float16",
                "int64",
                ">f4",
                "nonsense",
                "(",
                "f4,f4",
                1,
                [],
                {},
                np.float16,
                np.complex128,
                object,
            ):
                yield bad(repr(wrong), wrong)
            yield odd("a str", world.dtype.name)
            yield odd("a type", world.dtype.type)
        case "dtypes":
            for wrong in ("float32", 1, ("float16",), (None,), ("nonsense",), [1]):
                yield bad(repr(wrong), wrong)
        case "names":
            for wrong in (("nonsense",), (1,), (None,), (["Adam"],), ("adam",), ("Adam", object())):
                yield bad(repr(wrong), wrong)
        case "identifier":
            for wrong in (1, ["a"], object()):
                yield bad(repr(wrong)[:20], wrong)
        case "hyper-parameters":
            for wrong in (1, "x", [1], {"lr": "x"}, {"lr": (2, 1)}, {1: 0.1}, object()):
                yield bad(repr(wrong)[:20], wrong)
        case "monitor":
            for wrong in (1, 1.5, ["loss"], {"loss": 1}, object()):
                yield bad(repr(wrong)[:20], wrong)
        case "choices":
            for wrong in ("SGD", 1.5, {"SGD": 1}, object()):
                yield bad(repr(wrong), wrong)
            if call.public.name == "search.Choice":
                yield bad("empty", [])
                yield bad("one twice", ["a", "a"])
            else:
                for wrong in (["nonsense"], [1], ["SGD", None], [["SGD"]]):
                    yield bad(repr(wrong), wrong)
        case "generator":
            for wrong in ("x", -1, 1.5, object(), [-1], nan):
                yield bad(repr(wrong)[:20], wrong)
        case "progress":
            for wrong in ("yes", 1, 0, [], object()):
                yield bad(repr(wrong)[:20], wrong)
        case "initializer":
            for wrong in ("nonsense", 1, object(), ["he_normal"]):
                yield bad(repr(wrong)[:20], wrong)
            yield bad("returns another shape", lambda shape, rng, dtype: np.ones(7))
            yield bad("returns None", lambda shape, rng, dtype: None)
            yield bad("returns a str", lambda shape, rng, dtype: np.full(shape, "x"))
        case "key":
            for wrong in ("nonsense", 7, ["E"], 1.5, {"E": 1}, b"E"):
                yield bad(repr(wrong), wrong)
        case "options":
            for wrong in (1, "x", [1], [("a", 1)], object()):
                yield bad(repr(wrong)[:20], wrong)
            value = value or {}
            yield bad("an unknown key", {**value, KEYWORD: 1.0}, KEYWORD)
            for key in value:
                for label, wrong in (("None", None), ("a str", "x"), ("negative", -1.0), ("NaN", nan)):
                    if wrong is not None or key not in ("class_weights", "clip_norm"):
                        yield bad(f"[{key!r}] {label}", {**value, key: wrong}, key)
        case "weights of classes":
            for wrong in (1, "x", [1.0, 2.0], {KEYWORD: 2.0}, {0: -1.0}, {0: "x"}, {0: nan}, {0: None}):
                yield bad(repr(wrong), wrong)
        case "heads":
            for wrong in (
                {},
                [2],
                {1: 2},
                {"": 2},
                {"a": 0},
                {"a": -1},
                {"a": 1.5},
                {"a": "x"},
                {"a": None},
                {"a": True},
            ):
                yield bad(repr(wrong), wrong)
            for keywords in (
                {"loss": "nonsense"},
                {"weight": -1},
                {"weight": nan},
                {"output": "x"},
                {"loss_parameters": 1},
            ):
                yield bad(f"Head({keywords})", {"a": _head(keywords)}, *keywords)
        case "shapes":
            for wrong in (
                {},
                [(2,)],
                {"W": (-1, 2)},
                {"W": (1.5,)},
                {"W": "x"},
                {"W": None},
                {"W": (2**70,)},
                {"W": True},
                {"W": {2: 2}},
            ):
                yield bad(repr(wrong), wrong)
        case "ranges":
            for wrong in ({}, [1], {"a": 1}, {"a": (0, 1)}, {1: gd.search.Uniform(0, 1)}, {"a": None}):
                yield bad(repr(wrong), wrong)
        case "group":
            params = value["params"]
            odd_one = {"U": params[0]} if isinstance(params, list) else list(params.values())
            for wrong in (
                {},
                {"lr": 0.1},
                [value],
                "U",
                None,
                1,
                *(
                    {**value, "params": each}
                    for each in (None, [], {}, odd_one, [1.0], ["x"], 1.5, "U", next(arrays_in(call.receiver.params)))
                ),
            ):
                yield bad(repr(wrong)[:40], wrong, "params")
            for key, wrong in (("lr", -1), ("lr", "x"), ("clip_norm", 1.0), (KEYWORD, 1), ("maximize", 1), ("l1", nan)):
                yield bad(f"{key}={wrong}", {**value, key: wrong}, key)
        case "groups":
            keys = (
                list(range(len(call.arguments["params"])))
                if isinstance(call.arguments["params"], list)
                else list(call.arguments["params"])
            )
            for group in (
                {},
                {"params": []},
                {"params": "W"},
                {"params": keys + keys},
                {"params": [KEYWORD]},
                {"params": None},
            ):
                yield bad(repr(group), [group])
            for key, wrong in (
                ("lr", -1),
                ("lr", "x"),
                ("lr", None),
                ("weight_decay", nan),
                ("clip_norm", 1.0),
                (KEYWORD, 1),
                ("maximize", 1),
            ):
                yield bad(f"{key}={wrong}", [{"params": keys[:1], key: wrong}], key)
            yield bad("a dict", {"params": keys})
            yield bad("a str", "W")
            yield bad("a list of lists", [keys])
        case "tree":
            for label, wrong in (
                ("a set", {1}),
                ("an object", object()),
                ("bytes", b"x"),
                ("complex", 1j),
                ("a type", int),
                ("a function", len),
            ):
                yield bad(f"holds {label}", {"deep": [wrong]}, "deep")
            for label, array in (
                ("complex", np.ones(2, complex)),
                ("objects", np.array([{}])),
                ("str", np.array(["x"])),
                ("dates", np.zeros(2, "M8[s]")),
                ("swapped", np.ones(2, ">f4")),
                ("masked", np.ma.ones(2)),
                ("records", np.zeros(2, "f4,i4")),
            ):
                yield bad(f"holds an array of {label}", {"deep": {"a": array}}, "deep")
            yield bad("a list", [1])
            yield bad("an array", np.ones(2))
            yield bad("a key that is no str", {"deep": {1: 2}}, "deep")
            deep = {}
            for _ in range(200):
                deep = {"deep": deep}
            yield bad("200 levels deep", deep)
            yield bad("not Unicode", {"a": "\ud800"})
            for label, array in _layouts(world, np.arange(6.0).reshape(2, 3)):
                yield odd(f"holds an array that is {label}", {"a": array}, {"a": np.ascontiguousarray(array)})
        case "rates":
            for mutation in of_number(UNIT, value):
                if not isinstance(mutation.value, (list, np.ndarray)):
                    yield mutation
            for wrong in (
                [0.1] * 5,
                [],
                [2.0],
                ["x"],
                [None],
                [nan],
                np.array(["x"]),
                np.array([[0.1]]),
                "x",
                {0: 0.1},
            ):
                yield bad(repr(wrong), wrong)
        case "pair":
            X, y = value
            for wrong in ("Xy", [X], (X, y, y), {"X": X, "y": y}, X, (None, None), (X, None), (None, y), (y, X)):
                yield bad(type(wrong).__name__, wrong, "X", "y")
            yield bad("one row less of X", (X[:-1].copy(), y), "X", "y")
        case "pieces":
            for wrong in ("abc", value[:-1], [*value, 0.1], 0.1, {0: 1}):
                yield bad(repr(wrong)[:30], wrong)
            for label, wrong in (
                ("None", None),
                ("a str", "x"),
                ("negative", -1.0),
                ("NaN", nan),
                ("True", True),
                ("huge", HUGE),
            ):
                yield bad(f"[1] {label}", [value[0], wrong, value[2]])
        case _:
            raise LookupError(f"bad_values: unknown kind {kind!r}")


def _head(keywords):
    """Return a Head, which need not check what MLP checks; where it does, an argument that MLP must refuse, too."""
    try:
        return gd.Head(2, **keywords)
    except (TypeError, ValueError):
        return "refused by Head"


def of_choice(value, optional):
    """Yield what one of some strings must not be."""
    for wrong in ("", KEYWORD, 1, 1.5, b"mean", [value], {value: 1}, True, object(), str(value).swapcase()):
        yield bad(repr(wrong)[:20], wrong)
    if not optional:
        yield bad("None", None)


def of_flag(value):
    """Yield what True or False must not be."""
    for wrong in (0, 1, None, "yes", "", 1.0, nan, [True], np.array([True, False]), object()):
        yield bad(repr(wrong)[:20], wrong)
    yield odd("a NumPy bool", np.bool_(value), value)


# --- Arrays


ANY_SIZE = "|".join((*gd.activations.__all__, *LOSSES, "forward|predict|layer_outputs|transform|one_hot|initial_state"))


class Role(NamedTuple):
    """What a call does with an array, and what it must be like."""

    written: bool = False
    rows: bool = True  # their number is tied to something else in the call
    columns: bool = True
    dimensions: bool = True
    dtype: bool = True
    optional: bool = False  # None is a good value
    strict: bool = True  # only arrays of NumPy, C order, float32 or float64; else what NumPy makes of it
    integers: bool = False  # are taken as well
    copied: bool = False  # any layout will do
    any_order: bool = False  # of axes in memory will do
    any_size: bool = False  # 0-d and empty ones, too
    high: int | None = None  # of indices: those from here on are refused


def arrays_in(value):
    """Yield all arrays in an argument."""
    if isinstance(value, np.ndarray):
        yield value
    elif issparse(value):
        yield from (part for part in vars(value).values() if isinstance(part, np.ndarray))
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from arrays_in(each)
    elif isinstance(value, Mapping):
        yield from arrays_in(list(value.values()))


def role_of(call, name, optional):
    """Return the role of an array argument, or of those in a structure."""
    each, arguments = call.public, call.arguments
    estimator, steps = each.name.startswith("estimators."), each.name.startswith("functional.")
    others = [array for other, value in arguments.items() if other != name for array in arrays_in(value)]
    alone = not others and call.receiver is None
    loose = {"rows": False, "columns": False, "dimensions": False}
    role = Role(
        written=name in ("out", "params") or (each.own == "maxout" and name == "index") or (steps and name != "g"),
        optional=optional,
        strict=not estimator,
        integers=_takes_integers(call, name),
        copied=name == "arrays",
        any_order=name in ("params", "grads", "grad_rows", "g") or (name in ("p", "state") and not steps),
        any_size=name in ("params", "arrays") or re.search(rf"(^|\.)({ANY_SIZE})(\.|$)", each.name) is not None,
        dtype=bool([array for array in others if array.dtype.kind == "f"]) or call.receiver is not None,
    )
    if each.kind == "constructor" and each.owner.__name__ in OPTIMIZERS:
        return role._replace(dtype=False, **loose)
    if estimator:
        return role._replace(dtype=False, **loose)
    if name in ("labels", "rows", "y", "index") and not role.written:
        role = role._replace(high=_high(call, name))
    if name == "rows" and "grad_rows" not in arguments:
        return role._replace(rows=False, dimensions=True)
    if name == "labels" and each.name == "one_hot":
        return role._replace(rows=False, dimensions=True)
    if name == "arrays":
        return role._replace(**loose)
    if isinstance(call.receiver, gd.Normalizer):
        return role._replace(rows=False, dtype=False, columns=each.own != "fit")
    if name == "x" and {other for other, value in arguments.items() if [*arrays_in(value)]} == {"x", "weight"}:
        return role._replace(rows=False, dimensions=False)  # of prelu, which has a weight for each column
    if name == "X" and "y" not in arguments:
        return role._replace(rows=False)
    return role._replace(**loose) if alone else role


def _takes_integers(call, name):
    """Whether integers are converted: weights of a model's rows, and targets of linear models."""
    model = call.arguments.get("model", call.receiver)
    if name == "sample_weight":
        return model is not None
    linear = (model is None and call.public.name.endswith("_gradient")) or isinstance(model, gd.LinearModel)
    return name == "y" and linear


def _high(call, name):
    """Return a number that indices must be below, of classes or of rows."""
    arguments = call.arguments
    if name == "rows":
        matrix = arguments["X"] if "X" in arguments else next(iter(arrays_in(call.receiver.params)))
        return matrix.shape[0]
    return 4


def _layouts(world, array):
    """Yield the same values in other layouts."""
    if array.ndim > 1 and min(array.shape) > 1:
        yield "in Fortran order", np.asfortranarray(array)
        yield "transposed", np.ascontiguousarray(array.T).T
    if array.ndim and array.size > 1:
        every_other = world.place(np.repeat(array, 2, axis=-1))[..., ::2]
        if every_other.shape[-1] > 1 or array.ndim > 1:
            yield "a slice with steps", every_other
        axis = -1 if array.shape[-1] > 1 else 0
        yield "reversed", np.flip(world.place(np.flip(array, axis)), axis)
    if array.dtype.itemsize > 1:
        yield "misaligned", world.place(array, shift=1)


def of_array(call, array, role):
    """Yield what can be wrong with an array of floats or of integers."""
    world, floats = call.world, array.dtype.kind == "f"
    refused = bad if role.strict else odd
    laid_out = refused if floats and role.strict and not role.copied else odd
    for label, wrong in _layouts(world, array):
        fitting = odd if role.any_order and label in ("in Fortran order", "transposed") else laid_out
        yield fitting(label, wrong, *([] if fitting is bad else [_canonical(wrong)]))
    if array.dtype.itemsize > 1:
        swapped = array.astype(array.dtype.newbyteorder())
        yield (refused if floats else odd)("byte-swapped", swapped, *([] if floats else [array]))
    frozen = world.place(array)
    frozen.flags.writeable = False
    yield bad("read-only", frozen) if role.written else odd("read-only", frozen, array)
    for mutation in (*_shapes(array, role, bad if role.strict else odd), *_dtypes(array, role, refused, floats)):
        yield mutation._replace(fits=True)
    for label, wrong in (("a str", "array"), ("an object", object()), ("a dict", {"a": 1})):
        yield bad(label, wrong)
    if role.strict:
        for label, wrong in (
            ("a list", array.tolist()),
            ("bytes", array.tobytes()),
            ("memory", memoryview(array)),
            ("a tuple", tuple(array.tolist())),
        ):
            yield bad(label, wrong)
        yield bad("masked", np.ma.masked_array(array))
        if array.ndim == 2:
            yield bad("a matrix", array.view(np.matrix))
    if not role.optional:
        yield bad("None", None)
    if role.high is not None and not floats and role.strict:
        for label, value in (
            ("an index too large", role.high),
            ("a huge index", 10**6),
            ("a negative index", -2),
            ("a hugely negative index", -(2**62)),
        ):
            wrong = array.copy()
            wrong.flat[wrong.size // 2] = value
            yield bad(label, world.place(wrong))
        wrong = np.array(array, np.uint64)
        wrong.flat[0] = 2**64 - 1
        yield bad("an unsigned index too large", wrong)


def _canonical(array):
    return np.array(array, array.dtype.newbyteorder("="), order="C")


def _shapes(array, role, refused):
    """Yield arrays of other shapes."""
    if array.ndim == 0:
        return
    longer = np.concatenate([array, array[:1]])
    tied = {True: refused, False: odd}
    for label, wrong, is_tied in (
        ("one row more", longer, role.rows),
        ("one row less", array[:-1].copy() if len(array) > 1 else longer, role.rows),
        ("one column more", np.concatenate([array, array[..., :1]], -1), role.columns if array.ndim > 1 else role.rows),
        ("one dimension more", array[np.newaxis].copy(), role.dimensions),
        ("one dimension more at the end", array[..., np.newaxis].copy(), role.dimensions),
    ):
        yield tied[is_tied](label, wrong)
    if array.ndim > 1:
        yield tied[role.dimensions]("one dimension less", array[0].copy())
        yield tied[role.dimensions]("flat", array.reshape(-1).copy())
        if array.shape[0] != array.shape[-1]:
            yield tied[role.rows or role.columns]("transposed and copied", array.T.copy())
    sized = odd if role.any_size else refused
    yield sized("0-d", np.array(array.flat[0]))
    yield sized("empty", array[:0].copy())
    yield sized("without columns" if array.ndim > 1 else "empty, too", array[..., :0].copy())


def _dtypes(array, role, refused, floats):
    """Yield arrays of other dtypes."""
    native = array.dtype.newbyteorder("=")
    if floats:
        other = np.dtype(np.float32 if native == np.float64 else np.float64)
        yield (refused if role.dtype else odd)(f"as {other}", array.astype(other))
        if role.strict:
            for dtype in (np.int64, np.bool_, np.uint8):
                wrong = (array * 4).astype(dtype)
                yield (
                    odd(f"as {dtype.__name__}", wrong, wrong.astype(native))
                    if role.integers
                    else bad(f"as {dtype.__name__}", wrong)
                )
            yield bad("as float16", array.astype(np.float16))
            yield bad("as long double", array.astype(np.longdouble))
    else:
        for dtype in (np.int8, np.uint8, np.int32, np.uint64, np.dtype(">i4")):
            yield odd(f"as {np.dtype(dtype)}", array.astype(dtype), array)
        if role.strict:
            for dtype in (np.float32, np.float64, np.bool_):
                yield bad(f"as {dtype.__name__}", array.astype(dtype))
    if role.strict:
        for dtype in (complex, object, str, "S3", "M8[s]", "V8"):
            wrong = np.zeros(array.shape, dtype) if dtype in ("M8[s]", "V8") else array.astype(dtype)
            yield bad(f"as {np.dtype(dtype)}", wrong)
    else:
        yield odd("as complex", array.astype(complex))


VALUES = {  # argument -> values in it that must be refused
    "sample_weight": (-1.0, nan),
    "class_weights": (-1.0, nan, inf),
    "Normalizer.X": (nan, inf),
}


def of_values(call, name, array):
    """Yield arrays that are all one value that is refused, or hold NaN or an infinity where it need not be."""
    if array.dtype.kind != "f":
        return
    owner = "" if call.receiver is None else f"{type(call.receiver).__name__}."
    refused = VALUES.get(name) or VALUES.get(owner + name, ())
    refused = (nan, inf) if call.public.name.startswith("estimators.") else refused
    for value in (*refused, nan, inf, -inf):
        if value in refused or name not in VALUES:
            wrong = call.world.place(np.full_like(array, value))
            yield bad(f"all {value}", wrong) if value in refused else odd(f"all {value}", wrong)


def of_sparse(call, X):
    """Yield what can be wrong with a sparse matrix."""

    def with_parts(**parts):
        wrong = X.copy()
        for name, part in parts.items():
            setattr(wrong, name, part)
        return wrong

    yield bad("in CSC", X.tocsc())
    yield bad("in COO", X.tocoo())
    yield bad("of integers", (4 * X).astype(int))
    yield bad("complex", X.astype(complex))
    yield bad("another float", X.astype(np.float32 if X.dtype == np.float64 else np.float64))._replace(fits=True)
    yield bad("one row less", X[:-1])._replace(fits=True)
    yield bad("one column less", X[:, :-1])._replace(fits=True)
    yield bad("columns too large", with_parts(indices=np.full_like(X.indices, 1000)))
    yield bad("columns negative", with_parts(indices=np.full_like(X.indices, -1)))
    yield bad("indices of other size", with_parts(indices=X.indices[:-1].copy()))
    yield bad("indices of floats", with_parts(indices=X.indices.astype(float)))
    yield bad("places beyond the data", with_parts(indptr=X.indptr + 1000))
    yield bad("places negative", with_parts(indptr=X.indptr - 1000))
    yield bad("places that fall", with_parts(indptr=X.indptr[::-1].copy()))
    yield bad("too few places", with_parts(indptr=X.indptr[:-1].copy()))
    yield bad("data of objects", with_parts(data=X.data.astype(object)))
    yield bad("data swapped", with_parts(data=X.data.astype(X.dtype.newbyteorder())))
    yield bad("data strided", with_parts(data=np.repeat(X.data, 2)[::2]))
    yield bad("a list", X.toarray().tolist())


def of_structure(call, name, value, role):
    """Yield what can be wrong with several arrays."""
    params, optimizer = name == "params", call.public.kind == "constructor"
    free = optimizer or name == "arrays"  # any number of arrays will do
    yield bad("a str", "arrays")
    yield bad("an object", object())
    yield bad("a number", 1.5)
    if not role.optional:
        yield bad("None", None)
    if isinstance(value, Mapping):
        items = dict(value)
        yield bad("empty", {})
        keys = list(items)
        if not free:
            yield bad("a key is missing", {key: items[key] for key in keys[1:]}, *keys)
            yield bad("a key is unknown", {**items, KEYWORD: items[keys[0]]}, KEYWORD, *keys)
            yield bad(
                "a key is another", {**{key: items[key] for key in keys[1:]}, KEYWORD: items[keys[0]]}, KEYWORD, *keys
            )
            yield bad("a list", list(items.values()))
            yield bad("one array", next(arrays_in(list(items.values())), 1.0))
        for key in keys:
            if isinstance(items[key], np.ndarray):
                for mutation in of_array(call, items[key], role._replace(optional=name == "grads")):
                    yield _inside(mutation, f"[{key!r}]", lambda v, key=key: {**items, key: v}, key)
            elif name == "state":
                number = Integer(0) if isinstance(items[key], int) else NON_NEGATIVE if key != "best" else ANY
                for mutation in of_number(number, items[key]):
                    yield _inside(mutation, f"[{key!r}]", lambda v, key=key: {**items, key: v}, key)
    else:
        if not free:
            yield bad("one more", [*value, value[0]])
            yield bad("one less", list(value[:-1]))
            yield bad("a dict", dict(enumerate(value)) if name != "grads" else {"a": value[0]})
        for k, array in enumerate(value):
            if isinstance(array, np.ndarray):
                for mutation in of_array(call, array, role._replace(optional=name == "grads")):
                    yield _inside(mutation, f"[{k}]", lambda v, k=k: [*value[:k], v, *value[k + 1 :]])
    if params and optimizer:
        arrays = list(arrays_in(value))
        if not isinstance(value, gd.ParameterVector) and len(arrays) > 1:
            for label, wrong in (
                ("the same array twice", arrays[0]),
                ("overlapping", shifted(arrays[0], like=arrays[1])),
            ):
                both = [arrays[0], wrong]
                yield bad(label, dict(zip(value, both, strict=True)) if isinstance(value, dict) else both)


def _inside(mutation, label, around, *names):
    both = around(mutation.value), around(mutation.canonical)
    return mutation._replace(label=f"{label} {mutation.label}", value=both[0], canonical=both[1], names=names)


def shifted(array, by=1, like=None):
    """Return an array in the same memory, `by` elements further on."""
    like = array if like is None else like
    base = array
    while isinstance(base.base, np.ndarray):
        base = base.base
    offset = array.ctypes.data - base.ctypes.data + by * array.itemsize
    return np.ndarray(like.shape, like.dtype, base, offset)


def of_overlap(call, name, value):
    """Yield arrays in the memory of others that are written, or read while these are."""
    if not isinstance(value, np.ndarray):
        return
    roles = {other: each for other, each in call.arguments.items() if isinstance(each, np.ndarray) and other != name}
    written = name == "out" or (name == "index" and call.public.own == "maxout")
    if written:
        for other, array in roles.items():
            yield bad(f"overlaps {other}", shifted(array, like=value), other)
            if value.shape == array.shape and value.dtype == array.dtype:
                yield odd(f"is {other}", array, value)._replace(names=(other,))
    if name in ("grads", "grad_rows") and isinstance(call.receiver, gd.Optimizer):
        p = next(arrays_in(call.receiver.params))
        if p.nbytes >= value.nbytes:
            yield bad("overlaps params", shifted(p, 0, like=value), "params")


# --- All of these


def mutations(call, name, optional):
    """Return the mutations of an argument of a good call; `optional` is whether None is a good value."""
    value = call.arguments[name]
    return [each for each in _mutations(call, name, value, optional) if not _is_good(each, value)]


def _is_good(mutation, value):
    """Whether a mutation is no mutation, such as the Fortran order of a vector."""
    a, b = mutation.value, value
    return isinstance(a, str) and isinstance(b, str) and a == b


def _mutations(call, name, value, optional):
    if isinstance(value, np.ndarray):
        role = role_of(call, name, optional)
        yield from of_array(call, value, role)
        yield from of_values(call, name, value)
        yield from of_overlap(call, name, value)
        return
    if issparse(value):
        yield from of_sparse(call, value)
        return
    spec = (
        None
        if list(arrays_in(value)) and name not in ("validation", "test", "loss_parameters", "tree", "group")
        else spec_of(call, name)
    )
    if (spec is None and list(arrays_in(value))) or spec == "mapping":
        yield from of_structure(call, name, value, role_of(call, name, optional))
    elif spec is None:
        return
    elif spec is bool:
        yield from (each for each in of_flag(value) if not (each.value is None and optional))
    elif spec is str:
        yield from of_choice(value, optional)
    elif isinstance(spec, str):
        yield from of_kind(call, spec, value, optional)
    elif isinstance(spec, (Range, Integer)):
        yield from of_number(spec, value, optional)
    else:
        yield from of_numbers(spec, value)
