"""Labels in nets: beside the latent in a generator, and by projection in a critic.

A net is conditional in a call that passes labels. Its field `classes`, the number of labels of the data, then says how
many there are; in a call without labels it is not used, and the net is the unconditional one.

Papers   beside the latent  Mirza & Osindero 2014, arXiv:1411.1784
         projection         Miyato & Koyama 2018, arXiv:1802.05637, eq 8
Shapes   labels [B] int32, in 0..classes - 1, or None.
Checked  tests/nets/test_gan_nets.py
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.spectral import layers

Array = jax.Array
Initializer = jax.nn.initializers.Initializer


def beside(latent: Array, labels: Array | None, classes: int | None) -> Array:
  """Latents [B, Z] with the label as a one-hot code behind them, [B, Z + K]; without labels the latents alone."""
  check_labels(labels, classes)
  return latent if labels is None else jnp.concatenate([latent, jax.nn.one_hot(labels, classes)], axis=1)


def logit(
  features: Array,
  labels: Array | None,
  classes: int | None,
  *,
  kernel_init: Initializer | None = None,
  spectral: bool = False,
  train: bool = False,
) -> Array:
  """One linear layer on features [B, D], with labels plus the projection of the features on the label's vector; [B].

  In float32, only inside a flax module.
  """
  check_labels(labels, classes)
  _, dense = layers(spectral, train)
  features = features.astype(jnp.float32)
  logits = dense(1, kernel_init=kernel_init or nn.initializers.lecun_normal(), name="logit")(features)[:, 0]
  if labels is None:
    return logits
  start = kernel_init or nn.initializers.normal(0.02)
  if spectral:
    embedded = dense(features.shape[1], kernel_init=start, name="embedding")(jax.nn.one_hot(labels, classes))
  else:
    embedded = nn.Embed(classes, features.shape[1], embedding_init=start, name="embedding")(labels)
  return logits + (embedded * features).sum(1)


def check_labels(labels: Array | None, classes: int | None) -> None:
  """Raises ValueError for labels of a net that does not know how many there are."""
  if labels is not None and classes is None:
    raise ValueError("the net got labels and has classes=None; set its classes to the number of labels of the data")
