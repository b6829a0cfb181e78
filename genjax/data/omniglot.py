"""Omniglot from its published files: 1,623 handwritten characters of 50 alphabets, 20 drawings of each.

A path holds images_background and images_evaluation, as folders or as the two published zips; in each
<alphabet>/character<NN>/<drawing>.png, 105x105. What is read is kept in the cache (data/cache.py), a file a size.

Papers   Lake, Salakhutdinov & Tenenbaum 2015, Science 350; https://github.com/brendenlake/omniglot
         Vinyals et al. 2016, arXiv:1606.04080: 1,200 characters to train on, rotations as new classes
         Snell et al. 2017, arXiv:1703.05175: their code (jakesnell/prototypical-networks) publishes a list of those
         1,200, the five alphabets of it that choose, the size 28x28, and its resize
Departs  "vinyals": the characters of Snell's list. It is by alphabet: 13 are tested on, of Gurmukhi its last four
         characters only. "lake": the background set trains (its alphabets in VALIDATION choose), the evaluation set
         tests.
         28x28 takes the nearest of the 105 pixels, as PIL does with 1-bit drawings whatever filter is named; so did
         Snell's code, and MAML's. Ink is light on black, as in Snell's code: 255, which episodes bring to 1 where
         that code has 1 too, and paper to -1 where it has 0.
         A rotation is anticlockwise, after the resize: nearest pixels of 105 lie evenly, so both orders agree.
Shapes   images [N, size, size, 1] uint8; class ids "Alphabet/characterNN/rotDDD", 4 a character with rotations.
Checked  tests/data/test_omniglot.py
"""

import hashlib
import io
import os
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from genjax.data.cache import cache_dir, kept_arrays
from genjax.data.few_shot_sets import FewShotSet, few_shot_set

PARTS = ("images_background", "images_evaluation")
SIDE = 105
VALIDATION = ("Armenian", "Bengali", "Early_Aramaic", "Hebrew", "Mkhedruli_(Georgian)")
TEST = (
  *("Gurmukhi", "Kannada", "Keble", "Malayalam", "Manipuri", "Mongolian", "Old_Church_Slavonic_(Cyrillic)"),
  *("Oriya", "Sylheti", "Syriac_(Serto)", "Tengwar", "Tibetan", "ULOG"),
)
_TRAIN_OF_GURMUKHI = 41  # its first characters; the split's only cut inside an alphabet
_LARGEST = 1 << 20  # bytes of a drawing's file; the published ones have some hundred
_THREADS = 2


class _Drawing(NamedTuple):
  character: str  # Alphabet/characterNN
  file: str  # NNNN_MM.png
  stamp: tuple[int, int]  # bytes, and when it was written or its checksum: another stamp, another cache
  read: Callable[[], bytes]


def omniglot_split(
  split: str,
  *,
  path: str | None,
  characters: Literal["vinyals", "lake"] = "vinyals",
  rotations: bool = True,
  size: int = 28,
) -> FewShotSet:
  """Opens "train", "val" (or "validation") or "test" of Omniglot, in memory.

  Args:
    split: which classes.
    path: the folder of both parts, each a folder or a zip.
    characters: which of them train: Vinyals' 1,200 (172 of these choose), or Lake's background set.
    rotations: whether each character is four classes: as it is, and turned by 90, 180 and 270 degrees.
    size: pixels of the side.

  Raises:
    ValueError, OSError: the text says what came, what was wanted and what to do.
  """
  if characters not in ("vinyals", "lake"):
    raise ValueError(f'characters "{characters}" is unknown; there are vinyals and lake')
  if not 1 <= size <= SIDE:
    raise ValueError(f"size {size} was asked for; wanted 1 to {SIDE} pixels, which the drawings have")
  split = "val" if split == "validation" else split
  if split not in ("train", "val", "test"):
    raise ValueError(f'split "{split}" is unknown; a few-shot set has train, val, test')
  if path is None:
    raise ValueError("omniglot needs a path; set data.path to the folder of images_background and images_evaluation")
  images, names, parts = _drawings(path, size)
  of = [part_of(name, part, characters) for name, part in zip(names, parts, strict=True)]
  chosen = np.flatnonzero(np.array(of) == split)
  if not len(chosen):
    raise ValueError(f'"{path}" has no character of the split {split} of {characters}: files are missing')
  images, names = images[chosen], names[chosen]
  if rotations:
    images = np.concatenate([np.rot90(images, quarter, (1, 2)) for quarter in range(4)])
    names = np.concatenate([np.char.add(names, f"/rot{90 * quarter:03d}") for quarter in range(4)])
  return few_shot_set(images, names, name="omniglot", split=split)


def part_of(character: str, part: str, characters: str) -> str:
  """The split of "Alphabet/characterNN", which lies in `part` (one of PARTS)."""
  alphabet, _, number = character.partition("/character")
  tests = part == PARTS[1] if characters == "lake" else alphabet in TEST
  if tests and characters == "vinyals" and alphabet == "Gurmukhi":
    tests = int(number) > _TRAIN_OF_GURMUKHI
  return "test" if tests else "val" if alphabet in VALIDATION else "train"


def _drawings(path: str, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """All drawings [N, size, size, 1], in the order of their names, and of each its character and its part."""
  listed = {part: _listed(path, part) for part in PARTS}
  digest = hashlib.sha256(repr((size, [[each[:3] for each in listed[part]] for part in PARTS])).encode())

  def decoded() -> dict[str, np.ndarray]:
    with ThreadPoolExecutor(_THREADS) as pool:
      images = np.stack(list(pool.map(partial(_decoded, size=size), [one for part in PARTS for one in listed[part]])))
    return {"images": images[..., None]}

  file = os.path.join(cache_dir(), f"omniglot-{size}-{digest.hexdigest()[:16]}.npz")
  images = kept_arrays(file, decoded)["images"]
  names = np.array([one.character for part in PARTS for one in listed[part]])
  return images, names, np.repeat(PARTS, [len(listed[part]) for part in PARTS])


def _listed(path: str, part: str) -> list[_Drawing]:
  """The drawings of a part by name, none of them read yet."""
  for folder, archive in (
    (os.path.join(path, part), os.path.join(path, f"{part}.zip")),
    (os.path.join(path, "python", part), os.path.join(path, "python", f"{part}.zip")),
  ):
    if os.path.isdir(folder):
      drawings = _of_folder(folder)
    elif os.path.isfile(archive):
      drawings = _of_zip(archive)
    else:
      continue
    if not drawings:
      raise ValueError(f'"{folder}" has no drawing; wanted <alphabet>/character<NN>/<drawing>.png')
    return sorted(drawings, key=lambda one: one[:2])
  held = ", ".join(sorted(os.listdir(path))[:6]) if os.path.isdir(path) else "no folder"
  raise FileNotFoundError(f'"{path}" has neither a folder {part} nor {part}.zip of Omniglot; it is or holds {held}')


def _of_folder(folder: str) -> list[_Drawing]:
  drawings = []
  for place, _, files in os.walk(folder):
    character = os.path.relpath(place, folder).replace(os.sep, "/")
    for file in files:
      if _is_drawing(character, file):
        whole = os.path.join(place, file)
        about = os.stat(whole)
        stamp = about.st_size, about.st_mtime_ns
        drawings.append(_Drawing(character, file, stamp, partial(_bytes, whole)))
  return drawings


def _of_zip(archive: str) -> list[_Drawing]:
  try:
    opened = zipfile.ZipFile(archive)
  except zipfile.BadZipFile as error:
    raise ValueError(f'"{archive}" is damaged or cut short ({error}); fetch it again') from error
  drawings = []
  for member in opened.infolist():
    character, _, file = member.filename.rpartition("/")
    character = "/".join(character.split("/")[-2:])
    if _is_drawing(character, file) and "__MACOSX" not in member.filename:
      stamp = member.file_size, member.CRC
      drawings.append(_Drawing(character, file, stamp, partial(_member, opened, member, archive)))
  return drawings


def _is_drawing(character: str, file: str) -> bool:
  alphabet, _, number = character.partition("/character")
  return bool(alphabet) and number.isdigit() and file.endswith(".png") and not file.startswith(".")


def _bytes(file: str) -> bytes:
  with open(file, "rb") as opened:
    return opened.read(_LARGEST + 1)


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> bytes:
  try:
    with archive.open(member) as opened:
      return opened.read(_LARGEST + 1)
  except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
    raise ValueError(f'"{name}" is damaged at {member.filename} ({error}); fetch it again') from error


def _decoded(drawing: _Drawing, size: int) -> np.ndarray:
  """Light ink on black, [size, size] uint8, from 1-bit ink on white."""
  where = f"{drawing.character}/{drawing.file}"
  content = drawing.read()
  if len(content) > _LARGEST:
    raise ValueError(f"{where} has more than {_LARGEST} bytes; this is no drawing of Omniglot")
  try:
    with Image.open(io.BytesIO(content)) as picture:
      if picture.size != (SIDE, SIDE):
        raise ValueError(f"{where} is {'x'.join(map(str, picture.size))}; wanted a drawing of {SIDE}x{SIDE}")
      paper = np.asarray(picture.convert("L"))
  except (OSError, SyntaxError) as error:
    raise ValueError(f"{where} is no readable PNG ({error}); unpack Omniglot again") from error
  nearest = np.floor((np.arange(size) + 0.5) * SIDE / size).astype(int)
  return 255 - paper[np.ix_(nearest, nearest)]
