"""The manifold tangent classifier: its answer may not change along the tangents that an autoencoder has found.

Papers   tangent propagation          Simard et al. 1992, NIPS, eq 3
         manifold tangent classifier  Rifai et al. 2011, NIPS, section 4
Departs  The slopes are those of the class probabilities. The classifier is not initialised with the autoencoder's
         encoder (`net` may be: {"weights": ...}); with `encoder` missing or weight 0 it is a plain classifier.
Shapes   batch {"image": [B, H, W, C] float32 in [-1, 1], "label": [B] int32}. net: images -> (number [B], aux) with
         aux["class_logits"] [B, K], such as convnet. encoder: images -> codes [B, D].
Checked  tests/systems/test_tangent_prop.py: the penalty by finite differences
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from genjax.core import Batch, Metrics, System
from genjax.nets.training import mode
from genjax.ops.tangents import along, tangents
from genjax.systems.checks import check_counts, check_images
from genjax.systems.fit import Variables, collections_of, fit
from genjax.systems.optimizers import Optimizer, adam

Array = jax.Array
OPTIMIZER = adam(learning_rate=1e-3)


def tangent_prop(
  net: nn.Module,
  encoder: Callable[[Array], Array] | None = None,
  *,
  shape: tuple[int, int, int],
  classes: int | None = None,
  directions: int = 8,
  weight: float = 1.0,
  optimizer: Optimizer = OPTIMIZER,
  ema: float = 0.0,
  accumulate: int = 1,
  remat: bool = False,
) -> System:
  """A classifier as a System. Its one view is `classify`.

  Args:
    net: see Shapes; its field `head_classes` is set to the number of labels of the data.
    encoder: of a trained autoencoder, whose tangents are used: {"run": "runs/autoencoder", "view": "encode"}.
    shape: H, W, C.
    classes: number of labels of the data.
    directions: tangents of each image, those of the greatest singular values.
    weight: of the penalty, the sum over tangents of the squared slopes of the class probabilities.
    optimizer: of the net.
    ema: decay of the averaged variables that the view uses; 0: none.
    accumulate: parts of a batch that are worked on one after the other.
    remat: whether a step computes again what lies between its convolutions and products, to hold less.

  Raises:
    ValueError: data without labels, or settings that do not go together.
  """
  check_counts({"directions": directions})
  if classes is None:
    raise ValueError("a classifier needs labels, and the data have none (classes is None)")
  if weight and encoder is None:
    raise ValueError(f"weight {weight} without an encoder; give one of a trained autoencoder, or weight=0")
  net = net.clone(head_classes=classes)

  def logits_of(variables: Variables, images: Array) -> Array:
    return net.apply(variables, images)[1]["class_logits"].astype(jnp.float32)

  def init(key: Array, batch: Batch) -> Variables:
    check_images(batch["image"], shape, 1, "1")
    return net.init(key, batch["image"][:1])

  def loss(key: Array, variables: Variables, batch: Batch) -> tuple[Array, tuple[Variables, Metrics]]:
    images, labels = batch["image"], batch["label"]
    mutable, train = list(collections_of(variables)), mode(net, True)
    (_, aux), collections = net.apply(variables, images, **train, rngs={"dropout": key}, mutable=mutable)
    logits = aux["class_logits"].astype(jnp.float32)
    value = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    metrics = {"cross_entropy": value, "accuracy": (logits.argmax(-1) == labels).mean()}
    if not weight:
      return value, (collections, metrics)
    _, vectors = tangents(encoder, images, directions)
    probabilities = lambda images: jax.nn.softmax(logits_of(variables, images))
    slopes = along(probabilities, images, lax.stop_gradient(vectors))
    penalty = (slopes**2).sum((1, 2)).mean()
    return value + weight * penalty, (collections, {**metrics, "tangent_slopes": penalty})

  return fit(init, loss, optimizer, ema=ema, accumulate=accumulate, remat=remat, views={"classify": logits_of})
