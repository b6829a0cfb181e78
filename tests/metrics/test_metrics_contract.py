"""Every metric that a config can name keeps the contract of core.Metric."""

import inspect
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_images import data_of

from genjax.core import VIEWS, Dataset, Metric, Number, Split
from genjax.evaluate import Evaluation, measure
from genjax.metrics.card import Card
from genjax.registry import METRICS, load

CENTRES = np.array([[0.5, 0.5], [-0.5, 0.5], [0.0, -0.5]])


class State(NamedTuple):
  step: jax.Array
  weights: jax.Array


STATE = State(jnp.int32(3), jnp.ones((4 * 4, 3)).at[:, 1].set(-1.0))


def images():
  rng = np.random.default_rng(0)
  of = lambda n: (rng.integers(0, 256, (n, 4, 4, 1), np.uint8), rng.integers(0, 3, n).astype(np.int32))
  return data_of({"train": of(40), "test": of(23)}, classes=3, name="toy")


def mixture():
  facts = {"shape": (1, 1, 2), "centres": CENTRES, "deviation": 0.1, "name": "toy"}
  return Dataset(lambda step: {}, facts=facts)


def episodes():
  """Queries of 3 classes whose label is in their pixels; the share of each is drawn."""

  def of(*, batch, shots, queries, seed):
    def at(step):
      label = np.random.default_rng([seed, step]).integers(0, 3, (batch, 3 * queries)).astype(np.int32)
      return {"support": np.zeros((batch, 3 * shots, 2)), "query": label[..., None] % 2, "query_label": label}

    return at

  def split(name):
    if name != "test":
      raise ValueError(f"split {name!r} does not exist")
    return Split("toy/test", "ab", {"image": np.zeros((30, 2, 2, 1), np.uint8)}, of)

  return Dataset(lambda step: {}, facts={"ways": 3, "name": "toy"}, split=split)


def sample_of(shape):
  return lambda key, state, n: jax.random.uniform(key, (n, *shape), minval=-1.0)


ROWS = {  # the arguments that make it small, its data, its views
  "frechet": ({"samples": 7}, images, {"sample": sample_of((4, 4, 1))}),
  "frechet_anchors": ({"samples": 7}, images, {}),
  "copies": ({"samples": 7}, images, {"sample": sample_of((4, 4, 1))}),
  "error": ({"batch": 10}, images, {"classify": lambda state, x: x.reshape(len(x), -1) @ state.weights}),
  "log_prob": ({"batch": 10}, images, {"log_prob": lambda state, x: -(x**2).sum((1, 2, 3)) * state.weights[0, 0]}),
  "modes": ({"samples": 31}, mixture, {"sample": sample_of((1, 1, 2))}),
  "few_shot": (
    {"episodes": 11, "batch": 8, "queries": 3},
    episodes,
    {"adapt": lambda state, batch: jax.nn.one_hot(batch["query"][..., 0], 3)},
  ),
}


@pytest.fixture(scope="module", params=METRICS)
def row(request):
  """The builder, its settings, data, views."""
  settings, data, views = ROWS[request.param]
  return load(METRICS[request.param]), settings, data(), views


def test_a_metric_says_what_it_needs_and_gives_finite_numbers_with_cards(row):
  builder, settings, data, views = row
  metric = builder(**settings, **({"seed": 3, "ema": True} if "ema" in inspect.signature(builder).parameters else {}))
  metric.check(data)
  assert set(metric.needs) == set(views) <= set(VIEWS)
  numbers = metric.measure(jax.random.key(0), views, STATE, data)
  assert set(numbers) == set(metric.better)
  assert set(metric.better.values()) <= {"lower", "higher", "neither"}
  for number in numbers.values():
    assert isinstance(number, Number)
    assert isinstance(number.value, float)
    assert math.isfinite(number.value)
    assert Card(**number.to_dict()["card"]) == number.card
    assert number.card.split
    if views:
      assert (number.card.seed, number.card.ema) == (3, True)


def test_the_same_key_and_state_give_the_same_numbers(row):
  builder, settings, data, views = row
  metric, again = builder(**settings), builder(**settings)
  measure = lambda metric, key: metric.measure(jax.random.key(key), views, STATE, data)
  first = measure(metric, 0)
  assert measure(metric, 0) == first == measure(again, 0)
  if "sample" in metric.needs:
    assert measure(metric, 1) != first


def test_two_samples_are_enough_to_measure(row):
  builder, settings, data, views = row
  if "samples" not in settings:
    return
  numbers = builder(**{**settings, "samples": 2}).measure(jax.random.key(0), views, STATE, data)
  assert all(math.isfinite(number.value) for number in numbers.values())


def test_data_that_lack_what_is_measured_are_refused_before_anything_is_compiled(row):
  builder, settings, data, _ = row
  with pytest.raises(ValueError, match=r"holds no examples|say no centres|no fact ways"):
    builder(**settings).check(Dataset(lambda step: {}))
  if "split" in inspect.signature(builder).parameters:
    metric = builder(**settings, split="validation")
    with pytest.raises(ValueError, match="'validation' does not exist"):
      metric.check(data)


def test_every_setting_has_a_default_and_a_type_and_goes_by_keyword(row):
  for it in inspect.signature(row[0]).parameters.values():
    assert it.kind is inspect.Parameter.KEYWORD_ONLY
    assert it.default is not inspect.Parameter.empty
    assert it.annotation is not inspect.Parameter.empty


def test_what_belongs_to_metric_and_data_is_made_once(row):
  builder, settings, data, views = row
  opened = []
  counting = data._replace(split=data.split and (lambda name: opened.append(name) or data.split(name)))
  metric = builder(**settings)
  metric.check(counting)
  before = len(opened)
  for key in range(3):
    metric.measure(jax.random.key(key), views, STATE, counting)
  assert len(opened) == before


def test_metrics_of_one_evaluation_share_their_samples_and_another_key_or_state_draws_others():
  drawn = []

  def sample(key, state, n):
    drawn.append((jax.random.key_data(key).tolist(), state["step"], n))
    return len(drawn)

  seen = lambda key, views, state, data: {"seen": Number(views["sample"](key, state, 4), None)}
  metric = Metric(("sample",), seen, {"seen": "neither"})
  evaluation = Evaluation({"a": metric, "b": metric}, {"a": "x", "b": "x"})
  states = [{"step": 0}, {"step": 1}]
  for key, state in ((0, 0), (0, 1), (1, 1)):
    numbers = measure(evaluation, jax.random.key(key), states[state], None, {}, sample)
    assert set(numbers) == {"a_seen", "b_seen"}
    assert {number.value for number in numbers.values()} == {len(drawn)}
  assert drawn == [([0, 0], 0, 4), ([0, 0], 1, 4), ([0, 1], 1, 4)]
