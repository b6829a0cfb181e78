"""Characters as classes, rendered from the fonts that ship with matplotlib: few-shot learning that needs no download.

Each image is one character in one of the faces, rotated, scaled, sheared, moved, with an occluding bar and noise.
Classes are letters that no accent can be taken from, in all faces of a split; of letters that look alike (A of Latin,
Greek and Cyrillic) only the first is kept. Training has Latin, validation Greek and Armenian, the test Cyrillic.

Departs  Fonts are rendered by the FreeType of the installed Pillow from the files of the installed matplotlib: other
         versions may give other pixels, so the digest of the set says whether two sets are the same.
Shapes   image [28, 28, 1] uint8, dark ink on light paper; label: the place of the character among all splits' classes.
Checked  tests/data/test_glyphs.py
"""

import functools
import os
import unicodedata
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image, ImageDraw, ImageFont

SIDE = 28
EACH = 40  # images of a class
_BIG = 64  # side of the canvas that a letter is drawn on
_POINTS = 40
_ALIKE = 0.20  # of two outlines: share of ink in which they differ, below which they are one class
_SEED = 20_22
SCRIPTS = {"train": ("LATIN",), "validation": ("GREEK", "ARMENIAN"), "test": ("CYRILLIC",)}
FACES = tuple(
  f"DejaVu{family}{style}"
  for family, styles in (
    ("Sans", ("", "-Bold", "-Oblique", "-BoldOblique")),
    ("SansMono", ("", "-Bold", "-Oblique", "-BoldOblique")),
    ("Serif", ("", "-Bold", "-Italic", "-BoldItalic")),
  )
  for style in styles
)
UNSEEN_FACES = ("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta")


class Glyphs(tfds.core.GeneratorBasedBuilder):
  """28x28 characters from the fonts of matplotlib."""

  VERSION = tfds.core.Version("1.0.0")
  code_path = None

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description="Characters rendered from the DejaVu and STIX fonts that ship with matplotlib",
      features=tfds.features.FeaturesDict(
        {
          "image": tfds.features.Image(shape=(SIDE, SIDE, 1)),
          "label": tfds.features.ClassLabel(names=[f"U+{ord(letter):04X}" for letter, _ in _classes()]),
        }
      ),
      supervised_keys=("image", "label"),
      homepage="https://matplotlib.org",
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
    splits = {split: self._generate_examples(split, FACES) for split in SCRIPTS}
    return splits | {"test_unseen_faces": self._generate_examples("test", UNSEEN_FACES)}

  def _generate_examples(self, split: str, faces: tuple[str, ...]) -> Iterator:
    place = 0
    for label, (letter, of) in enumerate(_classes()):
      if of != split or not set(faces) <= _drawn_by(letter):
        continue
      for number in range(EACH):
        draw = np.random.Generator(np.random.Philox(np.random.SeedSequence([_SEED, label, number, len(faces)])))
        yield place, {"image": Image.fromarray(rendered(letter, faces, draw)), "label": label}
        place += 1


def rendered(letter: str, faces: tuple[str, ...], draw: np.random.Generator) -> np.ndarray:
  """One image [28, 28] uint8 of a letter in a face drawn at random."""
  ink = _letter(letter, faces[draw.integers(len(faces))])
  angle, shear = np.deg2rad(draw.uniform(-25, 25)), draw.uniform(-0.3, 0.3)
  scale = _BIG / SIDE / draw.uniform(0.75, 1.2, 2)
  rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
  matrix = rotation @ np.array([[1, shear], [0, 1]]) @ np.diag(scale)
  offset = _BIG / 2 - matrix @ (np.full(2, SIDE / 2) + draw.uniform(-2.5, 2.5, 2))
  coefficients = (*matrix[0], offset[0], *matrix[1], offset[1])
  picture = ink.transform((SIDE, SIDE), Image.Transform.AFFINE, tuple(coefficients), Image.Resampling.BICUBIC)
  pixels = np.asarray(picture, np.float64) / 255
  if draw.uniform() < 0.5:  # a bar of paper or of ink
    row, thick = draw.integers(2, SIDE - 4), draw.integers(1, 3)
    bar = (slice(row, row + thick), slice(None)) if draw.uniform() < 0.5 else (slice(None), slice(row, row + thick))
    pixels[bar] = float(draw.uniform() < 0.5)
  contrast, paper = draw.uniform(0.4, 0.9), draw.uniform(0.75, 1.0)
  noisy = paper - contrast * pixels + draw.normal(0, 0.12, pixels.shape)
  return np.round(255 * np.clip(noisy, 0, 1)).astype(np.uint8)


def class_names() -> tuple[tuple[str, str], ...]:
  """(character, split) of every class, by its label."""
  return _classes()


@functools.cache
def _classes() -> tuple[tuple[str, str], ...]:
  kept: list[tuple[str, str]] = []
  outlines: list[np.ndarray] = []
  for split, scripts in SCRIPTS.items():
    for letter in _letters(scripts):
      outline = _outline(letter)
      if outlines and np.min(_differences(np.stack(outlines), outline)) < _ALIKE:
        continue
      outlines.append(outline)
      kept.append((letter, split))
  return tuple(kept)


def _letters(scripts: tuple[str, ...]) -> list[str]:
  """Letters of the scripts that every DejaVu face has and that have no accent to take off, by code point."""
  letters = []
  for code in sorted(functools.reduce(frozenset.intersection, map(_codes, FACES))):
    letter = chr(code)
    name = unicodedata.name(letter, "").split()
    whole = unicodedata.category(letter) in ("Lu", "Ll", "Lo") and len(unicodedata.normalize("NFKD", letter)) == 1
    if whole and name and name[0] in scripts:
      letters.append(letter)
  return letters


def _drawn_by(letter: str) -> frozenset[str]:
  return frozenset(face for face in (*FACES, *UNSEEN_FACES) if ord(letter) in _codes(face))


@functools.cache
def _codes(face: str) -> frozenset[int]:
  from matplotlib.ft2font import FT2Font

  return frozenset(FT2Font(_file(face)).get_charmap())


def _file(face: str) -> str:
  import matplotlib

  return os.path.join(matplotlib.get_data_path(), "fonts", "ttf", f"{face}.ttf")


@functools.cache
def _font(face: str) -> ImageFont.FreeTypeFont:
  return ImageFont.truetype(_file(face), _POINTS, layout_engine=ImageFont.Layout.BASIC)


@functools.lru_cache(maxsize=256)
def _letter(letter: str, face: str) -> Image.Image:
  """White ink on black, in the middle of a canvas."""
  canvas = Image.new("L", (_BIG, _BIG))
  left, top, right, bottom = _font(face).getbbox(letter)
  corner = ((_BIG - left - right) / 2, (_BIG - top - bottom) / 2)
  ImageDraw.Draw(canvas).text(corner, letter, fill=255, font=_font(face))
  return canvas


def _outline(letter: str) -> np.ndarray:
  """[256] ink of the letter stretched to 16x16: the same for a letter in two sizes."""
  picture = _letter(letter, FACES[0])
  box = picture.getbbox()
  return np.asarray(picture.crop(box).resize((16, 16), Image.Resampling.BOX), np.float64).ravel() / 255


def _differences(outlines: np.ndarray, outline: np.ndarray) -> np.ndarray:
  return np.abs(outlines - outline).sum(1) / np.maximum(np.maximum(outlines.sum(1), outline.sum()), 1)
