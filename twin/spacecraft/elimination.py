"""Gaussian elimination of a small sparse matrix, written out when the program is traced.

The pattern is fixed, so the pivots are chosen once, in minimum-degree order, and every entry is an
array over the satellites. There is no search for large pivots: the matrices of heat networks are
diagonally dominant by columns or by rows, for which elimination in any order is stable.

Source: Duff, Erisman & Reid, Direct Methods for Sparse Matrices (2nd ed. 2017), chapters 4 and 7.
"""

from collections.abc import Callable

from twin.arrays import Each

Nodes = list[Each]
Entries = dict[tuple[int, int], Each]  # (row, column) off the diagonal


def factorise(diagonal: Nodes, entries: Entries) -> Callable[[Nodes], Nodes]:
    """LU of a matrix; returns the solver.

    Where the entries (i, j) and (j, i) are one and the same array, so are their fills, and half of
    the work falls away as in LDLᵀ.
    """
    # Divisions, not products with an inverse: XLA materialises a quotient that is used twice but
    # computes a product again for every use, which made this solve thirty times slower.
    pivots, entry = list(diagonal), dict(entries)
    left, order = set(range(len(pivots))), []
    below: dict[int, dict[int, Each]] = {}
    right_of: dict[int, dict[int, Each]] = {}
    while left:
        near = {
            n: sorted(m for m in left if m != n and ((n, m) in entry or (m, n) in entry))
            for n in left
        }
        pivot = min(left, key=lambda n: (len(near[n]), n))
        left.remove(pivot)
        order.append(pivot)
        around = near[pivot]
        right_of[pivot] = {n: entry[pivot, n] for n in around if (pivot, n) in entry}
        below[pivot] = {m: entry[m, pivot] / pivots[pivot] for m in around if (m, pivot) in entry}
        for m, factor in below[pivot].items():
            for n, edge in right_of[pivot].items():
                if m == n:
                    pivots[m] = pivots[m] - factor * edge
                elif m < n and _mirrored(entry, pivot, m, n):
                    fill = _less(entry.get((m, n)), factor * edge)
                    entry[m, n] = entry[n, m] = fill
        for m, factor in below[pivot].items():
            for n, edge in right_of[pivot].items():
                if m != n and not _mirrored(entry, pivot, m, n):
                    entry[m, n] = _less(entry.get((m, n)), factor * edge)

    def solve(right: Nodes) -> Nodes:
        x = list(right)
        for p in order:
            for m, factor in below[p].items():
                x[m] = x[m] - factor * x[p]
        for p in reversed(order):
            known = [edge * x[n] for n, edge in right_of[p].items()]
            x[p] = (x[p] - sum(known[1:], known[0]) if known else x[p]) / pivots[p]
        return x

    return solve


def _mirrored(entry: Entries, p: int, m: int, n: int) -> bool:
    """Whether the fills at (m, n) and (n, m) are equal."""
    return all(entry.get((i, j)) is entry.get((j, i)) for i, j in ((p, m), (p, n), (m, n)))


def _less(there: Each | None, fill: Each) -> Each:
    return -fill if there is None else there - fill
