"""How a net is told labels: beside the latent in a generator, and by projection in a critic.

Papers   beside the latent  Mirza & Osindero 2014, arXiv:1411.1784
         projection         Miyato & Koyama 2018, arXiv:1802.05637, eq 8
Shapes   labels [B] int32, in 0..classes - 1; classes None: a net that is told none.
Checked  tests/nets/test_gan_nets.py
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.spectral import layers

Array = jax.Array


def beside(latent: Array, labels: Array | None, classes: int | None) -> Array:
  """Latents [B, Z] with the label as a one-hot code behind them, [B, Z + K]; as they are where classes is None."""
  check_labels(labels, classes)
  return latent if classes is None else jnp.concatenate([latent, jax.nn.one_hot(labels, classes)], axis=1)


def logit(
  features: Array, labels: Array | None, classes: int | None, *, kernel_init=None, spectral: bool = False
) -> Array:
  """One linear layer on features [B, D], plus the features' projection on the label's own vector; [B] float32.

  Only inside a flax module.
  """
  check_labels(labels, classes)
  _, dense = layers(spectral)
  features = features.astype(jnp.float32)
  logits = dense(1, kernel_init=kernel_init or nn.initializers.lecun_normal(), name="logit")(features)[:, 0]
  if classes is None:
    return logits
  start = kernel_init or nn.initializers.normal(0.02)
  if spectral:
    embedded = dense(features.shape[1], kernel_init=start, name="embedding")(jax.nn.one_hot(labels, classes))
  else:
    embedded = nn.Embed(classes, features.shape[1], embedding_init=start, name="embedding")(labels)
  return logits + (embedded * features).sum(1)


def check_labels(labels: Array | None, classes: int | None) -> None:
  """Refuses labels of a net that is told none, and their absence from one that is."""
  if (labels is None) != (classes is None):
    came = "no labels" if labels is None else "labels"
    raise ValueError(f"the net got {came} and has classes={classes}; set classes of the net and of the system alike")
