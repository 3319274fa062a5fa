"""Reads LLVM's assembly for x86 and AArch64: the innermost loops, and the effect of each instruction on vectors."""

import re
from collections import defaultdict
from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

_LABEL = re.compile(r"(\.?LBB\w+):")
_INSTRUCTION = re.compile(r"\t([a-z][\w.]*)\t?(.*)")
_TARGET = re.compile(r"(?:.*\s)?(\.?LBB\w+)")
_END = re.compile(r"jmpq?|ret[lq]?|ud2|br?|brk")  # control does not pass to the next instruction
_CALL = re.compile(r"callq?|blr?")


class Instruction(NamedTuple):
    """An instruction; most fields describe instructions on vector registers."""

    name: str
    bits: int = 0  # width of its vectors, or of its one number; 0 for all other instructions
    operation: str = ""  # on floats, such as "mul"; "" if not counted as arithmetic
    lanes: int = 1
    moves: bool = False  # only moves data
    access: str = ""  # "load" or "store"; the stack and constants do not count
    array: str = ""  # the address without its constant part
    address: str = ""
    bytes: int = 0  # read or written there

    @property
    def flops(self):
        """Flops of all lanes together; a fused multiply-add counts as two per lane."""
        return self.lanes * (2 if self.operation == "fma" else 1) if self.operation else 0

    @property
    def calls(self):
        """True if it calls a function."""
        return bool(_CALL.fullmatch(self.name))


def innermost_loops(text, machine):
    """Return the innermost loops, each as the instructions of its shortest iteration.

    Longer iterations are for arrays that overlap, and for rare cases.

    Parameters
    ----------
    text : str
        The assembly of all functions of a module.
    machine : str
        As `platform.machine()` names it.
    """
    read = _aarch64 if machine.lower() in ("arm64", "aarch64") else _x86
    blocks, following = _control_flow(text)
    ways = [_shortest_way(*loop, following, blocks) for loop in _cycles(set(range(len(blocks))), following)]
    return [[read(*line) for k in way for line in blocks[k]] for way in ways]


def _control_flow(text):
    """Return the basic blocks as lists of (mnemonic, operands), and the set of blocks that can follow each."""
    blocks, labels = [[]], {}
    for line in text.splitlines():
        if label := _LABEL.match(line):
            if blocks[-1]:
                blocks.append([])
            labels[label[1]] = len(blocks) - 1
        elif instruction := _INSTRUCTION.match(line):
            blocks[-1].append(instruction.groups())
            if _TARGET.fullmatch(instruction[2]) or _END.fullmatch(instruction[1]):
                blocks.append([])
    following = [set() for _ in blocks]
    for k, block in enumerate(blocks[:-1]):
        name, operands = block[-1]
        target = _TARGET.fullmatch(operands)
        if target and target[1] in labels:
            following[k].add(labels[target[1]])
        if not _END.fullmatch(name):
            following[k].add(k + 1)
    return blocks, following


def _cycles(nodes, following):
    """Yield (entry, nodes) of the innermost loops among some nodes of a graph."""
    index = {node: k for k, node in enumerate(sorted(nodes))}
    edges = np.array([(index[k], index[after]) for k in index for after in following[k] & nodes], np.intp)
    rows, columns = edges.reshape(-1, 2).T
    graph = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(index), len(index)))
    loops = defaultdict(set)
    for node, component in zip(index, connected_components(graph, connection="strong")[1], strict=True):
        loops[component].add(node)
    for loop in loops.values():
        if any(following[k] & loop for k in loop):
            outside = set().union(*(each for k, each in enumerate(following) if k not in loop))
            entry = min(loop & outside or loop)
            inner = list(_cycles(loop - {entry}, following))
            yield from inner or [(entry, loop)]


def _shortest_way(entry, loop, following, blocks):
    """Return the nodes on the way from a loop's entry back to it that has the fewest instructions."""
    queue, seen = [(0, (entry,))], set()
    while True:
        length, way = heappop(queue)
        if entry in following[way[-1]]:
            return way
        if way[-1] not in seen:
            seen.add(way[-1])
            for after in following[way[-1]] & loop:
                heappush(queue, (length + len(blocks[after]), (*way, after)))


_X86_REGISTER = re.compile(r"%([xyz])mm\d+")
_X86_MASK = re.compile(r"\s*\{(?:%k\d|z)\}")
_X86_ADDRESS = re.compile(r"[^\s,()]*\(([^)]*)\)(\{1to\d+\})?")
_X86_SCALAR = re.compile(r"v?(?!p|broadcast)\w*s([sd])")
_X86_ARITHMETIC = re.compile(
    r"v?(?:(?P<plain>add|sub|mul|div|sqrt|min|max)|fn?m(?:add|sub|addsub|subadd)\d+)[ps](?P<real>[sd])"
)
_X86_MOVE = re.compile(r"v?p?(?:mov(?!msk)|broadcast)\w*")
_X86_WIDTHS = {"x": 128, "y": 256, "z": 512}
_REALS = {"s": 32, "d": 64}


def _x86(name, operands):
    """Return the `Instruction` for AT&T's notation, whose last operand is the destination."""
    operands = _X86_MASK.sub("", operands)
    registers = _X86_REGISTER.findall(operands)
    if not registers:
        return Instruction(name)
    scalar, arithmetic = _X86_SCALAR.fullmatch(name), _X86_ARITHMETIC.fullmatch(name)
    bits = _REALS[scalar[1]] if scalar else max(_X86_WIDTHS[each] for each in registers)
    found = Instruction(name, bits, moves=bool(_X86_MOVE.fullmatch(name)))
    if arithmetic:
        lanes = bits // _REALS[arithmetic["real"]]
        found = found._replace(operation=arithmetic["plain"] or "fma", lanes=lanes)
    address = _X86_ADDRESS.search(operands)
    if not address or address[2] or re.search("%r[si]p", address[1]) or "broadcast" in name:
        return found
    return found._replace(
        access="store" if operands.endswith(")") else "load",
        array=address[1],
        address=address[0],
        bytes=bits // (16 if "ps2pd" in name else 8),
    )


_ARM_REGISTER = re.compile(r"\b(?:([qds])\d+|v\d+(?:\.(\d+[bhsd]))?)\b")
_ARM_ADDRESS = re.compile(r"\[(?!sp|x29)(\w+)(?:, #-?\w+)?(, [^\]]*)?\].*")
_ARM_ARITHMETIC = re.compile(r"f(?P<plain>add|sub|mul|div|sqrt|min|max)(?:nm)?|fml[as]|fn?m(?:add|sub)")
_ARM_MOVE = re.compile(r"(?:ld|st|mov|dup|fmov|ins|umov)\w*")
_ARM_WIDTHS = {"b": 8, "h": 16, "q": 128, **_REALS}


def _aarch64(name, operands):
    name, _, shape = name.partition(".")  # Apple's notation: fmla.4s v0, v1, v2 for fmla v0.4s, v1.4s, v2.4s
    registers = _ARM_REGISTER.findall(operands.partition("[")[0])
    if not registers:
        return Instruction(name)
    shapes = [single or several or shape for single, several in registers]
    widths = [int(each[:-1] or 1) * _ARM_WIDTHS[each[-1]] for each in shapes]
    found = Instruction(name, max(widths), moves=bool(_ARM_MOVE.fullmatch(name)))
    if arithmetic := _ARM_ARITHMETIC.fullmatch(name):
        found = found._replace(operation=arithmetic["plain"] or "fma", lanes=int(shapes[0][:-1] or 1))
    address = _ARM_ADDRESS.search(operands)
    if not address or name[:2] not in ("ld", "st") or name == "ld1r":
        return found
    return found._replace(
        access="load" if name.startswith("ld") else "store",
        array=address[1] + (address[2] or ""),
        address=address[0],
        bytes=sum(widths) // 8,
    )
