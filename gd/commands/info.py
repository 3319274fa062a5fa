"""``gd info``: versions, threads, processor and kernel cache."""

import argparse
import json
from typing import Any

from ..runtime import information


def add(commands: Any) -> None:
    """Declare the command."""
    info = commands.add_parser("info", help="print versions, threads, processor and kernel cache")
    info.add_argument("--json", action="store_true", help="print one JSON object")
    info.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print the table."""
    if options.json:
        print(json.dumps(dict(information()), indent=1))
        return
    for what, value in information():
        print(f"{what:<16} {value}")
