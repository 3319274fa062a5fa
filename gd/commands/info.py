"""``gd info``: versions, threads, processor and kernel cache."""

import argparse
from typing import Any

from ..runtime import information


def add(commands: Any) -> None:
    """Declare the command."""
    info = commands.add_parser("info", help="print versions, threads, processor and kernel cache")
    info.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print the table."""
    for what, value in information():
        print(f"{what:<16} {value}")
