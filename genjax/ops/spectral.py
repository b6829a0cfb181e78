"""Spectral normalisation: a weight divided by its largest singular value, by power iteration whose vector is kept.

Papers   Miyato et al. 2018, arXiv:1802.05957, Algorithm 1: one iteration a step, from the vector of the step before.
Departs  None in the maths. The gradient goes through sigma = v' W u with u and v held still, which at the singular
         vectors is that of the exact sigma: d sigma / d W = v u'.
Shapes   kernel [..., I, O] as flax keeps it, seen as a matrix [K, O], K all axes but the last; u [O] of length 1.
Checked  tests/ops/test_spectral.py: sigma, vector and gradient against numpy's SVD.
"""

import jax
import jax.numpy as jnp

Array = jax.Array
EPSILON = 1e-12  # the paper's code: under this length a vector is not scaled up


def start_vector(key: Array, kernel: Array) -> Array:
  """u [O] of length 1 and uniform direction, in float32."""
  return _unit(jax.random.normal(key, kernel.shape[-1:], jnp.float32))


def singular(kernel: Array, u: Array, steps: int = 1) -> tuple[Array, Array]:
  """The largest singular value of a kernel and its right vector, by power iteration from `u`.

  Args:
    kernel: [..., I, O]; the gradient of sigma goes to it alone.
    u: [O], what the last call returned.
    steps: iterations; 0 only measures along `u`.

  Returns:
    sigma [] and the next u [O], both float32 or finer. A lower bound of the true value that grows with `steps`.
  """
  matrix = kernel.reshape(-1, kernel.shape[-1])
  matrix = matrix.astype(jnp.promote_types(matrix.dtype, jnp.float32))
  still, u = jax.lax.stop_gradient(matrix), jax.lax.stop_gradient(u.astype(matrix.dtype))

  def iterate(_: int, vectors: tuple[Array, Array]) -> tuple[Array, Array]:
    v = _unit(_times(still, vectors[1]))
    return v, _unit(_times(still.T, v))

  vectors = (_unit(_times(still, u)), u)
  # a loop of one iteration, in every layer of a net, would cost more to compile than the net
  v, u = iterate(0, vectors) if steps == 1 else jax.lax.fori_loop(0, steps, iterate, vectors) if steps else vectors
  return _times(v, _times(matrix, u)), u


def largest(kernel: Array) -> tuple[Array, Array]:
  """The largest singular value of a kernel and its right vector, exactly: sigma [], u [O]; no gradient.

  By the eigenvectors of the smaller of W'W and WW'. For the start of training: it costs what a decomposition costs.
  """
  matrix = kernel.reshape(-1, kernel.shape[-1])
  matrix = jax.lax.stop_gradient(matrix.astype(jnp.promote_types(matrix.dtype, jnp.float32)))
  tall = matrix.shape[0] >= matrix.shape[1]
  gram = _times(matrix.T, matrix) if tall else _times(matrix, matrix.T)
  vector = jnp.linalg.eigh(gram)[1][:, -1]
  other = _times(matrix, vector) if tall else _times(matrix.T, vector)
  return jnp.sqrt((other**2).sum()), vector if tall else _unit(other)


def normalise(kernel: Array, u: Array, steps: int = 1) -> tuple[Array, Array]:
  """The kernel divided by its largest singular value, in its own dtype, and the next u. A kernel of 0 stays 0."""
  sigma, u = singular(kernel, u, steps)
  sigma = jnp.where(sigma > 0, sigma, 1.0)
  return (kernel / sigma).astype(kernel.dtype), u


def _unit(vector: Array) -> Array:
  return vector / jnp.maximum(jnp.sqrt((vector**2).sum()), EPSILON)


def _times(a: Array, b: Array) -> Array:
  """Products in full float32: a TPU would multiply in bfloat16 passes."""
  return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
