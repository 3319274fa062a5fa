"""Docstrings as Sphinx reads them: formulas are typeset."""

import inspect
import re

from . import formulas

BLOCK = re.compile(r"(?m)^(.*)::\n\n((?: {4,}\S.*\n?)+)")
OF_FUNCTIONS = {"e", "error", "s", "x"}  # variables of formulas that are no arguments


def typeset(_app, what, _name, obj, _options, lines):
    """Typeset the formulas of a docstring in place: its first block, and the one in a function's summary."""
    text, examples, rest = "\n".join(lines).partition("\nExamples\n")
    found = BLOCK.search(text)
    latex = found and formulas.block(found[2].splitlines())
    if latex:
        before, after = text[: found.start()] + found[1], text[found.end() :]
        text = f"{plain(before)}\n\n.. math::\n   :nowrap:\n\n   {latex}\n\n{plain(after)}"
    else:
        text = plain(text) if not found else plain(text[: found.start()]) + found[0] + plain(text[found.end() :])
    if what == "function" and (latex := of_function(obj)):
        summary, _, others = text.partition("\n\n")
        text = f"{summary}\n\n.. math::\n\n   {latex}\n\n{others}"
    lines[:] = (text + examples + rest).split("\n")


def plain(text):
    """Return a text whose bars mean absolute values, not substitutions."""
    return text.replace("|", r"\|")


def of_function(function):
    """Return the LaTeX of the formula in the summary of an activation or a loss, or None."""
    summary = " ".join(inspect.getdoc(function).split("\n\n")[0].split())
    names = {*inspect.signature(function).parameters} | OF_FUNCTIONS
    if found := re.fullmatch(r"Return (.*), (?:elementwise|along the last axis)\.", summary):
        candidates = [found[1]]
    elif found := re.fullmatch(r"[\w' -]+(?:\([a-z]+\))?: (.*)\.", summary):
        candidates = [found[1], found[1].split(";")[0], found[1].split(", ")[0]]
    else:
        return None
    return next(filter(None, (formulas.formula(each, names) for each in candidates)), None)
