"""Published few-shot files, written in their formats: read, and refused where they do more than hold data."""

import collections
import os
import pickle
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from genjax.data.few_shot_catalogue import few_shot
from genjax.data.pickles import read_pickle

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
LABELS = [7, 7, 3, 3, 5, 5]
ORDER = [2, 3, 4, 5, 0, 1]  # by class id


def write(path, content, protocol=2):
  path.write_bytes(pickle.dumps(content, protocol=protocol))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
  ("name", "file"),
  [
    ("miniimagenet", "miniImageNet_category_split_val.pickle"),
    ("cifarfs", "CIFAR_FS_val.pickle"),
    ("fc100", "FC100_val.pickle"),
  ],
)
def test_the_released_pickles_are_read_and_sorted_by_class(tmp_path, name, file, protocol):
  write(tmp_path / file, {"data": PIXELS, "labels": LABELS}, protocol)
  few = few_shot(name, "validation", path=str(tmp_path))
  np.testing.assert_array_equal(few.images, PIXELS[ORDER])
  assert few.class_ids == (3, 5, 7)
  assert few.split == "val"


def test_a_released_pickle_goes_before_lists_beside_it(tmp_path):
  write(tmp_path / "FC100_val.pickle", {"data": PIXELS, "labels": LABELS})
  (tmp_path / "val.txt").write_text("apple")
  assert few_shot("fc100", "val", path=str(tmp_path)).class_ids == (3, 5, 7)


def test_a_pickle_as_python_2_wrote_it_is_read(tmp_path):
  """Protocol 2 with strings of bytes: numpy's old module, and pixels as a str of latin-1."""
  head = b"\x80\x02}q\x00(U\x06labelsq\x01]q\x02(K\x01K\x00eU\x04dataq\x03cnumpy.core.multiarray\n_reconstruct\nq\x04"
  head += (
    b"cnumpy\nndarray\nq\x05K\x00\x85q\x06U\x01bq\x07\x87q\x08Rq\t(K\x01(K\x02K\x01K\x01K\x03tq\ncnumpy\ndtype\nq\x0b"
  )
  head += b"U\x02u1q\x0cK\x00K\x01\x87q\rRq\x0e(K\x03U\x01|q\x0fNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x10b\x89"
  (tmp_path / "CIFAR_FS_train.pickle").write_bytes(head + b"U\x06\x00\x7f\x80\xff\x01\x02q\x11tq\x12bu.")
  few = few_shot("cifarfs", "train", path=str(tmp_path))
  np.testing.assert_array_equal(few.images.ravel(), [255, 1, 2, 0, 127, 128])


def test_labels_may_be_an_array_or_numbers_of_numpy_and_classes_a_default_dict(tmp_path):
  for protocol in (2, 5):
    for labels in (np.asarray(LABELS), [np.int64(label) for label in LABELS], tuple(LABELS)):
      write(tmp_path / "FC100_train.pickle", {"data": PIXELS, "labels": labels}, protocol)
      assert few_shot("fc100", "train", path=str(tmp_path)).class_ids == (3, 5, 7)
    classes = collections.defaultdict(list, {"n01": [0, 2, 4], "n02": [1, 3, 5]})
    write(tmp_path / "mini-imagenet-cache-train.pkl", {"image_data": PIXELS, "class_dict": classes}, protocol)
    few = few_shot("miniimagenet", "train", path=str(tmp_path))
    np.testing.assert_array_equal(few.images, PIXELS[[0, 2, 4, 1, 3, 5]])


def test_learn2learns_layout_of_miniimagenet_is_read(tmp_path):
  content = {"image_data": PIXELS, "class_dict": {"n02": [0, 1], "n01": [2, 3], "n03": [4, 5]}}
  write(tmp_path / "mini-imagenet-cache-test.pkl", content)
  few = few_shot("miniimagenet", "test", path=str(tmp_path))
  assert few.class_ids == ("n01", "n02", "n03")
  np.testing.assert_array_equal(few.images, PIXELS[[2, 3, 0, 1, 4, 5]])


def test_tieredimagenet_is_read_and_the_originals_of_ren_et_al_are_named(tmp_path):
  np.savez(tmp_path / "test_images.npz", images=PIXELS)
  write(tmp_path / "test_labels.pkl", {"labels": LABELS})
  np.testing.assert_array_equal(few_shot("tieredimagenet", "test", path=str(tmp_path)).images, PIXELS[ORDER])
  write(tmp_path / "test_labels.pkl", {"label_specific": LABELS})
  with pytest.raises(ValueError, match=r"holds label_specific; wanted labels.*Ren et al"):
    few_shot("tieredimagenet", "test", path=str(tmp_path))
  (tmp_path / "train_images_png.pkl").write_bytes(b"")
  said = r"no train_images.npz and train_labels.pkl of the released MetaOptNet; it holds .*png.pkl.*Ren et al"
  with pytest.raises(FileNotFoundError, match=said):
    few_shot("tieredimagenet", "train", path=str(tmp_path))


@pytest.mark.parametrize(
  "program",
  [
    b"\x80\x02cnumpy\nndarray\n(J\x00\x00\x00\x70tR.",
    b"\x80\x02cbuiltins\nbytearray\nJ\x00\x00\x00\x70\x85R.",
    b"\x80\x02Nr\xff\xff\xff\x0f.",  # a place in the memo
    b"\x80\x03cbuiltins\nbytearray\n\x8a\x05\x00\x00\x00\x00\x02\x85R.",
  ],
)
def test_a_small_pickle_gets_no_memory_that_its_file_does_not_fill(tmp_path, program):
  (tmp_path / "FC100_test.pickle").write_bytes(program)
  tracemalloc.start()
  with pytest.raises(ValueError, match=r"no pickle of arrays.*the file has"):
    read_pickle(str(tmp_path / "FC100_test.pickle"))
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert peak < 1e6


class Evil:
  def __init__(self, call, *given):
    self.call, self.given = call, given

  def __reduce__(self):
    return self.call, self.given


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("evil", [Evil(os.system, "touch hacked"), Evil(eval, "1"), Evil(open, "hacked", "w")])
def test_a_pickle_that_calls_anything_else_is_refused_and_nothing_happens(tmp_path, monkeypatch, evil, protocol):
  monkeypatch.chdir(tmp_path)
  write(tmp_path / "FC100_test.pickle", {"data": PIXELS, "labels": evil}, protocol)
  with pytest.raises(ValueError, match="does not need"):
    few_shot("fc100", "test", path=str(tmp_path))
  assert not (tmp_path / "hacked").exists()


def test_a_damaged_pickle_and_other_contents_are_named(tmp_path):
  file = tmp_path / "FC100_test.pickle"
  file.write_bytes(pickle.dumps({"data": PIXELS})[:-40])
  with pytest.raises(ValueError, match=r"FC100_test.pickle is no pickle"):
    read_pickle(str(file))
  write(file, {"pictures": PIXELS})
  with pytest.raises(ValueError, match="holds pictures; wanted data and labels"):
    few_shot("fc100", "test", path=str(tmp_path))
  write(file, {"data": PIXELS.astype(np.float32), "labels": LABELS})
  with pytest.raises(ValueError, match="float32"):
    few_shot("fc100", "test", path=str(tmp_path))


def test_a_folder_of_folders_is_a_set(tmp_path):
  for split in ("train", "validation"):
    for name in ("a", "b"):
      (tmp_path / split / name).mkdir(parents=True)
      for number in range(3):
        Image.fromarray(PIXELS[number]).save(tmp_path / split / name / f"{number}.png")
  few = few_shot("folder", "val", path=str(tmp_path))
  assert few.class_ids == ("a", "b")
  np.testing.assert_array_equal(few.images, np.concatenate([PIXELS[:3], PIXELS[:3]]))
  with pytest.raises(FileNotFoundError, match="no folder test"):
    few_shot("folder", "test", path=str(tmp_path))


def test_mock_sets_have_classes_of_their_own_and_any_size():
  sets = [few_shot("mock", split, size=16) for split in ("train", "val", "test")]
  assert sets[0].shape == (16, 16, 3)
  assert not set(sets[0].class_ids) & set(sets[1].class_ids)


def test_oblong_pictures_of_the_right_height_are_brought_to_size(tmp_path):
  for name in ("a", "b"):
    (tmp_path / "train" / name).mkdir(parents=True)
    Image.fromarray(PIXELS[0, :, :5]).save(tmp_path / "train" / name / "0.png")
  assert few_shot("folder", "train", path=str(tmp_path), size=8).shape == (8, 8, 3)


@pytest.mark.parametrize(
  ("name", "more", "said"),
  [
    ("glyfs", {}, "did you mean glyphs"),
    ("miniimagenet", {}, "needs a path"),
    ("fc100", {"path": "/nowhere"}, "no folder"),
    ("glyphs", {"path": "/"}, "takes no path"),
    ("mock", {"unseen_faces": True}, "unseen_faces"),
    ("mock", {"data_dir": "/"}, "takes no data_dir"),
  ],
)
def test_what_cannot_be_opened_says_why(name, more, said):
  with pytest.raises((ValueError, OSError), match=said):
    few_shot(name, "train", **more)


def test_a_split_that_is_not_there_and_a_file_that_is_not_there_are_named(tmp_path):
  with pytest.raises(ValueError, match="trial"):
    few_shot("mock", "trial")
  (tmp_path / "other.txt").write_text("")
  with pytest.raises(FileNotFoundError, match=r"CIFAR_FS_test.pickle; it holds other.txt"):
    few_shot("cifarfs", "test", path=str(tmp_path))
