"""A GAN: a generator and a critic, an Objective for both, and the order in which they move.

Papers   GAN      Goodfellow et al. 2014, arXiv:1406.2661
         WGAN-GP  Gulrajani et al. 2017, arXiv:1704.00028, Algorithm 1: the defaults here are its numbers
         TTUR     Heusel et al. 2017, arXiv:1706.08500: `generator_rate`
         conditional  Mirza & Osindero 2014, arXiv:1411.1784: `classes`
         DiffAugment  Zhao et al. 2020, arXiv:2006.10738: `augment`
Departs  One `step` is one update of the generator. Algorithm 1 draws n_critic batches of m and then latents; here the
         step's batch of n_critic * m images is cut into n_critic parts, each for one update of the critic. The
         generator's Round has the reals of the last part beside its own new fakes: terms that compare need them.
         A fake has the label of the real image at its place, so fakes have the data's classes.
         `ema` is not in Algorithm 1: an average of the generator's weights to sample from; 0: none, as published.
         Whatever the critic judges in training passes `augment`, with new draws in every update for the reals and for
         the fakes; `evaluate` judges images as they are.
Shapes   B images a step = critic_steps * m; latent [m, Z]. m is a multiple of the devices. critic: images [m, H, W, C]
         -> (logits [m], aux); generator: latents [m, Z] -> images. With `classes` both take labels [m] as well.
         Collections other than "params" (batch statistics, vectors of spectral normalisation) move with the critic's,
         or the generator's, own updates; a net that has them sees whether they are mutable.
Checked  tests/systems/test_gan.py, tests/systems/test_updates.py and tests/systems/contract.py.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from genjax.core import Batch, Metrics, System
from genjax.objectives.terms import Objective, Round, play, play_augmented
from genjax.ops.diffaugment import diffaugment, policy_of
from genjax.systems import updates
from genjax.systems.settings import check_average, check_counts, check_images, check_words
from genjax.systems.updates import Game, make_optimizer

Array = jax.Array
_AUGMENT = 0x617567  # "aug": the augmentation's key of an update, apart from those of the terms


class Pair(NamedTuple):
  """The same thing of both nets."""

  critic: Any
  generator: Any


class State(NamedTuple):
  step: Array  # [] int32, finished updates of the generator
  params: Pair
  moving: Pair  # all other collections of the nets
  ema: Any  # average of the generator's collections, or None
  optimizer: Pair
  terms: Pair  # of the objective


class Part(NamedTuple):
  """What one update looks at."""

  real: Array  # [m, H, W, C]
  latent: Array  # [m, Z]
  labels: tuple[Array, ...]  # ([m] int32,) or ()


def gan(
  generator: nn.Module,
  critic: nn.Module,
  *,
  shape: tuple[int, int, int],
  objective: Objective,
  latent: int = 128,
  prior: Literal["normal", "uniform"] = "normal",
  classes: int | None = None,
  critic_steps: int = 5,
  optimizer: updates.Optimizer = "adam",
  rate: float = 1e-4,
  generator_rate: float | None = None,
  b1: float = 0.0,
  b2: float = 0.9,
  decay_steps: int | None = None,
  warmup_steps: int = 0,
  clip: float | None = None,
  ema: float = 0.0,
  ema_half_life: float | None = None,
  ema_start: int = 0,
  augment: str = "",
  order: Literal["alternating", "simultaneous"] = "alternating",
  unroll: int = 0,
  consensus: float = 0.0,
  sample_batch: int = 500,
) -> System:
  """Two nets and an Objective as a System.

  Args:
    generator, critic: flax modules, see Shapes.
    shape: H, W, C.
    objective: what each of them minimises.
    latent: Z.
    prior: of the latents: standard normal, or uniform in [-1, 1].
    classes: number of labels that both nets are told; None: they are told none.
    critic_steps: updates of the critic in a step, each from its own part of the batch.
    optimizer, rate, b1, b2: of both nets; see updates.make_optimizer.
    generator_rate: of the generator, where it has its own.
    decay_steps: steps in which both rates fall to 0, linearly; None: constant.
    warmup_steps: steps in which both rates rise to what they are else, linearly: the first is 1 / warmup_steps of it.
    clip: the critic's weights are clipped to [-clip, clip] after each update (WGAN); None: not.
    ema: decay per step of the averaged generator; 0: none.
    ema_half_life: in its place, images of the generator's updates after which a weight counts half; None: use `ema`.
    ema_start: steps in which the average is a copy.
    augment: what the critic sees images through, see ops.diffaugment.policy_of; "": as they are.
    order: "simultaneous": both move from the same point, with the same latents; needs critic_steps 1.
    unroll: the generator looks this many steps of the critic ahead, on the same part.
    consensus: weight of the gradient of half the squared length of both gradients; needs "simultaneous".
    sample_batch: images that `sample` makes together.

  Raises:
    ValueError: settings that do not go together, with what does.
  """
  if objective.generator is None:
    raise ValueError("this objective has no part for a generator; use one of a GAN, such as wgan_gp")
  check_counts({"latent": latent, "critic_steps": critic_steps, "sample_batch": sample_batch})
  counts = {"unroll": unroll, "consensus": consensus, "warmup_steps": warmup_steps, "ema_start": ema_start}
  for name, value in counts.items():
    if value < 0:
      raise ValueError(f"{name} {value}; use 0 for none, or more")
  check_average(ema)
  if ema_half_life is not None and (ema or ema_half_life <= 0):
    raise ValueError(f"ema {ema} and ema_half_life {ema_half_life}; set one of them, and the other to 0 or None")
  averaged = bool(ema or ema_half_life)
  policy = policy_of(augment) if augment else None
  if clip is not None and clip <= 0:
    raise ValueError(f"clip {clip}; use a positive bound, or None for none")
  if classes is not None and classes < 1:
    raise ValueError(f"classes {classes}; use None where the nets are told no labels")
  check_words({"prior": (prior, "normal", "uniform"), "order": (order, "alternating", "simultaneous")})
  if order == "simultaneous" and critic_steps != 1:
    raise ValueError(f"order 'simultaneous' moves both nets once; set critic_steps to 1, not {critic_steps}")
  if consensus and (order != "simultaneous" or unroll):
    raise ValueError("consensus is made of both gradients at one point; set order='simultaneous' and unroll=0")

  def make(rate: float, updates_per_step: int, unrolled: bool = False) -> optax.GradientTransformation:
    schedule = rate if decay_steps is None else optax.linear_schedule(rate, 0.0, decay_steps * updates_per_step)
    if warmup_steps:
      full, rise = schedule, warmup_steps * updates_per_step
      at = full if callable(full) else lambda count: full
      schedule = lambda count: at(count) * jnp.minimum(1.0, (count + 1) / rise)
    return make_optimizer(optimizer, schedule, b1=b1, b2=b2, unrolled=unrolled)

  optimizers = Pair(make(rate, critic_steps), make(generator_rate or rate, 1))
  ahead = make(rate, critic_steps, unrolled=True)

  draw = partial(draw_latents, latent=latent, prior=prior)

  def judge(params: Any, moving: Any, labels: tuple[Array, ...]) -> Callable:
    """The critic as it trains: images -> (logits, aux); aux["moving"] are its other collections after this pass."""

    def critic_of(images: Array) -> tuple[Array, dict[str, Any]]:
      (logits, aux), moved = critic.apply({"params": params, **moving}, images, *labels, mutable=list(moving))
      return logits, {**aux, "moving": moved}

    return critic_of

  def paint(params: Any, moving: Any, labels: tuple[Array, ...]) -> Callable:
    """The generator as it trains: latents -> (images, its other collections after this pass)."""
    return lambda latent: generator.apply({"params": params, **moving}, latent, *labels, mutable=list(moving))

  def set_up(key: Array, params: Pair, moving: Pair, part: Part) -> tuple[Round, Any, Any]:
    """The round of one update, and what the other collections of the critic and of the generator become."""
    painter = paint(params.generator, moving.generator, part.labels)
    fake, generator_moved = painter(part.latent)
    critic_at = lambda critic_params: judge(critic_params, moving.critic, part.labels)
    begin = play
    if policy is not None:
      begin = partial(play_augmented, key, lambda key, images: diffaugment(key, images, policy))
    round = begin(
      critic_at(params.critic),
      part.real,
      fake,
      generator=lambda latent: painter(latent)[0],
      latent=part.latent,
      labels=part.labels[0] if part.labels else None,
      critic_params=params.critic,
      generator_params=params.generator,
      critic_at=critic_at,
    )
    both = (round.real_aux["moving"], round.fake_aux["moving"])
    return round, jax.tree.map(lambda a, b: (a + b) / 2, *both), generator_moved

  def game(key: Array, state: State, part: Part) -> Game:
    """Both losses of one update. Each returns (loss, (states of its terms, its net's other collections, metrics))."""
    key_critic, key_generator = jax.random.split(key)
    key_augment = jax.random.fold_in(key, _AUGMENT)

    def critic_loss(critic_params, generator_params):
      round, moved, _ = set_up(key_augment, Pair(critic_params, generator_params), state.moving, part)
      value, after = objective.critic.apply(key_critic, state.terms.critic, round)
      told = {"critic_loss": value, "f_real": round.real_out.mean(), "f_fake": round.fake_out.mean()}
      return value, (after, moved, told)

    def generator_loss(critic_params, generator_params):
      round, _, moved = set_up(key_augment, Pair(critic_params, generator_params), state.moving, part)
      value, after = objective.generator.apply(key_generator, state.terms.generator, round)
      return value, (after, moved, {"generator_loss": value})

    return Game(critic_loss, generator_loss)

  def move_critic(state: State, gradient: Any, aux: Any) -> tuple[State, Metrics]:
    terms, moving, told = aux
    change, moments = optimizers.critic.update(gradient, state.optimizer.critic, state.params.critic)
    params = optax.apply_updates(state.params.critic, change)
    if clip is not None:
      params = jax.tree.map(lambda leaf: jnp.clip(leaf, -clip, clip), params)
    after = state._replace(
      params=state.params._replace(critic=params),
      moving=state.moving._replace(critic=moving),
      optimizer=state.optimizer._replace(critic=moments),
      terms=state.terms._replace(critic=terms),
    )
    return after, told | {"critic_gradient": updates.norm(gradient)}

  def average(state: State, new: Any, images: int) -> Any:
    """The averaged generator after an update on so many images."""
    decay = ema if ema_half_life is None else 0.5 ** (images / ema_half_life)
    share = jnp.where(state.step < ema_start, 1.0, 1 - decay) if ema_start else 1 - decay
    return optax.incremental_update(new, state.ema, share)

  def move_generator(state: State, gradient: Any, aux: Any, images: int) -> tuple[State, Metrics]:
    terms, moving, told = aux
    change, moments = optimizers.generator.update(gradient, state.optimizer.generator, state.params.generator)
    params = optax.apply_updates(state.params.generator, change)
    after = State(
      step=state.step + 1,
      params=state.params._replace(generator=params),
      moving=state.moving._replace(generator=moving),
      ema=average(state, {"params": params, **moving}, images) if averaged else None,
      optimizer=state.optimizer._replace(generator=moments),
      terms=state.terms._replace(generator=terms),
    )
    return after, told | {"generator_gradient": updates.norm(gradient)}

  def critic_turn(state: State, turn: tuple[Array, Part]) -> tuple[State, Metrics]:
    key, part = turn
    loss = game(key, state, part).critic
    gradient, aux = jax.grad(loss, has_aux=True)(state.params.critic, state.params.generator)
    return move_critic(state, gradient, aux)

  def generator_turn(key: Array, state: State, part: Part) -> tuple[State, Metrics]:
    return move_generator(state, *generator_gradient(game(key, state, part), state), len(part.latent))

  def generator_gradient(played: Game, state: State) -> tuple[Any, Any]:
    if not unroll:
      return jax.grad(played.generator, 1, has_aux=True)(*state.params)
    return updates.unrolled(played, *state.params, optimizer=ahead, moments=state.optimizer.critic, steps=unroll)

  def together(key: Array, state: State, part: Part) -> tuple[State, Metrics]:
    """Both nets move from the same point."""
    played = game(key, state, part)
    if consensus:
      moves = updates.consensus(played, *state.params, weight=consensus)
    else:
      moves = updates.simultaneous(played, *state.params)
    pull, aux = (moves.generator, moves.generator_aux) if not unroll else generator_gradient(played, state)
    state, told = move_critic(state, moves.critic, moves.critic_aux)
    state, more = move_generator(state, pull, aux, len(part.latent))
    return state, told | more

  def init(key: Array, batch: Batch) -> State:
    images, labels = _parts(batch, shape, critic_steps, classes)
    key_critic, key_generator = jax.random.split(key)
    one = tuple(label[0, :1] for label in labels)
    made = generator.init(key_generator, jnp.zeros((1, latent)), *one)
    painted = jax.eval_shape(generator.apply, made, jnp.zeros((1, latent)), *one)
    if painted.shape != (1, *shape):
      raise ValueError(f"the generator's images are {painted.shape[1:]}, the data's are {shape}")
    variables = Pair(critic.init(key_critic, images[0, :1], *one), made)
    params = Pair(*(each["params"] for each in variables))
    moving = Pair(*({name: value for name, value in each.items() if name != "params"} for each in variables))
    return State(
      step=jnp.zeros((), jnp.int32),
      params=params,
      moving=moving,
      ema=jax.tree.map(jnp.copy, {"params": params.generator, **moving.generator}) if averaged else None,
      optimizer=Pair(*(each.init(start) for each, start in zip(optimizers, params, strict=True))),
      terms=Pair(objective.critic.init(), objective.generator.init()),
    )

  def step(key: Array, state: State, batch: Batch) -> tuple[State, Metrics]:
    images, labels = _parts(batch, shape, critic_steps, classes)
    count, m = images.shape[:2]
    key_latent, key_turn, key_generator = jax.random.split(key, 3)
    latents = _beside(images, draw(key_latent, count * m).reshape(count, m, latent))
    if order == "simultaneous":
      return together(key_turn, state, jax.tree.map(lambda leaf: leaf[0], Part(images, latents, labels)))
    turns = (jax.random.split(key_turn, count), Part(images, latents, labels))
    if count == 1:
      state, told = critic_turn(state, jax.tree.map(lambda leaf: leaf[0], turns))
    else:
      state, told = lax.scan(critic_turn, state, turns)
      told = {name: values.mean() for name, values in told.items()}
    key_last, key_generator = jax.random.split(key_generator)
    last = Part(images[-1], _beside(images[-1], draw(key_last, m)), tuple(label[-1] for label in labels))
    state, more = generator_turn(key_generator, state, last)
    return state, told | more

  def best(state: State) -> Any:
    """The generator's collections that sample."""
    return state.ema if averaged else {"params": state.params.generator, **state.moving.generator}

  def sample(key: Array, state: State, n: int) -> Array:
    """n images, by the averaged generator where there is one; with classes, image i is of class i modulo their number.

    `sample_batch` at a time, each batch spread over all of n: devices that share the images share every batch.
    """
    size = min(n, sample_batch)
    chunks = -(-n // size)
    latents = draw(key, size * chunks)
    labels = () if classes is None else (jnp.arange(size * chunks, dtype=jnp.int32) % classes,)
    turns = jax.tree.map(lambda leaf: leaf.reshape(size, chunks, *leaf.shape[1:]).swapaxes(0, 1), (latents, *labels))
    images = lax.map(lambda turn: generator.apply(best(state), *turn), turns)  # [chunks, size, H, W, C]
    return jnp.clip(images.swapaxes(0, 1).reshape(size * chunks, *shape)[:n], -1, 1)

  def evaluate(key: Array, state: State, batch: Batch) -> Metrics:
    """f of the batch and of as many samples, by the generator that samples; statistics are the averaged ones."""
    images, labels = _parts(batch, shape, 1, classes)
    told = tuple(label[0] for label in labels)
    fake = generator.apply(best(state), _beside(images[0], draw(key, images.shape[1])), *told)
    f = lambda images: critic.apply({"params": state.params.critic, **state.moving.critic}, images, *told)[0]
    return {"f_real": f(images[0]).astype(jnp.float32).mean(), "f_fake": f(fake).astype(jnp.float32).mean()}

  return System(init, step, sample, evaluate)


def draw_latents(key: Array, n: int, *, latent: int = 128, prior: Literal["normal", "uniform"] = "normal") -> Array:
  """Latents [n, latent] of a prior, see `gan`, whose defaults these are."""
  if prior == "normal":
    return jax.random.normal(key, (n, latent))
  return jax.random.uniform(key, (n, latent), minval=-1.0, maxval=1.0)


def _parts(
  batch: Batch, shape: tuple[int, int, int], count: int, classes: int | None
) -> tuple[Array, tuple[Array, ...]]:
  """Images [count, m, H, W, C] and, with classes, labels [count, m]; place j of every part comes from the same
  contiguous run of the batch, so devices exchange nothing."""
  images = batch["image"]
  check_images(images.shape, shape, count, "critic_steps")
  if classes is not None and "label" not in batch:
    raise ValueError(f"the nets are told {classes} classes, but the data has no labels; set classes to None")
  cut = lambda leaf: leaf.reshape(-1, count, *leaf.shape[1:]).swapaxes(0, 1)
  return cut(images), () if classes is None else (cut(batch["label"]),)


def _beside(images: Array, latents: Array) -> Array:
  """The latents, split over devices as the images are: nothing else says that image j and latent j belong together.

  A NaN in an image makes its latent NaN, which no compiler may assume away.
  """
  broken = jnp.isnan(images[..., 0, 0, :1])
  return jnp.where(broken, jnp.nan, latents)
