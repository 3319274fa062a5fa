"""Runs scikit-learn's own tests of its estimators with the import renamed: python tests/sklearn_suites.py [names of tests].

The tests are those of the scikit-learn that is installed. Each must pass, but for those in REASONS.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import sklearn

SUITES = {
    "test_mlp": (
        "neural_network/tests/test_mlp.py",
        [
            (
                "from sklearn.neural_network import MLPClassifier, MLPRegressor",
                "from gd.estimators import MLPClassifier, MLPRegressor",
            )
        ],
    ),
    "test_sgd": (
        "linear_model/tests/test_sgd.py",
        [
            (
                "from sklearn import datasets, linear_model, metrics\n",
                "from sklearn import datasets, linear_model, metrics\nimport gd.estimators\n",
            ),
            (r"linear_model\.(SGD\w+)", r"gd.estimators.\1"),
        ],
    ),
}
REASONS: dict[str, str] = {}  # test -> why it does not pass


def run(suite: str, *arguments: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return {test: first line of the error} of the tests of a suite that passed, where it is empty, and that failed."""
    path, renames = SUITES[suite]
    text = (Path(sklearn.__file__).parent / path).read_text()
    for before, after in renames:
        text, count = re.subn(before, after, text)
        assert count, f"{path} has nothing like {before}"
    with tempfile.TemporaryDirectory() as folder:
        file, report = Path(folder, f"{suite}_renamed.py"), Path(folder, "report.xml")
        file.write_text(text)
        Path(folder, "conftest.py").write_text(
            "import pytest\n\n\n@pytest.fixture\ndef global_random_seed():\n    return 42\n"
        )
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n0", f"--junitxml={report}", file]
        options = ["--rootdir", folder, "-c", "/dev/null", "-W", "ignore::pytest.PytestUnknownMarkWarning"]
        subprocess.run([*command, *options, *arguments], cwd=folder, capture_output=True)
        passed, failed = {}, {}
        for case in ElementTree.parse(report).iter("testcase"):
            errors = [each for each in case if each.tag in ("failure", "error")]
            if not case.findall("skipped"):
                lines = errors[0].get("message", "").splitlines() if errors else []
                (failed if errors else passed)[case.get("name")] = lines[0] if lines else ""
    return passed, failed


if __name__ == "__main__":
    for suite in SUITES:
        passed, failed = run(suite, *sys.argv[1:])
        print(f"{suite}: {len(passed)} passed, {len(failed)} failed, with scikit-learn {sklearn.__version__}")
        for test, error in failed.items():
            print(f"  {test}: {REASONS.get(test.partition('[')[0], error)}")
