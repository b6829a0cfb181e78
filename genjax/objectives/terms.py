"""What a loss is made of: a Term is a pair of pure functions, an Objective two sums of Terms, a Round all they may see.

Shapes   Every Term returns a float32 scalar. Terms are keyword-free but for the Round, so real and fake cannot be
         swapped by position. All sums are minimised. A critic is high where an image looks real.
         Image j of every batch of a Round belongs together: labels and the draws of an augmentation are bound to the
         places of the batch, so a Term asks the critic or the generator about B images, in that order.
         Where a system augments, `critic` is images -> net(T(images)) with one T for the whole Round.
Checked  tests/objectives/test_terms.py
"""

from collections.abc import Callable
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


class Term(NamedTuple):
  """One summand of a loss. `state` is the Term's own: a running mean, a multiplier; most have none."""

  init: Callable[[], Any]
  apply: Callable[[Array, Any, Round], tuple[Array, Any]]  # key, state, round -> scalar, state


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
    value, states = jnp.zeros(()), []
    for (weight, term), key_term, state_term in zip(weighted, keys, state, strict=True):
      summand, state_term = term.apply(key_term, state_term, round)
      value += weight * summand
      states.append(state_term)
    return value, tuple(states)

  return Term(lambda: tuple(term.init() for _, term in weighted), apply)


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
