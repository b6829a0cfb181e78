"""A number is compared only with numbers that were measured in the same way."""

import json
from dataclasses import fields, replace

import jax
import numpy as np
import pytest

from genjax.core import Number
from genjax.metrics.card import Card, compare, differences, digest

CARD = Card(
  metric="frechet",
  subject="samples",
  extractor="64 features",
  extractor_sha256="ab",
  generated=500,
  reference=500,
  split="digits/test",
  data_digest="cd",
  ema=True,
  seed=0,
)


def test_numbers_with_equal_cards_are_subtracted():
  assert compare(Number(5.0, CARD), Number(3.5, CARD)) == 1.5


def test_a_difference_in_how_it_was_measured_is_refused_by_name_unless_forced():
  for field in fields(Card):
    if field.name in ("subject", "seed", "warning"):
      continue
    a, b = (Number(value, replace(CARD, **{field.name: word})) for value, word in ((5.0, "this"), (3.0, "that")))
    with pytest.raises(ValueError, match=rf"measured alike: {field.name}: .*force=True"):
      compare(a, b)
    assert compare(a, b, force=True) == 2.0


def test_every_differing_field_is_named():
  other = replace(CARD, generated=50, ema=False)
  assert differences(CARD, other) == ("generated", "ema")


def test_seeds_and_subjects_are_what_is_compared():
  assert compare(Number(5.0, CARD), Number(3.0, replace(CARD, seed=7, subject="pixel Gaussian"))) == 2.0


def test_a_field_that_does_not_apply_to_one_side_does_not_count():
  assert differences(CARD, replace(CARD, ema=None)) == ()
  for field in ("attack", "extractor", "extractor_sha256", "quantisation"):  # of which None is a way to measure
    assert differences(replace(CARD, **{field: "this"}), replace(CARD, **{field: None})) == (field,)


def test_a_number_goes_through_json_and_back():
  read = json.loads(json.dumps(Number(np.float64(1.5), CARD).to_dict()))
  assert read["value"] == 1.5
  assert Card(**read["card"]) == CARD
  assert read["card"]["jax"] == jax.__version__


def test_a_digest_knows_contents_shape_and_dtype_but_not_memory_order():
  array = np.arange(6, dtype=np.uint8).reshape(2, 3)
  others = [array.reshape(3, 2), array.astype(np.int16), array + np.uint8(1), np.zeros((0,), np.uint8)]
  assert len({digest(x) for x in [array, *others]}) == 5
  assert digest(array) == digest(np.asfortranarray(array)) == digest(array.copy())
