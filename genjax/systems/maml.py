"""MAML: weights from which a few gradient steps on the supports of an episode lead to a classifier of its queries.

Papers   Finn, Abbeel & Levine 2017, arXiv:1703.03400, Algorithm 2; `first_order` is their section 5.2. Published for
         miniImageNet: 5 inner steps of 0.01 in training and 10 in testing, Adam 1e-3, 4 episodes a batch.
Departs  Batch norm has the statistics of the supports, or the queries, of one episode, in training and evaluation alike
         (so queries are judged together, as in the published code); running statistics are not kept.
Shapes   as systems/metaoptnet.py: E episodes, n supports, m queries, K ways; logits [E, m, K].
Checked  tests/systems/test_maml.py and contract.py.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from genjax.core import Batch, Metrics, System
from genjax.systems.metaoptnet import check_episodes, score
from genjax.systems.settings import check_counts
from genjax.systems.updates import norm

Array = jax.Array


class State(NamedTuple):
  step: Array  # [] int32, finished updates
  params: Mapping[str, Any]  # "net", and "classifier": kernel [d, K] and bias [K]
  fixed: Any  # the net's other collections, as they were made
  optimizer: Any


def maml(
  net: nn.Module,
  *,
  shape: tuple[int, int, int],
  ways: int = 5,
  inner_steps: int = 5,
  evaluate_steps: int = 10,
  inner_rate: float = 0.01,
  first_order: bool = False,
  rate: float = 1e-3,
  b1: float = 0.9,
  b2: float = 0.999,
) -> System:
  """An embedding with a linear classifier on it, trained to adapt.

  Args:
    net: images [B, H, W, C] -> (features [B, d], aux), with `train`.
    shape: H, W, C.
    ways: K, of every episode.
    inner_steps, evaluate_steps: gradient steps on the supports, in training and in evaluation.
    inner_rate: of those steps.
    first_order: the gradient does not pass through the inner gradients.
    rate, b1, b2: of Adam.

  Raises:
    ValueError: a count below what it must be.
  """
  check_counts({"ways": ways}, 2)
  check_counts({"inner_steps": inner_steps, "evaluate_steps": evaluate_steps})
  optimizer = optax.adam(rate, b1=b1, b2=b2)

  def learn(params: Any, state: State, batch: Batch, key: Array) -> tuple[Array, Metrics]:
    adapted = lambda key, *episode: _adapted(
      net, params, state.fixed, key, *episode, steps=inner_steps, rate=inner_rate, first_order=first_order
    )
    logits = jax.vmap(adapted)(jax.random.split(key, len(batch["query"])), *_episodes(batch))
    return score(logits, batch["query_label"])

  def init(key: Array, batch: Batch) -> State:
    check_episodes(batch, shape, ways)
    key_net, key_dropout, key_classifier = jax.random.split(key, 3)
    variables = net.init({"params": key_net, "dropout": key_dropout}, batch["support"][0], train=False)
    features = jax.eval_shape(lambda v: net.apply(v, batch["support"][0], train=False)[0], variables)
    kernel = nn.initializers.lecun_normal()(key_classifier, (features.shape[-1], ways), jnp.float32)
    params = {"net": variables["params"], "classifier": {"kernel": kernel, "bias": jnp.zeros(ways)}}
    rest = {name: value for name, value in variables.items() if name != "params"}
    return State(jnp.zeros((), jnp.int32), params, rest, optimizer.init(params))

  def step(key: Array, state: State, batch: Batch) -> tuple[State, Metrics]:
    check_episodes(batch, shape, ways)
    pull, values = jax.grad(learn, has_aux=True)(state.params, state, batch, key)
    change, moments = optimizer.update(pull, state.optimizer, state.params)
    params = optax.apply_updates(state.params, change)
    return state._replace(step=state.step + 1, params=params, optimizer=moments), {**values, "gradient": norm(pull)}

  view = logits_of(net, evaluate_steps=evaluate_steps, inner_rate=inner_rate)

  def evaluate(key: Array, state: State, batch: Batch) -> Metrics:
    """Loss and accuracy of episodes after `evaluate_steps` steps."""
    del key
    return score(view(state)(batch), batch["query_label"])[1]

  return System(init, step, None, evaluate)


def logits_of(
  net: nn.Module, *, evaluate_steps: int = 10, inner_rate: float = 0.01
) -> Callable[[State], Callable[[Batch], Array]]:
  """A view of states of `maml`: episodes -> logits [E, m, K] after adaptation, without dropout's noise changing."""

  def view(state: State) -> Callable[[Batch], Array]:
    key = jax.random.key(0)
    adapted = lambda *episode: _adapted(
      net, state.params, state.fixed, key, *episode, steps=evaluate_steps, rate=inner_rate, first_order=True
    )
    return lambda batch: jax.vmap(adapted)(*_episodes(batch))

  return view


def _episodes(batch: Batch) -> tuple[Array, Array, Array]:
  return batch["support"], batch["support_label"], batch["query"]


def _adapted(
  net: nn.Module,
  params: Any,
  fixed: Any,
  key: Array,
  support: Array,
  labels: Array,
  query: Array,
  *,
  steps: int,
  rate: float,
  first_order: bool,
) -> Array:
  """Logits [m, K] of the queries of one episode, by the parameters that `steps` steps on its supports lead to."""

  def judge(params: Any, images: Array, key: Array) -> Array:
    variables = {"params": params["net"], **fixed}
    (features, _), _ = net.apply(variables, images, train=True, rngs={"dropout": key}, mutable=list(fixed))
    classifier = params["classifier"]
    product = jnp.matmul(features.astype(jnp.float32), classifier["kernel"], precision=lax.Precision.HIGHEST)
    return product + classifier["bias"][None]

  def loss(params: Any, key: Array) -> Array:
    logits = judge(params, support, key)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

  def descend(params: Any, key: Array) -> tuple[Any, None]:
    pull = jax.grad(loss)(params, key)
    pull = lax.stop_gradient(pull) if first_order else pull
    return jax.tree.map(lambda leaf, move: leaf - rate * move, params, pull), None

  keys = jax.random.split(key, steps + 1)
  adapted, _ = lax.scan(descend, params, keys[1:])
  return judge(adapted, query, keys[0])
