"""The upper end of every net: dropout in its higher layers, and the linear layers that make numbers of features.

Papers   WINN     Lee et al., CVPR 2018; dissertation (UCSD 2022) section 2.5.6: f beside the class logits. The released
                  code puts f on the class logits (one more linear layer, K -> 1); "features" is the usual alternative.
         Dropout  section 2.4.1: noise for the sampler comes from "applying Dropout to the higher layers of CNN". Which
                  layers and what rate is not said, and the released nets have none: each net says which are its
                  higher layers, and the rate is 0 unless given.
Shapes   features [B, D] -> logits [B] float32, aux {"features" [B, D], with classes "class_logits" [B, K]}, float32.
Checked  tests/nets/test_heads.py
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array
Initializer = jax.nn.initializers.Initializer


class Head(nn.Module):
  """f, and class logits where there are classes; in float32.

  Attributes:
    classes: K; None: f alone, on the features.
    f_on: what f is a linear layer on where there are classes: their logits (released code), or the features.
    kernel_init: of both layers; biases start at 0.
  """

  classes: int | None = None
  f_on: Literal["logits", "features"] = "logits"
  kernel_init: Initializer = nn.initializers.lecun_normal()

  @nn.compact
  def __call__(self, features: Array) -> tuple[Array, dict[str, Array]]:
    if self.f_on not in ("logits", "features"):
      raise ValueError(f"f_on {self.f_on!r}; use 'logits' (released code) or 'features'")
    if self.classes is not None and self.classes < 2:
      raise ValueError(f"classes {self.classes}; use at least 2, or None for f alone")
    features = features.astype(jnp.float32)
    aux = {"features": features}
    below = features
    if self.classes is not None:
      aux["class_logits"] = nn.Dense(self.classes, kernel_init=self.kernel_init, name="classes")(features)
      below = aux["class_logits"] if self.f_on == "logits" else features
    return nn.Dense(1, kernel_init=self.kernel_init)(below)[:, 0], aux


class Drop(nn.Module):
  """Dropout that acts only where the net is applied with `rngs={"dropout": key}`, each value on its own.

  Attributes:
    rate: of the values set to 0; the others grow by 1 / (1 - rate).
  """

  rate: float = 0.0

  @nn.compact
  def __call__(self, x: Array) -> Array:
    if not 0 <= self.rate < 1:
      raise ValueError(f"dropout {self.rate} is not in [0, 1)")
    return nn.Dropout(self.rate, deterministic=not self.has_rng("dropout"))(x)
