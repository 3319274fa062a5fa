"""The examples of the README run as they stand."""

import re
from pathlib import Path

import pytest

import gd

README = Path(gd.__file__).parent.parent / "README.md"


pytest.importorskip("sklearn", minversion="1.6")


def test_the_python_examples_run_one_after_the_other(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 4
    names = {}
    for block in blocks:
        exec(block, names)
    assert names["loss"] < 1e-6
    assert names["history"].loss[-1] < names["history"].loss[0]
    assert names["classifier"].score(names["X"], names["y"] > 0) > 0.95
