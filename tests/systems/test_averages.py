"""Averages of variables: what is averaged like weights and what is not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.biggan import BigGANGenerator
from genjax.nets.dcgan import DCGANCritic
from genjax.nets.spectral import iterated
from genjax.nets.vitgan import ViTGANGenerator
from genjax.systems.averages import Average, averaged

KEY = jax.random.key(0)


def _used_over_true(params, spectral, path=()):
  """By layer: the length of W u, by which the layer divides, over the largest singular value by numpy."""
  ratios = {}
  for name, value in spectral.items():
    if name == "u":
      matrix = np.asarray(params["kernel"], np.float64).reshape(-1, params["kernel"].shape[-1])
      ratios["/".join(path)] = np.linalg.norm(matrix @ value) / np.linalg.svd(matrix, compute_uv=False)[0]
    elif isinstance(value, dict):
      ratios |= _used_over_true(params[name], value, (*path, name))
  return ratios


NETS = {
  "BigGAN": (BigGANGenerator((8, 8, 1), width=6, stages=1, attention=8), jnp.zeros((1, 4))),
  "released ViTGAN": (ViTGANGenerator((4, 4, 1), 2, 8, 1, 2, 1, norm="isn"), jnp.zeros((1, 8))),
  "SN-DCGAN": (DCGANCritic((4, 6), norm="spectral"), jnp.zeros((1, 8, 8, 1))),
}


@pytest.mark.parametrize("rule", [Average(0.98), Average(half_life=35.0, start=40)], ids=["decay", "half-life"])
def test_an_average_of_turning_weights_divides_by_its_own_largest_singular_value(rule):
  """The mean of the vectors, as of weights, divides by as little as 0.58 of it. Weights are drawn, not trained."""
  forms = {name: jax.eval_shape(net.init, KEY, x) for name, (net, x) in NETS.items()}
  forms = {kind: {name: form[kind] for name, form in forms.items()} for kind in ("params", "spectral")}
  rng = np.random.default_rng(0)
  draw = lambda form: jax.tree.map(lambda leaf: np.asarray(rng.normal(size=leaf.shape), np.float32), form)
  ends = draw(forms["params"]), draw(forms["params"])
  vectors = jax.tree.map(lambda leaf: leaf / max(np.linalg.norm(leaf), 1e-6), draw(forms["spectral"]))

  def update(index, both):
    now, average = both
    angle = 0.02 * (index + 1)
    params = jax.tree.map(lambda a, b: jnp.cos(angle) * a + jnp.sin(angle) * b, *ends)
    now = {"params": params, "spectral": iterated(params, now["spectral"])}
    return now, averaged(rule, index, 1, now, average)

  first = {"params": ends[0], "spectral": vectors}
  _, average = jax.jit(lambda first: jax.lax.fori_loop(0, 300, update, (first, first)))(first)
  ratios = _used_over_true(average["params"], average["spectral"])
  named = lambda name, tree: [leaf for path, leaf in jax.tree.leaves_with_path(tree) if path[-1].key == name]
  assert len(ratios) == len(named("u", vectors))
  assert min(ratios.values()) > 0.99, ratios
  jax.tree.map(np.testing.assert_array_equal, named("sigma_init", average["spectral"]), named("sigma_init", vectors))
