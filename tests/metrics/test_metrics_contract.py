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
from genjax.metrics import features
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


class Named:
  """Features and logits that are pixels."""

  description, digest = "pixels", "pixels"

  def features(self, images):
    return self.outputs(images)[0]

  def outputs(self, images):
    flat = images.reshape(len(images), -1).astype(np.float32) / 64
    return flat, flat[:, :3]


NAMED, RANDOM = Named(), features.random(width=4)
LEAST = {"fid_infinity": 16, "intra_fid": 6}  # samples, where two are too few

ROWS = {  # the arguments that make it small, its data, its views
  "frechet": ({"samples": 7}, images, {"sample": sample_of((4, 4, 1))}),
  "frechet_anchors": ({"samples": 7}, images, {}),
  **{
    name: ({"samples": 24, "extractor": RANDOM, **more}, images, {"sample": sample_of((4, 4, 1))})
    for name, more in {
      "fid": {},
      "fid_infinity": {"points": 3},
      "kid": {"subsets": 3, "subset_size": 9},
      "prdc": {},
      "two_sample": {},
    }.items()
  },
  **{
    name: ({"samples": 30, "extractor": NAMED}, images, {"sample": sample_of((4, 4, 1))})
    for name in ("inception_score", "mode_score")
  },
  "intra_fid": (
    {"samples": 7, "extractor": RANDOM},
    images,
    {"sample": sample_of((4, 4, 1)), "classes": lambda state: 3},
  ),
  "sliced_wasserstein": (
    {"samples": 7, "patches": 3, "directions": 4},
    images,
    {"sample": sample_of((4, 4, 1))},
  ),
  "copies": ({"samples": 7}, images, {"sample": sample_of((4, 4, 1))}),
  "error": ({"batch": 10}, images, {"classify": lambda state, x: x.reshape(len(x), -1) @ state.weights}),
  "detection": ({}, images, {"score": lambda state, x: x.mean((1, 2, 3)) * state.weights[0, 0]}),
  "log_prob": ({"batch": 10}, images, {"log_prob": lambda state, x: -(x**2).sum((1, 2, 3)) * state.weights[0, 0]}),
  "nats": (
    {"batch": 10, "importance_samples": 3},
    images,
    {"log_weight": lambda key, state, x: -(x**2).sum((1, 2, 3)) * state.weights[0, 0] + jax.random.uniform(key)},
  ),
  "bits_per_dim": (
    {"batch": 10, "binarisation": "static"},
    images,
    {"log_prob": lambda state, x: -(x + 1).sum((1, 2, 3)) * state.weights[0, 0]},
  ),
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


def test_two_samples_are_enough_to_measure_unless_the_metric_says_how_many(row, request):
  builder, settings, data, views = row
  if "samples" not in settings:
    return
  least = LEAST.get(request.node.callspec.params["row"], 2)
  with pytest.raises(ValueError, match=r"samples|takes two samples"):
    builder(**{**settings, "samples": least - 1 if least != 2 else 0}).check(data)
  numbers = builder(**{**settings, "samples": least}).measure(jax.random.key(0), views, STATE, data)
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
