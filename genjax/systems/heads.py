"""Heads of few-shot systems: each makes a classifier of an episode's supports and gives the logits of its queries.

Papers   see ops/base_learners.py and nets/relation.py, which hold the formulae.
Shapes   n supports, m queries, d features, K ways. support [n, d], labels [n] int32 in [0, K), query [m, d];
         logits [m, K]. One episode a call.
Checked  tests/systems/test_few_shot_heads.py

A head of one's own is a function of an episode, (support, labels, query, *, ways, settings ...) -> logits, and
`my_head = fixed(my_function)` is what a config names; or a flax module of feature maps, and a builder that returns
`learned(module, ways=ways)`.
"""

import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.relation import Relation
from genjax.ops import base_learners

Array = jax.Array


class Head(NamedTuple):
  """A classifier made of supports: for one episode, features of supports [n, ...] and of queries [m, ...] to logits.

  `reads` names the output of the embedding that it takes: "features" [n, d], or "map" [n, h, w, c] of the net's aux.
  `solve` gives its logits and whether its solver came to the optimum; None where there is no solver.
  """

  init: Callable[[Array, Array], Any]  # key, supports of one episode -> the head's own parameters, {} for none
  apply: Callable[[Any, Array, Array, Array], Array]  # parameters, support, labels, query -> logits [m, K]
  reads: Literal["features", "map"] = "features"
  solve: Callable[[Any, Array, Array, Array], base_learners.Solved] | None = None  # as apply


def fixed(function: Callable[..., Array]) -> Callable[..., Head]:
  """The builder of a head that has no parameters.

  Args:
    function: (support [n, d], labels [n], query [m, d], *, ways, ...) -> logits [m, ways], or a
      `base_learners.Solved` of them; its keyword-only arguments
      are the builder's. The builder tries them on the shapes of an episode, so that it raises what the function raises.
  """
  episode = ("support", "labels", "query")
  known = inspect.signature(function)
  settings = [each for each in known.parameters.values() if each.kind is inspect.Parameter.KEYWORD_ONLY]
  if (
    tuple(known.parameters)[:3] != episode
    or "ways" not in known.parameters
    or len(settings) + 3 != len(known.parameters)
  ):
    raise ValueError(f"{function.__name__}{known}; wanted (support, labels, query, *, ways, ...)")
  signature = known.replace(parameters=settings, return_annotation=Head)

  @wraps(function)
  def build(**chosen: Any) -> Head:
    call = signature.bind(**chosen).arguments
    apply = partial(function, **call)
    rows = call["ways"]
    result = jax.eval_shape(apply, *(jax.ShapeDtypeStruct(*each) for each in _episode(rows)))
    solves = isinstance(result, base_learners.Solved)
    logits = result.logits if solves else result
    if logits.shape != (1, rows):
      raise ValueError(f"head {function.__name__} gives logits {logits.shape} of 1 query; wanted {(1, rows)}")
    if solves:
      solve = lambda _, *episode: apply(*episode)
      return Head(lambda key, support: {}, lambda _, *episode: apply(*episode).logits, solve=solve)
    return Head(lambda key, support: {}, lambda _, *episode: apply(*episode))

  build.__signature__ = signature
  return build


def _episode(ways: int) -> tuple[tuple[tuple[int, ...], Any], ...]:
  """Shapes and types of a small episode: one support a class, one query."""
  return ((ways, 4), jnp.float32), ((ways,), jnp.int32), ((1, 4), jnp.float32)


def learned(module: nn.Module, *, ways: int) -> Head:
  """A head that is a flax module of feature maps: (support, labels, query, ways=ways) -> scores [m, ways]."""
  labels = lambda support: jnp.arange(support.shape[0]) % ways
  return Head(
    lambda key, support: module.init(key, support, labels(support), support[:1], ways=ways)["params"],
    lambda params, *episode: module.apply({"params": params}, *episode, ways=ways),
    "map",
  )


svm = fixed(base_learners.svm_solved)
ridge = fixed(base_learners.ridge)
r2d2 = fixed(base_learners.r2d2)
proto = fixed(base_learners.proto)
weston_watkins = fixed(base_learners.weston_watkins_solved)
matching = fixed(base_learners.matching)


def relation(*, ways: int, width: int = 64, hidden: int = 8) -> Head:
  """The relation module of Sung et al. 2018; its loss is metaoptnet's "squared". See nets.relation.Relation."""
  return learned(Relation(width=width, hidden=hidden), ways=ways)
