"""The sub-commands of `gd`: each module declares its options by `add(commands)`."""

from . import bench, compare, info, plan, predict, profile, train
from .arguments import Failure, HelpFormatter

COMMANDS = (train, predict, compare, bench, profile, plan, info)
EXAMPLES = {  # at the end of each command's --help
    "train": (
        "gd train --compare numpy",
        "gd train --data wine.csv --save wine.model",
        "gd train --data wine.csv --optimizer adamw --weight-decay 0.01 --schedule cosine --early-stopping 5",
    ),
    "predict": ("gd predict wine.model new.csv --output predictions.csv", "gd predict wine.model new.csv --proba"),
    "evaluate": ("gd evaluate wine.model wine.csv --held-out",),
    "compare": ("gd compare --plot optimizers.png", "gd compare --surface rosenbrock --optimizers sgd,momentum,adam"),
    "bench": (
        "gd bench --quick",
        "gd bench --only adam,relu --sizes 1e4,1e6 --csv timings.csv",
        "gd bench --compare before/results.json after/results.json",
    ),
    "profile": ("gd profile -- train.py --epochs 3", "gd profile -- -m package.module"),
    "plan": ("gd plan --parameters 1e8 --compute 2 --nodes 2,4,16,64",),
    "info": ("gd info", "gd info --json"),
}

__all__ = ["COMMANDS", "EXAMPLES", "Failure", "HelpFormatter"]
