"""Bad calls of the whole public API: each must be refused with the argument named, and leave all as it was.

``python tests/bad_calls.py [--calls 10000] [--first 0] [--seed 0]`` takes good calls of `good_calls`, makes one or two
arguments of each wrong by `bad_values`, and judges what comes of it. It exits with 1 if there are findings:

- an exception that is not TypeError, ValueError or KeyError, or names neither argument nor function, or a warning;
- an array, an object or a file that has changed though the call was refused;
- a call that was accepted though it must be refused, or does not do what it does with the same data in good order;
- memory written outside of the arrays, and processes that died.

Calls run in processes of 500, so that a crash is one finding. ``--call 123`` makes one of them alone and shows it.
"""

import argparse
import multiprocessing
import re
import sys
import tempfile
import traceback
import types
import warnings
import weakref
from collections import Counter
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

from bad_values import KEYWORD, arrays_in, mutations
from good_calls import World, good_call, parameters_of, public

from gd.distributed.flat_vector import FlatVector
from gd.parameters import ParameterArray

CHUNK, SECONDS = 500, 600  # calls of a process, and how long they may take
REFUSALS = (TypeError, ValueError, KeyError)
ALSO = {
    "fit": FloatingPointError,
    "load": OSError,
    "save": OSError,
    "save_state": OSError,
}  # documented, by the last part of the name
CACHES = {
    "_gate",
    "_known",
    "_clock",
    "_values",
    "_vector",
    "_given",
    "_format",
    "_pass",
    "_process",
    "tiles",
    "bound_units",
    "seconds",
}  # attributes left out


class Outcome(NamedTuple):
    """What came of a call; `kind` is refused, accepted or finding."""

    kind: str
    function: str
    call: str
    text: str = ""


def generate(choose):
    """Return what makes a bad call: f(folder) -> (call, mutated arguments). `choose` takes one of a list."""
    each = choose(CALLABLE)
    seed = choose(range(20))
    names = [p.name for p in parameters_of(each)]
    with tempfile.TemporaryDirectory() as folder:
        extra = list(good_call(each, World(seed, folder, names)).arguments)
    wanted = {choose([*extra, KEYWORD] if each.kind != "setter" else extra)}
    if choose(range(8)) == 0:
        wanted.add(choose(extra or [KEYWORD]))
    with tempfile.TemporaryDirectory() as folder:
        call = good_call(each, World(seed, folder, wanted))
        which = {}
        for name in sorted(wanted & call.arguments.keys()):
            found = mutations(call, name, _optional(each, name))
            if found:
                which[name] = choose(range(len(found)))
    return Bad(each, seed, wanted if which else {*wanted, KEYWORD}, which)


def _optional(each, name):
    """Whether None is a good value of an argument."""
    parameter = next((p for p in parameters_of(each) if p.name == name), None)
    return parameter is not None and parameter.default is None


CALLABLE = [
    each
    for each in public().values()
    if each.exempt is None and (find_spec("torch") or not each.name.startswith("pytorch."))
]


class Bad(NamedTuple):
    """A bad call, which can be made again and again."""

    each: object
    seed: int
    wanted: set
    which: dict  # argument -> number of its mutation

    def make(self, folder, canonical=False):
        """Return the call with its wrong arguments, or with what they are in good order, and the mutations."""
        call = good_call(self.each, World(self.seed, folder, self.wanted))
        found = {}
        for name, k in self.which.items():
            found[name] = mutations(call, name, _optional(self.each, name))[k]
        for name, mutation in found.items():
            call.arguments[name] = mutation.canonical if canonical else mutation.value
        if KEYWORD in self.wanted:
            call.arguments[KEYWORD] = 1
        return call, found

    def partners(self, call, found):
        """Return the names of all arrays, if one of them is wrong: it may not fit another, which is then named."""
        arrays = {name for name, value in call.arguments.items() if any(True for _ in arrays_in(value))}
        return arrays | set(found) if any(any(True for _ in arrays_in(m.value)) for m in found.values()) else set()


def judge(bad):
    """Make a bad call, and return its Outcome."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other, warnings.catch_warnings():
        warnings.simplefilter("error")
        for allowed in (".*kink.*", ".*max_iter.*", ".*number of unique classes.*", "A column-vector y.*"):
            warnings.filterwarnings("ignore", allowed)
        call, found = bad.make(folder)
        function = bad.each.name
        wrong = [f"{name}: {each.label}" for name, each in found.items()] + [f"{KEYWORD}=1"] * (KEYWORD in bad.wanted)
        described = f"{function}({'; '.join(wrong)})"
        together = sum(each.fits for each in found.values()) > 1  # one row more of each: right again
        refuse = KEYWORD in bad.wanted or any(each.refuse and not (each.fits and together) for each in found.values())

        def finding(text):
            return Outcome("finding", function, described, text)

        def after():
            return snapshot((call.receiver, call.arguments)), contents(folder)

        before = after()
        also = ALSO.get(bad.each.own, ())
        try:
            result = call()
        except REFUSALS as error:
            text = str(error.args[0]) if error.args else ""
            names = {*found, *(name for each in found.values() for name in each.names), *({KEYWORD} & bad.wanted)}
            if bad.each.kind == "setter":
                names.add(bad.each.own)
            names |= bad.partners(call, found)
            fault = fault_of(bad.each, text, names)
            if not call.world.guarded():
                return finding(f"wrote outside of arrays, then {type(error).__name__}: {text}")
            if after() != before:
                return finding(f"changed something, then {type(error).__name__}: {text}")
            if fault:
                return finding(f"{fault}: {type(error).__name__}: {text}")
            return Outcome("refused", function, described, text)
        except also as error:
            if isinstance(error, OSError) and (after() != before or not call.world.guarded()):
                return finding(f"changed something, then {type(error).__name__}: {error}")
            return Outcome("refused", function, described, str(error))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            return finding("".join(traceback.format_exception(error, limit=-3)))
        if not call.world.guarded():
            return finding("wrote outside of arrays")
        if refuse:
            return finding("accepted")
        good, _ = bad.make(other, canonical=True)
        try:
            expected = good()
        except Exception as error:
            return finding(f"accepted, but with the data in good order: {error}")
        over = {name for each in found.values() if each.label.startswith("is ") for name in each.names}
        for arguments in (call.arguments, good.arguments):
            for name in over:  # written by the one and not by the other
                del arguments[name]
        ends = [snapshot((r, c.receiver, c.arguments), c.world.folder) for r, c in ((result, call), (expected, good))]
        if ends[0] != ends[1]:
            return finding("accepted, but the result is not that of the data in good order")
        return Outcome("accepted", function, described)


def fault_of(each, text, names):
    """Return what is wrong with the message of a refusal, or None."""
    if not any(re.search(rf"(?<!\w){re.escape(str(name))}(?!\w)", text) for name in names):
        return f"names none of {', '.join(sorted(map(str, names)))}"
    if "unexpected keyword argument" in text or each.name.startswith("estimators."):
        return None  # Python's own, or scikit-learn's
    owner = each.owner.__name__ if each.owner is not None else ""
    base = each.name.removeprefix("ACTIVATIONS.").partition(".")[0] if not owner else ""
    places = {owner, each.own, f"{owner}.{each.own}", getattr(each.function, "__name__", ""), base} - {""}
    begins = any(text.startswith((f"{place}:", f"{place}.")) for place in places)
    return None if begins else "does not begin with the function"


# --- What there is before and after


def snapshot(thing, values=None):
    """Return all that can be reached from a thing, as something that can be compared.

    With `values`, the folder of the call, only values count: not layouts and dtypes, nor where the folder is.
    """
    seen = {}

    def of(value):
        if values and isinstance(value, (bool, int, float, np.number, np.bool_)) and not abs(value) > 2**60:
            return str(complex(value))
        if value is None or isinstance(value, (bool, int, bytes)):
            return value
        if isinstance(value, str):
            return value.replace(str(values), "") if values else value
        if isinstance(value, (float, complex, np.generic)):
            return str(value)
        if isinstance(value, types.FunctionType | types.BuiltinFunctionType | types.ModuleType | type | weakref.ref):
            return "function"
        of_another_library = type(value).__module__.startswith(("torch", "jax"))
        if values and of_another_library and not hasattr(value, "state_dict"):
            value = np.asarray(value)
        if values and isinstance(value, np.ndarray):
            return of_array(value)
        if id(value) in seen:
            return "seen", seen[id(value)][0]
        seen[id(value)] = len(seen), value
        if isinstance(value, np.ndarray):
            return of_array(value)
        if isinstance(value, np.random.Generator):
            return of(value.bit_generator.state)
        if isinstance(value, Mapping):
            own = of(vars(value)) if hasattr(value, "__dict__") else ()
            return type(value).__name__, tuple((of(k), of(v)) for k, v in value.items() if k not in CACHES), own
        if isinstance(value, (list, tuple, set, frozenset)):
            return type(value).__name__, tuple(map(of, value))
        if of_another_library:
            return of(value.state_dict() if hasattr(value, "state_dict") else np.asarray(value))
        home = type(value).__module__
        if not home.startswith(("gd", "scipy", "sklearn", "good_calls")) or "kernels" in home:
            return type(value).__name__
        if isinstance(value, ParameterArray):  # as values in its shape, whatever the order of its memory
            arrays = [value.shaped(each) if each.size == value.size else each for each in (value.p, *value.slots)]
            return of([value.label, value.steps, arrays])
        if isinstance(value, FlatVector):
            return of(value.params)
        attributes = sorted(getattr(value, "__dict__", {}).items())
        return type(value).__name__, tuple((name, of(each)) for name, each in attributes if name not in CACHES)

    def of_array(array):
        if values or array.dtype.hasobject:
            return "array", array.shape, tuple(map(of, array.ravel().tolist()))
        base = array
        while isinstance(base.base, np.ndarray):
            base = base.base
        around = base.tobytes() if base is not array and not base.dtype.hasobject else b""
        return array.dtype.str, array.shape, array.strides, array.flags.writeable, array.tobytes(), around

    return of(thing)


def contents(folder):
    """Return the names and contents of all files in a folder."""
    return {str(path): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


# --- The script


def nth(seed, k):
    """Return the k-th bad call of a seed."""
    return generate(Random(f"{seed}/{k}").choice)


def _work(seed, numbers, progress, pipe):
    for k in numbers:
        progress.value = k
        pipe.send((k, judge(nth(seed, k))))
    pipe.close()


def outcomes(seed, numbers):
    """Yield (k, Outcome) of calls, made in processes that may die."""
    context = multiprocessing.get_context("spawn")
    left = list(numbers)
    while left:
        progress = context.Value("q", left[0], lock=False)
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(seed, left[:CHUNK], progress, sender))
        process.start()
        sender.close()
        done = []
        try:
            while receiver.poll(SECONDS):
                k, outcome = receiver.recv()
                done.append(k)
                yield k, outcome
        except EOFError:
            pass
        if len(done) < len(left[:CHUNK]):
            process.kill()
            process.join()
            k = progress.value
            yield k, Outcome("finding", "?", f"call {k}", f"the process died or hung: exit code {process.exitcode}")
            done.append(k)
        process.join()
        left = [k for k in left if k not in set(done)]


def main():
    """Make all calls and print what came of them."""
    parser = argparse.ArgumentParser(description="Make bad calls of gd and judge what comes of them.")
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="leave out those before, to make them in parts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--call", type=int, help="make this one alone")
    options = parser.parse_args()
    if options.call is not None:
        print(*judge(nth(options.seed, options.call)), sep="\n")
        return 0
    kinds, functions, findings = Counter(), {}, []
    for k, outcome in outcomes(options.seed, range(options.first, options.first + options.calls)):
        kinds[outcome.kind] += 1
        functions.setdefault(outcome.function, Counter())[outcome.kind] += 1
        if outcome.kind == "finding":
            findings.append(outcome)
            print(f"--call {k}: {outcome.call}\n    {outcome.text}", flush=True)
    changed = sum(outcome.text.startswith(("changed", "wrote")) for outcome in findings)
    print(f"{kinds.total():,} bad calls of {len(functions)} functions, of {len(CALLABLE)} that there are:")
    print(f"{kinds['refused']:,} refused with the argument named, and all as it was")
    print(f"{kinds['accepted']:,} accepted, with the result of the same data in good order")
    print(f"{kinds['finding']:,} neither of both, {changed:,} of them with arrays changed")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
