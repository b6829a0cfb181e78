"""One small Trial of every system in the registry: what test_contract.py asks the contract of.

A new system adds a function here. Its nets are the smallest in which something may still break: batch statistics,
dropout, an average of the weights, a memory. Its optimiser is SGD with momentum, whose updates are linear in the
gradient, so that one device and eight can be compared. Some rows work in parts, or compute again what lies between
their products: with gan, winn, metaoptnet, vae and gpt, which do not, both kinds of every engine are there.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from genjax.nets.bidirectional import BidirectionalTransformer
from genjax.nets.coder import ConvDecoder, ConvEncoder
from genjax.nets.convnet import ConvNet
from genjax.nets.dcgan import DCGANCritic, DCGANGenerator
from genjax.nets.dequantiser import Dequantiser
from genjax.nets.glow import Glow
from genjax.nets.gpt import GPT
from genjax.nets.grid_coder import GridDecoder, GridEncoder
from genjax.nets.mlp import MLPCritic, MLPGenerator
from genjax.nets.noise import decoder
from genjax.nets.pixelcnn import GatedPixelCNN
from genjax.nets.translator import PatchCritic
from genjax.nets.unet import embedded
from genjax.objectives.zoo import least_squares
from genjax.ops import langevin
from genjax.systems import heads
from genjax.systems.adagan import adagan
from genjax.systems.autoencoder import autoencoder
from genjax.systems.cyclegan import cyclegan
from genjax.systems.d2gan import d2gan
from genjax.systems.ddpm import ddpm
from genjax.systems.flow import flow
from genjax.systems.gan import gan
from genjax.systems.gpt import gpt
from genjax.systems.maml import maml
from genjax.systems.maskgit import maskgit
from genjax.systems.metaoptnet import metaoptnet
from genjax.systems.optimizers import sgd
from genjax.systems.pixelcnn import pixelcnn
from genjax.systems.tangent_prop import tangent_prop
from genjax.systems.vae import vae
from genjax.systems.vqvae import vqvae
from genjax.systems.winn import winn
from genjax.systems.winn_classifier import winn_classifier
from tests.systems.contract import Trial

SHAPE, CLASSES, WAYS = (4, 4, 1), 3, 3
OPTIMIZER = sgd(learning_rate=0.01, momentum=0.5)
IMAGES = {"shape": SHAPE, "optimizer": OPTIMIZER}


class Embedding(nn.Module):
  """Features [B, 4] with batch statistics and dropout."""

  @nn.compact
  def __call__(self, images: Any, *, train: bool = False) -> tuple[Any, dict]:
    x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(nn.Conv(4, (3, 3))(images))
    x = nn.Dropout(0.1, deterministic=not train)(nn.relu(x))
    return x.mean((1, 2)), {"map": x}


class Denoiser(nn.Module):
  """Noise [B, H, W, C] by the image, the time and the label, with dropout."""

  @nn.compact
  def __call__(self, images: Any, time: Any, labels: Any, *, train: bool = False) -> Any:
    t = nn.Dense(4)(embedded(time, 4)) + nn.Embed(CLASSES + 1, 4)(labels)
    x = nn.Conv(4, (3, 3))(images) + t[:, None, None]
    return nn.Conv(1, (3, 3))(nn.Dropout(0.1, deterministic=not train)(nn.swish(x)))


class Recolour(nn.Module):
  """An image of the same size."""

  @nn.compact
  def __call__(self, images: Any) -> Any:
    return jnp.tanh(nn.Conv(1, (3, 3))(images))


def images(size: int, *names: str) -> list[dict[str, np.ndarray]]:
  """Three batches of images and labels, or of images by these names."""
  rng = np.random.default_rng(0)
  uniform = lambda: rng.uniform(-1, 1, (size, *SHAPE)).astype(np.float32)
  if names:
    return [{name: uniform() for name in names} for _ in range(3)]
  return [{"image": uniform(), "label": rng.integers(0, CLASSES, size).astype(np.int32)} for _ in range(3)]


def episodes() -> list[dict[str, np.ndarray]]:
  """Three batches of 8 episodes of 2 supports and 2 queries a class."""
  rng = np.random.default_rng(0)
  label = np.tile(np.repeat(np.arange(WAYS), 2), (8, 1)).astype(np.int32)
  draw = lambda: rng.normal(size=(*label.shape, *SHAPE)).astype(np.float32)
  return [{"support": draw(), "support_label": label, "query": draw(), "query_label": label} for _ in range(3)]


def _winn() -> Trial:
  sizes = {"minibatch": 8, "synthesis": 8, "synthesis_batch": 8, "initial": 8, "capacity": 16, "ascent_steps": 3}
  sampler = langevin.langevin(0.01)
  system = winn(ConvNet(((4,),)), decoder(SHAPE, width=4), **IMAGES, **sizes, sampler=sampler, passes=2, ema=0.9)
  return Trial(system, images(16))


def _winn_classifier() -> Trial:
  sizes = {"minibatch": 8, "synthesis": 8, "synthesis_batch": 8, "initial": 8, "capacity": 16, "ascent_steps": 3}
  net, sampler = ConvNet(((4,),), dropout=0.1), langevin.langevin(0.01)
  own = {"classes": CLASSES, "sampler": sampler, "ema": 0.9, "alpha": 0.1, "accumulate": 2, "remat": True}
  return Trial(winn_classifier(net, decoder(SHAPE, width=4), **IMAGES, **sizes, **own), images(16))


def _gan() -> Trial:
  nets = (DCGANGenerator(SHAPE, (4,)), DCGANCritic((4,), norm="spectral"))
  system = gan(*nets, **IMAGES, objective=least_squares(), latent=3, critic_steps=2, ema=0.9, sample_batch=4)
  return Trial(system, images(16))


def _d2gan() -> Trial:
  nets = (MLPGenerator(SHAPE, (4,)), MLPCritic((4,)))
  return Trial(d2gan(*nets, **IMAGES, latent=3, accumulate=2), images(16))


def _adagan() -> Trial:
  """Three steps: a first GAN, a mixture critic, a second GAN."""
  stages = {"components": 2, "component_steps": 2, "mixture_critic_steps": 1, "candidates": 2, "accumulate": 2}
  nets = (MLPGenerator(SHAPE, (4,)), MLPCritic((4,)))
  system = adagan(*nets, **IMAGES, **stages, mixture_optimizer=OPTIMIZER, objective=least_squares(), latent=3)
  return Trial(system, images(16))


def _metaoptnet() -> Trial:
  head = heads.ridge(ways=WAYS)
  return Trial(metaoptnet(Embedding(), head, **IMAGES, ways=WAYS), episodes())


def _maml() -> Trial:
  return Trial(maml(Embedding(), **IMAGES, ways=WAYS, inner_steps=1, evaluate_steps=1, remat=True), episodes())


def _autoencoder() -> Trial:
  coder = (ConvEncoder((4,), features=4), ConvDecoder(SHAPE, (4,)))
  return Trial(autoencoder(*coder, **IMAGES, code=2, noise=0.1, masked=0.1, contraction=0.1, ema=0.9), images(8))


def _tangent_prop() -> Trial:
  encode = lambda x: jnp.tanh(x.reshape(len(x), -1) @ (jnp.arange(32.0).reshape(16, 2) / 50 - 0.3))
  own = {"classes": CLASSES, "directions": 1, "ema": 0.9}
  return Trial(tangent_prop(ConvNet(((4,),), dropout=0.1), encode, **IMAGES, **own), images(8))


def _vae() -> Trial:
  coder = (ConvEncoder((4,), features=4), ConvDecoder(SHAPE, (4,)))
  return Trial(vae(*coder, **IMAGES, latent=2, ema=0.9), images(8))


def _ddpm() -> Trial:
  own = {"steps": 10, "sampler_steps": 2, "ema": 0.9, "sample_batch": 4, "accumulate": 2, "remat": True}
  labels = {"conditional": True, "guidance": 1.0, "classes": CLASSES}
  return Trial(ddpm(Denoiser(), **IMAGES, **own, **labels), images(16))


def _cyclegan() -> Trial:
  return Trial(
    cyclegan(Recolour(), PatchCritic((2,)), **IMAGES, target_shape=SHAPE, history=8, ema=0.9, accumulate=2),
    images(16, "source", "target"),
  )


def _gpt() -> Trial:
  rng = np.random.default_rng(0)
  tokens = [{"tokens": rng.integers(0, 5, (8, 6)).astype(np.int32)} for _ in range(3)]
  net = GPT(5, 6, width=8, depth=1, heads=2)
  return Trial(gpt(net, vocabulary=5, length=6, optimizer=OPTIMIZER, ema=0.9), tokens)


def _pixelcnn() -> Trial:
  net = GatedPixelCNN(SHAPE, width=4, layers=2, first_kernel=3, hidden=4, dropout=0.1)
  return Trial(pixelcnn(net, **IMAGES, likelihood="bernoulli", ema=0.9, sample_batch=4), images(8))


GRID_CODER = (GridEncoder((4,), 1), GridDecoder(SHAPE, (4,), 1))


def _vqvae() -> Trial:
  """Averages so short that a code that the second batch does not use restarts."""
  return Trial(vqvae(*GRID_CODER, **IMAGES, codes=20, latent=2, decay=0.01, ema=0.9), images(8))


def _maskgit() -> Trial:
  net, book = BidirectionalTransformer(8, 1, 2), {"codes": 7, "latent": 2}
  return Trial(maskgit(net, *GRID_CODER, **IMAGES, **book, sampler_steps=2, ema=0.9), images(8))


def _flow() -> Trial:
  net, dequantiser = Glow(SHAPE, levels=1, depth=2, width=2, remat=True), Dequantiser(depth=2, blocks=0, width=2)
  return Trial(flow(net, **IMAGES, levels=17, dequantiser_net=dequantiser, ema=0.9), images(8))


ROWS: Mapping[str, Callable[[], Trial]] = {
  "winn": _winn,
  "winn_classifier": _winn_classifier,
  "gan": _gan,
  "d2gan": _d2gan,
  "adagan": _adagan,
  "metaoptnet": _metaoptnet,
  "maml": _maml,
  "autoencoder": _autoencoder,
  "tangent_prop": _tangent_prop,
  "vae": _vae,
  "ddpm": _ddpm,
  "cyclegan": _cyclegan,
  "gpt": _gpt,
  "pixelcnn": _pixelcnn,
  "vqvae": _vqvae,
  "maskgit": _maskgit,
  "flow": _flow,
}
