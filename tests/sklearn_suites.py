"""Runs scikit-learn's own tests with the import renamed: python tests/sklearn_suites.py [arguments of pytest].

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
OWN = "No parameter of scikit-learn's is named, so gd trains in its own way"
REASONS = {  # test, of all its cases -> why it does not pass
    "test_gradient": "It calls the private method _loss_grad_lbfgs.",
    "test_learning_rate_warmstart": "It reads the rate from the private optimizer, whose rate is `lr` in gd.",
    "test_adaptive_learning_rate": "It reads the rate from the private optimizer, whose rate is `lr` in gd.",
    "test_predict_proba_multilabel": "It takes two probabilities that round to 1 for equal; gd's logarithms differ.",
    "test_nonfinite_params": f"{OWN}: FloatingPointError at the first step.",
    "test_early_stopping_stratified": f"{OWN}: the message names another class.",
    "test_mlp_partial_fit_after_fit": f"{OWN}: partial_fit goes on after early stopping.",
    "test_minimum_input_sample_size": f"{OWN}: one row is enough for validation.",
    "test_preserve_feature_names": "A classifier refuses y of one class.",
    "test_loss_function_epsilon": "It reads the default epsilon from a private table.",
    "test_partial_fit_oneclass": "partial_fit makes a new coef_, so that a call that fails leaves the old one.",
    "test_multi_thread_multi_class_and_early_stopping": "gd validates the weights that predict, scikit-learn those "
    "without their scale, so that training ends at other epochs.",
    "test_validation_mask_correctly_subsets": "It replaces a private class.",
}


def run(suite: str, *arguments: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return {test: first line of the error, or ""} of the tests of a suite that passed, and of those that failed."""
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
            print(f"  {test}: {REASONS.get(test.partition('[')[0], f'UNEXPECTED: {error}')}")
