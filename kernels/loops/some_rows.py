"""Steps of some rows of a matrix, such as an embedding's: gradients of one row are summed before its step."""

import numpy as np

from ..compiler import NEVER, device, loop
from ..random_numbers import GOLDEN
from ..traffic import of_rows
from ..views import allocate, prefetch, release, row_at, vector_at
from ..words import invoke
from .array_lists import last_up_to

AHEAD = 4  # groups whose rows are fetched early


@loop(parallel_from=NEVER, traffic="r - w w w -")
def group_rows():
    """Sort the positions of equal rows together; one item; arguments: rows, table, found, order, starts, shift.

    found gets the different rows, in the order in which they come first; order[starts[k] : starts[k + 1]] the positions
    of row found[k], ascending; the last entry of starts their number. `starts`, with two entries more than rows, and
    `table` are 0 before. The table has an entry for each possible row, and shift is 0; or it has 2**(64 - shift)
    entries, more than rows (Fibonacci hashing).
    """

    def body(start, stop, arguments):
        if start == stop:  # an empty part
            return
        rows, table, found, order, starts, shift = arguments
        groups, group_of = 0, allocate(table, rows.size)
        for i in range(rows.size):
            row = rows[i]
            place = row if shift == 0 else np.intp((np.uint64(row) * GOLDEN) >> np.uint64(shift))
            while table[place] != 0 and found[table[place] - 1] != row:
                place = (place + 1) & (table.size - 1)
            if table[place] == 0:
                found[groups] = row
                groups += 1
                table[place] = groups
            group_of[i] = table[place]
            starts[table[place] + 1] += 1  # counts; the loops below turn them into beginnings, then into ends
        for k in range(2, groups + 2):
            starts[k] += starts[k - 1]
        for i in range(rows.size):
            order[starts[group_of[i]]] = i
            starts[group_of[i]] += 1
        starts[starts.size - 1] = groups
        release(group_of)

    return body


@device
def _sum(total, g, order, first, last):
    """Write the sum of the rows g[order[first:last]], in this order."""
    columns = total.size
    row = vector_at(g, order[first] * columns, columns)
    for i in range(columns):
        total[i] = row[i]
    for j in range(first + 1, last):
        row = vector_at(g, order[j] * columns, columns)
        for i in range(columns):
            total[i] += row[i]


@loop(parallel_from=256, traffic="w r")
def sum_rows():
    """Sum groups of rows; arguments: out, g, order, starts, groups: out[k] is the sum of group groups[k]."""

    def body(start, stop, arguments):
        out, g, order, starts, groups = arguments
        for k in range(start, stop):
            _sum(row_at(out, k), g, order, starts[groups[k]], starts[groups[k] + 1])

    return body


def _traffic(size, coefficients, found, order, starts, g, p, slots, step):
    return found.nbytes + order.nbytes + starts.nbytes + g.nbytes + 2 * (1 + slots) * of_rows(p, found.size)


@loop(parallel_from=256, flush=True, traffic=_traffic)
def update_rows():
    """Step rows of a matrix, each by the sum of a group of rows of g; items are rows of g, sorted by group.

    Arguments: coefficients, found (rows of the matrix), order, starts (see `group_rows`), g, p (the matrix), slots (how
    many), step (an `update` of the matrix as a vector).
    """

    def body(start, stop, arguments):
        coefficients, found, order, starts, g, p, _, step = arguments
        columns, groups = g.shape[1], found.size
        total = allocate(g, columns)
        k = last_up_to(starts, start - 1) + 1 if start > 0 else 0
        while k < groups and starts[k] < stop:
            ahead, begin = min(k + AHEAD, groups - 1), found[k] * columns
            prefetch(row_at(p, found[ahead]))
            if starts[k + 1] - starts[k] > 1:
                _sum(total, g, order, starts[k], starts[k + 1])
                invoke(step, begin, begin + columns, (coefficients, total, begin))
            else:
                row = vector_at(g, order[starts[k]] * columns, columns)
                invoke(step, begin, begin + columns, (coefficients, row, begin))
            k += 1
        release(total)

    return body
