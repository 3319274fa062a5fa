"""A model of data-parallel training: the time of a step on many nodes, from measured rates and a given network.

Every node works on its rows of the batch. A reduce-scatter then gives each node the sum of its shard of the gradients.
The node updates this shard and keeps state for it alone (ZeRO, stage 1: Rajbhandari et al. 2020). An all-gather sends
all the new parameters to all nodes::

    t = compute + reduce-scatter + update + all-gather

Nothing overlaps. The costs of the collectives are those of Thakur, Rabenseifner & Gropp, "Optimization of Collective
Communication Operations in MPICH" (2005). They depend on the number of nodes n, the bytes of the vector, the latency
of a message, the bandwidth of a link in each direction, and the time to add a byte of gradients. No two messages share
a link in this model.
"""

from collections.abc import Sequence
from math import nan
from typing import TYPE_CHECKING, NamedTuple

from .checks import NON_NEGATIVE, POSITIVE, check_choice, check_integer, check_number
from .comparison import line_style
from .files import new_figure, written
from .typing import FilePath

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FLOAT = 4  # bytes of a parameter, and of a gradient, on the wire
COLLECTIVES = ("fastest", "ring", "doubling")
SCALINGS = ("strong", "weak")


class Network(NamedTuple):
    """The network between the nodes, and the collectives that run on it.

    Attributes
    ----------
    latency : float
        Seconds that an empty message takes.
    bandwidth : float
        Bytes per second of a link, in each direction.
    collectives : str
        "ring", "doubling", or "fastest": the faster of the two for each collective.
    """

    latency: float
    bandwidth: float
    collectives: str = "fastest"


class Rates(NamedTuple):
    """The rates of one node by itself.

    Attributes
    ----------
    update : float
        Seconds that the optimizer takes to update an element.
    state : float
        Bytes of the optimizer's state per element.
    adding : float
        Seconds that it takes to add a byte of gradients.
    """

    update: float
    state: float
    adding: float = 0.0


class Step(NamedTuple):
    """A modelled step: seconds of its parts, and bytes of optimizer state per node."""

    nodes: int
    compute: float
    reduce_scatter: float  # without the additions
    additions: float
    update: float
    all_gather: float
    state: float

    @property
    def wire(self) -> float:
        """Seconds of communication."""
        return self.reduce_scatter + self.all_gather

    @property
    def seconds(self) -> float:
        """Seconds of the step."""
        return self.compute + self.wire + self.additions + self.update


def ring_reduce_scatter(nodes: int, size: float, network: Network, adding: float = 0.0) -> float:
    """Return the seconds of n - 1 messages of a shard each, around a ring or pairwise.

    Parameters
    ----------
    nodes : int
    size : float
        Bytes of the whole vector.
    network : Network
    adding : float, default: 0
        Seconds that it takes to add a byte.
    """
    return (nodes - 1) * network.latency + (nodes - 1) / nodes * size * (1 / network.bandwidth + adding)


def doubling_reduce_scatter(nodes: int, size: float, network: Network, adding: float = 0.0) -> float:
    """Return the seconds of recursive halving: messages of a half, a quarter, ..., each to a nearer node.

    Parameters are those of `ring_reduce_scatter`. If n is not a power of two, the nodes beyond the largest power of
    two below n first hand their whole vectors over, and get their shards at the end.
    """
    rounds = nodes.bit_length() - 1  # the logarithm, rounded down
    if nodes == 1 << rounds:
        return rounds * network.latency + (nodes - 1) / nodes * size * (1 / network.bandwidth + adding)
    added = 1 + (nodes - 1) / nodes
    return (rounds + 2) * network.latency + 2 * size / network.bandwidth + added * size * adding


def ring_all_gather(nodes: int, size: float, network: Network) -> float:
    """Return the seconds of n - 1 messages of a shard each around a ring: parameters of `ring_reduce_scatter`."""
    return (nodes - 1) * network.latency + (nodes - 1) / nodes * size / network.bandwidth


def doubling_all_gather(nodes: int, size: float, network: Network) -> float:
    """Return the seconds of recursive doubling; of Bruck's algorithm if n is not a power of two."""
    rounds = (nodes - 1).bit_length()  # the logarithm, rounded up
    return rounds * network.latency + (nodes - 1) / nodes * size / network.bandwidth


def reduce_scatter(nodes: int, size: float, network: Network, adding: float = 0.0) -> float:
    """Return the seconds of a reduce-scatter by the network's collectives: parameters of `ring_reduce_scatter`."""
    ring, doubling = (each(nodes, size, network, adding) for each in (ring_reduce_scatter, doubling_reduce_scatter))
    return {"ring": ring, "doubling": doubling, "fastest": min(ring, doubling)}[network.collectives]


def all_gather(nodes: int, size: float, network: Network) -> float:
    """Return the seconds of an all-gather by the network's collectives: parameters of `ring_reduce_scatter`."""
    ring, doubling = (each(nodes, size, network) for each in (ring_all_gather, doubling_all_gather))
    return {"ring": ring, "doubling": doubling, "fastest": min(ring, doubling)}[network.collectives]


def rows_of_a_node(nodes: int, rows: int, scaling: str) -> int:
    """Return the rows of the busiest node: a share of a batch of `rows`; with weak scaling, all `rows`."""
    return rows if scaling == "weak" else -(-rows // nodes)


def step(nodes: int, parameters: int, compute: float, rates: Rates, network: Network) -> Step:
    """Return the modelled step on a number of nodes.

    Parameters
    ----------
    nodes : int
        At least 1.
    parameters : int
        Number of float32 parameters, at least 1.
    compute : float
        Seconds of the forward and backward pass of a node's rows.
    rates : Rates
    network : Network

    Returns
    -------
    Step

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> from gd.plan import Network, Rates, step
    >>> adam, ethernet = Rates(update=0.5e-9, state=8), Network(latency=2e-6, bandwidth=12.5e9)
    >>> one, many = (step(n, 10**8, 0.8 / n, adam, ethernet) for n in (1, 16))
    >>> f"{one.seconds:.3f} s, {many.seconds:.3f} s, {many.wire / many.seconds:.0%} on the wire"
    '0.850 s, 0.113 s, 53% on the wire'
    """
    nodes = check_integer("step", "nodes", nodes, 1)
    parameters = check_integer("step", "parameters", parameters, 1)
    compute = check_number("step", "compute", compute, NON_NEGATIVE)
    for name, value, allowed in (
        ("rates.update", rates.update, POSITIVE),
        ("rates.state", rates.state, NON_NEGATIVE),
        ("rates.adding", rates.adding, NON_NEGATIVE),
        ("network.latency", network.latency, NON_NEGATIVE),
        ("network.bandwidth", network.bandwidth, POSITIVE),
    ):
        check_number("step", name, value, allowed)
    check_choice("step", "network.collectives", network.collectives, COLLECTIVES)
    shard, size = -(-parameters // nodes), FLOAT * parameters
    sent = reduce_scatter(nodes, size, network)
    return Step(
        nodes,
        compute,
        sent,
        reduce_scatter(nodes, size, network, rates.adding) - sent,
        shard * rates.update,
        all_gather(nodes, size, network),
        shard * rates.state,
    )


def efficiency(one: Step, many: Step, scaling: str) -> float:
    """Return the parallel efficiency of the `Step` of many nodes against that of one, for strong or weak scaling."""
    return one.seconds / many.seconds / (many.nodes if scaling == "strong" else 1)


def table(steps: Sequence[Step], scaling: str) -> list[str]:
    """Return the lines of a table of modelled steps, in milliseconds; the first step is that of one node."""
    widths = {"compute": 11, "reduce-scatter": 14, "additions": 10, "update": 10, "all-gather": 10, "step": 11}
    names = " ".join(f"{name:>{width}}" for name, width in widths.items())
    lines = [f"nodes {names} {'wire':>5} {'efficiency':>10} {'state/node':>10}"]
    for each in steps:
        parts = each.compute, each.reduce_scatter, each.additions, each.update, each.all_gather, each.seconds
        cells = " ".join(f"{1e3 * part:>{width},.3f}" for part, width in zip(parts, widths.values(), strict=True))
        share, done = each.wire / each.seconds, efficiency(steps[0], each, scaling)
        lines.append(f"{each.nodes:>5} {cells} {share:>5.0%} {done:>10.1%} {in_bytes(each.state):>10}")
    return lines


def in_bytes(count: float) -> str:
    """Return a number of bytes as text, in a unit that fits."""
    power = next((k for k in range(4) if round(count / 1000**k) < 1000), 4)
    return f"{count / 1000**power:.{0 if count >= 100 * 1000**power else 1}f} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def plot(steps: Sequence[Step], scaling: str, title: str, path: FilePath | None = None) -> "Figure":
    """Draw seconds and efficiency against nodes; return matplotlib's figure, and write it to `path` if given.

    Parameters
    ----------
    steps : list of Step
        Modelled steps; the first is that of one node.
    scaling : str
        "strong" or "weak".
    title : str
        The title of the plot.
    path : str or path, optional
    """
    figure = new_figure("plan.plot", (12, 5))
    left, right = figure.subplots(1, 2)
    figure.suptitle(f"Modelled, not measured: {title}", fontsize=11)
    nodes = [each.nodes for each in steps]
    lines = {
        "step": [each.seconds for each in steps],
        "compute": [each.compute for each in steps],
        "wire: reduce-scatter, all-gather": [each.wire for each in steps],
        "additions of gradients": [each.additions for each in steps],
        "update": [each.update for each in steps],
    }
    for k, (name, seconds) in enumerate(lines.items()):
        if any(seconds):
            drawn = [each or nan for each in seconds]
            left.plot(nodes, drawn, marker="osD^v"[k], markersize=5, label=name, **line_style(k))
    left.set_yscale("log")
    left.set_ylabel("seconds of a step, and of its parts")
    left.legend(fontsize=9)
    done = [100 * efficiency(steps[0], each, scaling) for each in steps]
    right.plot(nodes, done, marker="o", markersize=5, **line_style(0))
    right.set_ylim(0, 1.05 * max(done))
    right.set_ylabel("efficiency, %")
    for axis in (left, right):
        axis.set_xscale("log", base=2)
        axis.set_xticks(nodes, [f"{n:,}" for n in nodes])
        axis.xaxis.minorticks_off()
        axis.set_xlabel("nodes")
        axis.grid(color="0.92", linewidth=0.6)
        axis.set_axisbelow(True)
    return written(figure, path)
