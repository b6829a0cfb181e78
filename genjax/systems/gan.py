"""A GAN: a generator and a critic, an Objective for both, and the order in which they are updated.

Papers   GAN      Goodfellow et al. 2014, arXiv:1406.2661
         WGAN-GP  Gulrajani et al. 2017, arXiv:1704.00028, Algorithm 1: the defaults here are its numbers
         TTUR     Heusel et al. 2017, arXiv:1706.08500: `generator_optimizer`
         conditional  Mirza & Osindero 2014, arXiv:1411.1784: `conditional`
         DiffAugment  Zhao et al. 2020, arXiv:2006.10738: `augment`
         StyleGAN  Karras et al. 2019, arXiv:1812.04948: `style_mixing`, see styles.py; new noise for every image
Departs  One `step` is one update of the generator. Algorithm 1 draws n_critic batches of m images; here the step's
         batch of n_critic * m images is cut into n_critic parts, one for each update of the critic. The generator's
         update has the reals of the last part beside new fakes of its own, for terms that compare both.
         A fake has the label of the real image at its place, so fakes have the classes of the data.
         `ema` is not in Algorithm 1: an average of the generator's weights that the samples are made with.
         With `augment` the critic is images -> net(T(images)), T one draw an update: image j of the reals, of the fakes
         and of whatever a Term asks about goes through the same T_j. The view "score" is of images as they are.
         A critic that looks at each image alone is called once an update, see rounds.py.
Shapes   B images a step = critic_steps * m; latent [m, Z]. m is a multiple of the devices. critic: images [m, H, W, C]
         -> (logits [m], aux); generator: latents [m, Z] -> images. A conditional GAN gives both labels [m] as well.
         Collections other than "params" (batch statistics, spectral vectors) change in the updates of their own net.
Checked  tests/systems/test_gan.py, test_gan_algorithm.py, test_gan_augment.py, test_gan_collections.py,
         test_gan_refusals.py, test_gan_together.py, test_updates.py and tests/systems/contract.py.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from genjax.core import Batch, Kernel, System
from genjax.nets.training import per_image
from genjax.objectives.terms import Objective
from genjax.ops.diffaugment import policy_of
from genjax.ops.latents import Latents
from genjax.systems.averages import Average, check_averages
from genjax.systems.checks import check_counts, check_critic, check_images, check_words, spelled
from genjax.systems.game import Aux, Variables, game
from genjax.systems.optimizers import Optimizer, adam
from genjax.systems.rounds import Pair, Prior, beside, draw_latents, labels_of, round_of
from genjax.systems.styles import has_w, styles_of
from genjax.systems.updates import clipped

Array = jax.Array
_AUGMENT, _NOISE = 0x617567, 0x6E6F  # keys beside that of latents


def gan(
  generator: nn.Module,
  critic: nn.Module,
  *,
  shape: tuple[int, int, int],
  objective: Objective,
  optimizer: Optimizer = adam(learning_rate=1e-4, b1=0.0, b2=0.9),  # noqa: B008 - a function
  generator_optimizer: Optimizer | None = None,
  latent: int = 128,
  prior: Prior = "normal",
  classes: int | None = None,
  conditional: bool = False,
  critic_steps: int = 5,
  clip: float | None = None,
  ema: float = 0.0,
  ema_half_life: float | None = None,
  ema_start: int = 0,
  augment: str = "",
  style_mixing: float = 0.0,
  sample_noise: Literal["fresh", "fixed"] = "fresh",
  order: Literal["alternating", "simultaneous"] = "alternating",
  unroll: int = 0,
  consensus: float = 0.0,
  sample_batch: int = 500,
  accumulate: int = 1,
  remat: bool = False,
) -> System:
  """Two nets and an Objective as a System.

  Args:
    generator, critic: flax modules, see Shapes.
    shape: H, W, C.
    objective: what each of them minimises.
    optimizer: of both nets.
    generator_optimizer: of the generator, where it has its own; None: as `optimizer`.
    latent: Z.
    prior: of the latents: standard normal, or uniform in [-1, 1].
    classes: number of labels that the data have; None: they have none.
    conditional: whether both nets see the labels.
    critic_steps: updates of the critic in a step, each with its own part of the batch.
    clip: the critic's weights are clipped to [-clip, clip] after each update (WGAN), but for its decoder, if it has one
      (MMD-GAN's code); None: they are not.
    ema: decay per step of the averaged generator; 0: none.
    ema_half_life: in place of `ema`: images of the generator's updates after which a weight counts half.
    ema_start: steps in which the average is a copy.
    augment: what the critic sees images through, see ops.diffaugment.policy_of; "": as they are.
    style_mixing: probability that the coarse layers of a minibatch have w of their latents and the fine ones w of
      others, from a place drawn evenly; for generators of several styles (StyleGAN2: 0.9).
    sample_noise: whether a generator that adds noise (StyleGAN2) draws it for every sample, or has one map for all.
    order: "simultaneous": both are updated from the same point, with the same latents; needs critic_steps 1.
    unroll: the generator's gradient goes through so many next steps of the critic, on the same part.
    consensus: weight of the gradient of half the squared length of both gradients; needs "simultaneous".
    sample_batch: images that the view "sample" makes together.
    accumulate: parts of the images of an update that are worked on one after the other; not with unroll or consensus.
    remat: whether an update computes again what lies between its convolutions and products, to hold less.

  Raises:
    ValueError: settings that do not go together, with what does.
  """
  if objective.generator is None:
    raise ValueError("this objective has no part for a generator; use one of a GAN, such as wgan_gp")
  if conditional and classes is None:
    raise ValueError("conditional=True, but the data have no labels (classes is None); set conditional=False")
  check_counts({"latent": latent, "critic_steps": critic_steps, "sample_batch": sample_batch})
  for name, value in {"unroll": unroll, "consensus": consensus}.items():
    if value < 0:
      raise ValueError(f"{name} {value}; use 0 for none, or more")
  if not 0 <= style_mixing <= 1:
    raise ValueError(f"style_mixing {style_mixing} is no probability; use 0 to 1")
  if style_mixing and styles_of(generator) < 2:
    raise ValueError("style_mixing is for generators of several styles, such as stylegan2; set it to 0")
  if clip is not None and clip <= 0:
    raise ValueError(f"clip {clip}; use a positive bound, or None for none")
  check_words({"prior": (prior, "normal", "uniform"), "order": (order, "alternating", "simultaneous")})
  check_words({"sample_noise": (sample_noise, "fresh", "fixed")})
  if order == "simultaneous" and critic_steps != 1:
    raise ValueError(f"order 'simultaneous' moves both nets once; set critic_steps to 1, not {critic_steps}")
  average = Average(ema, ema_half_life, ema_start)
  check_averages(average)
  policy = policy_of(augment) if augment else None
  together = per_image(critic) and order == "alternating"
  pair = Pair(
    generator, critic, objective, shape, latent, prior, classes if conditional else None, policy, style_mixing,
    sample_noise, together,
  )  # fmt: skip
  system = game(
    partial(_init, pair, critic_steps),
    {"critic": partial(_critic_loss, pair), "generator": partial(_generator_loss, pair)},
    {"critic": optimizer, "generator": generator_optimizer or optimizer},
    order=order if order == "simultaneous" else (("critic", critic_steps), ("generator", 1)),
    draw=partial(_draw, pair),
    ema={"generator": average} if ema or ema_half_life else {},
    project={} if clip is None else {"critic": partial(clipped, clip)},
    unroll={"generator": ("critic", unroll)} if unroll else {},
    consensus=consensus,
    accumulate=accumulate,
    remat=remat,
    views=_views(pair, sample_batch),
  )
  return system._replace(kernels=partial(kernels, system))


def kernels(system: System, key: Array, batch: Batch) -> dict[str, Kernel]:
  """What `genjax bench` times of a system that samples, and scores images or not."""
  state, count = jax.jit(system.init)(key, batch), batch["image"].shape[0]
  views = system.views
  timed = {"generator": Kernel(lambda key, state: views["sample"](key, state, count), (key, state), count, "images")}
  if "score" in views:
    slope = lambda key, state, images: jax.grad(lambda x: views["score"](state, x).sum())(images)
    timed["bare gradient"] = Kernel(slope, (key, state, batch["image"]), count, "image-gradient steps")
  return timed


# Losses ---------------------------------------------------------------------------------------------------------------


def _critic_loss(pair: Pair, key: Array, variables: Variables, memory: Any, part: Batch) -> tuple[Array, Aux]:
  round, after = round_of(pair, key, variables, part, pair.objective.critic)
  value, memory = pair.objective.critic.apply(key, memory, round)
  metrics = {"critic_loss": value, "f_real": round.real_out.mean(), "f_fake": round.fake_out.mean()}
  return value, Aux(after["critic"], memory, metrics)


def _generator_loss(pair: Pair, key: Array, variables: Variables, memory: Any, part: Batch) -> tuple[Array, Aux]:
  round, after = round_of(pair, key, variables, part)
  value, memory = pair.objective.generator.apply(key, memory, round)
  return value, Aux(after["generator"], memory, {"generator_loss": value})


def _draw(pair: Pair, key: Array, parts: Batch) -> Batch:
  """Parts [k, m, ...] with their latents [k, m, Z] and, where the critic augments, a key [k] for each update."""
  images = parts["image"]
  k, m = images.shape[:2]
  latents = draw_latents(key, k * m, latent=pair.latent, prior=pair.prior).reshape(k, m, pair.latent)
  parts = {**parts, "latent": beside(images, latents)}
  if pair.policy is not None:
    parts["augment"] = jax.random.split(jax.random.fold_in(key, _AUGMENT), k)
  return parts


# Start ----------------------------------------------------------------------------------------------------------------


def _init(pair: Pair, critic_steps: int, key: Array, batch: Batch) -> tuple[Variables, dict[str, Any]]:
  """The variables of both nets and the states of their terms."""
  check_images(batch["image"], pair.shape, critic_steps, "critic_steps")
  if pair.classes is not None and "label" not in batch:
    raise ValueError("conditional=True, but a batch has no 'label'; use data with labels, or conditional=False")
  key_critic, key_generator = jax.random.split(key)
  labels = tuple(label[:1] for label in labels_of(pair, batch))
  latents = jnp.zeros((1, pair.latent))
  generator = pair.generator.init(key_generator, latents, *labels)
  images = jax.eval_shape(pair.generator.apply, generator, latents, *labels)
  if getattr(images, "shape", None) != (1, *pair.shape):
    wanted = f"[1, {', '.join(map(str, pair.shape))}]"
    raise ValueError(f"the generator returns {spelled(images)} for one latent; the data's images are {wanted}")
  critic = pair.critic.init(key_critic, batch["image"][:1], *labels)
  check_critic(jax.eval_shape(pair.critic.apply, critic, images, *labels))
  variables = {"critic": critic, "generator": generator}
  return variables, {"critic": pair.objective.critic.init(), "generator": pair.objective.generator.init()}


# Views ----------------------------------------------------------------------------------------------------------------


def _views(pair: Pair, sample_batch: int) -> dict[str, Callable[..., Any]]:
  """What the nets do, by {player: variables in use}."""
  views = {"sample": partial(_sample, pair, sample_batch), "latents": partial(_latents, pair)}
  if pair.classes is None:
    views["score"] = lambda variables, x: pair.critic.apply(variables["critic"], x)[0]
  else:
    views["classes"] = lambda variables: pair.classes
  return views


def _sample(pair: Pair, sample_batch: int, key: Array, variables: Variables, n: int) -> Array:
  """n images [n, H, W, C] in [-1, 1]; of a conditional GAN image i is of class i modulo their number.

  `sample_batch` at a time, each batch spread over all of n: devices that share the images share every batch.
  """
  size = min(n, sample_batch)
  chunks = -(-n // size)
  latents = draw_latents(key, size * chunks, latent=pair.latent, prior=pair.prior)
  labels = () if pair.classes is None else (jnp.arange(size * chunks, dtype=jnp.int32) % pair.classes,)
  inputs = jax.tree.map(lambda leaf: leaf.reshape(size, chunks, *leaf.shape[1:]).swapaxes(0, 1), (latents, *labels))

  def generate(keyed: tuple[Array, tuple[Array, ...]]) -> Array:
    rngs = {"noise": keyed[0]} if pair.noise == "fresh" else {}
    return pair.generator.apply(variables["generator"], *keyed[1], rngs=rngs)

  keys = jax.random.split(jax.random.fold_in(key, _NOISE), chunks)
  images = lax.map(generate, (keys, inputs))  # [chunks, size, ...]
  return jnp.clip(images.swapaxes(0, 1).reshape(size * chunks, *pair.shape)[:n], -1, 1)


def _latents(pair: Pair, variables: Variables) -> Latents:
  """The generator in two parts: latents to w, w to images."""
  generator, classes = pair.generator, pair.classes
  in_parts = has_w(generator)

  def apply(method: str | None) -> Callable[[Array, Array | None], Array]:
    labelled = classes is not None and method != "synthesis"
    inputs = lambda x, labels: (x, labels) if labelled else (x,)
    return lambda x, labels: generator.apply(variables["generator"], *inputs(x, labels), method=method)

  return Latents(
    draw=partial(draw_latents, latent=pair.latent, prior=pair.prior),
    mapping=apply("mapping") if in_parts else lambda latent, labels: latent,
    generate=apply("synthesis") if in_parts else apply(None),
    has_w=in_parts,
    normal=pair.prior == "normal",
    styles=styles_of(generator),
    classes=classes,
  )
