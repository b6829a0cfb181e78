"""Our reading of splits is that of TFDS."""

import pytest
import tensorflow_datasets as tfds
from hypothesis import assume, given
from hypothesis import strategies as st

from genjax.data.splits import parse_split


def _infos(count: int) -> dict:
  naming = tfds.core.naming.ShardedFileTemplate(dataset_name="x", split="train", data_dir="/", filetype_suffix="a")
  return tfds.core.splits.SplitDict(
    [tfds.core.SplitInfo(name="train", shard_lengths=[count], num_bytes=0, filename_template=naming)]
  )


@st.composite
def _slices(draw) -> tuple[int, str]:
  """A number of examples, and a slice with each end counted from the front, from the back, or left out."""
  count, percent = draw(st.integers(1, 40)), draw(st.booleans())
  whole, unit = (100, "%") if percent else (count, "")
  start = draw(st.integers(0, whole - 1))
  stop = draw(st.integers(start + 1, whole))
  front = draw(st.sampled_from([f"{start}{unit}", f"{start - whole}{unit}"] + [""] * (start == 0)))
  back = draw(st.sampled_from([f"{stop}{unit}"] + ([""] if stop == whole else [f"{stop - whole}{unit}"])))
  assume(front or back)  # TFDS does not read "train[:]"
  return count, f"train[{front}:{back}]"


@given(_slices())
def test_slices_are_those_of_tfds(drawn):
  count, text = drawn
  expected = _infos(count)[text].num_examples
  if expected < 1:  # percents may round to nothing
    with pytest.raises(ValueError, match="empty"):
      parse_split(text, {"train": count})
    return
  _, first, past = parse_split(text, {"train": count})
  assert 0 <= first < past <= count
  assert past - first == expected


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    ("train", ("train", 0, 200)),
    ("test", ("test", 0, 50)),
    ("train[:90%]", ("train", 0, 180)),
    ("train[90%:]", ("train", 180, 200)),
    ("train[-3:]", ("train", 197, 200)),
    ("train[10:20]", ("train", 10, 20)),
  ],
)
def test_a_split_is_read(text, expected):
  assert parse_split(text, {"train": 200, "test": 50}) == expected


WRONG = ["val", "train[", "train[5]", "train[20:10]", "train[:201]", "train[-201:]", "train[:x]", "train[1:5%]", ""]


@pytest.mark.parametrize("text", [*WRONG, "train+test"])
def test_a_wrong_split_is_an_error_that_names_it(text):
  with pytest.raises(ValueError, match="split"):
    parse_split(text, {"train": 200, "test": 50})
