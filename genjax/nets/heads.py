"""The upper end of WINN's nets: dropout in the higher layers, and the linear layers from features to f and classes.

Papers   WINN     Lee et al., CVPR 2018; dissertation (UCSD 2022) section 2.5.6: f beside the class logits. The released
                  code puts f on the class logits (one more linear layer, K -> 1); "features" is the usual alternative.
         Dropout  section 2.4.1: noise for the sampler comes from "applying Dropout to the higher layers of CNN". The
                  layers and the dropout rate are not named, and the released nets have none: each net here names its
                  higher layers, and the dropout rate is 0 unless given.
Shapes   features [B, D] -> f [B] float32, aux {"features" [B, D], with head_classes "class_logits" [B, K]}, float32.
Checked  tests/nets/test_heads.py
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array
Initializer = jax.nn.initializers.Initializer


class Head(nn.Module):
  """f, and with head_classes class logits; in float32.

  Attributes:
    head_classes: K, the number of class logits; None: f alone, on the features.
    f_on: the input of f where there are class logits: these "logits" (released code), or the "features".
    kernel_init: of both layers; biases start at 0.
  """

  head_classes: int | None = None
  f_on: Literal["logits", "features"] = "logits"
  kernel_init: Initializer = nn.initializers.lecun_normal()

  @nn.compact
  def __call__(self, features: Array) -> tuple[Array, dict[str, Array]]:
    if self.f_on not in ("logits", "features"):
      raise ValueError(f"f_on {self.f_on!r}; use 'logits' (released code) or 'features'")
    if self.head_classes is not None and self.head_classes < 2:
      raise ValueError(f"head_classes {self.head_classes}; use at least 2, or None for f alone")
    features = features.astype(jnp.float32)
    aux = {"features": features}
    inputs = features
    if self.head_classes is not None:
      aux["class_logits"] = nn.Dense(self.head_classes, kernel_init=self.kernel_init, name="classes")(features)
      inputs = aux["class_logits"] if self.f_on == "logits" else features
    return nn.Dense(1, kernel_init=self.kernel_init)(inputs)[:, 0], aux


class Drop(nn.Module):
  """Dropout, with a check of its setting. In training each value is dropped on its own, by the stream "dropout".

  Attributes:
    dropout: the share of the values that is set to 0; the others are divided by 1 - dropout.
  """

  dropout: float = 0.0

  @nn.compact
  def __call__(self, x: Array, train: bool) -> Array:
    if not 0 <= self.dropout < 1:
      raise ValueError(f"dropout {self.dropout} is not in [0, 1)")
    return nn.Dropout(self.dropout, deterministic=not train)(x)
