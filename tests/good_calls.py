"""Good calls: each public function, class and method of gd, found by introspection, with small arguments that fit it.

`public` lists them, and `good_call` makes a call of one. A new function needs nothing here as long as its parameters
have defaults, or names that others have, too; else a builder in `GOOD` tells what to pass.
"""

import inspect
import pkgutil
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
from communicators import Communicator
from scipy.sparse import csr_array

import gd
from gd.activations.functions import ACTIVATIONS
from gd.functional import FUNCTIONS, initial_state
from gd.optimizers import OPTIMIZERS
from gd.search import Choice, LogUniform, Uniform

OWN = (  # modules whose names are public, though gd does not export them
    "activations batches comparison estimators functional initializers losses optimizers pytorch schedules search "
    "surfaces"
).split()
HOMES = (  # rooms and modules of which gd exports what is public, if anything
    "checks commands datasets distributed files math minimization models parameters plan predictor preprocessing "
    "profiling reference rule_check runtime thinc training typing version"
).split()
EXEMPT = {  # pattern of names -> why there are no bad calls of them
    r"CheckpointError": "an exception",
    r"GradientCheck|History|search\.SearchResult|search\.Trial|comparison\.Result": "a record that gd makes",
    r"Range(\.\w+)?|RuleCheck(\.\w+)?": "a record",
    r"surfaces\.Surface|surfaces\.Descent": "a record of gd's own",
    r"activations\.(Row)?Activation(\.\w+)?": "declares one of gd's own activations",
    r".*\.plot|GradientNorms\.draw|comparison\.(line_style|label_ends)": "a picture: of its path matplotlib complains",
    r"(comparison|surfaces)\.(table|ranked)": "a table of gd's own records",
    r"Optimizer(\..*)?|schedules\.Schedule(\..*)?": "abstract: its subclasses are called",
    r"estimators\.\w+": "scikit-learn wants arguments to be checked by fit, which is called with them",
    r"batches\.(shuffled\w*|emphasized|held_out|cut)": "called with what gd has checked",
    r"losses\.(total|check_loss|check_distributions|is_distribution|r_squared|rates)": "called with checked values",
    r"activations\.check_activation|optimizers\.check_optimizer": "a part of the checks of other functions",
    r"losses\.Loss(\.\w+)?": "a record of gd's own",
    r"\w+\.rebind": "its state may be left out, in part or as a whole: tests/test_rebind.py gives it bad ones",
    r"History\.(judge|monitored)|schedules\.nested": "called by fit with what it has checked",
    r"Head(\.completed)?": "a record that MLP checks: bad ones are among the bad heads of MLP",
    r"(\w+)\.(check_data|check_inputs|check_targets|check)": "a part of the checks of other methods",
    r"\w+\.of_tree": "a part of load",
    r"Predictor(\.\w+)?": "what gd train makes; tests/test_predictor.py gives it data that do not fit",
    r"profile\.(started|ended)": "called by kernels",
    r"\w+\.(write_gradients|backpropagate|descend|divisors|with_means)": "called by fit with what it has checked",
    r"Distributed\.(check_batches|has_saved|read|write)": "called by fit with what it has checked",
    r"optimizers\.Together(\.\w+)?": "puts norms together that kernels took",
    r"optimizers\.BorrowedArrays(\.\w+)?": "called by gd.pytorch with what it has checked",
    r"search\.\w+\.(sample|narrowed|code)": "called by narrowing_search with its own trials",
    r"\w+\.(choose|coefficients|effective_lr|initial|shapes|trust|estimate|stepped|torch_scalars|rule|trust_norms)": (
        "what a subclass defines, and Optimizer calls with its own numbers"
    ),
    r"\w+\.(mu|uses|mu_product=)": "likewise",
    r"(LAMB|LARS|Prodigy|Adafactor|SM3|Muon)\.step_rows": "refused, whatever the arguments",
    r"minimize": "takes array-likes, as SciPy does; tests/test_minimization.py makes bad calls",
}
GUARD = 256  # bytes on each side of an array that nobody may write
ROWS, COLUMNS, CLASSES = 5, 3, 4


class Public(NamedTuple):
    """Something that users can call."""

    name: str
    function: object
    owner: type | None = None
    kind: str = "function"  # or constructor, method, class method, setter, estimator: its fit

    @property
    def own(self):
        """The last part of the name."""
        return self.name.rpartition(".")[2].rstrip("=")

    @property
    def exempt(self):
        """Why there are no bad calls, or None."""
        return next((why for pattern, why in EXEMPT.items() if re.fullmatch(pattern, self.name)), None)


def modules():
    """Return the names of gd's own modules and packages."""
    return [each.name for each in pkgutil.iter_modules([str(Path(gd.__file__).parent)]) if each.name[0] != "_"]


def public():
    """Return all that is public, by name: of gd, of the modules in OWN, and the methods of the classes among it."""
    found, seen = {}, set()
    for prefix, module in [("", gd), *((f"{name}.", import_module(f"gd.{name}")) for name in OWN)]:
        for name, value in vars(module).items():
            home = f"{getattr(value, '__module__', '')}."
            if name[0] == "_" or not callable(value) or not home.startswith(f"{module.__name__}.") or id(value) in seen:
                continue
            seen.add(id(value))
            name = prefix + name
            if not inspect.isclass(value):
                found[name] = Public(name, value)
                continue
            found[name] = Public(name, value, value, "constructor")
            for method, function, kind in _methods(value):
                found[f"{name}.{method}"] = Public(f"{name}.{method}", function, value, kind)
    for name, each in ACTIVATIONS.items():
        for form in ("forward", "backward", "backward_from_output"):
            function = getattr(each, form)
            if function is not None and id(function) not in seen:
                found[f"ACTIVATIONS.{name}.{form}"] = Public(f"ACTIVATIONS.{name}.{form}", function)
    return found


def _methods(cls):
    """Yield (name, function, kind) of the methods of a class that gd defines, and of what can be set."""
    for name in dir(cls):
        member = inspect.getattr_static(cls, name)
        if name[0] == "_" and name != "__call__":
            continue
        if isinstance(member, property) and member.fset is not None:
            yield f"{name}=", member.fset, "setter"
        function = getattr(member, "__func__", member)
        if inspect.isfunction(function) and function.__module__.startswith("gd"):
            kind = "class method" if isinstance(member, (classmethod, staticmethod)) else "method"
            yield name, function, "estimator" if name == "fit" and cls.__module__.startswith("gd.estimators") else kind


class World:
    """The data of one call, which follow from a seed: arrays between guards, and a folder."""

    def __init__(self, seed, folder, wanted=()):
        self.rng, self.folder, self.wanted = np.random.default_rng(seed), Path(folder), set(wanted)
        self.dtype, self.guards = np.dtype((np.float32, np.float64)[seed % 2]), []

    def wants(self, name):
        """Whether an optional argument is to be passed: those that are wanted are, others at random."""
        return name in self.wanted or (self.coin() and name != "state_dir")  # which does not go with some others

    def coin(self):
        return bool(self.rng.integers(2))

    def pick(self, *options):
        return options[self.rng.integers(len(options))]

    def floats(self, *shape):
        return self.place(self.rng.uniform(0.1, 0.9, shape).astype(self.dtype))

    def labels(self, rows, classes):
        return self.place(self.rng.integers(0, classes, rows))

    def place(self, array, shift=0):
        """Return a copy of an array that lies between guards, misaligned by some bytes."""
        buffer = np.full(array.nbytes + 2 * GUARD + 64, 0xA5, np.uint8)
        start = GUARD + -(buffer.ctypes.data + GUARD) % 64 + shift
        self.guards.append((buffer, start, start + array.nbytes))
        copy = np.ndarray(array.shape, array.dtype, buffer, start)
        copy[...] = array
        return copy

    def guarded(self):
        """Whether nothing was written on either side of an array."""
        return all((b[:start] == 0xA5).all() and (b[stop:] == 0xA5).all() for b, start, stop in self.guards)


class Call(NamedTuple):
    """A call that has yet to be made."""

    public: Public
    receiver: object
    arguments: dict
    world: World

    def __call__(self):
        """Make the call; return what it returns, or what it saved."""
        arguments = dict(self.arguments)
        if self.public.kind == "setter":
            return setattr(self.receiver, self.public.own, *arguments.values())
        if self.public.kind == "estimator":
            own = inspect.signature(self.public.function).parameters
            data = {name: arguments.pop(name) for name in own if name in arguments}
            return self.public.owner(**arguments).fit(**data)
        function = self.public.function
        if self.public.kind == "class method":
            function = getattr(self.public.owner, self.public.own)
        elif self.receiver is not None:
            function = getattr(self.receiver, self.public.own)
        several = [each for each in parameters_of(self.public) if each.kind is each.VAR_POSITIONAL]
        positional = []
        for parameter in parameters_of(self.public) if several else ():
            if parameter.kind is not parameter.VAR_POSITIONAL:
                positional += [arguments.pop(parameter.name)] if parameter.name in arguments else []
                continue
            several = arguments.pop(parameter.name, ())
            positional += several if isinstance(several, (list, tuple)) else [several]
            break
        result = function(*positional, **arguments)
        if self.public.name == "save":
            return gd.load(arguments["path"])
        if self.public.name == "threads":
            result.__exit__()
        return list(result) if inspect.isgenerator(result) else result


def parameters_of(each):
    """Return the parameters of a call, those behind ``**`` by name where it is known what they are."""
    signature = inspect.signature(each.owner if each.kind in ("constructor", "estimator") else each.function)
    parameters = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    if each.kind == "estimator":
        parameters += [p for p in inspect.signature(each.function).parameters.values() if p.name != "self"]
    if parameters and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD:
        parameters = parameters[:-1] + _behind_the_stars(each)
    return parameters


def _behind_the_stars(each):
    keyword = inspect.Parameter.KEYWORD_ONLY
    if each.kind == "constructor" and each.owner.__name__ in OPTIMIZERS:
        own = inspect.signature(each.owner).parameters
        shared = inspect.signature(gd.Optimizer).parameters.values()
        return [p for p in shared if p.kind is keyword and p.name not in own]
    activation = activation_of(each)
    if activation is not None:
        numbers = {name: default for name, (default, _) in activation.parameters.items()}
        flag = {activation._flag: False} if activation._flag else {}
        return [inspect.Parameter(name, keyword, default=default) for name, default in {**numbers, **flag}.items()]
    return []  # of what else is in the call they depend: its builder tells


def activation_of(each):
    """Return the activation whose function this is, or None."""
    name = each.name.removeprefix("ACTIVATIONS.").partition(".")[0]
    return ACTIVATIONS.get(name) or ACTIVATIONS.get(name.removesuffix("_backward"))


# --- Arguments. A builder is f(world, each) -> arguments; "self" is the receiver, and those under "needed" are not
# --- left out though they are optional. What a builder does not tell is looked up in COMMON, then it is the default.

COMMON = {
    "activation_parameters": lambda world: {"negative_slope": 0.2},
    "base_batch": lambda world: 16,
    "batch": lambda world: 32,
    "beta3": lambda world: 0.9,
    "callbacks": lambda world: [lambda history: False],
    "clip_norm": lambda world: 1.0,
    "clip_norm_each": lambda world: 0.5,
    "clip_value": lambda world: 0.5,
    "coordinates": lambda world: 5,
    "dtype": lambda world: world.dtype,
    "early_stopping": lambda world: 2,
    "ema": lambda world: 0.9,
    "epoch": lambda world: 1,
    "epochs": lambda world: 1,
    "features": lambda world: COLUMNS,
    "high": lambda world: 2.0,
    "initializer": lambda world: "he_normal",
    "low": lambda world: 0.5,
    "lr": lambda world: 0.01,
    "lr_max": lambda world: 0.1,
    "max_iter": lambda world: 2,
    "max_norm": lambda world: 1.0,
    "metric": lambda world: 0.5,
    "mode": lambda world: world.pick("min", "max"),
    "monitor": lambda world: world.pick("loss", lambda history: history.loss[-1]),
    "options": lambda world: ["relu", "tanh"],
    "outputs": lambda world: 2,
    "grad_dtype": lambda world: None,
    "param_dtype": lambda world: None,
    "path": lambda world: str(world.folder / "file"),
    "progress": lambda world: False,
    "random_state": lambda world: 0,
    "rate": lambda world: 0.1,
    "rng": lambda world: world.pick(0, np.random.default_rng(0)),
    "seed": lambda world: 1,
    "shape": lambda world: (4, 3),
    "shapes": lambda world: {"W": (3, 2), "b": (2,)},
    "state_dir": lambda world: str(world.folder / "state"),
    "step": lambda world: 3,
    "steps": lambda world: 10,
    "value": lambda world: 0.5,
}
GOOD = {}  # pattern of names -> builder


def good(*patterns):
    """Register a builder for names that match a pattern as a whole."""

    def register(builder):
        GOOD.update(dict.fromkeys(patterns, builder))
        return builder

    return register


def good_call(each, world):
    """Return a good call, or raise LookupError that names the parameter for which nothing is known."""
    builder = next((GOOD[pattern] for pattern in GOOD if re.fullmatch(pattern, each.name)), None)
    given = {} if builder is None else builder(world, each)
    receiver, needed = given.pop("self", None), given.pop("needed", ())
    if receiver is None and each.kind in ("method", "setter"):
        receiver = instance(each.owner, world)
    arguments = {}
    for parameter in parameters_of(each):
        name, default = parameter.name, parameter.default
        required = default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL
        if not required and name not in needed and not world.wants(name):
            given.pop(name, None)
            continue
        if name in given:
            arguments[name] = given.pop(name)
        elif name in COMMON:
            arguments[name] = COMMON[name](world)
        elif default is parameter.empty or default is None or default == ():
            raise LookupError(f"{each.name}: nothing is known to pass for {name}")
        else:
            arguments[name] = default
    return Call(each, receiver, arguments | given, world)


def instance(cls, world):
    """Return an instance of a class, by a good call of it, as it is after a first use."""
    each = Public(public_name(cls), cls, cls, "constructor")
    made = good_call(each, World(int(world.rng.integers(2**31)) * 2 + (world.dtype == np.float64), world.folder))()
    if cls is gd.Normalizer:
        made.fit(world.floats(ROWS, COLUMNS))
    return made


def public_name(cls):
    """Return the name under which `public` has a class."""
    return (
        cls.__name__
        if hasattr(gd, cls.__name__)
        else f"{cls.__module__.removeprefix('gd.').split('.')[0]}.{cls.__name__}"
    )


# --- Rules of users


def plain_rule(p, g, c):
    return (p - c.lr * g,)


def slotted_rule(p, g, m, c):
    return p - c.half * g, m


def identity_rule(x):
    return x


def identity_backward_rule(dy, x):
    return dy


def squared_rule(prediction, target):
    error = prediction - target
    return error * error, error + error


@good("optimizer", "activation", "loss", "check_rule")
def _(world, each):
    name = {"name": "Own"}
    slots = {"slots": ["m"], "unsigned": ["m"], "exact": ["m"], "needed": ("slots", "coefficients")}
    rates = {"defaults": {"lr": 0.1}, "ranges": {"lr": (0, 1)}, "coefficients": lambda t, lr: {"half": lr / 2}}
    backward = {"backward": identity_backward_rule, "backward_from_output": identity_backward_rule, "formula": "x"}
    return {
        "optimizer": {**name, "rule": slotted_rule, **slots, **rates},
        "activation": {**name, "forward": identity_rule, **backward},
        "loss": {**name, "rule": squared_rule},
        "check_rule": {"rule": gd.SGD, "reference": plain_rule, "needed": ("elements", "reference"), "elements": 0},
    }[each.own]


# --- Activations, losses and the like

CELLS = (3, 4)


@good(*(rf"(ACTIVATIONS\.)?{name}(_backward|\.\w+)?" for name in ACTIVATIONS if name != "maxout"))
def _(world, each):
    arrays = {name: world.floats(*CELLS) for name in ("x", "dy", "y", "out")}
    weight = world.pick(0.25, world.floats(CELLS[-1]))
    named = {p.name for p in parameters_of(each)}
    return {name: value for name, value in {**arrays, "weight": weight}.items() if name in named}


@good(r"(ACTIVATIONS\.)?maxout(_backward|\.\w+)?")
def _(world, each):
    wide, narrow = (3, 4), (3, 2)
    if each.own in ("maxout", "forward"):
        index = {} if each.own == "forward" else {"index": world.place(np.zeros(narrow, np.intp))}
        return {"x": world.floats(*wide), "out": world.floats(*narrow), **index}
    given = {"dy": world.floats(*narrow), "out": world.floats(*wide)}
    if each.own == "backward":
        return {**given, "x": world.floats(*wide)}
    return {**given, "index": world.pick(world.place(world.rng.integers(0, 2, narrow)), world.floats(*wide))}


@good(r"dropout(_backward)?")
def _(world, each):
    arrays = {name: world.floats(*CELLS) for name in ("x", "dy", "out")}
    given = {name: arrays[name] for name in ("x" if each.name == "dropout" else "dy", "out")}
    if not world.wants("activation") and not world.wants("x"):
        return given | {"x": arrays["x"]} if each.name == "dropout" else given | {"x": None, "activation": "identity"}
    activation = {"activation": "leaky_relu", "negative_slope": 0.2}
    return {**given, "x": arrays["x"], **activation, "needed": ("x", "activation")}


@good(*(name for name in gd.losses.LOSSES if name != "softmax_cross_entropy"))
def _(world, each):
    target = world.floats(*CELLS)
    if each.name.endswith("hinge"):
        target[...] = np.where(target > np.median(target), 1, -1)
    return {"prediction": world.floats(*CELLS), "target": target, "out": world.floats(*CELLS)}


@good("softmax_cross_entropy")
def _(world, each):
    given = {name: world.floats(ROWS, CLASSES) for name in ("logits", "out")}
    given["class_weights"] = world.floats(CLASSES)
    if "ignore_index" not in world.wanted and world.coin():
        labels = world.floats(ROWS, CLASSES)
        labels /= labels.sum(axis=1, keepdims=True)
        return {**given, "labels": labels, "ignore_index": None}
    return {**given, "labels": world.labels(ROWS, CLASSES), "ignore_index": 3}


@good(r"\w+_gradient")
def _(world, each):
    loss = {"linear_regression": "squared", "logistic_regression": "logistic", "softmax_regression": "softmax"}
    loss = loss.get(each.name.removesuffix("_gradient")) or world.pick("squared", "huber", "mae", "softmax")
    several = loss == "softmax" or world.coin()
    w = world.floats(COLUMNS, 2) if several else world.floats(COLUMNS)
    b = world.floats(2) if several else world.pick(0.5, world.floats(1))
    y = world.labels(ROWS, 2) if loss == "softmax" else world.floats(ROWS, *w.shape[1:])
    given = {
        "X": world.pick(world.floats(ROWS, COLUMNS), sparse(world)),
        "y": y,
        "W" if each.name.startswith("softmax") else "w": w,
        "b": b,
        "rows": world.labels(4, ROWS),
        "sample_weight": world.floats(ROWS),
        "out": (world.floats(*w.shape), world.floats(*b.shape) if isinstance(b, np.ndarray) else None),
    }
    if each.name == "linear_model_gradient":
        given |= {"loss": loss, "needed": ("loss",)}
    return given | ({"delta": 2.0} if loss == "huber" else {})


def sparse(world):
    """Return a matrix in CSR whose parts lie between guards."""
    X = csr_array(world.floats(ROWS, COLUMNS))
    X.data, X.indices, X.indptr = map(world.place, (X.data, X.indices, X.indptr))
    return X


@good("one_hot")
def _(world, each):
    return {"labels": world.labels(ROWS, CLASSES), "classes": CLASSES}


@good(r"batches\.batches")
def _(world, each):
    return {"n": 10, "batch_size": 3, "stratify": world.labels(10, 2)}


@good("gradient_check")
def _(world, each):
    params = structure(world)
    grads = like(params, lambda p: world.place(2 * p))
    return {
        "f": lambda params: sum(float(np.sum(np.square(np.asarray(p)))) for p in leaves(params)),
        "params": params,
        "grads": grads,
    }


@good(r"initializers\.\w+|search\.\w+\.rvs")
def _(world, each):
    return {"needed": ("rng", "random_state")}


@good("threads")
def _(world, each):
    return {"n": 1}


@good("warmup")
def _(world, each):
    return {"names": ("identity",), "dtypes": ("float32",)}


# --- Optimizers


def structure(world):
    """Return parameters: an array, a list, a dict, or a ParameterVector."""
    arrays = {"W": world.floats(4, 3), "b": world.floats(3)}
    kind = world.pick("array", "list", "dict", "vector")
    if kind == "vector":
        return gd.ParameterVector.from_arrays(arrays)
    return {"array": arrays["W"], "list": list(arrays.values()), "dict": arrays}[kind]


def leaves(params):
    """Return the arrays of a structure."""
    if isinstance(params, Mapping):
        return list(params.values())
    return params if isinstance(params, list) else [params]


def like(params, function):
    """Return a structure of what a function makes of each array."""
    if isinstance(params, np.ndarray):
        return function(params)
    if isinstance(params, list):
        return [function(p) for p in params]
    return {name: function(p) for name, p in params.items()}


@good(*OPTIMIZERS)
def _(world, each):
    params = structure(world)
    while isinstance(params, np.ndarray) and "groups" in world.wanted:
        params = structure(world)
    groups = () if isinstance(params, np.ndarray) else [{"params": [1 if isinstance(params, list) else "b"], "lr": 0.1}]
    whole = not OPTIMIZERS[each.owner.__name__].elementwise or "state_dir" in world.wanted
    state_dtype = None if whole else "int8"
    return {"params": params, "groups": groups, "state_dtype": state_dtype}


@good("LBFGS")
def _(world, each):
    return {"params": structure(world), "max_eval": 5}


@good(r"LBFGS\.step")
def _(world, each):
    optimizer = instance(each.owner, world)
    return {"self": optimizer, "closure": lambda: (1.0, like(optimizer.params, lambda p: world.floats(*p.shape)))}


@good("Distributed")
def _(world, each):
    given = {"optimizer_class": gd.Adam, "params": structure(world), "comm": Communicator()}
    return {**given, "needed": ("comm",)}  # without it is that of MPI


@good(r"Distributed\.\w+_params")
def _(world, each):
    return {"self": gd.Distributed(gd.ASGD, structure(world), Communicator(), ema=0.5)}


@good("averaged")
def _(world, each):
    return {"optimizer": gd.ASGD(structure(world), ema=0.5), "average": "ema"}


@good(r"Distributed\.(save|load)")
def _(world, each):
    optimizer, path = instance(each.owner, world), str(world.folder / "checkpoints")
    optimizer.save(path)
    return {"self": optimizer, "path": path} | ({"tree": {"epoch": 1}} if each.own == "save" else {})


@good(r"\w+\.(step|accumulate)")
def _(world, each):
    optimizer = instance(each.owner, world)
    grads = like(optimizer.params, lambda p: world.floats(*p.shape))
    if isinstance(optimizer.params, gd.ParameterVector):
        vector = gd.ParameterVector.from_arrays(grads)
        grads = world.pick(grads, vector, world.place(vector.vector))
    return {"self": optimizer, "grads": grads, "needed": ("grads",)}


@good(r"\w+\.step_rows")
def _(world, each):
    matrix = world.floats(ROWS, COLUMNS)
    params, key = world.pick((matrix, None), ({"E": matrix, "b": world.floats(3)}, "E"))
    optimizer = each.owner(params)
    return {"self": optimizer, "key": key, "rows": world.labels(4, ROWS), "grad_rows": world.floats(4, COLUMNS)}


@good(r"\w+\.add_group")
def _(world, each):
    optimizer = instance(each.owner, world)
    while isinstance(optimizer.params, (np.ndarray, gd.ParameterVector)):
        optimizer = instance(each.owner, world)
    params = {"U": world.floats(2)} if isinstance(optimizer.params, dict) else [world.floats(2)]
    return {"self": optimizer, "group": {"params": params, "lr": 0.1}}


@good(r"\w+\.load_state_dict")
def _(world, each):
    optimizer = instance(each.owner, world)
    if isinstance(optimizer, gd.LBFGS):  # whose history is empty before a step
        params = structure(world)
        optimizer = gd.LBFGS(params, max_iter=3)
        optimizer.step(lambda: (sum(float((p**4).sum()) for p in leaves(params)), like(params, lambda p: 4 * p**3)))
    state = like(optimizer.state_dict(), lambda value: world.place(value) if isinstance(value, np.ndarray) else value)
    return {"self": optimizer, "state": state}


@good(r"\w+\.save_state")
def _(world, each):
    optimizer = each.owner(structure(world), state_dir=world.folder / "state")
    return {"self": optimizer, "path": str(world.folder / "copy")}


@good(r"\w+\.ema_params")
def _(world, each):
    return {"self": each.owner(structure(world), ema=0.5)}


@good(*(rf"functional\.{name}" for name in FUNCTIONS))
def _(world, each):
    kind = next(kind for name, kind in OPTIMIZERS.items() if name.lower() == each.own)
    p = world.floats(4, 3)
    state = tuple(map(world.place, initial_state(FUNCTIONS[each.own], p, ema=0.9)))
    given = {"p": p, "g": world.floats(4, 3), "state": state, "t": 1, "ema": 0.9, "needed": ("state", "ema")}
    return given | ({"scalars": dict(kind.scalars)} if kind.scalars else {})


@good(r"optimizers\.function_of")
def _(world, each):
    return {"kind": gd.Adam}


@good(r"optimizers\.initial_state")
def _(world, each):
    return {"function": gd.functional.adam, "p": world.floats(4, 3)}


@good(r"pytorch\.(to|from)_torch")
def _(world, each):
    import torch

    optimizer = gd.Adam([world.floats(4, 3), world.floats(3)])
    theirs = torch.optim.Adam([torch.zeros(4, 3), torch.zeros(3)])
    return {"optimizer": optimizer, "torch_optimizer": theirs}


# --- Schedules


@good(r"schedules\.MultiStepDecay")
def _(world, each):
    return {"milestones": (3, 6)}


@good(r"schedules\.ExponentialDecay")
def _(world, each):
    name = "rate" if "rate" in world.wanted or ("gamma" not in world.wanted and world.coin()) else "gamma"
    return {"gamma": None, "rate": None, name: 0.5, "needed": ("gamma", "rate")}


@good(r"schedules\.LinearWarmup")
def _(world, each):
    return {"after": world.pick(0.1, gd.schedules.CosineDecay(0.1, 10))}


@good(r"schedules\.Piecewise")
def _(world, each):
    return {"boundaries": [3, 6], "pieces": [0.1, 0.01, gd.schedules.CosineDecay(0.1, 10)]}


@good(r"schedules\.ReduceOnPlateau\.load_state_dict")
def _(world, each):
    plateau = gd.schedules.ReduceOnPlateau(0.1)
    plateau.update(1.0)
    return {"self": gd.schedules.ReduceOnPlateau(0.1), "state": plateau.state_dict()}


# --- Models and training


def model_and_data(world, cls=None, rows=ROWS):
    """Return a small model, and X and y that fit it."""
    cls = cls or world.pick(gd.MLP, gd.LinearModel)
    kind, X = world.pick("classes", "numbers", "heads"), world.floats(rows, COLUMNS)
    if cls is gd.LinearModel:
        model = cls(COLUMNS, 2, "softmax" if kind == "classes" else "squared", dtype=world.dtype)
    else:
        heads = {"heads": {"a": 2, "b": gd.Head(2, "mse")}} if kind == "heads" else {}
        loss = {"loss": "mse"} if kind == "numbers" else {}
        model = cls([COLUMNS, 4] if heads else [COLUMNS, 4, 2], dtype=world.dtype, **heads, **loss)
        if heads:
            return model, X, {"a": world.labels(rows, 2), "b": world.floats(rows, 2)}
    return model, X, world.labels(rows, 2) if kind == "classes" else world.floats(rows, 2)


@good(r"MLP|LinearModel")
def _(world, each):
    if each.name == "LinearModel":
        return {"loss": world.pick("squared", "huber")}
    given = {"widths": [COLUMNS, 4, 2], "activation": "leaky_relu", "dropout": 0.2, "needed": ("activation", "dtype")}
    heads = "heads" in world.wanted or ("loss_parameters" not in world.wanted and world.coin())
    if heads:
        return {**given, "heads": {"a": 2, "b": gd.Head(2, "mse")}, "loss_parameters": None}
    return {**given, "heads": None, "loss_parameters": {"label_smoothing": 0.1, "class_weights": world.floats(2)}}


@good(r"(MLP|LinearModel)\.(forward|predict|layer_outputs|score|scores|evaluate|loss_and_gradients|gradient_check)")
def _(world, each):
    model, X, y = model_and_data(world, each.owner)
    also = {"y": y, "sample_weight": world.floats(ROWS)}
    return {"self": model, "X": X} | {
        name: also[name] for name in inspect.signature(each.function).parameters if name in also
    }


@good(r"(MLP|LinearModel)\.load|load_model")
def _(world, each):
    path = world.folder / "model"
    model_and_data(world, each.owner)[0].save(path)
    return {"path": str(path)}


@good("fit")
def _(world, each):
    model, X, y = model_and_data(world, gd.MLP if "emphasis" in world.wanted else None, rows=8)
    optimizer = gd.Adam(model.parameters)
    held = world.floats(4, COLUMNS), like(y, lambda each: world.place(each[:4]))
    own = {"emphasis": 0.5} if isinstance(model, gd.MLP) else {"emphasis": 0.0}
    own |= {"resume": False, "checkpoint": str(world.folder / "checkpoint")}
    own |= {
        "batch_size": 4,
        "comm": None,
        "evaluate": "parameters",
        "accumulate": 2,
        "seed": 3,
        "steps_per_epoch": None,
        "sample_weight": world.floats(8),
    }
    if world.wanted == {"steps_per_epoch"}:
        X, y = [(X, y)] * 3, None
        own |= dict.fromkeys(("batch_size", "accumulate", "seed", "emphasis", "sample_weight")) | {"steps_per_epoch": 2}
    if world.wanted == {"comm"}:
        optimizer = gd.Distributed(gd.Adam, model.parameters, Communicator())
        own |= {"batch_size": 8, "comm": optimizer.comm, "accumulate": 1, "emphasis": 0.0, "needed": ("batch_size",)}
        own["sample_weight"] = None
    return {"model": model, "X": X, "y": y, "optimizer": optimizer, "validation": held, **own}


@good(r"GradientNorms")
def _(world, each):
    model, X, y = model_and_data(world, gd.MLP)
    return {"model": model, "X": X, "y": y}


@good(r"GradientNorms\.__call__")
def _(world, each):
    return {"history": gd.History()}


@good("Normalizer.*")
def _(world, each):
    return {} if each.own == "Normalizer" else {"X": world.floats(ROWS, COLUMNS)}


@good(r"ParameterVector\.from_arrays")
def _(world, each):
    return {"arrays": {"W": world.floats(4, 3), "b": world.floats(3)}}


@good("save")
def _(world, each):
    return {"tree": {"W": world.floats(2, 3), "n": [1, 2.5, None, "x"], "deep": {"labels": world.labels(3, 2)}}}


@good("load")
def _(world, each):
    gd.save(world.folder / "file", {"W": world.floats(2, 3)})
    return {}


@good(r"comparison\.compare_optimizers")
def _(world, each):
    rows = 12
    model, X, y = gd.LinearModel(COLUMNS, dtype=world.dtype), world.floats(rows, COLUMNS), world.floats(rows)
    given = {"model": model, "X": X, "y": y, "test": (world.floats(rows, COLUMNS), world.floats(rows))}
    return {**given, "optimizers": ["SGD"], "lr": "default", "needed": ("optimizers", "lr", "epochs", "progress")}


@good(r"surfaces\.descend")
def _(world, each):
    return {"surface": "ravine", "optimizer": "SGD", "steps": 2, "needed": ("steps",)}


@good(r"search\.narrowing_search")
def _(world, each):
    ranges = {"lr": LogUniform(0.01, 1.0), "n": Uniform(1, 8, integer=True), "kind": Choice(["a", "b"])}
    given = {"objective": lambda parameters, seed: parameters["lr"], "ranges": ranges, "rounds": 2, "samples": 3}
    return {**given, "journal": str(world.folder / "journal"), "needed": ("rounds", "samples")}


@good(r"estimators\.\w+\.fit")
def _(world, each):
    given = data_of_estimator(world, each.owner)
    own = {"optimizer_options": {"clip_norm": 1.0}, "loss_parameters": {}, "hidden_layer_sizes": (4,)}
    own |= {"early_stopping": False, "class_weight": {0: 1.0, 1: 2.0}}
    own |= {p.name: None for p in parameters_of(each) if p.default is None and p.name not in {**own, **given, **COMMON}}
    own |= {} if "optimizer" in inspect.signature(each.owner).parameters else {"tol": None, "early_stopping": False}
    own |= {"tol": 1e-4, "max_iter": 100} if each.owner.__name__ == "LogisticRegression" else {}
    named = {p.name for p in parameters_of(each)}
    needed = ("max_iter", "hidden_layer_sizes", "random_state")
    return {**given, **{k: v for k, v in own.items() if k in named}, "needed": needed}


@good(r"estimators\.\w+\.(partial_fit|predict\w*|decision_function|score_samples|sparsify|densify)")
def _(world, each):
    data = data_of_estimator(world, each.owner)
    small = {"hidden_layer_sizes": (4,)} if "MLP" in each.owner.__name__ else {}
    small |= {"max_iter": 1} if each.owner.__name__ != "LogisticRegression" else {}
    small |= {"tol": None} if "SGD" in each.owner.__name__ else {}
    fitted = each.owner(random_state=0, **small).fit(**data)
    if each.own != "partial_fit":
        return {"self": fitted} if each.own.endswith("ify") else {"self": fitted, "X": data["X"]}
    return {"self": fitted, **data} | ({"classes": np.array([0, 1])} if "Classifier" in each.owner.__name__ else {})


def data_of_estimator(world, cls):
    """Return X, y and sample_weight of 20 rows."""
    classes = "Classifier" in cls.__name__ or cls.__name__ == "LogisticRegression"
    y = world.place(np.arange(20) % 2) if classes else world.floats(20)
    return {"X": world.floats(20, COLUMNS), "y": y, "sample_weight": world.floats(20)}
