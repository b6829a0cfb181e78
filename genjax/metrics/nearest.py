"""Nearest neighbours in pixels: by a matrix product in blocks, then exactly for the few that it picks.

|a - b|^2 = |a|^2 + |b|^2 - 2 a.b is quick, but leaves some 1e-7 |a|^2 for equal images. It only picks candidates; their
distances are then summed over differences of whole numbers, so that equal images are at distance 0.

Shapes   images [N, H, W, C] uint8; distances in pixels of [-1, 1].
Checked  tests/metrics/test_copies.py: against a double loop.
"""

import jax
import jax.numpy as jnp
import numpy as np

from genjax.core import Array

_CANDIDATES = 4
_BLOCK = 256
_BLOCK_VALUES = 1 << 23  # pixel values of the candidates that are on the host at once


def nearest(images: np.ndarray, others: np.ndarray, *, same: bool = False) -> tuple[np.ndarray, np.ndarray]:
  """For each image the place of the nearest other, and its L2 distance.

  Args:
    images: [N, H, W, C] uint8.
    others: [M, H, W, C] uint8, M at least 1.
    same: both are one set, and an image is not its own neighbour (M at least 2 then).

  Returns:
    indices [N] int32 into others; distances [N] float64, exactly 0 for equal images.
  """
  if len(others) < 1 + same:
    raise ValueError(f"nearest neighbours among {len(others)} images; it takes {1 + same} at least")
  queries, keys = (x.reshape(len(x), -1) for x in (images, others))
  stacked = jnp.asarray(_padded(keys, -(-len(keys) // _BLOCK) * _BLOCK).reshape(-1, _BLOCK, keys.shape[1]))
  parts = []
  for start in range(0, len(queries), _BLOCK):
    block = queries[start : start + _BLOCK]
    places = np.arange(start, start + _BLOCK, dtype=np.int32) if same else np.full(_BLOCK, -1, np.int32)
    candidates = np.asarray(_candidates(_padded(block, _BLOCK), places, stacked, len(keys)))[: len(block)]
    parts.append(_exact(block, keys, candidates))
  indices, distances = (np.concatenate(part) for part in zip(*parts, strict=True))
  return indices, distances


def _padded(rows: np.ndarray, count: int) -> np.ndarray:
  return np.concatenate([rows, np.zeros((count - len(rows), rows.shape[1]), rows.dtype)])


@jax.jit
def _candidates(queries: Array, places: Array, stacked: Array, count: Array) -> Array:
  """Places [B, 4] of the keys nearest to each query; -1 where there are fewer. Keys come in blocks [K, B, D]."""
  centred = lambda x: x.astype(jnp.float32) - 127.5
  queries = centred(queries)

  def closer(best, block):
    worst, kept = best
    at, keys = block
    keys = centred(keys)
    products = jnp.dot(queries, keys.T, precision=jax.lax.Precision.HIGHEST)
    # |query|^2 is the same for all keys and left out.
    squares = jnp.sum(keys * keys, axis=1)[None, :] - 2.0 * products
    key_places = at * _BLOCK + jnp.arange(_BLOCK, dtype=jnp.int32)
    allowed = (key_places < count)[None, :] & (key_places[None, :] != places[:, None])
    squares = jnp.concatenate([worst, jnp.where(allowed, squares, jnp.inf)], axis=1)
    of_keys = jnp.broadcast_to(key_places[None, :], (queries.shape[0], _BLOCK))
    of_all = jnp.concatenate([kept, jnp.where(allowed, of_keys, -1)], axis=1)
    negative, chosen = jax.lax.top_k(-squares, _CANDIDATES)
    return (-negative, jnp.take_along_axis(of_all, chosen, axis=1)), None

  shape = (queries.shape[0], _CANDIDATES)
  start = (jnp.full(shape, jnp.inf), jnp.full(shape, -1, jnp.int32))
  blocks = (jnp.arange(stacked.shape[0], dtype=jnp.int32), stacked)
  return jax.lax.scan(closer, start, blocks)[0][1]


def _exact(queries: np.ndarray, keys: np.ndarray, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  rows = max(1, _BLOCK_VALUES // (queries.shape[1] * _CANDIDATES))
  squares = np.concatenate([
    np.sum(
      (queries[i : i + rows, None].astype(np.int32) - keys[candidates[i : i + rows]]) ** 2, axis=2, dtype=np.int64
    )
    for i in range(0, len(queries), rows)
  ]).astype(np.float64)  # fmt: skip
  squares[candidates < 0] = np.inf
  best = squares.argmin(axis=1)[:, None]
  indices = np.take_along_axis(candidates, best, axis=1)[:, 0]
  return indices.astype(np.int32), np.sqrt(np.take_along_axis(squares, best, axis=1)[:, 0]) / 127.5
