"""``gd predict`` and ``gd evaluate``: use a model that ``gd train --save`` wrote."""

import argparse
import csv
import sys
from contextlib import nullcontext
from typing import Any

from ..datasets import split_rows
from ..files import CheckpointError
from ..predictor import Predictor, load_model
from .arguments import Failure, HelpFormatter, check_folder, imported, told


def add(commands: Any) -> None:
    """Declare the options of both."""
    for name, run, text in (
        ("predict", run_predict, "predict the class or the number of each row of a file by a saved model"),
        ("evaluate", run_evaluate, "print the accuracy, or the errors, of a saved model on a file"),
    ):
        parser = commands.add_parser(
            name, help=text, description=text.capitalize() + ".", formatter_class=HelpFormatter
        )
        parser.add_argument("model", metavar="MODEL", help="what gd train --save wrote")
        parser.add_argument(
            "file",
            metavar="FILE",
            nargs=None if name == "predict" else "?",
            help="rows in the layout of the training file"
            + (", with or without labels" if name == "predict" else " (default: scikit-learn's digits)"),
        )
        parser.add_argument(
            "--import",
            dest="module",
            metavar="MODULE",
            type=imported,
            help="import this first: it has an activation or loss of the model (a model imports nothing by itself)",
        )
        if name == "predict":
            parser.add_argument("--output", metavar="FILE", help="write the predictions as CSV (default: print them)")
            parser.add_argument("--proba", action="store_true", help="add the probability of each class")
        else:
            parser.add_argument("--label", metavar="FILE", help="a .npy of labels, if FILE has none")
            parser.add_argument(
                "--held-out",
                action="store_true",
                help="evaluate only the rows that the training held back for testing, if FILE is the training file",
            )
        parser.set_defaults(run=run)


def run_predict(options: argparse.Namespace) -> None:
    """Write a line for each row."""
    predictor = _loaded(options.model)
    if options.proba and predictor.task == "regression":
        raise Failure("--proba needs a model of classes, this one predicts numbers")
    if options.output:
        check_folder("--output", options.output)
    with told("note", file=sys.stderr):
        source = predictor.read(options.file)
        found = predictor.predict(source)[:, None].tolist()
        header = ["prediction"]
        if options.proba:
            header += [str(name) for name in predictor.classes.tolist()]
            rows = zip(found, predictor.predict_proba(source).tolist(), strict=True)
            found = [[*first, *rest] for first, rest in rows]
    try:
        with (
            open(options.output, "w", newline="", encoding="utf-8")
            if options.output
            else nullcontext(sys.stdout) as file
        ):
            csv.writer(file, lineterminator="\n").writerows([header, *found])
            file.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Failure(f"--output {options.output}: {error.strerror or error}") from error
    if options.output:
        print(f"predicted  {len(found):,} rows, written to {options.output}")


def run_evaluate(options: argparse.Namespace) -> None:
    """Print the metrics."""
    predictor = _loaded(options.model)
    with told("note"):
        source, rows = predictor.read(options.file, options.label), None
        if options.held_out:
            rows = _held_out(predictor, source)
        found = predictor.evaluate(source, rows=rows)
    count = source.rows if rows is None else len(rows)
    print(f"evaluated  {source.name}: {count:,} rows, {shown(found)}")


def shown(metrics: dict[str, float], balanced: bool = True) -> str:
    """Return metrics as the commands print them."""
    if "r2" in metrics:
        return f"R2 {metrics['r2']:.4f}, RMSE {metrics['rmse']:.6g}, MAE {metrics['mae']:.6g}"
    text = f"accuracy {metrics['accuracy']:.4f}"
    return text + (f", balanced accuracy {metrics['balanced_accuracy']:.4f}" if balanced else "")


def _held_out(predictor: Predictor, source: Any) -> Any:
    split = predictor.split
    if split is None:
        raise Failure("--held-out: the training had test rows of their own")
    if source.y is None:
        raise Failure(f"--held-out: {source.path} has no labels; --label takes a .npy of them")
    if split["rows"] != source.rows:
        raise Failure(f"--held-out: {source.path} has {source.rows} rows, the training file had {split['rows']}")
    return split_rows(source, predictor.target, split["seed"])[1]


def _loaded(path: str) -> Predictor:
    try:
        model = load_model(path)
    except CheckpointError as error:
        advice = ", by --import" if "a file imports nothing" in str(error) else ""
        raise Failure(str(error).removeprefix("load: ").removeprefix("load_model: ") + advice) from error
    except ImportError as error:
        raise Failure(error) from error
    except OSError as error:
        raise Failure(f"{path}: {error.strerror or error}") from error
    if not isinstance(model, Predictor):
        raise Failure(f"{path}: holds a {type(model).__name__} without its preprocessing; gd train --save writes both")
    return model
