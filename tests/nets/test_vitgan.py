"""ViTGAN's generator and critic, and the vanilla pair: parameters by hand, every switch, what a checkpoint holds."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import serialization

from genjax.nets.vit import ViTCritic, ViTGenerator
from genjax.nets.vitgan import Mapping, ViTGANCritic, ViTGANGenerator

KEY = jax.random.key(0)
SHAPE = (4, 6, 1)
SMALL = {"patch": 2, "width": 8, "depth": 1, "heads": 2, "ratio": 2}
GENERATORS = {
  "paper": ViTGANGenerator(SHAPE, mapping_depth=2, **SMALL),
  "A, linear": ViTGANGenerator(SHAPE, trunk="added", output="linear", mapping_depth=1, **SMALL),
  "B, implicit": ViTGANGenerator(SHAPE, trunk="prepended", hidden=5, mapping_depth=1, position="learned", **SMALL),
  "released": ViTGANGenerator(SHAPE, attention="l2", norm="isn", residual="normalised", mapping_depth=1, **SMALL),
  "local": ViTGANGenerator(SHAPE, mixing="local", mapping_depth=1, pixel_norm=False, equalised=False, **SMALL),
  "mixer": ViTGANGenerator(SHAPE, mixing="mlp", mapping_depth=1, **SMALL),
  "vanilla": ViTGenerator(SHAPE, mapping_depth=1, **SMALL),
}
CRITICS = {
  "paper": ViTGANCritic(**SMALL),
  "R1": ViTGANCritic(embedding="patches", attention="dot", norm="none", conv_projection=False, **SMALL),
  "SN": ViTGANCritic(embedding="patches", attention="dot", norm="sn", conv_projection=False, **SMALL),
  "euclidean": ViTGANCritic(attention="euclidean", position="learned", equalised=False, **SMALL),
  "lipschitz": ViTGANCritic(attention="lipschitz", conv_projection=False, **SMALL),
  "stem": ViTGANCritic(embedding="stem", **SMALL),
  "local": ViTGANCritic(mixing="local", conv_projection=False, **SMALL),
  "mixer": ViTGANCritic(mixing="mlp", **SMALL),
  "vanilla": ViTCritic(**SMALL),
}


_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})  # half the time to compile


def _start(net, *args):
  """As `init`, from a quick draw of all parameters: nothing is compiled. Vectors of norms are no singular vectors."""
  draw = np.random.default_rng(0)

  def leaf(path, like):
    if path[-1].key in ("scale", "sigma_init"):
      return jnp.ones(like.shape)
    slow = path[-1].key == "kernel" and path[-2].key.startswith("EqualDense")
    value = draw.normal(size=like.shape) * (100 if slow else 1)
    return jnp.asarray(value / np.linalg.norm(value) if path[-1].key == "u" else value, jnp.float32)

  return jax.tree_util.tree_map_with_path(leaf, dict(_shapes(net, *args)))


def _shapes(net, *args):
  return jax.eval_shape(net.init, KEY, *args)


def _count(tree):
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


# Sizes ----------------------------------------------------------------------------------------------------------------

D, M = 384, 1536
MLP = D * M + M + M * D + D


def test_the_generator_has_as_many_parameters_as_by_hand():
  params = _shapes(ViTGANGenerator((32, 32, 3)), jnp.zeros((1, 384)))["params"]
  modulation = D * 2 * D + 2 * D
  block = 3 * D * D + (D * D + D) + MLP + 2 * modulation
  assert _count(params["blocks_0"]) == block == 2_363_136
  code = 2 * D + D
  painter = code + (D * D + D) * 2 + D * D + D + 3 * D + 3
  assert _count(params["mapper"]) == 8 * (D * D + D) == 1_182_720  # that of the released code
  assert _count(params) == 1_182_720 + code + 4 * block + modulation + painter == 11_377_923


def test_the_critic_has_as_many_parameters_as_by_hand():
  images = jnp.zeros((1, 32, 32, 3))
  params = _shapes(ViTGANCritic(), images)["params"]
  block = 9 * 2 * D * D + (D * D + D) + MLP + 2 * 2 * D
  assert _count(params["blocks_0"]) == block
  rest = (8 * 8 * 3 * D + D) + (2 * D + D) + D + 2 * D + D + 1  # windows, places, class token, last norm, logit
  assert _count(params) == 4 * block + rest == 16_017_409
  plain = _shapes(ViTGANCritic(conv_projection=False, embedding="patches"), images)["params"]
  assert _count(params) - _count(plain) == 4 * 8 * 2 * D * D + (64 - 16) * 3 * D
  vanilla = _shapes(ViTCritic(), images)
  assert _count(vanilla["params"]) - _count(plain) == 4 * D * D  # keys of their own
  assert set(vanilla) == {"params"}


@pytest.mark.parametrize(
  ("side", "generator", "critic", "tokens"),
  [
    (32, {"patch": 4, "depth": 4}, {"patch": 4, "depth": 4}, (64, 64)),
    (64, {"patch": 8, "depth": 6}, {"patch": 8, "depth": 6}, (64, 64)),
    (128, {"patch": 8, "depth": 8}, {"patch": 16, "depth": 4, "embedding": "stem"}, (256, 64)),
  ],
)
def test_the_sizes_of_the_thesis(side, generator, critic, tokens):
  latent, images = jnp.zeros((2, 384)), jnp.zeros((2, side, side, 3))
  net = ViTGANGenerator((side, side, 3), position="learned", **generator)
  image, variables = jax.eval_shape(lambda: net.init_with_output(KEY, latent))
  assert image.shape == (2, side, side, 3)
  assert variables["params"]["places"]["code"].shape == (tokens[0], 384)
  assert f"blocks_{generator['depth'] - 1}" in variables["params"]
  net = ViTGANCritic(position="learned", **critic)
  (logits, aux), variables = jax.eval_shape(lambda: net.init_with_output(KEY, images))
  assert (logits.shape, aux["features"].shape) == ((2,), (2, 384))
  assert variables["params"]["places"]["code"].shape == (tokens[1], 384)
  assert f"blocks_{critic['depth']}" not in variables["params"]


# Every switch ---------------------------------------------------------------------------------------------------------


def _silent(gradient):
  """Parameters that no gradient reaches."""
  gradient = jax.tree.map(np.asarray, gradient)
  return [jax.tree_util.keystr(path) for path, leaf in jax.tree.leaves_with_path(gradient) if not np.abs(leaf).max()]


@pytest.mark.parametrize("name", GENERATORS)
def test_every_generator_makes_images_and_its_gradient_reaches_every_parameter(name):
  net, latent = GENERATORS[name], jax.random.normal(KEY, (3, 5))
  variables = _start(net, latent)

  def loss(params):
    images = net.apply(variables | {"params": params}, latent)
    return (images * jax.random.normal(jax.random.key(1), images.shape)).sum(), images

  gradient, images = _jit(jax.grad(loss, has_aux=True))(variables["params"])
  assert images.shape == (3, *SHAPE)
  assert images.dtype == jnp.float32
  assert images.std() > 0.1
  assert not _silent(gradient)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
  assert len({np.asarray(image).tobytes() for image in images}) == 3


@pytest.mark.parametrize("name", CRITICS)
def test_every_critic_has_logits_and_gradient_and_gradient_penalty_reach_every_parameter(name):
  net, images = CRITICS[name], jax.random.normal(KEY, (3, *SHAPE))
  variables = _start(net, images)

  def loss(params):
    logits, back = jax.vjp(lambda images: net.apply(variables | {"params": params}, images)[0], images)
    return (logits**2).sum() + (back(jnp.ones(3))[0] ** 2).sum(), logits

  gradient, logits = _jit(jax.grad(loss, has_aux=True))(variables["params"])
  assert logits.shape == (3,)
  assert logits.dtype == jnp.float32
  assert len(set(np.asarray(logits).tolist())) == 3
  assert not _silent(gradient)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_a_switch_changes_what_is_made():
  """No argument is read in vain: parameters or pictures differ from those of the paper's net."""
  latent = jax.random.normal(KEY, (2, 5))
  sizes = [_shapes(net, latent)["params"] for net in GENERATORS.values()]
  assert len({str(jax.tree.map(lambda leaf: leaf.shape, tree)) for tree in sizes}) >= 6
  net = GENERATORS["paper"]
  variables = _start(net, latent)
  images = _jit(net.apply)(variables, latent)
  for change in ({"pixel_norm": False}, {"residual": "normalised"}, {"mixing": "local"}, {"mapping_multiplier": 0.1}):
    other = net.clone(**change)
    assert not np.allclose(_jit(other.apply)(variables, latent), images, atol=1e-3), change
  np.testing.assert_allclose(_jit(net.clone(bounded=True).apply)(variables, latent), jnp.tanh(images), atol=1e-6)


# Parts of the generator -----------------------------------------------------------------------------------------------


def test_the_mapping_is_pixel_norm_and_layers_of_a_small_learning_rate():
  net, latent = Mapping(3, depth=2), jax.random.normal(KEY, (2, 4)) * 7
  variables = net.init(KEY, latent)
  x = np.asarray(latent) / np.sqrt((np.asarray(latent) ** 2).mean(-1, keepdims=True))
  for name in ("EqualDense_0", "EqualDense_1"):
    kernel = np.asarray(variables["params"][name]["kernel"])
    assert 30 < kernel.std() < 300  # drawn from N(0, 1) / 0.01
    x = x @ kernel * 0.01 / np.sqrt(kernel.shape[0])
    x = np.where(x > 0, x, 0.2 * x) * np.sqrt(2)
  np.testing.assert_allclose(net.apply(variables, latent), x, rtol=1e-4, atol=1e-5)


def test_styles_mix_where_norms_are_modulated():
  net = GENERATORS["paper"].clone(depth=2)
  latent = jax.random.normal(KEY, (2, 5))
  variables = _start(net, latent)
  w = net.apply(variables, latent, method="mapping")
  generate = _jit(lambda w: net.apply(variables, w, method="synthesis"))
  whole = _jit(net.apply)(variables, latent)
  np.testing.assert_allclose(generate(w), whole, rtol=1e-5, atol=1e-6)
  assert net.styles == 3
  each = jnp.repeat(w[:, None], 3, 1)
  np.testing.assert_allclose(generate(each), whole, rtol=1e-5, atol=1e-6)
  for place in range(3):
    assert not np.allclose(generate(each.at[:, place].set(w[::-1])), whole, atol=1e-3)
  with pytest.raises(ValueError, match=r"has 2 styles; trunk 'modulated' takes 3"):
    net.apply(variables, each[:, :2], method="synthesis")


def test_a_prepended_latent_is_a_token_without_a_place():
  net = GENERATORS["B, implicit"]
  shapes = _shapes(net, jnp.zeros((1, 5)))["params"]
  assert shapes["places"]["code"].shape == (6, 8)
  assert "modulation" not in shapes["last_norm"]
  assert net.styles == 1


# What a checkpoint holds ----------------------------------------------------------------------------------------------


def test_a_restored_critic_is_the_same_to_the_last_bit():
  net, images = CRITICS["paper"], jax.random.normal(KEY, (3, *SHAPE))
  variables = _start(net, images)
  step = _jit(lambda variables: variables | net.apply(variables, images, train=True, mutable=["spectral"])[1])
  variables["params"] = jax.tree.map(lambda leaf: leaf * 1.5 + 0.1, variables["params"])
  variables = step(variables)
  other = _jit(net.init)(jax.random.key(7), images)
  restored = serialization.from_bytes(other, serialization.to_bytes(variables))
  apply = _jit(net.apply)
  np.testing.assert_array_equal(apply(restored, images)[0], apply(variables, images)[0])
  for old, new in zip(jax.tree.leaves(step(variables)), jax.tree.leaves(step(restored)), strict=True):
    np.testing.assert_array_equal(old, new)
  alone = {"params": variables["params"], "spectral": other["spectral"]}  # as where sigma_init was forgotten
  assert not np.allclose(apply(alone, images)[0], apply(variables, images)[0], rtol=1e-2)


@pytest.mark.parametrize("name", ["paper", "stem"])
def test_every_weight_matrix_of_the_critic_is_normalised(name):
  variables = _shapes(CRITICS[name], jnp.zeros((1, *SHAPE)))
  kernels = [path[:-1] for path, leaf in jax.tree.leaves_with_path(variables["params"]) if path[-1].key == "kernel"]
  normed = [path[:-1] for path, _ in jax.tree.leaves_with_path(variables["spectral"]) if path[-1].key == "u"]
  assert [path for path in kernels if path not in normed] == [
    path
    for path in kernels
    if path[0].key == "places"  # which no image passes
  ]


# Memory, precision, odd sizes, labels ---------------------------------------------------------------------------------


def test_remat_keeps_little_but_what_goes_into_blocks():
  images = jnp.zeros((16, *SHAPE))

  def kept(net):
    variables = _shapes(net, images)
    loss = lambda params, variables: net.apply(variables | {"params": params}, images)[0].sum()
    back = lambda variables: jax.vjp(lambda params: loss(params, variables), variables["params"])[1]
    return _count(jax.eval_shape(back, variables))

  net = CRITICS["vanilla"].clone(depth=3)
  assert kept(net.clone(remat=True)) < 0.3 * kept(net)


@pytest.mark.slow
def test_remat_changes_no_gradient_and_no_state():
  images, latent = jax.random.normal(KEY, (3, *SHAPE)), jax.random.normal(KEY, (3, 5))
  for net, x in ((CRITICS["paper"].clone(depth=2), images), (GENERATORS["paper"].clone(depth=2), latent)):
    variables = _start(net, x)
    mutable = [name for name in variables if name != "params"]

    def loss(params, net, x=x, variables=variables, mutable=mutable):
      out, after = net.apply(variables | {"params": params}, x, train=True, mutable=mutable)
      return (jax.tree.leaves(out)[0] ** 2).sum(), after

    slope = lambda net, start: _jit(jax.grad(partial(loss, net=net), has_aux=True))(start)
    kept, again = (slope(each, variables["params"]) for each in (net, net.clone(remat=True)))
    for a, b in zip(jax.tree.leaves(kept), jax.tree.leaves(again), strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("attention", ["dot", "l2", "euclidean"])
def test_a_bfloat16_trunk_gives_finite_float32_near_those_of_float32(attention):
  net = CRITICS["paper"].clone(attention=attention, conv_projection=attention == "l2")
  images = jax.random.normal(KEY, (4, *SHAPE))
  variables = _start(net, images)
  assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
  half = net.clone(dtype=jnp.bfloat16)
  loss = lambda params: (half.apply(variables | {"params": params}, images)[0] ** 2).sum()
  gradient = _jit(jax.grad(loss))(variables["params"])
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
  assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype("float32")}
  logits, exact = (_jit(each.apply)(variables, images)[0] for each in (half, net))
  assert logits.dtype == jnp.float32
  np.testing.assert_allclose(logits, exact, atol=0.1)


def test_images_of_a_bfloat16_generator_are_float32():
  net, latent = GENERATORS["paper"], jax.random.normal(KEY, (3, 5))
  variables = _start(net, latent)
  images = _jit(net.clone(dtype=jnp.bfloat16).apply)(variables, latent)
  assert images.dtype == jnp.float32
  np.testing.assert_allclose(images, _jit(net.apply)(variables, latent), atol=0.2)


@pytest.mark.parametrize("shape", [(2, 2, 1), (6, 10, 2)])
def test_one_token_and_odd_grids_work(shape):
  latent = jax.random.normal(KEY, (2, 3))
  for net in (ViTGANGenerator(shape, mapping_depth=1, **SMALL), ViTGenerator(shape, mapping_depth=1, **SMALL)):
    images = _jit(net.apply)(_start(net, latent), latent)
    assert images.shape == (2, *shape)
    assert np.isfinite(images).all()
  for net in (ViTGANCritic(**SMALL), ViTCritic(**SMALL)):
    assert np.isfinite(_jit(net.apply)(_start(net, images), images)[0]).all()


def test_first_images_are_about_as_large_as_images():
  images, _ = _jit(lambda key: GENERATORS["paper"].init_with_output(key, jax.random.normal(key, (32, 5))))(KEY)
  assert 0.3 < images.std() < 3


def test_the_critic_reads_the_class_token():
  """Without blocks nothing reaches it from the image: its features are its own, normalised."""
  net, images = CRITICS["R1"].clone(depth=0), jax.random.normal(KEY, (3, *SHAPE))
  variables = _start(net, images)
  first, norm = (variables["params"][name] for name in ("class_token", "last_norm"))
  wanted = (first - first.mean()) / np.sqrt(first.var() + 1e-6) * norm["norm"]["scale"] + norm["norm"]["bias"]
  features = _jit(net.apply)(variables, images)[1]["features"]
  np.testing.assert_allclose(features, np.tile(wanted, (3, 1)), rtol=1e-4, atol=1e-5)


def test_a_label_changes_the_image_and_its_logit():
  generator, critic = (nets["paper"].clone(classes=3) for nets in (GENERATORS, CRITICS))
  latent, labels = jnp.ones((3, 2)), jnp.arange(3)
  images = _jit(generator.apply)(_start(generator, latent, labels), latent, labels)
  assert len({np.asarray(image).tobytes() for image in images}) == 3
  same = jnp.broadcast_to(images[:1], images.shape)
  logits, _ = _jit(critic.apply)(_start(critic, same, labels), same, labels)
  assert len(set(np.asarray(logits).tolist())) == 3


def test_wrong_words_are_refused_with_the_right_ones():
  latent = jnp.ones((1, 3))
  for change, message in (
    ({"trunk": "C"}, "trunk 'C'; use 'modulated', 'added' or 'prepended'"),
    ({"output": "conv"}, "output 'conv'; use 'implicit' or 'linear'"),
    ({"position": "none"}, "position 'none'; use 'fourier' or 'learned'"),
    ({"patch": 3}, "images 4x6 are not cut evenly by patches of 3"),
  ):
    with pytest.raises(ValueError, match=message):
      _shapes(GENERATORS["paper"].clone(**change), latent)
