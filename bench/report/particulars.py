"""The sections of the report on the machine, the compiler and the accuracy."""

from . import results as tree
from .document import Code, marked, section, table
from .notation import NOTHING, amount, count, duration, figures, known, power, ulps
from .results import environment, errors, grouped, less_accurate, listed

INSTRUCTIONS = 6  # the most frequent ones of a kernel, which are shown
NAMES = {"gd", "python", "numpy", "numba"}  # the versions that come first


def ceilings(results, pictures):
    """Return the measured ceilings of the machine."""
    moved, products = tree.ceilings(results, "bandwidth"), tree.ceilings(results, "products")
    by_mix = _grid(grouped(moved, "mix"), "elements", lambda each: each["bytes"] / each["seconds"]["median"] / 1e9)
    by_dtype = _grid(grouped(products, "dtype"), "order", lambda each: each["flops"] / each["seconds"]["median"] / 1e9)
    said = (
        "What loops that compute next to nothing, and NumPy's matrix products, reach in the same run. A mix such as "
        "4r3w reads four arrays and writes three."
    )
    return section(
        "Ceilings",
        said,
        pictures,
        moved and "GB/s, by the number of elements:",
        by_mix and table(("mix", *map(power, by_mix[0])), by_mix[1]),
        products and "GFLOP/s of products of square matrices, by their order:",
        by_dtype and table(("dtype", *map(count, by_dtype[0])), by_dtype[1]),
    )


def _grid(groups, field, value):
    """Return the columns and rows of values by group and field, or None if there are none."""
    columns = sorted({each[field] for group in groups.values() for each in group})
    rows = []
    for name, group in groups.items():
        found = {each[field]: value(each) for each in group}
        rows.append((name, *(figures(found.get(column)) for column in columns)))
    return (columns, rows) if rows else None


def compilation(results):
    """Return how long kernels take to compile and to load."""
    found = results.get("compilation") or {}
    rows = [
        ("import gd", duration(found.get("import"))),
        ("first step of Adam in a new process, compiled", duration(found.get("cold"))),
        ("first step of Adam in a new process, from the cache", duration(found.get("cached"))),
        ("kernels in the cache", count(found.get("cache_kernels"))),
        ("size of the cache", amount(found.get("cache_bytes"))),
    ]
    kernels = [
        (each["kernel"], duration(each.get("cold")), duration(each.get("cached")), amount(each.get("bytes")))
        for each in found.get("kernels") or []
    ]
    first = [
        (each["case"], duration(each.get("cold")), duration(each.get("warm"))) for each in found.get("first") or []
    ]
    further = [(each["case"], each["after"], duration(each.get("seconds"))) for each in found.get("further") or []]
    said = (
        "Kernels are compiled on first use and kept on disk; `gd.warmup()` does it ahead. First runs are CPU seconds "
        "of new processes, once gd is imported."
    )
    return section(
        "Compilation",
        said,
        table(("", ""), [row for row in rows if row[1] != NOTHING]),
        table(("first run", "compiled", "from the cache"), first),
        table(("then", "after", "compiled"), further),
        table(("kernel", "compiled", "from the cache", "size on disk"), kernels, f"All {len(kernels)} kernels"),
    )


def assembly(results):
    """Return properties of the compiled code of the kernels."""
    widest = environment(results).get("vector_bits")
    rows = []
    for each in listed(results, "assembly"):
        frequent = sorted((each.get("instructions") or {}).items(), key=lambda pair: (-pair[1], pair[0]))
        bits = each.get("vector_bits")
        rows.append(
            (
                each["kernel"],
                each.get("dtype") or NOTHING,
                marked(count(bits), known(bits) and known(widest) and bits < widest),
                count(each.get("loads")),
                count(each.get("stores")),
                count(each.get("calls")),
                f"{each['flops_per_element']:.4g}" if known(each.get("flops_per_element")) else NOTHING,
                ", ".join(f"{name} {number}" for name, number in frequent[:INSTRUCTIONS] if number) or NOTHING,
            )
        )
    said = (
        "For the hot loop: the widest vectors, loads, stores, function calls, floating-point operations per element, "
        "and the most frequent instructions. Vectors narrower than the processor's are marked."
    )
    columns = ("kernel", "dtype", "vector bits", "loads", "stores", "calls", "operations/element", "instructions")
    rows = list(dict.fromkeys(rows))  # kernels such as norms serve several computations
    return section("Assembly", said, table(columns, rows, f"All {len(rows)} kernels"))


def accuracy(results):
    """Return the largest errors of gd and of the peers."""
    parts = []
    for dtype, found in grouped(listed(results, "accuracy"), "dtype").items():
        passes = dict.fromkeys(row.get("what") for row in found)
        columns = [
            (what, library)
            for what in passes
            for library in dict.fromkeys(each for row in found for each in errors(row))
        ]
        rows = []
        for activation, group in grouped(found, "activation").items():
            cells = {}
            for row in group:
                for library, pair in errors(row).items():
                    text = " / ".join(map(ulps, pair))
                    cells[row.get("what"), library] = marked(text, library == "gd" and any(less_accurate(row)))
            rows.append((activation, *(cells.get(column, NOTHING) for column in columns)))
        parts.append(
            table((dtype or "", *(" ".join(filter(None, (library, what))) for what, library in columns)), rows)
        )
    said = (
        "The largest errors in ULP (units in the last place), for inputs in the centre / in the tails. They are marked "
        "if another library's are smaller."
    )
    return section("Accuracy", said, *parts)


def machine(results, missing):
    """Return the environment, with a sentence on missing pictures."""
    found = environment(results)
    versions = found.get("versions") or {}
    order = sorted(versions, key=lambda name: (name not in NAMES, name))
    rows = [
        ("processor", ", ".join(filter(None, (found.get("processor"), found.get("core"))))),
        ("cores", count(found.get("cores"))),
        ("threads", count(found.get("threads"))),
        ("vectors", f"{found['vector_bits']} bits" if found.get("vector_bits") else None),
        ("caches", ", ".join(f"{name} {amount(size)}" for name, size in (found.get("caches") or {}).items())),
        ("memory", amount(found.get("memory"))),
        ("system", found.get("system")),
        ("versions", ", ".join(f"{name} {versions[name]}" for name in order)),
        *((f"BLAS of {each.get('of') or 'the process'}", _blas(each)) for each in found.get("blas") or []),
        ("threading", ", idle threads: ".join(filter(None, (found.get("threading_layer"), found.get("waiting"))))),
        ("commit", found.get("commit")),
    ]
    return section("Environment", missing, table(("", ""), [row for row in rows if row[1] and row[1] != NOTHING]))


def _blas(each):
    parts = [each.get("library"), each.get("version"), each.get("architecture")]
    threads = f", {each['threads']} threads" if each.get("threads") else ""
    return " ".join(filter(None, parts)) + threads


def again(results):
    """Return the command that reproduces the results."""
    if not results.get("command"):
        return None
    commit = environment(results).get("commit")
    lines = [f"git checkout {commit.rstrip('+')}"] if commit else []
    said = (
        "In a checkout of gd; peers take part where they are installed. Absolute times differ between machines and "
        "days: compare the ratios and the shares of the ceiling, which are of one run."
    )
    if commit and commit.endswith("+"):
        said += " Files had changed since that commit."
    lines += ['python -m pip install ".[bench]"', results["command"]]
    return section("Run it again", said, Code("\n".join(lines)))
