"""The Round of one update of a GAN: fakes of its latents, and the critic's logits of all that a Term asks about.

Papers   StyleGAN  Karras et al. 2019, arXiv:1812.04948: style mixing
Departs  One call of the critic has the reals, the fakes and what consistency adds to them, where the critic says that
         it looks at each image alone (nets/training.py): the numbers are those of a call for each, and devices add up
         one gradient. Not where both players move from one point: there they share their passes.
Shapes   m images and latents of a part: [m, H, W, C], [m, Z]; labels [m].
Checked  tests/systems/test_gan.py, test_gan_augment.py, test_gan_together.py
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.core import Batch
from genjax.objectives.terms import Augmentation, Critic, Objective, Round, Term, play, play_together
from genjax.ops.diffaugment import Policy, diffaugment
from genjax.ops.latents import each_style
from genjax.systems.styles import has_w, mixed, styles_of, trained

Array = jax.Array
Prior = Literal["normal", "uniform"]
Variables = Mapping[str, Mapping[str, Any]]  # {player: {"params": ..., other collections}}
_DROPOUT, _NOISE, _MIX = 0x6472, 0x6E6F, 0x6D6978  # keys beside those of the terms


class Pair(NamedTuple):
  """Both nets, and what they are trained with."""

  generator: nn.Module
  critic: nn.Module
  objective: Objective
  shape: tuple[int, int, int]
  latent: int
  prior: Prior
  classes: int | None  # of the labels that both nets see; None: they see none
  policy: Policy | None  # of the augmentation
  style_mixing: float
  noise: Literal["fresh", "fixed"]  # of samples
  together: bool  # whether one call of the critic answers all that a Term asks


def draw_latents(key: Array, n: int, *, latent: int = 128, prior: Prior = "normal") -> Array:
  """Latents [n, latent] of a prior, see `gan`, whose defaults these are."""
  if prior == "normal":
    return jax.random.normal(key, (n, latent))
  return jax.random.uniform(key, (n, latent), minval=-1.0, maxval=1.0)


def round_of(
  pair: Pair, key: Array, variables: Variables, part: Batch, term: Term | None = None
) -> tuple[Round, dict[str, Mapping[str, Any]]]:
  """The Round of one update, and each net's collections but "params" after it.

  Args:
    pair, key, variables, part: as of a loss of the game.
    term: whose Round it is, by this key, where one call of the critic is to answer all that it asks.
  """
  labels, rngs = labels_of(pair, part), {"dropout": jax.random.fold_in(key, _DROPOUT)}
  augment = partial(diffaugment, policy=pair.policy)
  noisy = {**rngs, "noise": jax.random.fold_in(key, _NOISE)}

  def generate(latent: Array) -> tuple[Array, Mapping[str, Any]]:
    return trained(pair.generator, variables["generator"], noisy, latent, *labels)

  def bare(params: Any) -> Critic:
    def critic(images: Array) -> tuple[Array, dict[str, Any]]:
      each = tuple(repeated(label, len(images)) for label in labels)
      (logits, aux), after = trained(pair.critic, {**variables["critic"], "params": params}, rngs, images, *each)
      return logits, {**aux, "collections": after}

    return critic

  def critic_at(params: Any) -> Critic:
    critic = bare(params)
    return critic if pair.policy is None else lambda images: critic(augment(part["augment"], images))

  params = variables["critic"]["params"]
  styles, synthesis = part["latent"], generate
  if has_w(pair.generator):
    styles, mapped = _mixed_styles(pair, key, variables["generator"], noisy, part)
    of_w = {**variables["generator"], **mapped}
    synthesis = lambda w: trained(pair.generator, of_w, noisy, w, method="synthesis")
  fake, generator_after = synthesis(styles) if pair.style_mixing else generate(part["latent"])
  together = term is not None and pair.together
  round = (partial(play_together, term, key, shared=("collections",)) if together else play)(
    critic_at(params),
    part["image"],
    fake,
    generator=lambda latent: generate(latent)[0],
    latent=part["latent"],
    styles=styles,
    synthesis=lambda w: synthesis(w)[0],
    labels=labels[0] if labels else None,
    critic_params=params,
    generator_params=variables["generator"]["params"],
    critic_at=critic_at,
    augmentation=None if pair.policy is None else Augmentation(part["augment"], augment, bare(params)),
  )
  both = (round.real_aux["collections"], round.fake_aux["collections"])
  return round, {"critic": jax.tree.map(lambda a, b: (a + b) / 2, *both), "generator": generator_after}


def labels_of(pair: Pair, batch: Batch) -> tuple[Array, ...]:
  """What both nets take beside their first input: ([B] int32,), or () where they see no labels."""
  return () if pair.classes is None else (batch["label"],)


def repeated(labels: Array, count: int) -> Array:
  """The labels [m] for `count` images, of which as many in a row belong to one place: [count]."""
  return jnp.broadcast_to(labels[:, None], (len(labels), count // len(labels))).reshape(-1)


def _mixed_styles(
  pair: Pair, key: Array, variables: Mapping[str, Any], rngs: Mapping[str, Array], part: Batch
) -> tuple[Array, Mapping[str, Any]]:
  """The w of a part's fakes, [m, W] or one for each style [m, S, W], and the generator's collections after it."""
  mapping = partial(trained, pair.generator, variables, rngs, method="mapping")
  w, after = mapping(part["latent"], *labels_of(pair, part))
  count = styles_of(pair.generator)
  if not pair.style_mixing:
    return w if count == 1 else each_style(w, count), after
  key_latent, key_mix = jax.random.split(jax.random.fold_in(key, _MIX))
  others = draw_latents(key_latent, len(w), latent=pair.latent, prior=pair.prior)
  other, _ = mapping(beside(part["image"], others), *labels_of(pair, part))
  return mixed(key_mix, w, other, count, pair.style_mixing), after


def beside(images: Array, latents: Array) -> Array:
  """The latents, split over devices as the images are: nothing else says that image j and latent j belong together.

  A NaN in an image makes its latent NaN, which no compiler may assume away.
  """
  return jnp.where(jnp.isnan(images[..., 0, 0, :1]), jnp.nan, latents)
