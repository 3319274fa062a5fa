"""The modelled steps of `gd plan` beside the same steps simulated by SimGrid's SMPI.

``python tests/simgrid_plan.py [--ranks 2,3,4] [--parameters 1e4,1e6] [--own-factors]`` needs SimGrid (Debian's package
simgrid: smpicc and smpirun). It compiles a program of MPI that computes, reduce-scatters, updates and all-gathers, runs
it on simulated clusters, and prints modelled and simulated milliseconds and their ratio. It exits with 1 if one is off
by more than 1 %, but for recursive halving unless the ranks are a power of two, whose cost is not exact in the paper.

SMPI's factors, by which it fits latency and bandwidth to a cluster that was measured once, are off: the model has none.
``--own-factors`` leaves them on, and judges nothing.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from gd.plan import Network, Rates, step

TOLERANCE = 0.01
UPDATE = Rates(update=0.5e-9, state=8)  # Adam's, of a usual machine
COMPUTE = 1e-4  # seconds
COLLECTIVES = {  # of the model -> SMPI's names of the reduce-scatter and of the all-gather
    "ring": ("ompi_ring", "ring"),
    "doubling": ("ompi_basic_recursivehalving", "bruck"),
}
PLAIN = (  # messages take the latency and their bytes over the bandwidth, nothing else
    "network/model:CM02",
    "network/latency-factor:1",
    "network/bandwidth-factor:1",
    "network/weight-S:0",
    "network/crosstraffic:no",
    "network/TCP-gamma:0",
)
PROGRAM = r"""
#include <mpi.h>
#include <smpi/smpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
    int nodes, rank, shard = atoi(argv[1]);
    double compute = atof(argv[2]), update = atof(argv[3]), parts[4], slowest[4];
    MPI_Init(&argc, &argv);
    MPI_Comm_size(MPI_COMM_WORLD, &nodes);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    float *whole = SMPI_SHARED_MALLOC(sizeof(float) * shard * nodes), *own = SMPI_SHARED_MALLOC(sizeof(float) * shard);
    struct timespec rest = {0, (long)(1e9 * (1 - MPI_Wtime()))};
    nanosleep(&rest, NULL); /* all begin at second 1 */
    double start = MPI_Wtime();
    smpi_execute(compute);
    parts[0] = MPI_Wtime() - start;
    MPI_Reduce_scatter_block(whole, own, shard, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    parts[1] = MPI_Wtime() - start;
    smpi_execute(update);
    parts[2] = MPI_Wtime() - start;
    MPI_Allgather(own, shard, MPI_FLOAT, whole, shard, MPI_FLOAT, MPI_COMM_WORLD);
    parts[3] = MPI_Wtime() - start;
    MPI_Reduce(parts, slowest, 4, MPI_DOUBLE, MPI_MAX, 0, MPI_COMM_WORLD);
    if (rank == 0)
        printf("seconds %.9f %.9f %.9f %.9f\n", slowest[0], slowest[1], slowest[2], slowest[3]);
    MPI_Finalize();
    return 0;
}
"""
PLATFORM = """<?xml version='1.0'?>
<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">
<platform version="4.1">
  <cluster id="cluster" prefix="node" suffix="" radical="0-{last}" speed="1Gf" bw="{bandwidth}Bps" lat="{latency}s"/>
</platform>
"""


def simulate(folder, ranks, parameters, network, own_factors):
    """Return the simulated seconds of reduce-scatter, all-gather and step."""
    shard = -(-parameters // ranks)
    # a message passes two links, out of one node and into the other
    platform = PLATFORM.format(last=ranks - 1, bandwidth=network.bandwidth, latency=network.latency / 2)
    (folder / "platform.xml").write_text(platform)
    (folder / "hosts").write_text("".join(f"node{k}\n" for k in range(ranks)))
    scatter, gather = COLLECTIVES[network.collectives]
    settings = (
        f"smpi/reduce_scatter:{scatter}",
        f"smpi/allgather:{gather}",
        "smpi/simulate-computation:no",  # but for what smpi_execute says
        "smpi/cpu-threshold:0",
        "smpi/host-speed:1Gf",
        *(() if own_factors else PLAIN),
    )
    command = ["smpirun", "-np", str(ranks), "-platform", "platform.xml", "-hostfile", "hosts"]
    command += ["--log=root.thresh:warning", *(f"--cfg={each}" for each in settings)]
    command += ["./step", str(shard), f"{COMPUTE:.9f}", f"{shard * UPDATE.update:.9f}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    line = next((each for each in done.stdout.splitlines() if each.startswith("seconds ")), None)
    if line is None:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    computed, scattered, updated, gathered = map(float, line.split()[1:])
    return scattered - computed, gathered - updated, gathered


def numbers(text):
    return [int(float(each)) for each in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=numbers, default="2,3,4,6,8,16,32,64")
    parser.add_argument("--parameters", type=numbers, default="1e4,1e5,1e6")
    parser.add_argument("--latency", type=float, default=2.0, help="microseconds")
    parser.add_argument("--bandwidth", type=float, default=12.5, help="GB/s")
    parser.add_argument("--own-factors", action="store_true", help="leave SMPI's factors on")
    options = parser.parse_args()
    if not shutil.which("smpicc"):
        sys.exit("smpicc not found: install SimGrid (on Debian: apt-get install simgrid)")
    print(f"{options.latency:g} µs, {options.bandwidth:g} GB/s; milliseconds, modelled / simulated = ratio")
    print(f"{'':<10} {'ranks':>5} {'parameters':>10} {'reduce-scatter':>26} {'all-gather':>26} {'step':>26}")
    off = 0.0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "step.c").write_text(PROGRAM)
        subprocess.run(["smpicc", "-O2", "step.c", "-o", "step"], cwd=folder, check=True)
        for collectives in COLLECTIVES:
            network = Network(1e-6 * options.latency, 1e9 * options.bandwidth, collectives)
            for ranks in options.ranks:
                for parameters in options.parameters:
                    whole = ranks * -(-parameters // ranks)  # with the padding of the last shard
                    planned = step(ranks, whole, COMPUTE, UPDATE, network)
                    modelled = planned.reduce_scatter, planned.all_gather, planned.seconds
                    simulated = simulate(folder, ranks, parameters, network, options.own_factors)
                    pairs = list(zip(modelled, simulated, strict=True))
                    cells = [f"{1e3 * m:>9.4f} / {1e3 * s:>7.4f} = {m / s:.3f}" for m, s in pairs]
                    print(f"{collectives:<10} {ranks:>5} {parameters:>10,} {' '.join(cells)}", flush=True)
                    if collectives == "ring" or ranks & (ranks - 1) == 0:
                        off = max(off, *(abs(m / s - 1) for m, s in pairs))
    print(f"off by {off:.2%} at most, leaving out halving among ranks that are no power of two")
    return int(not options.own_factors and off > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
