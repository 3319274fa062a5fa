"""Bad calls of the whole public API are refused with the argument named, and change nothing."""

import re
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")
for _each in ("safetensors", "joblib"):
    pytest.importorskip(_each)

from bad_calls import CALLABLE, Bad, generate, judge
from bad_values import SPECS, mutations
from good_calls import EXEMPT, GOOD, HOMES, OWN, Public, World, good_call, modules, parameters_of, public
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@given(st.data())
@settings(max_examples=400, suppress_health_check=list(HealthCheck))
def test_bad_calls_are_refused_and_change_nothing(data):
    outcome = judge(generate(lambda options: data.draw(st.sampled_from(options))))
    assert outcome.kind != "finding", f"{outcome.call}\n{outcome.text}"


@pytest.mark.parametrize("each", CALLABLE, ids=lambda each: each.name)
def test_every_public_function_has_a_good_call_and_bad_values_of_each_argument(each, tmp_path):
    names = [parameter.name for parameter in parameters_of(each)]
    call = good_call(each, World(0, tmp_path, names))
    for name in call.arguments.keys() - {"history"}:  # which GradientNorms does not look at
        assert mutations(call, name, optional=False) or is_unknown(each, name), name
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*(kink|max_iter).*")
        call()
    assert call.world.guarded()


def is_unknown(each, name):
    """Return True if SPECS says that nothing is known of an argument of an estimator: it may be nearly anything."""
    specs = [spec for pattern, spec in SPECS.items() if re.fullmatch(pattern, f"{each.name}.{name}")]
    return each.kind == "estimator" and None in specs


def test_two_wrong_arrays_that_fit_each_other_are_no_bad_call():
    each = public()["ACTIVATIONS.identity.backward_from_output"]
    labels = [mutation.label for mutation in mutations(good_call(each, World(1, ".", ["y"])), "y", optional=False)]
    more = labels.index("one row more")
    assert judge(Bad(each, 1, {"dy", "y"}, {"dy": more, "y": more})).kind == "accepted"
    assert judge(Bad(each, 1, {"y"}, {"y": more})).kind == "refused"


def test_every_module_is_known_and_no_exemption_is_left_over():
    assert set(modules()) == {*OWN, *HOMES}
    assert not set(OWN) & set(HOMES)
    names = list(public())
    for pattern in EXEMPT:
        assert any(re.fullmatch(pattern, name) for name in names), pattern


def test_a_function_of_which_nothing_is_known_is_noticed(tmp_path):
    with pytest.raises(LookupError, match="nothing is known to pass for unheard_of"):
        good_call(Public("new", lambda unheard_of: None), World(0, tmp_path))


def changes_before_it_raises(x, out):
    out[0] = 1
    raise ValueError("changes_before_it_raises: x has no good shape")


def names_nothing(x, out):
    raise ValueError("names_nothing: no")


def says_nothing(x, out):
    return x


def writes_beyond(x, out):
    np.lib.stride_tricks.as_strided(out, (4,))[3] = 1
    raise ValueError("writes_beyond: x has no good shape")


def divides_by_nothing(x, out):
    return 1 // 0


@pytest.mark.parametrize(
    "function, text",
    [
        (changes_before_it_raises, "changed something"),
        (names_nothing, "names none of"),
        (says_nothing, "accepted"),
        (writes_beyond, "wrote outside of arrays"),
        (divides_by_nothing, "ZeroDivisionError"),
    ],
)
def test_functions_that_do_not_refuse_bad_calls_are_noticed(function, text, monkeypatch):
    each = Public(function.__name__, function)
    monkeypatch.setitem(GOOD, each.name, lambda world, each: {"x": world.floats(3), "out": world.floats(3)})
    outcome = judge(Bad(each, 0, {"x"}, {"x": 0}))
    assert outcome.kind == "finding"
    assert text in outcome.text
