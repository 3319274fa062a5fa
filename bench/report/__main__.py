"""``python -m gd.bench.report``, in a checkout: write the committed reports again, their index and the table."""

from pathlib import Path

from . import write
from .readme import FOLDER, committed, update

for name, results in committed(".").items():
    print(write(results, Path(FOLDER) / name))
update("README.md")
