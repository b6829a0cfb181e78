"""Nearest neighbours of features in blocks, and what they say of two sets: precision, recall, density, coverage, 1-NN.

Papers   precision, recall   Kynkaanniemi et al. 2019, arXiv:1904.06991: the share of one set within the other's balls,
                             whose radius is the distance to the k-th neighbour (k = 3); the border belongs to a ball.
         density, coverage   Naeem et al. 2020, arXiv:2002.09797 (k = 5); the border does not belong to a ball.
         two-sample test     Lopez-Paz and Oquab 2017, arXiv:1610.06545: the accuracy of a classifier of real and
                             generated; by 1-NN, leave one out: Xu et al. 2018, arXiv:1806.07755.
Departs  Distances are those of float64. Float32 products on the device pick the candidates and settle all pairs but
         those within rounding of a border; these few are summed again in float64.
Shapes   features [n, d], [m, d]. Blocks of 2,048 x 2,048 at most: what 50,000 against 50,000 hold beside the features
         does not grow with their number.
Checked  tests/ops/test_neighbours.py: brute force in float64, also far from 0 and with ties.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.core import Array
from genjax.ops.kernel_distance import centre_of, checked

_BLOCK = 2048  # rows at most
_SPARE = 2  # candidates beyond those asked for
_ROUNDING = 2e-6  # of |a|^2 + |b|^2: how far a float32 distance may be off, generously; d up to some 10,000
_EXACT_VALUES = 1 << 20  # float64 values on the host at once where pairs are summed again


Best = tuple[Array, Array]  # squares and places of the nearest candidates [n, count] so far


class Overlap(NamedTuple):
  """Shares of 0 to 1, but density, which may be greater."""

  precision: float
  recall: float
  density: float
  coverage: float


def overlap(real: np.ndarray, generated: np.ndarray, *, neighbours: tuple[int, int] = (3, 5)) -> Overlap:
  """Precision, recall, density and coverage of generated features against real ones.

  Args:
    real, generated: [n, d] and [m, d], two at least of each.
    neighbours: k of precision and recall, and k of density and coverage; at most as many as there are others.
  """
  real, generated = checked(real, generated)
  most = max(neighbours)
  of_real, of_generated = (squares_of_nearest(x, x, most, same=True) for x in (real, generated))
  k_precision, k_density = (min(k, of_real.shape[1]) for k in neighbours)
  k_recall = min(neighbours[0], of_generated.shape[1])
  radii = (of_real[:, k_precision - 1], of_real[:, k_density - 1], of_generated[:, k_recall - 1])
  in_some = np.zeros(len(generated), bool)  # a generated one in a ball of a real one
  reached = np.zeros(len(real), bool)  # a real one in a ball of a generated one
  covered = np.zeros(len(real), bool)
  inside = 0
  for rows, columns, within in _within(real, generated, *radii):
    in_some[columns] |= within[0].any(axis=0)
    covered[rows] |= within[1].any(axis=1)
    inside += int(within[1].sum())
    reached[rows] |= within[2].any(axis=1)
  density = inside / (k_density * len(generated))
  return Overlap(float(in_some.mean()), float(reached.mean()), density, float(covered.mean()))


class TwoSample(NamedTuple):
  """Leave-one-out accuracy of the nearest neighbour's label: of all, of the real, of the generated.

  0.5 where nothing tells the sets apart, 1 where everything does, less than 0.5 where generated ones are copies of
  real ones. A tie between both sets counts half.
  """

  accuracy: float
  real: float
  generated: float


def two_sample(real: np.ndarray, generated: np.ndarray) -> TwoSample:
  """The 1-NN two-sample test of sets of two at least; equal sizes are what makes 0.5 the accuracy of chance."""
  real, generated = checked(real, generated)

  def right(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    near, far = squares_of_nearest(own, own, 1, same=True)[:, 0], squares_of_nearest(own, other, 1)[:, 0]
    return (near < far) + 0.5 * (near == far)

  of_real, of_generated = right(real, generated), right(generated, real)
  whole = np.concatenate([of_real, of_generated]).mean()
  return TwoSample(float(whole), float(of_real.mean()), float(of_generated.mean()))


def squares_of_nearest(queries: np.ndarray, keys: np.ndarray, k: int, *, same: bool = False) -> np.ndarray:
  """Squared distances [n, min(k, m)] of each query to its nearest keys, in rising order, float64.

  Args:
    queries, keys: [n, d], [m, d].
    k: how many.
    same: both are one set, and an example is not its own neighbour; then at most m - 1.
  """
  k = min(k, len(keys) - same)
  count = min(k + _SPARE, len(keys) - same)
  centre = centre_of(queries, keys)
  best = [_none(len(block.rows), count) for _, block in _blocks(queries, centre)]
  for i, (start, block) in enumerate(_blocks(queries, centre)):
    for j, (first, others) in enumerate(_blocks(keys, centre)):
      if not same:
        best[i] = _closer(best[i], block, others, np.int32(first), np.int32(len(keys)))
      elif i == j:
        best[i] = _closer_within(best[i], block, np.int32(start), np.int32(len(keys)))
      elif i < j:  # one block of distances serves both sides
        bounds = np.array([start, first, len(keys)], np.int32)
        best[i], best[j] = _closer_both(best[i], best[j], block, others, bounds)
  parts = []
  for (start, block), (_, chosen) in zip(_blocks(queries, centre), best, strict=True):
    kept = min(len(block.rows), len(queries) - start)
    where = np.repeat(np.arange(start, start + kept), count)
    squares = _exact(queries, keys, where, np.asarray(chosen)[:kept].ravel()).reshape(-1, count)
    parts.append(np.sort(squares, axis=1)[:, :k])
  return np.concatenate(parts)


def _none(rows: int, count: int) -> tuple[np.ndarray, np.ndarray]:
  """Candidates (squares, places) of rows that have seen no key."""
  return np.full((rows, count), np.inf, np.float32), np.full((rows, count), -1, np.int32)


def _within(
  real: np.ndarray, generated: np.ndarray, precision: np.ndarray, density: np.ndarray, recall: np.ndarray
) -> Iterator[tuple[slice, slice, tuple[np.ndarray, ...]]]:
  """For each block of pairs (rows of real, columns of generated) which are within the balls of these squared radii.

  precision: real balls with their border. density: real balls without it. recall: generated balls with it.
  """
  centre = centre_of(real, generated)
  to_float32 = lambda x, fill: np.pad(x, (0, fill - len(x))).astype(np.float32)
  for start, block in _blocks(real, centre):
    rows = slice(start, min(start + len(block.rows), len(real)))
    for first, others in _blocks(generated, centre):
      columns = slice(first, min(first + len(others.rows), len(generated)))
      radii = (to_float32(precision[rows], len(block.rows)), to_float32(density[rows], len(block.rows)))
      inside, unsure = _settled(block, others, *radii, to_float32(recall[columns], len(others.rows)))
      whole = (slice(0, rows.stop - start), slice(0, columns.stop - first))
      within = tuple(np.array(one[whole]) for one in inside)
      at, to = np.nonzero(np.asarray(unsure[whole]))
      squares = _exact(real, generated, at + start, to + first)
      within[0][at, to] = squares <= precision[at + start]
      within[1][at, to] = squares < density[at + start]
      within[2][at, to] = squares <= recall[to + first]
      yield rows, columns, within


class Block(NamedTuple):
  """Rows of features less the centre, float32, and their squared lengths; the last block of a set ends in zeros."""

  rows: np.ndarray
  lengths: np.ndarray  # given, not computed in the programs: XLA would compute them anew for every pair


def _blocks(features: np.ndarray, centre: np.ndarray) -> Iterator[tuple[int, Block]]:
  """Place of the first row and rows of each block, all of one size."""
  parts = -(-len(features) // _BLOCK)
  size = -(-len(features) // (8 * parts)) * 8
  for start in range(0, len(features), size):
    rows = (features[start : start + size] - centre).astype(np.float32)
    rows = rows if len(rows) == size else np.pad(rows, ((0, size - len(rows)), (0, 0)))
    yield start, Block(rows, np.einsum("ij,ij->i", rows, rows))


def _squares(a: Block, b: Block) -> tuple[Array, Array]:
  """Squared distances of centred features, and how far each may be off."""
  lengths = a.lengths[:, None] + b.lengths[None, :]
  return lengths - 2.0 * jnp.dot(a.rows, b.rows.T, precision=jax.lax.Precision.HIGHEST), _ROUNDING * lengths


@jax.jit
def _closer(best: Best, queries: Block, keys: Block, first: Array, count: Array) -> Best:
  """The nearest candidates so far and among these keys, whose places begin at `first`; `count` are no filling."""
  squares, _ = _squares(queries, keys)
  return _merged(best, squares, first, count)


@jax.jit
def _closer_within(best: Best, features: Block, first: Array, count: Array) -> Best:
  """`_closer` of a block with itself, where an example is not its own neighbour."""
  squares, _ = _squares(features, features)
  return _merged(best, jnp.where(jnp.eye(len(squares), dtype=bool), jnp.inf, squares), first, count)


@jax.jit
def _closer_both(a: Best, b: Best, of_a: Block, of_b: Block, bounds: Array) -> tuple[Best, Best]:
  """`_closer` of two blocks of one set, each for the other; `bounds` are their places and the number of all."""
  squares, _ = _squares(of_a, of_b)
  return _merged(a, squares, bounds[1], bounds[2]), _merged(b, squares.T, bounds[0], bounds[2])


def _merged(best: Best, squares: Array, first: Array, count: Array) -> Best:
  places = first + jnp.arange(squares.shape[1], dtype=jnp.int32)
  squares = jnp.where((places < count)[None, :], squares, jnp.inf)
  negative, chosen = jax.lax.top_k(-squares, min(best[0].shape[1], squares.shape[1]))
  together = jnp.concatenate([best[0], -negative], axis=1)
  of_all = jnp.concatenate([best[1], jnp.where(jnp.isinf(negative), -1, places[chosen])], axis=1)
  negative, chosen = jax.lax.top_k(-together, best[0].shape[1])
  return -negative, jnp.take_along_axis(of_all, chosen, axis=1)


@jax.jit
def _settled(
  real: Block, generated: Block, precision: Array, density: Array, recall: Array
) -> tuple[tuple[Array, Array, Array], Array]:
  """Which pairs are within the balls of these squared radii, and for which of them rounding leaves it open."""
  squares, off = _squares(real, generated)
  radii = (precision[:, None], density[:, None], recall[None, :])
  unsure = jnp.any(jnp.stack([jnp.abs(squares - radius) <= off + 1e-6 * radius for radius in radii]), axis=0)
  return tuple(squares < radius for radius in radii), unsure


def _exact(a: np.ndarray, b: np.ndarray, rows: np.ndarray, places: np.ndarray) -> np.ndarray:
  """Squared distances in float64 of the pairs (a[rows], b[places]); infinite where a place is -1."""
  step = max(1, _EXACT_VALUES // a.shape[1])
  parts = [
    np.sum((a[rows[i : i + step]].astype(np.float64) - b[places[i : i + step]]) ** 2, axis=1)
    for i in range(0, len(rows), step)
  ]
  return np.where(places < 0, np.inf, np.concatenate(parts) if parts else np.zeros(0))
