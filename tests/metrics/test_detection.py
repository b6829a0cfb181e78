import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from genjax.core import Dataset, Split
from genjax.metrics.card import compare
from genjax.metrics.detection import SETS, detection, out_sets, separation
from genjax.ops.augment import to_unit


def _smooth(images):
  """High where neighbours are alike."""
  return -((images[:, 1:] - images[:, :-1]) ** 2).sum((1, 2, 3))


def _images(n=40, side=8, channels=3):
  """Smooth waves, with some noise."""
  rng = np.random.default_rng(0)
  phase, x = rng.uniform(0, 6, (n, 1, 1, channels)), np.arange(side)
  waves = 127 + 100 * np.sin(phase + 0.4 * x[None, :, None, None] + 0.2 * x[None, None, :, None])
  return np.clip(waves + rng.normal(0, 8, waves.shape), 0, 255).astype(np.uint8)


def test_every_set_is_ranked_against_the_images_that_are_in():
  inside = _images()
  sets = out_sets(inside) | {"waves": _images(17)}
  result = separation(_smooth, inside, sets, split="waves/test", subject="winn", batch=16)
  assert set(result) == set(sets)
  for name, images in sets.items():
    scores = [np.asarray(_smooth(to_unit(jnp.asarray(x)))) for x in (inside, images)]
    truth = np.r_[np.ones(len(inside)), np.zeros(len(images))]
    assert result[name]["auroc"].value == pytest.approx(roc_auc_score(truth, np.concatenate(scores)), abs=1e-3)
  assert result["uniform noise"]["auroc"].value == 1.0
  assert result["uniform noise"]["fpr at 95% tpr"].value == 0.0
  assert result["uniform noise"]["aupr"].value == 1.0
  assert result["permuted"]["auroc"].value > 0.95
  assert result["constant"]["auroc"].value == 0.0  # nothing is smoother
  assert abs(result["inverted"]["auroc"].value - 0.5) < 0.02  # differences know no sign


def test_the_card_names_both_sets_and_keeps_them_apart():
  inside = _images()
  result = separation(_smooth, inside, out_sets(inside), split="waves/test", subject="winn", seed=2)
  card = result["permuted"]["auroc"].card
  assert (card.metric, card.subject, card.seed) == ("auroc", "winn", 2)
  assert (card.split, card.generated, card.reference) == ("waves/test against permuted", 40, 40)
  with pytest.raises(ValueError, match="split: 'waves/test against permuted'"):
    compare(result["permuted"]["auroc"], result["constant"]["auroc"])


def test_floats_are_rounded_to_bytes_before_they_are_scored():
  inside = _images()
  off_grid = np.asarray(to_unit(jnp.asarray(inside))) + np.float32(1e-3)
  rounding = lambda images: -jnp.abs((images + 1) * 127.5 - jnp.round((images + 1) * 127.5)).max((1, 2, 3)) > -1e-2
  assert separation(rounding, inside, {"same": off_grid}, split="x")["same"]["auroc"].value == 0.5


def test_the_sets_that_need_no_download_are_what_they_say():
  inside = _images()
  sets = out_sets(inside, seed=4)
  assert all(x.shape == inside.shape and x.dtype == np.uint8 for x in sets.values())
  assert set(sets) == set(SETS)
  np.testing.assert_array_equal(sets["inverted"].astype(int) + inside, 255)
  np.testing.assert_array_equal(sets["rotated"][:, ::-1].swapaxes(1, 2), inside)
  np.testing.assert_array_equal(out_sets(inside[:, :4])["rotated"], inside[:, 3::-1, ::-1])
  assert (sets["constant"] == sets["constant"][:, :1, :1]).all()
  assert len(np.unique(sets["constant"][:, 0, 0], axis=0)) > 30
  by_pixel = lambda x: np.sort(x.reshape(40, 64, 3).view([("", np.uint8)] * 3)[..., 0], axis=1)  # colours stay whole
  np.testing.assert_array_equal(by_pixel(sets["permuted"]), by_pixel(inside))
  moved = (sets["permuted"] != inside).any(axis=3)
  assert moved.mean() > 0.9
  one, two = out_sets(np.repeat(inside[:1], 2, axis=0))["permuted"]
  assert not np.array_equal(one, two)  # each image in an order of its own
  noise = sets["uniform noise"].astype(float)
  assert abs(noise.mean() - 127.5) < 4 * 73.9 / np.sqrt(noise.size)
  again, other = out_sets(inside, seed=4), out_sets(inside, seed=5)
  for name in ("uniform noise", "constant", "permuted"):
    np.testing.assert_array_equal(sets[name], again[name])
    assert not np.array_equal(sets[name], other[name])


def test_the_last_batch_is_filled_and_one_shape_is_compiled():
  shapes = []

  def score(images):
    shapes.append(images.shape[0])
    return _smooth(images)

  inside = _images(40)
  whole = separation(score, inside, {"noise": out_sets(inside)["permuted"]}, split="x")
  parts = separation(score, inside, {"noise": out_sets(inside)["permuted"]}, split="x", batch=16)
  assert shapes == [40, 16]
  assert {k: v.value for k, v in whole["noise"].items()} == {k: v.value for k, v in parts["noise"].items()}


def test_what_cannot_be_scored_is_named():
  inside = _images()
  run = lambda score=_smooth, **sets: separation(score, inside, sets, split="x")
  with pytest.raises(ValueError, match="against no set; give out_images at least one"):
    run()
  with pytest.raises(ValueError, match=r"images of .small. are 4x8x3 and the real images 8x8x3"):
    run(small=inside[:, :4])
  with pytest.raises(ValueError, match="the score of 40 of 40 in-distribution images is NaN"):
    run(lambda images: jnp.nan * _smooth(images), noise=inside)
  with pytest.raises(ValueError, match=r"has shape \[40, 8, 8, 3\]; wanted one number per image"):
    run(lambda images: images, noise=inside)


def test_the_metric_ranks_another_data_set_by_the_score_or_by_the_confidence():
  facts = {"shape": (8, 8, 3), "name": "waves"}
  split_of = lambda images: lambda name: Split(f"waves/{name}", "ab", {"image": images})
  data = Dataset(lambda step: {}, facts=facts, split=split_of(_images()))
  other = Dataset(lambda step: {}, facts={**facts, "name": "darker"}, split=split_of(_images(17) // 4))
  brightness = lambda state, images: images.mean((1, 2, 3))
  metric = detection(against=other, seed=1)
  assert metric.needs == ("score",)
  metric.check(data)
  numbers = metric.measure(None, {"score": brightness}, None, data)
  assert set(numbers) == set(metric.better) == {f"auroc_{name.replace(' ', '_')}" for name in (*SETS, "darker")}
  assert numbers["auroc_darker"].value == 1.0
  assert numbers["auroc_darker"].card.split == "waves/test against darker"
  unsure = lambda state, images: jnp.stack([brightness(state, images), -brightness(state, images)], 1)
  sure = detection(against=other, by="confidence").measure(None, {"classify": unsure}, None, data)
  assert sure["auroc_darker"].value < 0.1  # both classes are alike where an image is grey
  small = Dataset(lambda step: {}, facts={"shape": (4, 8, 3)}, split=split_of(_images()[:, :4]))
  with pytest.raises(ValueError, match="4x8x3"):
    detection(against=small).check(data)
