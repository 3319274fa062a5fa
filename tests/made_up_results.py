"""Results of the benchmark that are made up: with something in every section, or with nothing in some."""

import math
import re


def timed(**libraries):
    """Return the timings of libraries; `torch_fused` is torch fused."""
    return {
        name.replace("_", " "): {"median": s, "low": 0.99 * s, "high": 1.02 * s, "rounds": 7}
        for name, s in libraries.items()
    }


def case(what, size, *, family="optimizers", dtype="float32", threads=2, failed=(), **libraries):
    return {
        "family": family,
        "what": what,
        "size": size,
        "dtype": dtype,
        "threads": threads,
        "bytes": 28 * size,
        "flops": 14 * size,
        "mix": "4r3w",
        "libraries": timed(**libraries),
        "failed": dict(failed),
    }


def growing(*figures, what="SGD.step"):
    """Return the records of a call whose size grows; figures are (size, seconds, seconds of the ceiling or None)."""
    return [
        case(what, int(size), family="growth", gd=ours, **({"ceiling": ceiling} if ceiling else {}))
        | {"unit": "element"}
        for size, ours, ceiling in figures
    ]


def full():
    """Return results with something in every section, and odd things among them."""
    cases = [
        case("Adam", 10_000, gd=1e-5, ceiling=0.95e-5, numpy=4e-5, torch_eager=9e-5, torch_fused=3e-5),
        case("Adam", 1_000_000, gd=2e-4, ceiling=1.5e-4, numpy=8e-3, torch_eager=9e-4, torch_fused=4e-4),
        case("Adam", 100_000_000, gd=0.05, ceiling=0.049, numpy=0.5, torch_eager=0.2, torch_fused=0.046),
        case("Adam", 1_000_000, dtype="float64", gd=4e-4, ceiling=3.9e-4, numpy=8e-3),
        case("SGD", 10_000, gd=1e-5, ceiling=0.89999e-5, numpy=0.999e-5),
        case("SGD", 1_000_000, gd=1e-4, ceiling=1e-4, numpy=1e-3),
        case(
            "<b>|sneaky|</b> & *co* `x $y_$",
            10_000,
            gd=1e-5,
            numpy=2e-5,
            failed={"torch <i>": "a|b `c|d` <script>alert(1)"},
        ),
        case("Rprop", 10_000, numpy=2e-5, failed={"gd": "wrong result"}),
        case("sigmoid forward", 10_000, family="activations", gd=1e-5, ceiling=0.89e-5, numpy=2e-5),
        case("softmax", 10_000, family="activations", gd=1e-5, ceiling=0.4e-5, numpy=2e-5),
        case("softmax", 10_000, family="losses", gd=1e-5, ceiling=0.3e-5, numpy=2e-5),
        case("not finite", 10_000, family="losses", gd=math.nan, ceiling=1e-5, numpy=math.inf),
    ]
    cases[-2]["bytes"] = cases[-2]["flops"] = None
    cases[-1]["libraries"]["numpy"]["median"] = None
    bandwidth = [
        {"mix": mix, "elements": n, "threads": 2, "seconds": {"median": n * 1e-9, "low": 0, "high": 0}, "bytes": 8 * n}
        for mix in ("1r1w", "4r3w")
        for n in (1000, 1_000_000)
    ]
    return {
        "format": 1,
        "command": "gd bench --quick",
        "started": "2026-11-22T03:00:00+00:00",
        "seconds": 83.2,
        "quick": True,
        "environment": {
            "processor": "A <fast> processor",
            "cores": 2,
            "threads": 2,
            "memory": 2**34,
            "vector_bits": 512,
            "caches": {"L1": 49152, "L2": 2**21},
            "system": "Linux",
            "commit": "5ce0431+",
            "versions": {"gd": "0.1", "numpy": "2.3", "torch": "2.13"},
            "blas": [{"library": "openblas", "version": "0.3", "architecture": "Zen", "threads": 2, "of": "numpy"}],
            "threading_layer": "omp",
            "waiting": "passive",
        },
        "ceilings": {
            "bandwidth": bandwidth,
            "products": [
                {"order": 512, "dtype": "float32", "threads": 2, "seconds": {"median": 1e-3}, "flops": 2 * 512**3}
            ],
        },
        "cases": cases,
        "scaling": [
            case("Adam", 1_000_000, threads=1, gd=4e-4, ceiling=3e-4, numpy=8e-3),
            case("Adam", 1_000_000, gd=2e-4, ceiling=1.5e-4, numpy=8e-3, torch=4e-4),
            case("Lion", 1_000_000, threads=1, gd=4e-4, numpy=3e-4),
        ],
        "epochs": [
            {
                "what": "784-10",
                "unit": "epoch",
                "family": "training",
                "size": 128,
                "threads": 2,
                "libraries": timed(gd=2.0, numpy=3.0, torch=1.5, products=1.0),
            }
        ],
        "growth": [
            *growing((1e3, 2e-6, 1e-6), (1e5, 4e-4, 1e-4), (1e7, 9e-2, 1e-2)),
            growing((1e9, 1, 1))[0] | {"libraries": {}, "failed": {"gd": "it takes 8.0 GB, and 5.0 GB are free"}},
        ],
        "memory": [
            {"what": "step of 784-10", "library": library, "bytes": size}
            for library, size in (("gd", 3 * 2**20), ("numpy", 2**20))
        ],
        "compilation": {
            "import": 0.24,
            "cold": 0.9,
            "cached": 0.2,
            "kernels": [{"kernel": "update-adam", "cold": 0.4, "cached": 0.004, "bytes": 50_000}],
            "first": [{"case": "MLP fit", "cold": 3.1, "warm": 0.05, "cold_wall": 3.0, "warm_wall": 0.05}],
            "further": [{"case": "MLP fit, tanh", "after": "MLP fit", "seconds": 0.25}],
            "cache_bytes": 2_000_000,
            "cache_kernels": 40,
        },
        "assembly": [
            {
                "kernel": "update-adam",
                "dtype": "float32",
                "vector_bits": 256,
                "instructions": {"vmulps": 12, "vdivps": 4},
                "loads": 4,
                "stores": 3,
                "flops_per_element": None,
            }
        ],
        "accuracy": [
            {"activation": "tanh", "dtype": "float32", "what": "forward", "gd": [1.4, 1.5], "torch": [0.6, 2.0]},
            {"activation": "selu", "dtype": "float32", "what": "forward", "gd": [1.604, 1], "torch": [1.596, 2]},
            {"activation": "elu", "dtype": "float32", "what": "forward", "gd": [1.4, math.nan], "torch": None},
        ],
    }


def without_peers():
    results = full()
    for record in (*results["cases"], *results["scaling"], *results["epochs"]):
        record["libraries"] = {name: each for name, each in record["libraries"].items() if name in ("gd", "ceiling")}
    return results


def of_one_size():
    results = full()
    results["cases"] = [record for record in results["cases"] if record["size"] == 1_000_000]
    return {"format": 1, "cases": results["cases"]}


def failed_alone():
    return {"format": 1, "cases": [case("Adam", 100, failed={"gd": "wrong result", "numpy": "wrong result"})]}


def emptied():
    results = full()
    return {name: type(value)() if isinstance(value, list | dict) else value for name, value in results.items()}


TREES = {
    "full": full,
    "without peers": without_peers,
    "one size": of_one_size,
    "failed": failed_alone,
    "emptied": emptied,
    "nothing": lambda: {"format": 1},
}


def markdown_sections(text):
    """Return {title: rows of all tables} of a report in Markdown."""
    sections = {}
    for line in text.splitlines():
        if line.startswith("## "):
            rows = sections.setdefault(line[3:], [])
        elif line.startswith("| "):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            rows.append(tuple(cell.strip().removeprefix("**").removesuffix("**") for cell in cells))
    return sections
