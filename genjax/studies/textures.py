"""Figures 2.2 and 2.4: photographs of textures, and pictures of any size by a WINN that saw 64x64 patches of them.

Papers   WINN  Lee et al., CVPR 2018; dissertation (UCSD 2022) section 2.5.2
Departs  Three photographs that ship with scikit-image, and a net that a laptop trains (winn_texture, small); the thesis
         shows pictures and no numbers. Here each has two distances (metrics/texture.py), beside those of two halves of
         the photograph, of p0 that the canvas started from, and of the photograph's pixels in random order.
Checked  tests/studies/test_texture_study.py
"""

import io
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from genjax.studies.runs import Run, kept, opened, settings, trained
from genjax.train.files import write_whole

TEXTURES = ("brick", "grass", "gravel")
ROWS = ("synthesis", "real", "start", "noise")  # whose distances the table has
_GAP, _TITLE = 8, 22  # pixels


class Pictures(NamedTuple):
  """The result of one run: pictures [H, W, C] uint8, and distances to the photograph, {subject: {metric: Number}}."""

  source: np.ndarray
  synthesis: np.ndarray
  start: np.ndarray
  numbers: Mapping[str, Mapping[str, Any]]


def textures(
  workdir: str,
  *,
  seeds: int = 1,
  quiet: bool = False,
  names: Sequence[str] = TEXTURES,
  base: str = "winn_texture:small",
  overrides: Mapping[str, Any] | None = None,
) -> str:
  """Trains a WINN on each texture (or finds its run), draws a picture with each; returns a table as text.

  Args:
    workdir: gets a run of each texture and seed, textures.json, and textures.png of seed 0.
    seeds: each texture is learned with the seeds 0, 1, ...
    quiet: nothing on the terminal.
    names: textures.
    base: the config of all runs, whose argument takes a texture; "winn_texture" is the thesis' size.
    overrides: config keys to set in every run; "sample.size" is the size of the pictures.
  """
  results: dict[str, list[Pictures]] = {name: [] for name in names}
  for seed in range(seeds):
    for name in names:
      config = settings(_named(base, name), overrides, seed=seed)
      run = trained(config, os.path.join(workdir, f"{name}_{seed}"), quiet=quiet)
      results[name].append(_pictures(run, name, seed))
  numbers = {
    name: [
      {subject: {metric: number.to_dict() for metric, number in row.items()} for subject, row in one.numbers.items()}
      for one in pictures
    ]
    for name, pictures in results.items()
  }
  kept(workdir, "textures", numbers)
  draw(os.path.join(workdir, "textures.png"), {name: pictures[0] for name, pictures in results.items()})
  return table({name: [one.numbers for one in pictures] for name, pictures in results.items()})


def _named(base: str, texture: str) -> str:
  name, _, words = base.partition(":")
  return f"{name}:{','.join(filter(None, (texture, words)))}"


def table(results: Mapping[str, Sequence[Mapping[str, Mapping[str, Any]]]]) -> str:
  """One line for a texture and seed; each cell: decibels of the spectrum, levels of the gradients."""
  titles = {"synthesis": "synthesis", "real": "half against half", "start": "p0", "noise": "shuffled pixels"}
  lines = [
    "| texture, seed | " + " | ".join(f"{titles[row]}: dB, levels" for row in ROWS) + " |",
    "|---" * (len(ROWS) + 1) + "|",
  ]
  for name, seeds in results.items():
    for seed, numbers in enumerate(seeds):
      cells = (f"{numbers[row]['spectrum'].value:.2f}, {numbers[row]['gradients'].value:.2f}" for row in ROWS)
      lines.append(f"| {name}, {seed} | " + " | ".join(cells) + " |")
  lines.append(
    "distances to the photograph: log power spectrum, and histogram of gradients (earth mover's); 0 would be the same"
  )
  return "\n".join(lines)


def _pictures(run: Run, name: str, seed: int) -> Pictures:
  """A picture by the weights of a run, and its distances."""
  import jax

  from genjax.make import make
  from genjax.metrics import texture
  from genjax.ops.augment import to_uint8
  from genjax.ops.canvas import mosaic
  from genjax.samples import samples

  it, state = opened(run)
  key_picture, key_start = jax.random.split(jax.random.key(seed))
  synthesis = np.asarray(to_uint8(samples(it, key_picture, state, {"n": 1}).examples[0]))
  noise = make("noise", run.config.noise, it.maker)
  start = np.asarray(to_uint8(mosaic(key_start, noise, synthesis.shape, it.facts["shape"][:2])))
  source, split = it.data.split("train").examples["image"][0], f"textures/{name}"
  numbers = texture.anchors(source, split=split) | {
    subject: texture.measure(picture, source, subject=subject, split=split)
    for subject, picture in (("synthesis", synthesis), ("start", start))
  }
  return Pictures(source, synthesis, start, numbers)


def draw(path: str, pictures: Mapping[str, Pictures]) -> None:
  """Photograph, synthesis and the noise it started from, side by side, a row for each texture; every pixel as it is."""
  from PIL import Image, ImageDraw, ImageFont

  rows = [_row(one) for one in pictures.values()]
  height, width = (max(row.shape[axis] for row in rows) for axis in (0, 1))
  channels = max(row.shape[2] for row in rows)
  sheet = np.full((len(rows) * (height + _TITLE), width, channels), 255, np.uint8)
  for number, row in enumerate(rows):
    top = number * (height + _TITLE) + _TITLE
    sheet[top : top + row.shape[0], : row.shape[1]] = row
  picture = Image.fromarray(sheet.squeeze(-1) if channels == 1 else sheet)
  pen, font = ImageDraw.Draw(picture), ImageFont.load_default(11)
  for number, (name, one) in enumerate(pictures.items()):
    left = 0
    for title, image in zip(_titles(name, one), (one.source, one.synthesis, one.start), strict=True):
      pen.text((left + 2, number * (height + _TITLE) + 5), title, fill=0 if channels == 1 else (0, 0, 0), font=font)
      left += image.shape[1] + _GAP
  content = io.BytesIO()
  picture.save(content, format="PNG", optimize=True)
  write_whole(path, content.getvalue())


def _row(one: Pictures) -> np.ndarray:
  pictures = (one.source, one.synthesis, one.start)
  height = max(picture.shape[0] for picture in pictures)
  # white below a lower picture, and to its right
  fill = lambda picture: np.pad(picture, ((0, height - picture.shape[0]), (0, _GAP), (0, 0)), constant_values=255)
  return np.concatenate([fill(picture) for picture in pictures], 1)[:, :-_GAP]


def _titles(name: str, one: Pictures) -> tuple[str, str, str]:
  distances = lambda subject: (
    f"{one.numbers[subject]['spectrum'].value:.1f} dB, {one.numbers[subject]['gradients'].value:.1f} levels"
  )
  return f"{name} (halves: {distances('real')})", f"synthesis: {distances('synthesis')}", f"p0: {distances('start')}"
