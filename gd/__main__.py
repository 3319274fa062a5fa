"""The `gd` command: reads the arguments and runs a sub-command."""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from io import TextIOWrapper

from . import __version__, datasets
from .commands import COMMANDS, EXAMPLES, Failure, HelpFormatter


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = parser_of_commands()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of classes that the terminal cannot show
    try:
        return options.run(options) or 0
    except BrokenPipeError:  # the reader of the output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Exception, KeyboardInterrupt) as error:
        if options.debug:
            traceback.print_exc()
        status, text = _told(error)
        print(f"gd {options.command}: {text}", file=sys.stderr)
        return status


def _told(error: BaseException) -> tuple[int, str]:
    """Return the exit status of an error, and the line that tells it."""
    if isinstance(error, Failure | datasets.DataError):
        return 2, "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(error))
    if isinstance(error, KeyboardInterrupt):
        return 130, "interrupted"
    if isinstance(error, MemoryError):
        return 1, f"not enough memory: {error}"
    if isinstance(error, FloatingPointError):
        return 1, str(error)
    text = " ".join(str(error).split())
    return 1, f"{type(error).__name__}: {text} (--debug shows where)"


def parser_of_commands() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="gd", description="Compiled gradient descent for NumPy arrays.")
    parser.add_argument("--version", action="version", version=f"gd {__version__}")
    commands = parser.add_subparsers(dest="command")
    for each in COMMANDS:
        each.add(commands)
    for name, command in commands.choices.items():
        command.add_argument("--debug", action="store_true", help="show where an error was raised")
        _give_examples(command, EXAMPLES[name])
    _give_examples(parser, [examples[0] for examples in EXAMPLES.values()])
    return parser


def _give_examples(parser: argparse.ArgumentParser, examples: Sequence[str]) -> None:
    """Let --help end with examples, a line each."""
    parser.epilog, parser.formatter_class = "\n  ".join(["examples:", *examples]), HelpFormatter


if __name__ == "__main__":
    sys.exit(main())
