"""The published layout of Omniglot: whose characters train, which way they are turned, and what is damaged is named."""

import io
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from genjax.data import episodes, few_shot, omniglot
from genjax.data.omniglot import PARTS, omniglot_split

CHARACTERS = {  # of each split of vinyals, two alphabets or parts of one
  PARTS[0]: ("Greek/character01", "Greek/character02", "Hebrew/character01", "Hebrew/character02"),
  PARTS[1]: ("Gurmukhi/character41", "Gurmukhi/character42", "Keble/character01"),
}
EACH = 3


def _drawing(number):
  paper = np.random.default_rng(number).random((105, 105)) < 0.8
  return Image.fromarray(paper.astype(np.uint8) * 255).convert("1")  # 1 bit, ink dark


def _png(number):
  file = io.BytesIO()
  _drawing(number).save(file, "png")
  return file.getvalue()


def _members(part):
  start = 0 if part == PARTS[0] else 100
  return {
    f"{part}/{character}/{place:04d}_{number + 1:02d}.png": start + EACH * place + number
    for place, character in enumerate(CHARACTERS[part])
    for number in range(EACH)
  }


@pytest.fixture
def place(tmp_path, monkeypatch):
  """Both parts, one a folder and one a zip with a Mac's leftovers."""
  monkeypatch.setenv("GENJAX_CACHE", str(tmp_path / "cache"))
  home = tmp_path / "omniglot"
  for name, number in _members(PARTS[0]).items():
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    (home / name).write_bytes(_png(number))
  with zipfile.ZipFile(home / f"{PARTS[1]}.zip", "w") as archive:
    for name, number in reversed(_members(PARTS[1]).items()):
      archive.writestr(name, _png(number))
    archive.writestr(f"__MACOSX/{PARTS[1]}/Keble/character01/._0002_01.png", b"x")
  return home


def test_images_are_those_of_snells_code_and_rotations_are_classes(place):
  few = omniglot_split("test", path=str(place))
  assert few.class_ids[:4] == tuple(f"Gurmukhi/character42/rot{angle}" for angle in ("000", "090", "180", "270"))
  assert (few.classes, few.shape, few.counts.tolist()) == (8, (28, 28, 1), [EACH] * 8)
  for label, angle in enumerate((0, 90, 180, 270)):
    for number in range(EACH):
      theirs = _drawing(100 + EACH + number).rotate(angle).resize((28, 28))  # load, rotate, resize, 1 - x
      np.testing.assert_array_equal(few.images[EACH * label + number, ..., 0], 255 * (1 - np.asarray(theirs, np.uint8)))
  assert omniglot_split("test", path=str(place), rotations=False, size=105).images.shape == (6, 105, 105, 1)


@pytest.mark.parametrize(
  ("characters", "wanted"),
  [
    ("vinyals", {"train": ["Greek", "Greek", "Gurmukhi"], "val": ["Hebrew"] * 2, "test": ["Gurmukhi", "Keble"]}),
    ("lake", {"train": ["Greek"] * 2, "val": ["Hebrew"] * 2, "test": ["Gurmukhi", "Gurmukhi", "Keble"]}),
  ],
)
def test_characters_are_in_the_published_splits(place, characters, wanted):
  for split, alphabets in wanted.items():
    few = omniglot_split(split, path=str(place), characters=characters, rotations=False)
    assert [one.split("/")[0] for one in few.class_ids] == alphabets


def test_folders_and_zips_give_one_digest_and_the_second_reading_comes_from_the_cache(place, monkeypatch):
  digest = few_shot("omniglot", "train", path=str(place)).digest
  with zipfile.ZipFile(place / f"{PARTS[0]}.zip", "w") as archive:
    for name in _members(PARTS[0]):
      archive.write(place / name, name)
  os.rename(place / PARTS[0], place / "away")
  assert omniglot_split("train", path=str(place)).digest == digest
  monkeypatch.setattr(omniglot, "_decoded", None)
  assert omniglot_split("train", path=str(place)).digest == digest


def test_the_data_set_draws_episodes_and_its_splits_are_apart(place):
  data = episodes.omniglot(batch=2, path=str(place), ways=3, shots=1, queries=2)
  assert data.batch(0)["query"].shape == (2, 6, 28, 28, 1)
  assert data.facts["describe"].startswith("omniglot: 12 classes, 36 images of 28x28x1; episodes of 3 ways")
  assert data.split("validation").name == "omniglot/val"
  assert data.split("test").name == "omniglot/test"
  images = np.asarray(data.prepare(None, data.batch(0))["support"])
  assert set(np.unique(images)) == {-1.0, 1.0}
  assert (images > 0).mean() < 0.3  # ink is light


def test_what_is_missing_or_damaged_is_named(place):
  with pytest.raises(ValueError, match=r"omniglot needs a path; set data\.path"):
    omniglot_split("train", path=None)
  with pytest.raises(FileNotFoundError, match=r"neither a folder images_background nor images_background\.zip"):
    omniglot_split("train", path=str(place / PARTS[0]))
  with pytest.raises(ValueError, match='split "dev" is unknown'):
    omniglot_split("dev", path=str(place))
  with pytest.raises(ValueError, match='characters "cake" is unknown'):
    omniglot_split("train", path=str(place), characters="cake")
  name = next(iter(_members(PARTS[0])))
  (place / name).write_bytes(_png(0)[:60])
  with pytest.raises(ValueError, match=r"Greek/character01/0000_01.png is no readable PNG"):
    omniglot_split("train", path=str(place))
  Image.new("1", (28, 28)).save(place / name)
  with pytest.raises(ValueError, match=r"0000_01.png is 28x28; wanted a drawing of 105x105"):
    omniglot_split("train", path=str(place))
  archive = place / f"{PARTS[1]}.zip"
  archive.write_bytes(archive.read_bytes()[:-40])
  with pytest.raises(ValueError, match=r"images_evaluation.zip\" is damaged or cut short"):
    omniglot_split("train", path=str(place))
