"""Builders of heads: they have the settings of the functions that they bind, and say at once what does not fit."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.ops import base_learners
from genjax.systems import heads
from genjax.systems.heads import Head, fixed

DRAW = np.random.default_rng(0)
EPISODE = (DRAW.normal(size=(6, 5)).astype(np.float32), np.arange(6) % 3, DRAW.normal(size=(4, 5)).astype(np.float32))


@pytest.mark.parametrize("name", ["svm", "ridge", "r2d2", "proto", "weston_watkins", "matching"])
def test_a_fixed_head_takes_the_settings_of_its_function_and_gives_its_logits(name):
  builder, function = getattr(heads, name), getattr(base_learners, name)
  settings = dict(inspect.signature(builder).parameters)
  assert list(settings) == [key for key in inspect.signature(function).parameters if key not in EPISODE_NAMES]
  assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for each in settings.values())
  head = builder(ways=3)
  assert head.init(jax.random.key(0), EPISODE[0]) == {}
  assert head.reads == "features"
  np.testing.assert_array_equal(head.apply({}, *EPISODE), function(*EPISODE, ways=3))


EPISODE_NAMES = ("support", "labels", "query")


def test_settings_reach_the_function():
  ours = heads.ridge(ways=3, penalty=0.5, kernel="rbf", width=2.0).apply({}, *EPISODE)
  theirs = base_learners.ridge(*EPISODE, ways=3, penalty=0.5, kernel="rbf", width=2.0)
  np.testing.assert_array_equal(ours, theirs)


def test_the_relation_module_reads_maps_and_has_parameters():
  head = heads.relation(ways=2, width=3, hidden=4)
  support, labels, query = jnp.ones((4, 6, 6, 5)), jnp.array([0, 0, 1, 1]), jnp.ones((3, 6, 6, 5))
  params = head.init(jax.random.key(0), support)
  assert head.reads == "map"
  assert params["Conv_0"]["kernel"].shape == (3, 3, 10, 3)
  assert params["Dense_0"]["kernel"].shape[1] == 4
  scores = head.apply(params, support, labels, query)
  assert scores.shape == (3, 2)
  assert ((scores > 0) & (scores < 1)).all()


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"kernel": "rfb"}, "use linear, rbf, polynomial"),
    ({"mode": "fast"}, "'exact' or 'qpth'"),
    ({"iterations": 0}, "iterations is 0"),
  ],
)
def test_a_setting_that_the_function_refuses_is_refused_by_the_builder(settings, message):
  with pytest.raises(ValueError, match=message):
    heads.svm(ways=3, **settings)
  with pytest.raises(TypeError, match="unexpected keyword argument 'c'"):
    heads.svm(ways=3, c=1.0)


def test_a_head_of_ones_own_is_a_function_of_an_episode():
  def nearest(support, labels, query, *, ways, power: float = 2.0):
    apart = (jnp.abs(query[:, None] - support[None]) ** power).sum(-1)
    return -jnp.stack([jnp.where(labels == k, apart, jnp.inf).min(1) for k in range(ways)], 1)

  head = fixed(nearest)(ways=3, power=1.0)
  assert isinstance(head, Head)
  assert list(inspect.signature(fixed(nearest)).parameters) == ["ways", "power"]
  assert (head.apply({}, EPISODE[0], EPISODE[1], EPISODE[0]).argmax(1) == EPISODE[1]).all()

  def transposed(support, labels, query, *, ways):
    return nearest(support, labels, query, ways=ways).T

  with pytest.raises(ValueError, match=r"head transposed gives logits \(3, 1\) of 1 query; wanted \(1, 3\)"):
    fixed(transposed)(ways=3)
  with pytest.raises(ValueError, match=r"wanted \(support, labels, query, \*, ways"):
    fixed(lambda features, labels, query: query)
