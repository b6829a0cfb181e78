"""Every layer of a flow, and whole flows: run backwards, and their log-determinants against autodiff's Jacobian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.bijections import (
  ActNorm,
  Coupling,
  InvertibleConv,
  MaskedCoupling,
  Standardised,
  decomposed,
  inverse_of,
  matrix_of,
)
from genjax.nets.dequantiser import SLOPE, Dequantiser
from genjax.nets.glow import Glow, Step
from genjax.nets.realnvp import RealNVP
from genjax.ops.squeeze import checkerboard, squeezed

BATCH, SHAPE, CHANNELS = 2, (4, 4, 1), (2, 2, 4)
RNG = np.random.default_rng(0)
GIVEN = RNG.normal(size=(BATCH, 2, 2, 3)).astype(np.float32)
HALF = jnp.array([[[1.0, 1, 0, 0]]])

ROWS = {  # the layer, the shape of what it takes, and what else it is given
  "actnorm": (ActNorm(), CHANNELS, ()),
  "invertible conv": (InvertibleConv(), CHANNELS, ()),
  "coupling": (Coupling(3), CHANNELS, ()),
  "coupling by places": (MaskedCoupling(3, 1), CHANNELS, (checkerboard(2, 2),)),
  "coupling by channels": (MaskedCoupling(3, 1), CHANNELS, (HALF,)),
  "coupling by nothing": (MaskedCoupling(3, 1), CHANNELS, (0 * HALF, GIVEN)),
  "standardised": (Standardised(), CHANNELS, ()),
  "standardised by others": (Standardised(), CHANNELS, (GIVEN,)),
  "glow": (Glow(SHAPE, levels=2, depth=2, width=4), SHAPE, ()),
  "realnvp": (RealNVP(SHAPE, scales=2, blocks=0, width=8), SHAPE, ()),
}


def wild(variables):
  """Weights away from where they start, where many layers do nothing."""
  rng = np.random.default_rng(1)
  params = jax.tree.map(lambda leaf: leaf + 0.1 * rng.normal(size=leaf.shape).astype(np.float32), variables["params"])
  return {**variables, "params": params}


@pytest.mark.parametrize("name", ROWS)
def test_a_layer_runs_backwards_and_its_log_determinant_is_that_of_its_jacobian(name):
  layer, shape, given = ROWS[name]
  first = jnp.asarray(RNG.uniform(0.1, 0.9, (32, *shape)), jnp.float32)  # two images would standardise badly
  x = first[:BATCH]

  @jax.jit
  def all_of(x):
    variables = wild(
      layer.init(jax.random.key(0), first, *(each.repeat(16, 0) if each is GIVEN else each for each in given))
    )
    run = lambda x, **way: layer.apply(variables, x, *given, **way)
    y, log_det = run(x)
    flat = lambda x: run(x.reshape(-1, *shape))[0].reshape(-1)
    return y, log_det, run(y, reverse=True), jax.jacobian(flat)(x.reshape(-1))

  y, log_det, (back, back_det), jacobian = all_of(x)
  assert (log_det.shape, log_det.dtype, y.dtype) == ((BATCH,), jnp.float32, jnp.float32)
  np.testing.assert_allclose(back, x, atol=1e-5)
  np.testing.assert_allclose(back_det, -log_det, atol=1e-4)
  blocks = np.float64(jacobian).reshape(BATCH, -1, BATCH, jacobian.shape[0] // BATCH)
  for one in range(BATCH):
    np.testing.assert_allclose(log_det[one], np.linalg.slogdet(blocks[one, :, one])[1], rtol=1e-4, atol=1e-4)
    assert not blocks[one, :, 1 - one].any()  # an image is none of another's business
  assert (abs(log_det[0] - log_det[1]) > 1e-3) == (name not in ("actnorm", "invertible conv", "standardised"))


def test_the_noise_of_a_dequantiser_lies_between_0_and_1_with_the_jacobians_log_determinant():
  net, images = Dequantiser(depth=3, blocks=0, width=3), jnp.asarray(RNG.uniform(0, 1, (1, *SHAPE)), jnp.float32)
  noise = jnp.asarray(RNG.normal(size=(1, *SHAPE)), jnp.float32)

  @jax.jit
  def all_of(noise):
    variables = wild(net.init(jax.random.key(0), noise, images))
    flat = lambda noise: net.apply(variables, noise.reshape(1, *SHAPE), images)[0].reshape(-1)
    return *net.apply(variables, noise, images), jax.jacobian(flat)(noise.reshape(-1))

  drawn, log_det, jacobian = all_of(noise)
  assert ((drawn > 0) & (drawn < 1)).all()
  np.testing.assert_allclose(log_det[0], np.linalg.slogdet(np.float64(jacobian))[1], rtol=1e-4)


def test_the_noise_of_a_fresh_dequantiser_is_almost_uniform():
  """The divergence of sigmoid(1.75 z) from uniform noise, by a sum over z, is that of its docstring."""
  z = np.linspace(-9, 9, 20001)
  density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
  slope = np.log(SLOPE) - np.logaddexp(0, SLOPE * z) - np.logaddexp(0, -SLOPE * z)
  bits = (density * (np.log(density) - slope)).sum() * (z[1] - z[0]) / np.log(2)
  np.testing.assert_allclose(bits, 0.014, atol=5e-4)


def test_the_matrix_in_lu_form_starts_as_a_rotation_and_has_the_inverse_that_is_said():
  @jax.jit
  def all_of():
    form = decomposed(jax.random.key(0), 6)
    other = form._replace(lower=form.lower + 0.3, upper=form.upper - 0.2, log_scale=form.log_scale + 0.1)
    return matrix_of(form), matrix_of(other), inverse_of(other)

  start, matrix, inverse = (np.float64(each) for each in all_of())
  np.testing.assert_allclose(start @ start.T, np.eye(6), atol=1e-5)
  np.testing.assert_allclose(inverse @ matrix, np.eye(6), atol=1e-5)
  np.testing.assert_allclose(np.linalg.slogdet(matrix)[1], 0.6, atol=1e-5)


def test_the_first_batch_leaves_every_actnorm_standardised_and_a_scan_is_its_steps_one_after_the_other():
  x = 3 + 5 * RNG.normal(size=(16, *SHAPE)).astype(np.float32)
  net = Glow(SHAPE, levels=1, depth=3, width=4)
  variables = jax.jit(net.init)(jax.random.key(0), x)
  latents, log_det = jax.jit(net.apply)(variables, x)
  y, seen = squeezed(x - 0.5), 0.0
  of_norms = lambda module, _: isinstance(module, ActNorm)
  step = jax.jit(lambda own, y: Step(4).apply(own, y, capture_intermediates=of_norms, mutable=["intermediates"]))
  for number in range(3):
    of_step = lambda leaf, number=number: leaf[number]
    own = {name: jax.tree.map(of_step, variables[name]["level0"]) for name in ("params", "fixed")}
    (y, more), kept = step(own, y)
    seen = seen + more
    outputs = [leaf for leaf in jax.tree.leaves(kept) if leaf.ndim == 4]
    assert len(outputs) == 3
    for output in outputs:
      np.testing.assert_allclose(output.mean((0, 1, 2)), 0, atol=1e-4)
      np.testing.assert_allclose(output.std((0, 1, 2)), 1, atol=1e-3)
  np.testing.assert_allclose(latents, y.reshape(16, -1), rtol=1e-4, atol=1e-4)
  np.testing.assert_allclose(log_det, seen, rtol=1e-4)


@pytest.mark.parametrize("net", [Glow(SHAPE, 1, 1, 2, dtype=jnp.bfloat16), RealNVP(SHAPE, 1, 1, 2, dtype=jnp.bfloat16)])
def test_latents_and_log_determinants_are_float32_whatever_the_nets_are(net):
  latents, log_det = jax.eval_shape(lambda: net.init_with_output(jax.random.key(0), jnp.ones((2, *SHAPE)))[0])
  assert (latents.dtype, log_det.dtype) == (jnp.float32, jnp.float32)


def test_images_that_do_not_halve_and_logits_of_everything_are_refused():
  init = lambda net: jax.eval_shape(net.init, jax.random.key(0), jnp.ones((1, *net.shape)))
  with pytest.raises(ValueError, match="images of 7x7 cannot be halved again; use fewer levels"):
    init(Glow((28, 28, 1), levels=3, depth=1, width=2))
  with pytest.raises(ValueError, match=r"alpha 0\.5; use a number between 0 and 0.5"):
    init(RealNVP(SHAPE, 1, 1, 2, alpha=0.5))
