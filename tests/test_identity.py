"""What compiled code depends on: functions are told apart by all that shapes their code, or not at all."""

import functools
import os
import sys
import types

import numba
import numpy as np
import pytest
from conftest import optimized

from gd.kernels import identity
from gd.kernels.loops import losses
from gd.kernels.rules import activations
from gd.kernels.rules import losses as rules
from gd.kernels.rules.stages import CommonCoefficients
from gd.kernels.views import local

pytestmark = optimized


def test_what_cannot_be_told_from_what_it_was_before_is_not_kept():
    functions = [numba.njit(each) for each in (lambda x: x + 1, lambda x: x + FACTOR)]
    functions.append(numba.njit(fastmath=True)(functions[0].py_func))
    known = 1, "a", (2.5, None), (None, 2.5), np.ones(3), np, np.float32(2), *functions
    found = [repr(identity._described(each)) for each in known]
    assert len(set(found)) == len(known)
    unknown = object(), {}, [1], (1, object()), np.ma.ones(2), np.array([None]), lambda x: x, local(8)
    for value in (*unknown, numba.njit(lambda: UNKNOWN), CommonCoefficients()):
        with pytest.raises(identity.UnknownError):
            identity._described(value)


def test_rules_that_wrap_others_are_told_apart_by_what_they_wrap():
    def loss(factor):
        def squared(prediction, target):
            return factor * (prediction - target) ** 2, 2 * factor * (prediction - target)

        return losses.present_row_of(losses.row_of(squared))

    one, other, again = (identity.of(loss(factor)) for factor in (1.0, 2.0, 1.0))
    assert one == again != other
    assert identity.of(losses.row_of(rules.squared)) != identity.of(losses.row_of(rules.absolute))


def test_a_function_that_poses_as_one_of_gd_is_known_by_its_own_code():
    def wrapped(factor):
        return functools.wraps(activations.relu)(lambda x: factor * x)

    one, two = wrapped(1.0), wrapped(2.0)
    assert one.__module__ == activations.__name__
    assert len({repr(identity.of(each)) for each in (activations.relu, one, two)}) == 3


def test_a_module_without_byte_code_is_not_identified(monkeypatch):
    loader = types.SimpleNamespace(get_code=lambda name: None)  # as that of an extension module
    monkeypatch.setattr(activations.__spec__, "loader", loader)
    with pytest.raises(identity.UnknownError, match="has no byte code"):
        identity._module.__wrapped__(activations.__name__)


def in_notebook(cell, names):
    exec(cell, names)
    return identity.of(names["rule"])


@pytest.mark.parametrize("name", ["__main__", None])
def test_functions_of_notebooks_are_known_by_their_code_and_what_it_refers_to(name):
    cell = "from numba import njit\n@njit\ndef helper(x): return FACTOR * x\ndef rule(x): return helper(x)"
    names = [{"FACTOR": factor} | ({"__name__": name} if name else {}) for factor in (1.0, 2.0, 1.0)]
    one, other, again = (in_notebook(cell, each) for each in names)
    assert one == again != other


def test_what_numba_compiled_before_its_globals_changed_is_not_kept():
    cell = "from numba import njit\n@njit\ndef helper(x): return FACTOR * x"
    rule = "def rule(x): return helper(x)"
    names = {"FACTOR": 1.0}
    exec(cell, names)
    known = in_notebook(rule, names)
    assert in_notebook(rule, names) == known
    names["FACTOR"] = 2.0  # Numba keeps the 1.0 where it has compiled the helper
    with pytest.raises(identity.UnknownError, match="refers to something else than before"):
        in_notebook(rule, names)
    exec(cell, names)
    names["helper"](1.0)
    with pytest.raises(identity.UnknownError, match="was compiled before"):
        in_notebook(rule, names)
    exec(cell.replace("FACTOR", "2.0"), names)
    names["helper"](1.0)  # which refers to nothing that could change
    assert in_notebook(rule, names)


@pytest.mark.parametrize("kind", ["sources", "no sources", "zip"])
def test_a_package_that_is_replaced_under_way_is_noticed(tmp_path, monkeypatch, kind):
    path = {"sources": "gd/kernels/math.py", "no sources": "gd/kernels/math.pyc", "zip": "gd.zip"}[kind]
    monkeypatch.setattr(identity, "_SOURCES", tmp_path / ("gd.zip/gd" if kind == "zip" else "gd") / "kernels")
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text("old")
    os.utime(tmp_path / path, (1e9, 1e9))
    monkeypatch.setattr(identity, "_IMPORTED", identity._stamp())
    identity.refuse_if_changed()
    (tmp_path / "new").write_text("new")
    os.utime(tmp_path / "new", (1e9, 1e9))
    os.replace(tmp_path / "new", tmp_path / path)
    with pytest.raises(RuntimeError, match="have changed since they were imported"):
        identity.refuse_if_changed()


FACTOR, UNKNOWN = 2.0, object()


def test_modules_that_code_does_not_depend_on_exist():
    assert all(name in sys.modules for name in identity._OUTSIDE)
