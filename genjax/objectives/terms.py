"""What a loss is made of: a Term is a pair of pure functions, an Objective two sums of Terms, a Round all they may see.

Shapes   Every Term returns a float32 scalar. Terms are keyword-free but for the Round, so real and fake cannot be
         swapped by position. All sums are minimised. A critic is high where an image looks real.
         Image j of every batch of a Round belongs together: labels and the draws of an augmentation are bound to the
         places of the batch, so a Term asks the critic or the generator about B images, in that order.
         Where a system augments, `critic` is images -> net(T(images)) with one T for the whole Round.
         Of a net that looks at each image alone, the logits of reals, fakes and all that a Term asks about come from
         one call (`play_together`), so its weights' gradient is one sum over the devices. An update makes one power
         iteration either way: each of several calls starts from the same vectors.
Checked  tests/objectives/test_terms.py
"""

from collections.abc import Callable, Collection
from itertools import islice
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array
Critic = Callable[[Array], tuple[Array, Any]]  # images [B, H, W, C] -> (logits [B], aux)


class Augmentation(NamedTuple):
  """How the critic of a Round augments: critic(images) is net(apply(key, images))."""

  key: Array
  apply: Callable[[Array, Array], Array]  # key, images -> images
  net: Critic  # of images as they come


class Round(NamedTuple):
  """All that a loss may look at in one update. jit prunes what no Term reads.

  The critic's Terms and the generator's see a Round each; in the generator's, `fake` depends on its parameters.
  """

  critic: Critic
  real: Array  # [B, H, W, C] float32 in [-1, 1]
  fake: Array  # [B, H, W, C]
  real_out: Array  # [B] logits of `real`, computed once for all Terms
  fake_out: Array  # [B]
  generator: Callable[[Array], Array] | None = None  # latents [B, Z] -> images
  latent: Array | None = None  # [B, Z] those that `fake` was made of
  styles: Array | None = None  # w of each of those, or of each of its layers [B, S, W]; its latent where there is no w
  synthesis: Callable[[Array], Array] | None = None  # `styles` -> images
  labels: Array | None = None  # [B] int32
  real_aux: Any = None  # the critic's aux of `real`: "features" [B, D], "reconstruction" [B, H, W, C], ...
  fake_aux: Any = None
  critic_params: Any = None  # what the critic is made of, for Terms of weights
  generator_params: Any = None
  critic_at: Callable[[Any], Critic] | None = None  # parameters -> the critic that they make
  augmentation: Augmentation | None = None  # None where the critic sees images as they are
  answers: tuple[Array, ...] = ()  # logits [B] of all that the Term asks about; (): it has to call the net itself


class Term(NamedTuple):
  """One summand of a loss. `state` is the Term's own: a running mean, a multiplier; most have none."""

  init: Callable[[], Any]
  apply: Callable[[Array, Any, Round], tuple[Array, Any]]  # key, state, round -> scalar, state
  asks: tuple[Callable[[Array, Round], Array], ...] = ()  # key, round -> images [B, H, W, C] as the net sees them


class Objective(NamedTuple):
  """What the critic minimises and, where there is a generator, what it minimises."""

  critic: Term
  generator: Term | None = None


def play(critic: Critic, real: Array, fake: Array, **more: Any) -> Round:
  """The Round of one update: the critic's logits of both sides, each computed once, in float32 or better."""
  (real_out, real_aux), (fake_out, fake_aux) = critic(real), critic(fake)
  return Round(
    critic, real, fake, to_float32(real_out), to_float32(fake_out), real_aux=real_aux, fake_aux=fake_aux, **more
  )


def play_together(
  term: Term, key: Array, critic: Critic, real: Array, fake: Array, *, shared: Collection[str] = (), **more: Any
) -> Round:
  """`play` and the answers to all that `term` asks about, by one call of a net that looks at each image alone.

  The images of place j are neighbours in the joined batch, so devices that share the places exchange none.

  Args:
    term, key: the Term that is to see the Round, and the key that it gets.
    critic, real, fake, more: as of `play`.
    shared: names in the critic's aux of what is not one value an image.
  """
  round = Round(critic, real, fake, None, None, **more)
  images = [seen(round, real), seen(round, fake), *(ask(key, round) for ask in term.asks)]
  joined = jnp.stack(images, 1)
  logits, aux = _net(round)(joined.reshape(-1, *joined.shape[2:]))
  apart = lambda leaf: list(leaf.reshape(len(real), len(images), *leaf.shape[1:]).swapaxes(0, 1))
  real_out, fake_out, *answers = apart(to_float32(logits))
  side = lambda place: {
    name: value if name in shared else jax.tree.map(lambda leaf: apart(leaf)[place], value)
    for name, value in (aux or {}).items()
  }
  return round._replace(
    real_out=real_out, fake_out=fake_out, real_aux=side(0), fake_aux=side(1), answers=tuple(answers)
  )


def seen(round: Round, images: Array) -> Array:
  """Images as the net sees them when the Round's critic is asked about them."""
  return images if round.augmentation is None else round.augmentation.apply(round.augmentation.key, images)


def asking(images: Callable[[Array, Round], Array], value: Callable[[Round, Array], Array]) -> Term:
  """A Term without state from (round, logits of further images); the images are as the net sees them, see `seen`."""

  def apply(key: Array, state: Any, round: Round) -> tuple[Array, Any]:
    logits = round.answers[0] if round.answers else to_float32(_net(round)(images(key, round))[0])
    return value(round, logits), state

  return Term(lambda: (), apply, (images,))


def _net(round: Round) -> Critic:
  return round.critic if round.augmentation is None else round.augmentation.net


def stateless(value: Callable[[Array, Round], Array]) -> Term:
  """A Term without state from (key, round) -> scalar."""
  return Term(lambda: (), lambda key, state, round: (value(key, round), state))


def on_logits(value: Callable[[Array, Array], Array]) -> Term:
  """A Term from a function of (real logits, fake logits), always in that order."""
  return stateless(lambda key, round: value(round.real_out, round.fake_out))


def on_features(value: Callable[[Array, Array], Array]) -> Term:
  """A Term from a function of the critic's (real features, fake features) [B, D], in float32 or better."""
  return stateless(lambda key, round: value(*(read(round, side, "features") for side in ("real", "fake"))))


def total(*weighted: tuple[float, Term]) -> Term:
  """The weighted sum of Terms; its state is the tuple of theirs."""

  def apply(key, state, round):
    keys = jax.random.split(key, len(weighted))
    value, states, answers = jnp.zeros(()), [], iter(round.answers)
    for (weight, term), key_term, state_term in zip(weighted, keys, state, strict=True):
      own = round._replace(answers=tuple(islice(answers, len(term.asks))))
      summand, state_term = term.apply(key_term, state_term, own)
      value += weight * summand
      states.append(state_term)
    return value, tuple(states)

  def of(place: int, ask: Callable[[Array, Round], Array]) -> Callable[[Array, Round], Array]:
    return lambda key, round: ask(jax.random.split(key, len(weighted))[place], round)

  asks = tuple(of(place, ask) for place, (_, term) in enumerate(weighted) for ask in term.asks)
  return Term(lambda: tuple(term.init() for _, term in weighted), apply, asks)


def every(k: int, term: Term) -> Term:
  """A lazy Term: k times its value in the first of every k steps, 0 and no work in the others; the mean is the Term's.

  Its state is (steps so far, the Term's own); the latter changes only in the steps in which the Term is computed. The
  optimiser sees a large gradient rarely; StyleGAN2 has Adam's b2 at 0.99 with it. That 0.9 diverges is said, and was
  not reproduced here.

  Raises:
    ValueError: k is not at least 1.
  """
  if k < 1:
    raise ValueError(f"every {k} steps; use 1 or more")

  def apply(key, state, round):
    count, inner = state
    due = lambda: term.apply(key, inner, round)
    shape = jax.eval_shape(due)[0]
    value, inner = jax.lax.cond(count % k == 0, due, lambda: (jnp.zeros(shape.shape, shape.dtype), inner))
    return k * value, (count + 1, inner)

  return Term(lambda: (jnp.zeros((), jnp.int32), term.init()), apply)


def read(round: Round, side: str, name: str) -> Array:
  """What the critic returns besides the logits of the "real" or the "fake" images, in float32 or better.

  Raises:
    ValueError: the critic does not return it.
  """
  aux = {"real": round.real_aux, "fake": round.fake_aux}[side]
  if not hasattr(aux, "keys") or name not in aux:
    known = ", ".join(sorted(aux)) if hasattr(aux, "keys") else "nothing"
    raise ValueError(
      f"this Term reads aux[{name!r}] of the critic, which returns {known}; use a critic that returns it"
    )
  return to_float32(aux[name])


def given(round: Round, name: str) -> Any:
  """A field of the Round that only some Terms need.

  Raises:
    ValueError: it is None.
  """
  value = getattr(round, name)
  if value is None:
    raise ValueError(f"this Term needs {name} in its Round; give it: play(critic, real, fake, {name}=...)")
  return value


def to_float32(values: Array) -> Array:
  """As float32, or as it is where it is finer."""
  return values.astype(jnp.promote_types(values.dtype, jnp.float32))
