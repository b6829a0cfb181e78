"""A critic and a generator small enough to be written again in numpy: linear at bend 0, tanh at bend 1."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from genjax.objectives.terms import Objective, play
from genjax.objectives.zoo import OBJECTIVES

BATCH, SHAPE, LATENT, FEATURES = 8, (2, 2, 1), 3, 3
SETTINGS: dict[str, dict[str, Any]] = {  # where the published number would hide the formula, or a width must be given
  "began": {"learning_rate": 0.5},
  "fisher": {"rho": 0.5},
  "gmmn": {"widths": (1.0, 2.0)},
  "mmd_gan": {"widths": (1.0, 2.0)},
  "lecam": {"start": 0},
  "r1_lazy": {"interval": 1},
  "style_gan": {"r1_interval": 1, "path_interval": 1},
  "local_stability": {"weight": 0.5},
  "big_gan": {"weight": 0.5},
  "cr": {"pad": 1},
  "bcr": {"pad": 1},
  "vitgan": {"pad": 1},
  "icr": {"pad": 1, "noise": 0.3},
  "zcr": {"noise": 0.3},
  "denoising": {"features": FEATURES, "hidden": 4, "weight": 0.5},
}


class Players(NamedTuple):
  critic: dict[str, jax.Array]
  generator: dict[str, jax.Array]


def build(name: str) -> Objective:
  return OBJECTIVES[name](**SETTINGS.get(name, {}))


def players(dtype: Any = jnp.float32) -> Players:
  shapes = {"A": (4, FEATURES), "a": (FEATURES,), "w": (FEATURES,), "b": (), "R": (FEATURES, 4)}
  critic = {k: 0.6 * jax.random.normal(jax.random.key(i), s, dtype) for i, (k, s) in enumerate(shapes.items())}
  keys = jax.random.split(jax.random.key(9))
  generator = {
    "C": 0.6 * jax.random.normal(keys[0], (LATENT, 4), dtype),
    "c": jax.random.normal(keys[1], (4,), dtype) / 3,
  }
  return Players(critic, generator)


def data(dtype: Any = jnp.float32) -> tuple[jax.Array, jax.Array]:
  """Real images and latents."""
  keys = jax.random.split(jax.random.key(7))
  return jax.random.uniform(keys[0], (BATCH, *SHAPE), dtype, -1, 1), jax.random.normal(keys[1], (BATCH, LATENT), dtype)


def critic_of(params: dict[str, jax.Array], bend: Any = 1.0, dtype: Any = None):
  def critic(images):
    flat = images.reshape(images.shape[0], -1)
    weights = params
    if dtype is not None:
      flat, weights = flat.astype(dtype), jax.tree.map(lambda leaf: leaf.astype(dtype), params)
    inner = flat @ weights["A"] + weights["a"][None]
    hidden = inner + jnp.asarray(bend, inner.dtype) * (jnp.tanh(inner) - inner)
    logits = jnp.einsum("bk,k->b", hidden, weights["w"]) + weights["b"]
    return logits, {"features": hidden, "reconstruction": (hidden @ weights["R"]).reshape(images.shape)}

  return critic


def generator_of(params: dict[str, jax.Array], bend: Any = 1.0):
  def generator(latent):
    inner = latent @ params["C"] + params["c"][None]
    return (inner + jnp.asarray(bend, inner.dtype) * (jnp.tanh(inner) - inner)).reshape(-1, *SHAPE)

  return generator


def losses(objective: Objective, key, states, both: Players, real, latent, bend: Any = 1.0, dtype: Any = None):
  """(critic's loss, generator's loss), (their states after), by both players' parameters."""
  critic, generator = critic_of(both.critic, bend, dtype), generator_of(both.generator, bend)
  round = play(
    critic,
    real,
    generator(latent),
    generator=generator,
    latent=latent,
    styles=latent,
    synthesis=generator,
    critic_params=both.critic,
    generator_params=both.generator,
    critic_at=lambda params: critic_of(params, bend, dtype),
  )
  results = [term.apply(key, state, round) for term, state in zip(filter(None, objective), states, strict=True)]
  return tuple(value for value, _ in results), tuple(state for _, state in results)


def start(objective: Objective):
  return tuple(term.init() for term in filter(None, objective))


def played(objective: Objective, dtype: Any = None):
  """A step: the losses, the states after, and each player's gradient of its own loss."""

  def step(key, states, both, real, latent, bend):
    def loss(params, player):
      changed = both._replace(**{player: params})
      values, after = losses(objective, key, states, changed, real, latent, bend, dtype)
      return values[Players._fields.index(player)], (values, after)

    names = Players._fields[: len(states)]
    each = {name: jax.grad(loss, has_aux=True)(getattr(both, name), name) for name in names}
    values, after = each["critic"][1]
    return values, after, {name: grads for name, (grads, _) in each.items()}

  return step
