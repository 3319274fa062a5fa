"""``gd profile``: run a program and print what its kernels did."""

import argparse
import os
import runpy
import sys
from typing import Any

from ..profiling import perf_map, profile
from .arguments import Failure


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "profile",
        help="run a program and print what its kernels did",
        usage="gd profile [-h] [--perf-map] [--] [-m] program ...",
        description="Run a program and print, to standard error, how often each kernel was called, how long it took "
        "and how many bytes it moved. The exit status is that of the program.",
    )
    parser.add_argument(
        "--perf-map", action="store_true", help="also write /tmp/perf-PID.map, with which perf names kernels"
    )
    parser.add_argument("-m", dest="module", action="store_true", help="the program is a module, not a file")
    parser.add_argument("program", nargs=argparse.REMAINDER, help="a file, or a module, and its arguments")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the program, then print the table."""
    words, process = options.program, os.getpid()
    words = words[1:] if words[:1] == ["--"] else words
    module = options.module or words[:1] == ["-m"]
    words = words[1:] if words[:1] == ["-m"] else words
    if not words:
        raise Failure("which program? gd profile -- script.py arguments")
    name = words[0]
    if not module and not os.path.exists(name):
        raise Failure(f"{name}: no such file")
    if not module:
        words[0] = name = os.path.abspath(name)  # like Python's __file__
    sys.argv = words
    if not sys.flags.safe_path:
        sys.path[0] = os.getcwd() if module else os.path.dirname(name)
    profiled = profile()
    try:
        with profiled:
            _run(name, module)
    finally:
        if os.getpid() == process:  # not in a child of the program
            print(profiled, file=sys.stderr)
            if options.perf_map:
                print(f"map for perf: {perf_map()}", file=sys.stderr)


def _run(name: str, module: bool) -> None:
    """Run the program as Python does; print its traceback without the frames of gd and runpy."""
    try:
        if module:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(name, run_name="__main__")
    except Exception as error:
        trace = error.__traceback__
        while trace and trace.tb_frame.f_code.co_filename in (__file__, runpy.__file__, "<frozen runpy>"):
            trace = trace.tb_next
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        raise SystemExit(1) from None
