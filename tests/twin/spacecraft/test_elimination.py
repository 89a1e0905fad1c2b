"""The elimination against NumPy's dense solver, and the work that symmetry saves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.spacecraft.elimination import factorise

LANES = 50


def matrix(rng, size, lopsided):
    """Diagonally dominant by rows, sparse; `lopsided` entries have no equal across the diagonal."""
    dense = np.zeros((LANES, size, size))
    entries = {}
    for n in range(1, size):
        for m in {int(rng.integers(n)), int(rng.integers(n))}:
            edge = jnp.asarray(-rng.uniform(0.1, 5, LANES))
            other = jnp.asarray(-rng.uniform(0.1, 5, LANES)) if lopsided else edge
            entries[m, n], entries[n, m] = edge, other
    if lopsided:  # one way only, as a pipe
        entries.pop(next(iter(entries)))
    for (i, j), value in entries.items():
        dense[:, i, j] = value
    diagonal = [
        jnp.asarray(-dense[:, n].sum(axis=1) + rng.uniform(0.1, 2, LANES)) for n in range(size)
    ]
    for n in range(size):
        dense[:, n, n] = diagonal[n]
    return dense, diagonal, entries


@pytest.mark.parametrize("lopsided", [False, True])
def test_solves_as_numpy_does(lopsided):
    rng = np.random.default_rng(4)
    for size in (1, 2, 7, 20):
        dense, diagonal, entries = matrix(rng, size, lopsided and size > 1)
        right = rng.normal(size=(LANES, size))
        found = factorise(diagonal, entries)(list(jnp.asarray(right.T)))
        expected = np.linalg.solve(dense, right[..., None])[..., 0].T
        np.testing.assert_allclose(np.stack(found), expected, rtol=1e-9, atol=1e-12)


def test_symmetry_saves_fills():
    """Counted in operations: the same pattern, once with equal arrays and once with copies."""

    def work(lopsided):
        _, diagonal, entries = matrix(np.random.default_rng(1), 20, False)

        def solve(diagonal, half, other):
            both = half | {(j, i): (other if lopsided else half)[i, j] for i, j in half}
            return factorise(diagonal, both)(diagonal)

        half = {key: value for key, value in entries.items() if key[0] < key[1]}
        return len(jax.make_jaxpr(solve)(diagonal, half, half).eqns)

    assert work(lopsided=False) < 0.85 * work(lopsided=True)
