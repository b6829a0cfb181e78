"""Text as tokens: what is read comes back, windows follow from the step, train and test are apart."""

import numpy as np
import pytest

from genjax.data.tokens import decoded, read_text, text

LINE = "the quick brown fox jumps over the lazy dog, žluťoučký kůň.\n"


@pytest.fixture
def file(tmp_path):
  """Lines with numbers, so that every window of some length stands at one place only."""
  path = tmp_path / "fox.txt"
  path.write_text("".join(f"{number} {LINE}" for number in range(100)), encoding="utf-8")
  return str(path)


def test_tokens_are_places_among_the_sorted_characters_of_the_file(file):
  whole = read_text(file)
  with open(file, encoding="utf-8") as stream:
    content = stream.read()
  assert whole.alphabet == "".join(sorted(set(content)))
  assert "".join(whole.alphabet[token] for token in whole.tokens) == content
  assert whole.vocabulary == len(set(content))


def test_bytes_are_their_own_tokens_and_come_back_too(file):
  data = text(batch=2, path=file, unit="byte", length=50)
  with open(file, "rb") as stream:
    content = stream.read()
  whole = data.split("train[:100%]").examples["tokens"]
  assert bytes(whole.reshape(-1).tolist()) == content[: whole.size]
  assert data.facts["vocabulary"] == 256
  assert data.show(np.frombuffer("kůň".encode(), np.uint8)[None]) == "kůň"


def test_a_batch_is_windows_of_the_training_part(file):
  data = text(batch=300, path=file, length=20)
  tokens = data.batch(4)["tokens"]
  assert tokens.shape == (300, 20)
  assert tokens.dtype == np.int32
  whole = read_text(file)
  part = decoded(whole.tokens[: round(0.9 * len(whole.tokens))][None], alphabet=whole.alphabet)
  windows = [decoded(row, alphabet=whole.alphabet) for row in tokens]
  assert all(window in part for window in windows)


def test_windows_begin_at_uniform_places(tmp_path):
  (tmp_path / "a.txt").write_text("".join(map(chr, range(0x4E00, 0x4E00 + 50))), encoding="utf-8")
  starts = text(batch=20_000, path=str(tmp_path / "a.txt"), length=6).batch(1)["tokens"][:, 0]
  counts = np.bincount(starts, minlength=40)  # 45 characters to train on, so 40 places
  assert len(counts) == 40
  assert abs(counts - 500).max() < 5 * np.sqrt(500)


def test_a_step_follows_from_its_number_and_a_process_has_its_share(file):
  make = lambda **more: text(batch=6, path=file, length=9, seed=2, **more)
  whole, parts = make(), [make(process=place, processes=3) for place in range(3)]
  for step in (10**12, 0, 7, 0):
    tokens = whole.batch(step)["tokens"]
    np.testing.assert_array_equal(make().batch(step)["tokens"], tokens)
    np.testing.assert_array_equal(np.concatenate([part.batch(step)["tokens"] for part in parts]), tokens)
  assert not np.array_equal(whole.batch(0)["tokens"], whole.batch(1)["tokens"])
  other = text(batch=6, path=file, length=9, seed=3)
  assert not np.array_equal(whole.batch(0)["tokens"], other.batch(0)["tokens"])


def test_train_and_test_are_the_beginning_and_the_end_of_the_text(file):
  data = text(batch=2, path=file, length=1)
  train, test, whole = (data.split(name) for name in ("train", "test", "train[:100%]"))
  together = np.concatenate([train.examples["tokens"], test.examples["tokens"]])
  np.testing.assert_array_equal(together, whole.examples["tokens"])
  assert len(test.examples["tokens"]) == pytest.approx(0.1 * len(together), abs=1)
  assert (train.name, test.name) == ("fox.txt/train[:90%]", "fox.txt/train[90%:]")
  assert data.split("test") is test
  assert len({train.digest, test.digest, whole.digest}) == 3
  large = text(batch=2, path=file, length=64).split("test").examples["tokens"]
  assert large.shape == (len(test.examples["tokens"]) // 64, 64)
  np.testing.assert_array_equal(large.reshape(-1), test.examples["tokens"][: large.size, 0])


def test_without_a_path_there_is_a_text_that_python_brings_along():
  data = text(batch=4)
  assert data.facts["length"] == data.batch(0)["tokens"].shape[1] == 128
  assert data.facts["train_split"] == "train[:90%]"
  assert 90 < data.facts["vocabulary"] < 200
  shown = data.show(data.split("train").examples["tokens"][:2])
  assert shown.startswith('The "assert" statement\n')
  assert len(shown) == 2 * 128 + len("\n\n") + 40
  assert data.facts["describe"].startswith("python_topics: ")


@pytest.mark.parametrize(
  ("arguments", "text_"),
  [
    ({"path": "/nowhere.txt"}, "does not exist; set data.path"),
    ({"path": "/"}, "is a folder; set data.path to a text file"),
    ({"unit": "word"}, 'wanted "character" or "byte"'),
    ({"length": 0}, "data.length=0"),
    ({"length": 10**9}, "tokens; wanted one window of 1000000000 at least"),
    ({"split": "validation"}, 'split "validation" does not exist; there is train'),
    ({"batch": 3, "processes": 2}, "batch 3 does not divide over 2 processes"),
    ({"seed": -1}, "seed=-1"),
  ],
)
def test_what_cannot_be_read_says_what_to_do(arguments, text_):
  with pytest.raises((ValueError, OSError), match=text_):
    text(**{"batch": 2, **arguments})


def test_a_file_of_another_encoding_and_an_empty_one_are_named(tmp_path):
  (tmp_path / "old.txt").write_bytes("Grüße".encode("latin-1"))
  with pytest.raises(ValueError, match=r"old\.txt\" is no UTF-8 text .* or set data\.unit=byte"):
    text(batch=2, path=str(tmp_path / "old.txt"))
  (tmp_path / "none.txt").write_text("")
  with pytest.raises(ValueError, match="is empty"):
    text(batch=2, path=str(tmp_path / "none.txt"))
  with pytest.raises(ValueError, match="step -1 is negative"):
    text(batch=2).batch(-1)
