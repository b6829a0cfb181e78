"""Configs of runs that take seconds, as keys and as words of a command."""

import jax

from genjax.config import load_config, override

SMALL = {
  "train.steps": 4,
  "train.steps_per_call": 2,
  "train.log_every": 2,
  "train.checkpoint_every": 2,
  "train.sample_every": 4,
  "train.evaluate_every": 2,
  "train.samples": 8,
  "data.batch": 16,
  "net.blocks": ((4,), (8,)),
  "noise.width": 8,
  "system.minibatch": 8,
  "system.synthesis": 8,
  "system.synthesis_batch": 8,
  "system.initial": 16,
  "system.capacity": 32,
  "system.ascent_steps": 3,
  "metrics.frechet.samples": 80,
  "metrics.frechet.extractor": "random",  # to train the classifier takes 12 seconds, and it is not what is tested
  "metrics.copies.samples": 80,
  "metrics.anchors.samples": 80,
  "metrics.anchors.extractor": "random",
}
WORDS = [f"--config.{key}={value}" for key, value in SMALL.items()]


def small_config(**more):
  config = load_config("winn_digits")
  override(config, [(key, str(value)) for key, value in {**SMALL, **more}.items()])
  return config


def small_vae(**more):
  """Of what any system's run does; it compiles in seconds."""
  shared = {key: value for key, value in SMALL.items() if key.startswith(("train", "metrics", "data"))}
  narrow = {"encoder.widths": (4,), "decoder.widths": (4,), "system.latent": 2}
  config = load_config("vae_digits")
  override(config, [(key, str(value)) for key, value in {**shared, **narrow, **more}.items()])
  return config


def leaves(tree):
  return jax.tree.leaves(jax.device_get(tree))
