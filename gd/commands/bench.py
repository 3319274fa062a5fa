"""``gd bench``: measure gd on this machine, against plain NumPy and the libraries that are installed."""

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from ..kernels import pool
from ..runtime import progress_bar
from ..version import to_install
from .arguments import Failure, HelpFormatter, check_compiled

SIZE_LIMITS = 1, 10**9


def add(commands: Any) -> None:
    """Declare the options."""
    bench = commands.add_parser(
        "bench",
        help="measure gd on this machine, beside plain NumPy and the libraries you have",
        description="Verify, then time every computation of gd, of plain NumPy and of the installed libraries: in one "
        "process, in turns, with equal threads, and against the limits of this machine. Writes report.html, report.md "
        "and results.json.",
        formatter_class=HelpFormatter,
    )
    bench.add_argument("--quick", action="store_true", help="the headline computations, in about a minute and a half")
    bench.add_argument(
        "--only", metavar="NAMES", type=_names, help="measure only these, such as adam,relu or optimizers"
    )
    bench.add_argument(
        "--sizes",
        metavar="ELEMENTS",
        type=_sizes,
        help="numbers of elements, such as 1e4,1e6, instead of the usual ones",
    )
    bench.add_argument("--threads", type=int, help="threads of all libraries (default: all cores)")
    bench.add_argument("--rounds", type=int, help="turns of each library (default: 7; 3 with --quick or if slow)")
    bench.add_argument("--data", metavar="PATH", help="data for networks, as for gd train (default: random numbers)")
    bench.add_argument("--output", metavar="DIR", help="folder of the report (default: benchmark)")
    bench.add_argument("--json", action="store_true", help="print results.json instead of the headline")
    bench.add_argument(
        "--check",
        metavar="BASELINE",
        help="exit with 1 if a share of the ceiling, or a ratio to NumPy, is 15 %% below that of this results.json",
    )
    bench.add_argument(
        "--compare",
        metavar=("A.json", "B.json"),
        nargs=2,
        help="measure nothing: put two results.json side by side, in comparison.html and comparison.md",
    )
    bench.add_argument("--csv", metavar="FILE", help="also write every timing as a row of this table")
    bench.add_argument(
        "--readme",
        metavar="FILE",
        nargs="?",
        const="README.md",
        help="in a checkout: keep the report of this processor in docs/benchmark, and replace the figures in this file",
    )
    bench.add_argument("--assembly", metavar="NAME", help="only print the assembly of the kernels of a name")
    bench.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the benchmark; return the exit status."""
    check_compiled()
    try:
        from ..bench import assembly, report
        from ..bench import run as running
        from ..bench.report import readme, regression, side_by_side
    except ImportError as error:
        raise Failure(f"{error}: {to_install('bench')}") from error

    if options.assembly:
        try:
            print(assembly.listing(options.assembly))
        except ValueError as error:
            raise Failure(f"--assembly: {error}") from error
        return 0
    if options.compare:
        before, after = (_results(path, "--compare") for path in options.compare)
        return _compare(before, after, Path(options.output or "benchmark"))
    if options.threads is not None and not 1 <= options.threads <= pool.max_threads():
        raise Failure(f"--threads must be 1 to {pool.max_threads()}, got {options.threads}")
    if options.rounds is not None and options.rounds < 1:
        raise Failure(f"--rounds must be at least 1, got {options.rounds}")
    baseline = options.check and _results(options.check, "--check")
    try:
        running.check_names(options.only or ())
    except running.UnknownName as error:
        raise Failure(f"--only: {error}") from error
    folder = None if options.readme else Path(options.output or "benchmark")
    if folder is None:
        _check_readme(options, readme)
    else:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Failure(f"--output {options.output}: {error}") from error

    plan = running.Plan(
        options.quick, options.only or (), options.sizes or (), options.threads, options.rounds, options.data
    )
    with progress_bar("bench", None, running.parts(plan), "parts") as bar:

        def progress(text: str) -> None:
            bar.set_postfix_str(text)
            bar.update(1)

        results = running.run(plan, _command(options), progress)
    folder = folder or Path(options.readme).parent / readme.FOLDER / readme.folder_of(results)
    report.write(results, folder)
    print(json.dumps(results, indent=1) if options.json else report.summary(results))
    if not options.json:
        print(f"\nwritten    {folder / 'report.html'}, report.md, results.json")
    if options.readme:
        readme.update(options.readme)
        print(f"written    {options.readme}", file=sys.stderr)
    if options.csv:
        side_by_side.write_csv(results, options.csv)
    if baseline:
        return _check(results, baseline, regression)
    return 0


def _check_readme(options: argparse.Namespace, readme: Any) -> None:
    if options.output or options.quick or options.only or options.sizes:
        raise Failure("--readme is for a whole run, in a folder of its own: drop --output, --quick, --only and --sizes")
    try:
        readme.update_readme(Path(options.readme).read_text(encoding="utf-8"), {})
    except (OSError, ValueError) as error:
        raise Failure(f"--readme {options.readme}: {error}") from error


def _check(results: dict[str, Any], baseline: dict[str, Any], regression: Any) -> int:
    fallen, missing = regression.fallen(results, baseline), regression.missing(results, baseline)
    for line in missing:
        print(f"not run    {line}", file=sys.stderr)
    for line in fallen:
        print(f"fallen     {line}", file=sys.stderr)
    if not fallen:
        print("checked    nothing fell by more than 15 %", file=sys.stderr)
    return 1 if fallen else 0


def _compare(before: dict[str, Any], after: dict[str, Any], folder: Path) -> int:
    from ..bench import report

    print(report.write_comparison(before, after, folder))
    print(f"written    {folder / 'comparison.html'}, comparison.md")
    return 0


def _results(path: str, option: str) -> dict[str, Any]:
    try:
        results = json.loads(Path(path).read_text())
        if results["format"] != 1:
            raise ValueError(f"its format is {results['format']}, this version reads 1")
        return results
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failure(f"{option} {path}: {error}") from error


def _command(options: argparse.Namespace) -> str:
    """Return the command line that repeats this benchmark."""
    words = ["gd", "bench"] + (["--quick"] if options.quick else [])
    if options.only:
        words += ["--only", ",".join(options.only)]
    if options.sizes:
        words += ["--sizes", ",".join(f"{size:g}" for size in options.sizes)]
    for name in ("threads", "rounds", "data"):
        if getattr(options, name) is not None:
            words += [f"--{name}", str(getattr(options, name))]
    return shlex.join(words)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(float(size)) for size in text.split(","))
    except (ValueError, OverflowError):
        sizes = ()
    if not sizes or not all(SIZE_LIMITS[0] <= size <= SIZE_LIMITS[1] for size in sizes):
        raise argparse.ArgumentTypeError(f"expected numbers of elements like 1e4,1e6, got {text!r}")
    return sizes
