"""``gd plan``: model the time of a step of data-parallel training on many nodes."""

import argparse
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..models import MLP
from ..optimizers import DTYPES, OPTIMIZERS
from ..plan import COLLECTIVES, SCALINGS, Network, Rates, plot, rows_of_a_node, step, table
from .arguments import Failure, HelpFormatter, check_compiled, draw, positive_integers, try_plot

NAMES = {name.lower(): name for name, each in OPTIMIZERS.items() if each.elementwise}
NODES = [2**k for k in range(11)]
PARAMETERS = 100_000_000
MEASURED = 2**25  # elements to time: with more, the time per element is the same
SMALL = 2**16  # elements to count the state's bytes: whole blocks
ROUNDS = 5


def add(commands: Any) -> None:
    """Declare the options."""
    parser = commands.add_parser(
        "plan",
        help="model data-parallel training on many nodes",
        description="Model the time of a step of data-parallel training on many nodes, where each node keeps and "
        "updates its shard of the optimizer's state. The update and the network's passes are measured on this machine; "
        "latency and bandwidth are options. The figures are modelled: nothing is sent.",
        formatter_class=HelpFormatter,
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--parameters", metavar="N", type=_size, help="number of float32 parameters, such as 1e9 (default: 1e8)"
    )
    size.add_argument(
        "--network",
        metavar="WIDTHS",
        type=positive_integers,
        help="measure a network of these widths, such as 784,256,10",
    )
    parser.add_argument("--optimizer", choices=NAMES, type=str.lower, default="adam", help="case does not matter")
    parser.add_argument("--state-dtype", choices=DTYPES, help="dtype of the optimizer's state (default: float32)")
    parser.add_argument(
        "--batch-size", type=int, default=1024, help="rows of a step; with weak scaling, rows of each node"
    )
    parser.add_argument(
        "--compute", metavar="SECONDS", type=float, help="forward and backward pass of --batch-size rows on one node"
    )
    parser.add_argument(
        "--scaling", choices=SCALINGS, default="strong", help="strong: the nodes share a batch; weak: each has a batch"
    )
    parser.add_argument(
        "--nodes", metavar="LIST", type=positive_integers, help="numbers of nodes, such as 3,6 (default: 1,2,4 to 1024)"
    )
    parser.add_argument("--latency", metavar="MICROSECONDS", type=float, default=2.0, help="latency of a message")
    parser.add_argument(
        "--bandwidth", metavar="GB/S", type=float, default=12.5, help="bandwidth of a node's link, in each direction"
    )
    parser.add_argument(
        "--collectives",
        choices=COLLECTIVES,
        default="fastest",
        help="messages around a ring, messages that double or halve, or the faster of both; MPICH takes the ring for "
        "vectors above 512 KiB",
    )
    parser.add_argument("--output", metavar="FILE", help="draw the plan, as .png, .svg or .pdf")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Measure, then print the plan and draw it."""
    check_compiled()
    if options.batch_size < 1:
        raise Failure("--batch-size must be at least 1")
    if options.compute is not None and options.network:
        raise Failure("--compute replaces the measurement of --network: give one of the two")
    if options.output:
        try_plot(options.output, "--output")
    name, link = NAMES[options.optimizer], Network(1e-6 * options.latency, 1e9 * options.bandwidth, options.collectives)
    nodes = sorted({1, *(options.nodes or NODES)})
    rows = {n: rows_of_a_node(n, options.batch_size, options.scaling) for n in nodes}
    known = Rates(1.0, 0.0)  # any rates: refuse options before measuring
    try:
        for n in nodes:
            step(n, options.parameters or PARAMETERS, options.compute or 0.0, known, link)
        model = MLP(options.network) if options.network else None
    except (TypeError, ValueError) as error:
        raise Failure(error) from error
    parameters = model.parameters.vector.size if model else options.parameters or PARAMETERS
    rates = measure_rates(name, options.state_dtype, min(parameters, MEASURED))
    if model:
        compute = measure_rows(model, set(rows.values()))
    else:
        compute = {n: (options.compute or 0.0) * n / options.batch_size for n in rows.values()}
    steps = [step(n, parameters, compute[rows[n]], rates, link) for n in nodes]
    wire = f"{options.latency:g} µs, {options.bandwidth:g} GB/s, {options.collectives} collectives"
    stored = f" with {options.state_dtype} states" if options.state_dtype else ""
    title = f"{name}{stored}, {parameters:,} parameters, {wire}, {options.scaling} scaling"
    _describe(options, title, rates, compute)
    print("", *table(steps, options.scaling), "", sep="\n")
    if options.output:
        draw(lambda path: plot(steps, options.scaling, title, path), options.output, "--output")


def measure_rates(name: str, state_dtype: Any, size: int) -> Rates:
    """Return the `Rates` of an optimizer on this machine, measured on a vector of `size` elements."""
    from ..bench.measure import interleaved

    p, g = np.random.default_rng(0).standard_normal((2, size), np.float32)
    new: Any = OPTIMIZERS[name]  # its defaults are unknown to type checkers
    total, optimizer = g.copy(), new(p, state_dtype=state_dtype)
    calls = {"update": lambda: optimizer.step(g), "adding": lambda: np.add(total, g, out=total)}
    seconds = {what: each["median"] for what, each in interleaved(calls, ROUNDS).items()}
    small = new(np.zeros(SMALL, np.float32), state_dtype=state_dtype).state_dict()
    state = sum(each.nbytes for each in small.values() if isinstance(each, np.ndarray)) / SMALL
    return Rates(seconds["update"] / size, state, seconds["adding"] / g.nbytes)


def measure_rows(model: MLP, counts: Iterable[int]) -> dict[int, float]:
    """Return {rows: seconds} of a network's forward and backward pass on this machine."""
    from ..bench.measure import interleaved

    rng = np.random.default_rng(0)
    X = rng.standard_normal((max(counts), model.widths[0]), np.float32)
    y = rng.integers(model.widths[-1], size=len(X))

    def seconds(n: int) -> float:  # one by one: a model keeps buffers for one number of rows
        return interleaved({n: lambda: model.loss_and_gradients(X[:n], y[:n])}, ROUNDS)[n]["median"]

    return {n: seconds(n) for n in counts}


def _describe(options: argparse.Namespace, title: str, rates: Rates, compute: dict[int, float]) -> None:
    print(f"planned    {title}")
    print(f"measured   update {1e9 * rates.update:.3g} ns an element, {rates.state:.3g} bytes of state")
    print(f"measured   addition of gradients {4e9 * rates.adding:.3g} ns an element")
    seconds = f"{1e3 * compute[options.batch_size]:.4g} ms forward and backward of {options.batch_size:,} rows"
    if options.network:
        print(f"measured   {seconds}")
    elif options.compute is not None:
        print(f"given      {seconds}")
    else:
        print("given      no --network and no --compute: update and wire alone")
    print("MODELLED   compute + reduce-scatter, additions + update + all-gather, one by one, in ms; nothing was sent")


def _size(text: str) -> int:
    try:
        size = int(float(text))
    except (ValueError, OverflowError):
        size = 0
    if size < 1:
        raise argparse.ArgumentTypeError(f"expected a number of parameters like 1e9, got {text!r}")
    return size
