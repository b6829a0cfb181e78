"""Files of torch.save: those that PyTorch wrote, damaged ones, and pickles that ask for more than tensors."""

import contextlib
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from released_metaoptnet import filled, shapes_of

from genjax.torch_file import MAGIC, read_torch

FIXTURES = Path(__file__).parent / "fixtures" / "metaoptnet"
WIDTHS = {"conv4": (3,) * 4, "r2d2": (2, 3, 4, 5), "resnet12": (2, 3, 2, 4)}


@pytest.mark.parametrize("name", ["conv4_zip", "conv4_legacy", "r2d2_zip", "r2d2_legacy", "resnet12_legacy"])
def test_what_pytorch_wrote_comes_back_to_the_bit(name):
  found = read_torch(FIXTURES / f"{name}.pth")
  net = name.split("_")[0]
  prefix = "module." if net == "resnet12" else ""
  wanted = {prefix + key: value for key, value in filled(shapes_of(net, WIDTHS[net])).items()}
  assert set(found) == {"embedding", "head"}
  assert set(found["embedding"]) == set(wanted)
  for key, value in wanted.items():
    np.testing.assert_array_equal(found["embedding"][key], value, strict=True, err_msg=key)
  np.testing.assert_array_equal(found["head"]["scale"], np.array([2.5], np.float32), strict=True)


# Pickles by hand: the instructions of protocol 2 ----------------------------------------------------------------------


def word(text):
  return b"X" + len(text.encode()).to_bytes(4, "little") + text.encode()


def number(value):
  return b"J" + value.to_bytes(4, "little", signed=True)


def numbers(*values):
  return b"(" + b"".join(map(number, values)) + b"t"


def name(home, of):
  return f"c{home}\n{of}\n".encode()


def storage(kind="FloatStorage", key="k", count=6, part=b"N"):
  return b"(" + word("storage") + name("torch", kind) + word(key) + word("cuda:0") + number(count) + part + b"tQ"


def tensor(shape=(2, 3), strides=(3, 1), offset=0, of=None):
  given = (of or storage()) + number(offset) + numbers(*shape) + numbers(*strides)
  return name("torch._utils", "_rebuild_tensor_v2") + b"(" + given + b"\x89N" + b"tR"


def legacy(path, value, *contents, key="k", count=None, little=True):
  """A file as PyTorch wrote it before 1.6. value: instructions that leave one object."""
  file = io.BytesIO()
  for head in (MAGIC, 1001, {"protocol_version": 1001, "little_endian": little, "type_sizes": {"short": 2}}):
    file.write(pickle.dumps(head, 2))
  file.write(b"\x80\x02" + value + b".")
  file.write(pickle.dumps([key] * len(contents), 2))
  for content in contents:
    file.write((len(content) if count is None else count).to_bytes(8, "little") + content.tobytes())
  path.write_bytes(file.getvalue())
  return path


SIX = np.arange(6, dtype=np.float32)


@pytest.mark.parametrize(
  ("value", "wanted"),
  [
    (tensor(), SIX.reshape(2, 3)),
    (tensor((3, 2), (1, 3)), SIX.reshape(2, 3).T),
    (tensor((2,), (2,), 1), SIX[[1, 3]]),
    (tensor((), (), 5), SIX[5]),
    (tensor((0, 3), (3, 1)), np.zeros((0, 3), np.float32)),
    (tensor((3,), (1,), of=storage(part=b"(" + word("v") + number(2) + number(3) + b"t")), SIX[2:5]),
  ],
)
def test_a_tensor_is_its_part_of_the_storage(tmp_path, value, wanted):
  found = read_torch(legacy(tmp_path / "x.pth", value, SIX))
  np.testing.assert_array_equal(found, wanted, strict=True)


def test_python_2_wrote_its_dictionaries_as_pairs_and_its_words_as_bytes(tmp_path):
  pairs = b"](](U\x01a" + tensor() + b"e](U\x01b" + number(3) + b"ee"
  value = name("collections", "OrderedDict") + pairs + b"\x85R}" + word("_metadata") + b"}sb"
  found = read_torch(legacy(tmp_path / "x.pth", value, SIX))
  assert list(found) == ["a", "b"]
  np.testing.assert_array_equal(found["a"], SIX.reshape(2, 3))
  assert found["b"] == 3


def test_what_stands_in_many_places_is_copied_once(tmp_path):
  deeper = [b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(60)]  # (x, x) of x
  found = read_torch(legacy(tmp_path / "x.pth", b"]" + b"".join(deeper)))
  for _ in range(60):
    assert found[0] is found[1]
    found = found[0]
  assert found == []


class Runs:
  def __init__(self, marker):
    self.marker = marker

  def __reduce__(self):
    return (open, (str(self.marker), "w"))


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("form", ["legacy", "zip"])
def test_a_pickle_that_would_run_something_is_refused_by_name_and_runs_nothing(tmp_path, protocol, form):
  marker, path = tmp_path / "ran", tmp_path / "x.pth"
  program = pickle.dumps({"embedding": Runs(marker)}, protocol)
  if form == "legacy":
    legacy(path, program[2:-1])
  else:
    with zipfile.ZipFile(path, "w") as archive:
      archive.writestr("x/data.pkl", program)
  with pytest.raises(ValueError, match=r"x\.pth.*asks for (io\.open|_io\.open)"):
    read_torch(path)
  assert not marker.exists()
  pickle.loads(program)["embedding"].close()
  assert marker.exists()  # so the test would have seen it


@pytest.mark.parametrize(
  ("value", "said"),
  [
    (name("torch._utils", "_rebuild_sparse_tensor"), "asks for torch._utils._rebuild_sparse_tensor"),
    (name("torch", "BFloat16Storage"), "asks for torch.BFloat16Storage"),
    (name("builtins", "getattr"), "asks for builtins.getattr"),
    (b"(" + name("os", "system").replace(b"c", b"i", 1), "instruction INST"),
    (name("collections", "OrderedDict") + b"}b", "sets attributes of Name"),
    (name("torch", "FloatStorage") + b")R", "calls torch.FloatStorage as torch.save does not"),
    (word("x") + b")R", "calls str as torch.save does not"),
    (b"}(" + b")" + number(1) + b"u", "a key of type tuple"),
    (b"}(" + word("a") + b"u", "zip"),
    (word("x") + b"Q", "refers to something that is no storage"),
    (tensor((2, 3), (3, 2)), "does not lie in its storage k of 6 values"),
    (tensor((2, 3), (3, -1), 2), "does not lie in its storage"),
    (tensor((2, 3), (3, 1), -1), "does not lie in its storage"),
    (tensor((2**30, 3), (0, 0)), "does not lie in its storage"),
    (tensor((2, 3), (3,)), "zip"),
    (tensor((7,), (1,), of=storage(count=7)), "does not lie in its storage"),
    (tensor((2,), (1,), of=storage(part=b"(" + word("v") + number(5) + number(3) + b"t")), "does not lie in"),
    (b"h\x05", "KeyError"),
    (b"\x85", "takes more than there is"),
    (b"t", "damaged|IndexError"),
    (b"]]e", "an end without a beginning"),
    (b"}" + number(1) + b"a", "no list"),
    (b"]q\0h\0a", "contains itself"),
    (b"](" * 5000 + b"e" * 5000, "RecursionError"),
    (b"NN", "too many values|expected 1"),
  ],
)
def test_a_pickle_that_is_no_dictionary_of_tensors_is_refused(tmp_path, value, said):
  with pytest.raises(ValueError, match=said) as raised:
    read_torch(legacy(tmp_path / "x.pth", value, *([SIX] if b"tQ" in value else [])))
  assert str(raised.value).startswith(f'"{tmp_path / "x.pth"}" is not read: ')


def test_a_file_that_is_cut_short_is_refused_wherever_it_ends(tmp_path):
  whole = (FIXTURES / "conv4_legacy.pth").read_bytes()
  for end in (0, 1, 10, 15, 18, 100, 700, 3000, len(whole) - 900, len(whole) - 1):
    (tmp_path / "x.pth").write_bytes(whole[:end])
    with pytest.raises(ValueError, match="is not read"):
      read_torch(tmp_path / "x.pth")
  zipped = (FIXTURES / "conv4_zip.pth").read_bytes()
  (tmp_path / "x.pth").write_bytes(zipped[: len(zipped) // 2])
  with pytest.raises(ValueError, match="is not read"):
    read_torch(tmp_path / "x.pth")


def test_any_byte_changed_gives_an_array_or_a_valueerror(tmp_path):
  whole = (FIXTURES / "conv4_legacy.pth").read_bytes()
  end = whole.index(b"scale") + 400
  draw = np.random.default_rng(0)
  for place in draw.integers(0, end, 300):
    changed = bytearray(whole)
    changed[place] = draw.integers(256)
    (tmp_path / "x.pth").write_bytes(changed)
    with contextlib.suppress(ValueError):
      read_torch(tmp_path / "x.pth")


def test_other_files_are_refused(tmp_path):
  path = tmp_path / "x.pth"
  for content in (b"", b"hello there", pickle.dumps({"a": 1}), np.arange(9).tobytes()):
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no file of torch"):
      read_torch(path)
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("x", "y")
  with pytest.raises(ValueError, match=r"without data\.pkl"):
    read_torch(path)
  with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("x/data.pkl", bytes(10_000))
  with pytest.raises(ValueError, match="compressed"):
    read_torch(path)
  with pytest.raises(ValueError, match="big-endian"):
    read_torch(legacy(path, b"}", little=False))
  with pytest.raises(FileNotFoundError):
    read_torch(tmp_path / "none.pth")


def test_a_count_larger_than_the_file_is_refused(tmp_path):
  with pytest.raises(ValueError, match="cut short: of storage k"):
    read_torch(legacy(tmp_path / "x.pth", tensor(), SIX, count=2**60))
