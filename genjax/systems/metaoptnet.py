"""MetaOptNet: an embedding is trained through the classifiers that a convex head makes of a few examples.

Papers   Lee 2021 (thesis), chapter 4, eq 4.12; Lee et al. 2019, arXiv:1904.03758. The same System trains any head:
         Snell et al. 2017, arXiv:1703.05175 (prototypes); Bertinetto et al. 2019, arXiv:1805.08136 (R2D2);
         Vinyals et al. 2016, arXiv:1606.04080 (matching); Sung et al. 2018, arXiv:1711.06025 (relation).
Departs  Supports and queries are embedded in two calls, as in the released code, so each has its own batch statistics;
         together=True is one call. The loss is the mean over queries; eq 4.12 writes their sum. Weight decay falls on
         everything, batch norm and scale included, as released. Running statistics of a device mesh are those of the
         whole batch. With `accumulate` the parts of a batch have batch statistics of their own.
Shapes   E episodes, K ways, n supports and m queries of an episode. support [E, n, H, W, C], query [E, m, H, W, C]
         float32, as the net takes them; support_label [E, n], query_label [E, m] int32 in [0, K).
Checked  tests/systems/test_metaoptnet.py and contract.py.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from genjax.core import Batch, Metrics, System
from genjax.systems.settings import check_counts, check_words
from genjax.systems.updates import norm

Array = jax.Array
HIGHEST = lax.Precision.HIGHEST


class Head(NamedTuple):
  """A classifier made of supports: for one episode, features [n, ...] and labels [n] to logits [m, K] of queries.

  `reads` names what of the embedding it looks at: "features" [n, d], or "map" [n, h, w, c] of the net's aux.
  """

  init: Callable[[Array, Array], Any]  # key, one episode's supports -> parameters of its own, {} for none
  apply: Callable[[Any, Array, Array, Array], Array]  # parameters, support, labels, query -> logits
  reads: Literal["features", "map"] = "features"


class State(NamedTuple):
  step: Array  # [] int32, finished updates
  params: Mapping[str, Any]  # "net", "head", and "scale" []
  moving: Any  # all other collections of the net: running statistics, DropBlock's count
  optimizer: Any


def fixed(head: Callable[..., Array], *, ways: int, **settings: Any) -> Head:
  """A head without parameters: (support [n, d], labels [n], query [m, d], *, ways, **settings) -> logits [m, ways]."""
  return Head(lambda key, support: {}, lambda _, *episode: head(*episode, ways=ways, **settings))


def learned(module: nn.Module, *, ways: int) -> Head:
  """A head that is a flax module of feature maps: (support, labels, query, ways=ways) -> scores [m, ways]."""
  labels = lambda support: jnp.arange(support.shape[0]) % ways
  return Head(
    lambda key, support: module.init(key, support, labels(support), support[:1], ways=ways)["params"],
    lambda params, *episode: module.apply({"params": params}, *episode, ways=ways),
    "map",
  )


def metaoptnet(
  net: nn.Module,
  head: Head,
  *,
  shape: tuple[int, int, int],
  ways: int = 5,
  loss: Literal["cross_entropy", "squared"] = "cross_entropy",
  smoothing: float = 0.0,
  rate: float = 0.1,
  drops: Sequence[tuple[int, float]] = ((20_000, 0.06), (40_000, 0.012), (50_000, 0.0024)),
  momentum: float = 0.9,
  decay: float = 5e-4,
  scale: float = 1.0,
  learn_scale: bool = True,
  together: bool = False,
  accumulate: int = 1,
) -> System:
  """An embedding and a head as a System that learns from batches of episodes.

  Args:
    net: images [B, H, W, C] -> (features [B, d], aux), with `train`; see nets/resnet12.py.
    head: from `fixed` or `learned`.
    shape: H, W, C.
    ways: K, of every episode.
    loss: "cross_entropy" of scale * logits (eq 4.12), or "squared" error of scores against one-hot labels (relation).
    smoothing: epsilon; the true class has 1 - epsilon, the others epsilon / (K - 1).
    rate: of SGD with Nesterov's momentum.
    drops: (step, factor): from that step on the rate is `rate` times the factor.
    momentum: of SGD.
    decay: of all weights, added to the gradient.
    scale: where the scale of the logits starts, gamma in eq 4.12.
    learn_scale: whether it is learned.
    together: one call embeds supports and queries.
    accumulate: parts of a batch that are worked on one after the other; their gradients are averaged.

  Raises:
    ValueError: settings that do not go together.
  """
  check_counts({"ways": ways}, 2)
  check_counts({"accumulate": accumulate})
  check_words({"loss": (loss, "cross_entropy", "squared")})
  if not 0 <= smoothing < 1 or (smoothing and loss == "squared"):
    raise ValueError(f"smoothing {smoothing} with loss {loss!r}; use [0, 1) with 'cross_entropy', 0 with 'squared'")
  optimizer = sgd(rate, drops, momentum=momentum, decay=decay)

  def judge(params: Any, moving: Any, batch: Batch, key: Array | None) -> tuple[Array, Any]:
    """Logits [E, m, K] of the queries, and the net's collections after."""
    support, query = batch["support"], batch["query"]
    embed = lambda images, moving, key: _embedded(net, head, {"params": params["net"], **moving}, images, key)
    if together:
      both, moving = embed(jnp.concatenate([support, query], 1), moving, key)
      support, query = both[:, : support.shape[1]], both[:, support.shape[1] :]
    else:
      key_support, key_query = (None, None) if key is None else jax.random.split(key)
      support, moving = embed(support, moving, key_support)
      query, moving = embed(query, moving, key_query)
    logits = _answers(head, params["head"], support, batch, query)
    return logits * (params["scale"] if learn_scale else scale), moving

  def learn(params: Any, moving: Any, batch: Batch, key: Array) -> tuple[Array, tuple[Any, Metrics]]:
    logits, moved = judge(params, moving, batch, key)
    value, told = score(logits, batch["query_label"], loss, smoothing)
    return value, (moved, told)

  def init(key: Array, batch: Batch) -> State:
    check_episodes(batch, shape, ways, accumulate)
    key_net, key_head, key_dropout = jax.random.split(key, 3)
    support = batch["support"][0]
    variables = net.init({"params": key_net, "dropout": key_dropout}, support, train=False)
    read = jax.eval_shape(lambda variables: _embedded(net, head, variables, support[None], None)[0], variables)
    params = {
      "net": variables["params"],
      "head": head.init(key_head, jnp.zeros(read.shape[1:], read.dtype)),
      "scale": jnp.asarray(scale, jnp.float32),
    }
    moving = {name: value for name, value in variables.items() if name != "params"}
    return State(jnp.zeros((), jnp.int32), params, moving, optimizer.init(params))

  def step(key: Array, state: State, batch: Batch) -> tuple[State, Metrics]:
    check_episodes(batch, shape, ways, accumulate)
    gradient = jax.grad(learn, has_aux=True)
    if accumulate == 1:
      pull, (moving, told) = gradient(state.params, state.moving, batch, key)
    else:
      # Episode j of every part comes from the same contiguous run of the batch: devices exchange nothing.
      cut = lambda leaf: leaf.reshape(-1, accumulate, *leaf.shape[1:]).swapaxes(0, 1)

      def part(moving: Any, turn: tuple[Array, Batch]) -> tuple[Any, tuple[Any, Metrics]]:
        pull, (moving, told) = gradient(state.params, moving, turn[1], turn[0])
        return moving, (pull, told)

      turns = (jax.random.split(key, accumulate), jax.tree.map(cut, dict(batch)))
      moving, both = lax.scan(part, state.moving, turns)
      pull, told = jax.tree.map(lambda leaf: leaf.mean(0), both)
    change, moments = optimizer.update(pull, state.optimizer, state.params)
    params = optax.apply_updates(state.params, change)
    told = {**told, "gradient": norm(pull), "scale": params["scale"]}
    return State(state.step + 1, params, moving, moments), told

  def evaluate(key: Array, state: State, batch: Batch) -> Metrics:
    """Loss and accuracy of episodes, with the running statistics."""
    del key
    logits = judge(state.params, state.moving, batch, None)[0]
    return score(logits, batch["query_label"], loss, smoothing)[1]

  return System(init, step, None, evaluate)


def logits_of(net: nn.Module, head: Head) -> Callable[[State], Callable[[Batch], Array]]:
  """A view of states of `metaoptnet`: episodes -> logits [E, m, K] without the scale, by the running statistics."""

  def view(state: State) -> Callable[[Batch], Array]:
    variables = {"params": state.params["net"], **state.moving}
    embed = lambda images: _embedded(net, head, variables, images, None)[0]
    return lambda batch: _answers(head, state.params["head"], embed(batch["support"]), batch, embed(batch["query"]))

  return view


def sgd(
  rate: float, drops: Sequence[tuple[int, float]], *, momentum: float, decay: float
) -> optax.GradientTransformation:
  """SGD with Nesterov's momentum; `decay` times the weights is added to the gradient before the momentum."""
  steps = [step for step, _ in drops]
  if steps != sorted(set(steps)) or any(step < 1 for step in steps):
    raise ValueError(f"drops {tuple(drops)} are (step, factor) with steps that rise from 1")
  factors = [1.0, *(factor for _, factor in drops)]
  schedule = optax.join_schedules([optax.constant_schedule(rate * factor) for factor in factors], steps)
  return optax.chain(optax.add_decayed_weights(decay), optax.sgd(schedule, momentum=momentum, nesterov=True))


def _embedded(net: nn.Module, head: Head, variables: Any, images: Array, key: Array | None) -> tuple[Array, Any]:
  """[E, n, H, W, C] -> what the head reads, [E, n, ...], and the net's collections after it. No key: no training."""
  flat = images.reshape(-1, *images.shape[2:])
  moved = {name: value for name, value in variables.items() if name != "params"}
  if key is None:
    features, aux = net.apply(variables, flat, train=False)
  else:
    (features, aux), moved = net.apply(variables, flat, train=True, rngs={"dropout": key}, mutable=list(moved))
  read = features if head.reads == "features" else aux["map"]
  return read.astype(jnp.float32).reshape(*images.shape[:2], *read.shape[1:]), moved


def _answers(head: Head, params: Any, support: Array, batch: Batch, query: Array) -> Array:
  """Logits [E, m, K] of embedded episodes."""
  return jax.vmap(lambda *episode: head.apply(params, *episode))(support, batch["support_label"], query)


def score(logits: Array, labels: Array, loss: str = "cross_entropy", smoothing: float = 0.0) -> tuple[Array, Metrics]:
  """The loss over all queries of logits [E, m, K] and labels [E, m], and what is told of it."""
  ways = logits.shape[-1]
  onehot = jax.nn.one_hot(labels, ways)
  if loss == "squared":
    value = ((logits - onehot) ** 2).mean()
  else:
    wanted = onehot * (1 - smoothing) + (1 - onehot) * smoothing / (ways - 1)
    value = -(wanted * jax.nn.log_softmax(logits)).sum(-1).mean()
  accuracy = (logits.argmax(-1) == labels).mean(dtype=jnp.float32)
  return value, {"loss": value, "accuracy": accuracy}


def check_episodes(batch: Batch, shape: tuple[int, int, int], ways: int, accumulate: int = 1) -> None:
  """Raises ValueError unless the batch is one of episodes of these images."""
  wanted = {"support", "support_label", "query", "query_label"}
  if not wanted <= set(batch):
    raise ValueError(f"the batch has {', '.join(sorted(batch))}; a few-shot system takes {', '.join(sorted(wanted))}")
  for name in ("support", "query"):
    if batch[name].shape[2:] != shape:
      raise ValueError(f"{name} images are {batch[name].shape[2:]}, the system was built for {shape}")
    if batch[f"{name}_label"].shape != batch[name].shape[:2]:
      raise ValueError(f"{name}_label is {batch[f'{name}_label'].shape}; wanted {batch[name].shape[:2]}")
  if batch["support"].shape[1] < ways:
    raise ValueError(f"{batch['support'].shape[1]} supports for {ways} ways; every class needs one")
  if batch["support"].shape[0] % accumulate:
    raise ValueError(
      f"{batch['support'].shape[0]} episodes are not a multiple of accumulate {accumulate}; use a multiple of it "
      "(config.data.batch)"
    )
