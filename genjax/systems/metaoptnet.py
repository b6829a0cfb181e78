"""MetaOptNet: an embedding is trained through the classifiers that a convex head makes of a few examples.

Papers   Lee 2021 (thesis), chapter 4, eq 4.12; Lee et al. 2019, arXiv:1904.03758. The same system trains any head:
         Snell et al. 2017, arXiv:1703.05175 (prototypes); Bertinetto et al. 2019, arXiv:1805.08136 (R2D2);
         Vinyals et al. 2016, arXiv:1606.04080 (matching); Sung et al. 2018, arXiv:1711.06025 (relation).
Departs  Supports and queries are embedded in two calls, as in the released code, so each has its own batch statistics;
         together=True is one call. The loss is the mean over queries; eq 4.12 writes their sum. Weight decay falls on
         everything, batch norm and scale included, as released. Running statistics of a device mesh are those of the
         whole batch. With `accumulate` the parts of a batch have batch statistics of their own.
Shapes   E episodes, K ways, n supports and m queries of an episode. support [E, n, H, W, C], query [E, m, H, W, C]
         float32, as the net takes them; support_label [E, n], query_label [E, m] int32 in [0, K).
Checked  tests/systems/test_metaoptnet.py
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from genjax.core import Batch, Kernel, Metrics, System
from genjax.nets.pooling import max_pool
from genjax.ops.base_learners import Solved, head_kernels
from genjax.ops.conv import LAYOUT, conv
from genjax.ops.one_hot import one_hot
from genjax.systems.checks import STANDARDISED, at_hand, check_counts, check_pixels, check_words
from genjax.systems.fit import collections_of, fit
from genjax.systems.heads import Head
from genjax.systems.optimizers import Optimizer, sgd
from genjax.systems.parts import rematerialised

Array = jax.Array
Variables = Mapping[str, Any]
PUBLISHED = sgd(
  learning_rate=0.1,
  momentum=0.9,
  nesterov=True,
  weight_decay=5e-4,
  schedule="steps",
  drops=((20_000, 0.06), (40_000, 0.012), (50_000, 0.0024)),
)


def metaoptnet(
  net: nn.Module,
  head: Head,
  *,
  shape: tuple[int, int, int],
  ways: int = 5,
  loss: Literal["cross_entropy", "squared"] = "cross_entropy",
  smoothing: float = 0.0,
  optimizer: Optimizer = PUBLISHED,
  scale: float = 1.0,
  learn_scale: bool = True,
  together: bool = False,
  accumulate: int = 1,
  remat: bool = False,
  evaluate_head: Head | None = None,
) -> System:
  """An embedding and a head as a System that learns from batches of episodes.

  The parameters of its state are "net", "head" and "scale". Its views are adapt(state, episodes) -> logits [E, m, K]
  of the queries, without the scale; solve(state, episodes) -> those logits and whether each episode's solver came to
  its optimum [E], always where there is none; and encode(state, images [B, H, W, C]) -> features [B, d]. All use the
  running statistics. The metric "solved" of a step is the share of episodes that were, for heads with a solver.

  Args:
    net: images [B, H, W, C] -> (features [B, d], aux), with `train`; see nets/resnet12.py.
    head: see heads.py.
    shape: H, W, C.
    ways: K, of every episode.
    loss: "cross_entropy" of scale * logits (eq 4.12), or "squared" error of scores against one-hot labels (relation).
    smoothing: epsilon; the true class has 1 - epsilon, the others epsilon / (K - 1).
    optimizer: SGD as published unless given, see PUBLISHED.
    scale: the initial scale of the logits, gamma in eq 4.12.
    learn_scale: whether it is learned.
    together: whether one call embeds supports and queries.
    evaluate_head: the head of the views, with the parameters of `head`; None is `head`.
    accumulate: parts of a batch that are worked on one after the other; their gradients are averaged.
    remat: whether a step computes again what lies between the embedding's convolutions and products, to hold less.

  Raises:
    ValueError: settings that do not go together.
  """
  check_counts({"ways": ways}, 2)
  check_words({"loss": (loss, "cross_entropy", "squared")})
  if not 0 <= smoothing < 1 or (smoothing and loss == "squared"):
    raise ValueError(f"smoothing {smoothing} with loss {loss!r}; use [0, 1) with 'cross_entropy', 0 with 'squared'")

  def solve(key: Array | None, variables: Variables, batch: Batch) -> tuple[Solved, Any]:
    """Logits [E, m, K] of the queries without the scale, what was solved [E], and the net's collections after.

    No key: no training.
    """
    params, collections = variables["params"], collections_of(variables)
    support, query = batch["support"], batch["query"]
    whole = lambda key, collections, images: _embedded(key, {"params": params["net"], **collections}, images, net, head)
    embed = rematerialised(whole, remat)  # the embedding alone: a head holds little, and would be solved again
    if together and key is not None:
      both, collections = embed(key, collections, jnp.concatenate([support, query], 1))
      support, query = both[:, : support.shape[1]], both[:, support.shape[1] :]
    else:
      key_support, key_query = (None, None) if key is None else jax.random.split(key)
      support, collections = embed(key_support, collections, support)
      query, collections = embed(key_query, collections, query)
    used = evaluate_head if evaluate_head is not None and key is None else head
    closed = lambda *episode: Solved(used.apply(*episode), jnp.ones((), bool))
    of_episode = lambda *episode: (used.solve or closed)(params["head"], *episode)
    return jax.vmap(of_episode)(support, batch["support_label"], query), collections

  def init(key: Array, batch: Batch) -> Variables:
    check_episodes(batch, shape, ways)
    key_net, key_head, key_dropout = jax.random.split(key, 3)
    support = batch["support"][0]
    variables = net.init({"params": key_net, "dropout": key_dropout}, support, train=False)
    read = jax.eval_shape(lambda variables: _embedded(None, variables, support[None], net, head)[0], variables)
    params = {
      "net": variables["params"],
      "head": head.init(key_head, jnp.zeros(read.shape[1:], read.dtype)),
      "scale": jnp.asarray(scale, jnp.float32),
    }
    return {"params": params, **collections_of(variables)}

  def learn(key: Array, variables: Variables, batch: Batch) -> tuple[Array, tuple[Any, Metrics]]:
    check_episodes(batch, shape, ways)
    solved, collections = solve(key, variables, batch)
    scaled = solved.logits * (variables["params"]["scale"] if learn_scale else scale)
    value, metrics = loss_of(scaled, batch["query_label"], loss, smoothing)
    if head.solve is not None:
      metrics = {**metrics, "solved": solved.converged.mean(dtype=jnp.float32)}
    return value, (collections, metrics)

  def encode(variables: Variables, images: Array) -> Array:
    own = {"params": variables["params"]["net"], **collections_of(variables)}
    return net.apply(own, images, train=False)[0].astype(jnp.float32)

  answers = lambda variables, episodes: solve(None, variables, episodes)[0]
  adapt = lambda variables, episodes: answers(variables, episodes).logits
  engine = fit(
    init,
    learn,
    optimizer,
    accumulate=accumulate,
    views={"adapt": adapt, "solve": answers, "encode": encode},
    kernels=lambda key, batch: kernels_of(key, batch, net, shape),
  )

  def step(key: Array, state: Any, batch: Batch) -> tuple[Any, Metrics]:
    state, metrics = engine.step(key, state, batch)
    return state, {**metrics, "scale": state.params["scale"]}  # after the update

  return engine._replace(step=step)


def _embedded(key: Array | None, variables: Variables, images: Array, net: nn.Module, head: Head) -> tuple[Array, Any]:
  """[E, n, H, W, C] -> what the head reads, [E, n, ...], and the net's collections after it. No key: no training."""
  flat = images.reshape(-1, *images.shape[2:])
  collections = collections_of(variables)
  if key is None:
    features, aux = net.apply(variables, flat, train=False)
  else:
    rngs = {"dropout": key}
    (features, aux), collections = net.apply(variables, flat, train=True, rngs=rngs, mutable=list(collections))
  read = features if head.reads == "features" else aux["map"]
  return read.astype(jnp.float32).reshape(*images.shape[:2], *read.shape[1:]), collections


def loss_of(
  logits: Array, labels: Array, loss: str = "cross_entropy", smoothing: float = 0.0
) -> tuple[Array, dict[str, Array]]:
  """The loss [] of logits [..., K] for labels [...], and {"accuracy": []}; see `metaoptnet`."""
  ways = logits.shape[-1]
  onehot = one_hot(labels, ways)
  if loss == "squared":
    value = ((logits - onehot) ** 2).mean()
  else:
    wanted = onehot * (1 - smoothing) + (1 - onehot) * smoothing / (ways - 1)
    value = -(wanted * jax.nn.log_softmax(logits)).sum(-1).mean()
  return value, {"accuracy": (logits.argmax(-1) == labels).mean(dtype=jnp.float32)}


def check_episodes(batch: Batch, shape: tuple[int, int, int], ways: int) -> None:
  """Raises ValueError unless the batch is one of episodes of these images."""
  wanted = {"support", "support_label", "query", "query_label"}
  if not wanted <= set(batch):
    raise ValueError(f"the batch has {', '.join(sorted(batch))}; a few-shot system takes {', '.join(sorted(wanted))}")
  for name in ("support", "query"):
    if batch[name].shape[2:] != tuple(shape):
      raise ValueError(f"{name} images are {batch[name].shape[2:]}, the system was built for {tuple(shape)}")
    check_pixels(batch[name], f"{name} images", STANDARDISED)
    if batch[f"{name}_label"].shape != batch[name].shape[:2]:
      raise ValueError(f"{name}_label is {batch[f'{name}_label'].shape}; wanted {batch[name].shape[:2]}")
    labels = batch[f"{name}_label"]
    if at_hand(labels) and not ((labels >= 0) & (labels < ways)).all():  # in jit they give NaN
      raise ValueError(f"{name}_label goes from {labels.min()} to {labels.max()}; wanted 0 to {ways - 1}")
  if batch["support"].shape[1] < ways:
    raise ValueError(f"{batch['support'].shape[1]} supports for {ways} ways; every class needs one")


def kernels_of(key: Array, batch: Batch, net: nn.Module, shape: tuple[int, int, int]) -> dict[str, Kernel]:
  """For bench: the embedding of all queries of a batch, the slowest gradients of its layers, and heads."""
  count = batch["query"].shape[0] * batch["query"].shape[1]
  images = jax.random.normal(key, (count, *shape))
  variables = net.init(key, images[:1], train=False)
  embed: Callable = lambda variables, images: net.apply(variables, images, train=False)[0]
  embedding = Kernel(jax.jit(embed), (variables, images), count, "images")
  return {"embedding": embedding, **layer_kernels(key, min(count, 50), shape[:2]), **head_kernels(key)}


def layer_kernels(key: Array, count: int, sides: tuple[int, int], width: int = 64) -> dict[str, Kernel]:
  """For bench: gradients of a pooling and of a 3x3 convolution's weights, here and as flax and lax have them.

  Args:
    key: of the maps.
    count: images.
    sides, width: H, W and channels of the maps that both layers read.
  """
  maps, slopes, pooled = (
    jax.random.normal(jax.random.fold_in(key, place), (count, height, across, width))
    for place, (height, across) in enumerate((sides, sides, (sides[0] // 2, sides[1] // 2)))
  )
  weights = jnp.zeros((3, 3, width, width))
  around = ((1, 1), (1, 1))
  lax_conv = lambda x, w: lax.conv_general_dilated(x, w, (1, 1), around, dimension_numbers=LAYOUT)
  pools = {"": max_pool, " (flax's)": lambda x: nn.max_pool(x, (2, 2), (2, 2))}
  convs = {"": lambda x, w: conv(x, w, around), " (lax's)": lax_conv}
  of_pool = lambda pool: lambda x, g: jax.vjp(pool, x)[1](g)[0]
  of_weights = lambda convolve: lambda x, g: jax.vjp(lambda w: convolve(x, w), weights)[1](g)[0]
  return {
    **{
      f"max_pool's gradient{whose}": Kernel(of_pool(f), (maps, pooled), count, "images") for whose, f in pools.items()
    },
    **{
      f"weights' gradient{whose}": Kernel(of_weights(f), (maps, slopes), count, "images") for whose, f in convs.items()
    },
  }
