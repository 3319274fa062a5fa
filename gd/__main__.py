"""The `gd` command: reads the arguments and runs a sub-command."""

import argparse
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from . import __version__, datasets
from .commands import COMMANDS, Failure


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of classes that the terminal cannot show
    try:
        return options.run(options) or 0
    except (Failure, datasets.DataError) as error:
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(error))
        print(f"gd {options.command}: {text}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"gd {options.command}: not enough memory: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of the output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except FloatingPointError as error:
        print(f"gd {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"gd {options.command}: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gd", description="Compiled gradient descent for NumPy arrays.")
    parser.add_argument("--version", action="version", version=f"gd {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for each in COMMANDS:
        each.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
