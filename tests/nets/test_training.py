"""Train mode and labels, asked of every net that a config can name; nothing is compiled that a trace can answer."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.autoencoder import Autoencoder
from genjax.nets.biggan import BigGANCritic
from genjax.nets.convnet import ConvNet
from genjax.nets.dcgan import DCGANCritic, DCGANGenerator
from genjax.nets.densenet import DenseNet
from genjax.nets.mlp import MLPCritic
from genjax.nets.resnet import ResNet13
from genjax.nets.resnet_gan import SpectralResNetCritic
from genjax.nets.training import mode, per_image, takes_train
from genjax.nets.vanilla import VanillaNet
from genjax.nets.vitgan import ViTGANCritic
from genjax.nets.wgan_gp import WganGp32, WganGp64
from genjax.registry import GENERATORS, NETS, load

KEY = jax.random.key(0)
IMAGES, LATENT, LABELS = jnp.zeros((2, 32, 32, 3)), jnp.zeros((2, 8)), jnp.zeros(2, jnp.int32)
WITH_TWO_MODES = {
  *("convnet", "vanilla", "resnet13", "resnet32", "densenet20", "wgan_gp_32", "wgan_gp_64", "dcgan", "mlp"),
  *("sn_gan_resnet", "vitgan", "vit", "biggan", "conv4", "resnet12", "r2d2"),
}
SMALL = {
  "batch norm": (DCGANGenerator((4, 4, 1), (4,)), LATENT),
  "spectral": (MLPCritic((6, 5), spectral=True), IMAGES[:, :4, :4]),
  "kept": (ViTGANCritic(2, 8, 1, 2, 2, remat=True), IMAGES[:, :4, :4]),
}


def _small(net, x):
  x = jax.random.normal(KEY, x.shape)
  rngs = {"params": KEY, "dropout": jax.random.key(1)}
  return x, rngs, jax.jit(net.init)(rngs, x)


@pytest.mark.parametrize("name", SMALL)
def test_only_training_writes_collections_and_it_writes_all_of_them(name):
  net, x = SMALL[name]
  x, rngs, variables = _small(net, x)
  mutable = [each for each in variables if each != "params"]
  run = lambda train: jax.jit(lambda v: net.apply(v, x, train=train, rngs=rngs, mutable=mutable))(variables)
  (_, after), (_, still) = run(True), run(False)
  assert mutable
  for collection in mutable:
    jax.tree.map(np.testing.assert_array_equal, still[collection], variables[collection])
    before = jax.tree.leaves(variables[collection])
    assert any(
      not np.array_equal(old, new) for old, new in zip(before, jax.tree.leaves(after[collection]), strict=True)
    )


@pytest.mark.parametrize("name", SMALL)
def test_train_never_changes_what_init_makes(name):
  net, x = SMALL[name]
  x, rngs, variables = _small(net, x)
  jax.tree.map(np.testing.assert_array_equal, jax.jit(lambda: net.init(rngs, x, train=True))(), variables)


def test_a_net_takes_train_where_it_has_two_modes_and_always_by_keyword():
  kinds = {name: load(home) for name, home in NETS.items()}
  trained = {name for name, kind in kinds.items() if takes_train(object.__new__(kind))}
  assert trained >= WITH_TWO_MODES
  assert not trained & {"autoencoder", "stylegan2"}
  for kind in (*kinds.values(), *(load(home) for home in GENERATORS.values())):
    train = inspect.signature(kind.__call__).parameters.get("train")
    assert train is None or (train.kind, train.default) == (inspect.Parameter.KEYWORD_ONLY, False), kind
  assert mode(DCGANCritic(), True) == {"train": True}
  assert mode(Autoencoder(), True) == {}


@pytest.mark.parametrize("table", [NETS, GENERATORS], ids=["nets", "generators"])
def test_every_net_has_the_type_in_which_it_multiplies(table):
  assert not [name for name, home in table.items() if load(home).__dataclass_fields__["dtype"].default != jnp.float32]


PER_IMAGE = {
  "convnet": ConvNet(((2,),)),
  "vanilla": VanillaNet((2,), (2,)),
  "resnet13": ResNet13((2,), (1,)),
  "densenet20": DenseNet((1,), 2, 2),
  "wgan_gp_32": WganGp32(2),
  "wgan_gp_64": WganGp64(2, (1,)),
  "autoencoder": Autoencoder((3,), 2),
  "mlp": MLPCritic((3,)),
  "dcgan": DCGANCritic((2, 3), norm="layer"),
  "sn_gan_resnet": SpectralResNetCritic(2),
  "biggan": BigGANCritic(2),
  "vitgan": ViTGANCritic(2, 8, 1, 2, 2),
}


def test_critics_that_say_so_look_at_each_image_alone():
  said = {name for name, home in NETS.items() if hasattr(load(home), "per_image")}
  assert said == {*PER_IMAGE, "vit", "resnet32"}
  for net in (DCGANCritic(), MLPCritic(kernels=2), DCGANCritic(norm="layer", kernels=2), ConvNet(dropout=0.1)):
    assert not per_image(net)
  rng = np.random.default_rng(0)
  images = jax.random.normal(KEY, (2, 4, 4, 1))
  for net in PER_IMAGE.values():
    assert per_image(net)
    shapes = jax.eval_shape(net.init, KEY, images[:1])
    variables = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(leaf.dtype), shapes)
    mutable = [name for name in variables if name != "params"]
    logits = jax.jit(lambda x: net.apply(variables, x, **mode(net, True), mutable=mutable)[0][0])  # noqa: B023
    np.testing.assert_array_equal(logits(images)[0], logits(images.at[1].multiply(3.0))[0])


def _conditional():
  """Every net of the registry that takes labels: name, net, what it sees beside them."""
  for name, home in NETS.items():
    if "classes" in load(home).__dataclass_fields__:
      timed = "time" in inspect.signature(load(home).__call__).parameters
      yield f"critic {name}", load(home)(), (IMAGES, jnp.zeros(len(IMAGES))) if timed else (IMAGES,)
  for name, home in GENERATORS.items():
    if "classes" in load(home).__dataclass_fields__:
      yield f"generator {name}", load(home)(IMAGES.shape[1:]), (LATENT,)


CONDITIONAL = {name: (net, x) for name, net, x in _conditional()}


@pytest.mark.parametrize("name", CONDITIONAL)
def test_a_net_is_conditional_where_labels_are_passed_whatever_classes_says(name):
  net, x = CONDITIONAL[name]
  shapes = lambda net, *args: jax.eval_shape(net.init_with_output, KEY, *args)
  plain, unused = shapes(net, *x), shapes(net.clone(classes=3), *x)
  assert jax.tree.structure(unused) == jax.tree.structure(plain)
  assert jax.tree.leaves(unused) == jax.tree.leaves(plain)
  labelled = shapes(net.clone(classes=3), *x, LABELS)
  sizes = [sum(leaf.size for leaf in jax.tree.leaves(one[1]["params"])) for one in (plain, labelled)]
  assert sizes[1] > sizes[0]
  assert jax.tree.map(lambda leaf: leaf.shape, labelled[0]) == jax.tree.map(lambda leaf: leaf.shape, plain[0])
  with pytest.raises(ValueError, match="the net got labels and has classes=None; set its classes"):
    shapes(net, *x, LABELS)
