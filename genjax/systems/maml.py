"""MAML: weights from which a few gradient steps on the supports of an episode lead to a classifier of its queries.

Papers   Finn, Abbeel & Levine 2017, arXiv:1703.03400, Algorithm 2; `first_order` is their section 5.2. Published for
         miniImageNet: 5 inner steps of 0.01 in training and 10 in testing, Adam 1e-3, 4 episodes a batch.
Departs  Batch norm has the statistics of the supports, or the queries, of one episode, in training and evaluation alike
         (so queries are classified together, as in the published code); running statistics are not kept.
Shapes   as systems/metaoptnet.py: E episodes, n supports, m queries, K ways; logits [E, m, K].
Checked  tests/systems/test_maml.py
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from genjax.core import Batch, Metrics, System
from genjax.systems.checks import check_counts
from genjax.systems.fit import collections_of, fit
from genjax.systems.metaoptnet import check_episodes, kernels_of, loss_of
from genjax.systems.optimizers import Optimizer, adam

Array = jax.Array
Variables = Mapping[str, Any]
PUBLISHED = adam(learning_rate=1e-3)


def maml(
  net: nn.Module,
  *,
  shape: tuple[int, int, int],
  ways: int = 5,
  inner_steps: int = 5,
  evaluate_steps: int = 10,
  inner_learning_rate: float = 0.01,
  first_order: bool = False,
  optimizer: Optimizer = PUBLISHED,
  accumulate: int = 1,
  remat: bool = False,
) -> System:
  """An embedding with a linear classifier on it, trained to adapt.

  The parameters of its state are "net" and "classifier", a kernel [d, K] and a bias [K]. Its view is
  adapt(state, episodes) -> logits [E, m, K] of the queries after `evaluate_steps` steps on the supports, with the same
  dropout in every call.

  Args:
    net: images [B, H, W, C] -> (features [B, d], aux), with `train`.
    shape: H, W, C.
    ways: K, of every episode.
    inner_steps, evaluate_steps: gradient steps on the supports, in training and in evaluation.
    inner_learning_rate: of those steps.
    first_order: whether the gradient is kept from passing through the inner gradients.
    optimizer: of the outer update; Adam as published unless given.
    accumulate: parts of a batch of episodes that are worked on one after the other.
    remat: whether a step computes again what lies between its convolutions and products, to hold less.

  Raises:
    ValueError: a count below what it must be.
  """
  check_counts({"ways": ways}, 2)
  check_counts({"inner_steps": inner_steps, "evaluate_steps": evaluate_steps})

  def init(key: Array, batch: Batch) -> Variables:
    check_episodes(batch, shape, ways)
    key_net, key_dropout, key_classifier = jax.random.split(key, 3)
    variables = net.init({"params": key_net, "dropout": key_dropout}, batch["support"][0], train=False)
    features = jax.eval_shape(lambda v: net.apply(v, batch["support"][0], train=False)[0], variables)
    kernel = nn.initializers.lecun_normal()(key_classifier, (features.shape[-1], ways), jnp.float32)
    params = {"net": variables["params"], "classifier": {"kernel": kernel, "bias": jnp.zeros(ways)}}
    return {**variables, "params": params}

  def adapted(key: Array, variables: Variables, episode: tuple[Array, ...], steps: int, first_order: bool) -> Array:
    return _adapted(
      key, variables, *episode, net=net, steps=steps, learning_rate=inner_learning_rate, first_order=first_order
    )

  def learn(key: Array, variables: Variables, batch: Batch) -> tuple[Array, tuple[Any, Metrics]]:
    check_episodes(batch, shape, ways)
    one = lambda key, *episode: adapted(key, variables, episode, inner_steps, first_order)
    logits = jax.vmap(one)(jax.random.split(key, len(batch["query"])), *_episodes(batch))
    value, metrics = loss_of(logits, batch["query_label"])
    return value, (collections_of(variables), metrics)

  def adapt(variables: Variables, episodes: Batch) -> Array:
    one = lambda *episode: adapted(jax.random.key(0), variables, episode, evaluate_steps, True)
    return jax.vmap(one)(*_episodes(episodes))

  kernels = lambda key, batch: kernels_of(key, batch, net, shape)
  memory = {"accumulate": accumulate, "remat": remat}
  return fit(init, learn, optimizer, **memory, views={"adapt": adapt}, kernels=kernels)


def _episodes(batch: Batch) -> tuple[Array, Array, Array]:
  return batch["support"], batch["support_label"], batch["query"]


def _adapted(
  key: Array,
  variables: Variables,
  support: Array,
  labels: Array,
  query: Array,
  *,
  net: nn.Module,
  steps: int,
  learning_rate: float,
  first_order: bool,
) -> Array:
  """Logits [m, K] of the queries of one episode, by the parameters that `steps` steps on its supports lead to."""
  collections = collections_of(variables)

  def logits_of(key: Array, params: Any, images: Array) -> Array:
    own = {"params": params["net"], **collections}
    (features, _), _ = net.apply(own, images, train=True, rngs={"dropout": key}, mutable=list(collections))
    classifier = params["classifier"]
    product = jnp.matmul(features.astype(jnp.float32), classifier["kernel"], precision=lax.Precision.HIGHEST)
    return product + classifier["bias"][None]

  def loss(params: Any, key: Array) -> Array:
    logits = logits_of(key, params, support)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

  def descend(params: Any, key: Array) -> tuple[Any, None]:
    grads = jax.grad(loss)(params, key)
    grads = lax.stop_gradient(grads) if first_order else grads
    return jax.tree.map(lambda leaf, grad: leaf - learning_rate * grad, params, grads), None

  keys = jax.random.split(key, steps + 1)
  params, _ = lax.scan(descend, variables["params"], keys[1:])
  return logits_of(keys[0], params, query)
