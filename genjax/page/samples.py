"""The pictures of runs on the page: samples over the steps, nearest training images, interpolations.

Checked  tests/page/test_page.py
"""

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from genjax.page import commands
from genjax.page.html import command, element
from genjax.page.pictures import Frame, Frames, Picture, fitted, frames, picture_of, png
from genjax.page.read import Run

_OF_FIGURES = 5  # parts of a run's bytes: one for the figure, one for the interpolations, the others for samples


def over_time(runs: Sequence[Run], share: int) -> Element:
  """Samples of all runs under one slider over all their steps; each run shows its last ones up to that step."""
  kept = [frames(run.samples, share * (_OF_FIGURES - 2) // _OF_FIGURES) for run in runs]
  steps = sorted({frame.step for of in kept for frame in of.frames})
  heading = element("h2", "Samples over time")
  if not steps:
    return element("section", heading, element("p", "No samples in samples/ yet.", class_="note"), id="samples")
  last = len(steps) - 1
  slider = element(
    "input", type="range", id="slider", min="0", max=last, step="1", value=last, data_steps=" ".join(map(str, steps))
  )
  control = element(
    "div",
    element("label", "Step", for_="slider"),
    slider,
    element("output", f"{steps[-1]:,}", for_="slider", id="slider-step"),
    element("button", "Play", type="button", id="play"),
    class_="control",
    hidden=None if last else True,
  )
  strips = [_strip(i, run, of) for i, (run, of) in enumerate(zip(runs, kept, strict=True))]
  return element("section", heading, control, element("div", *strips, class_="side-by-side"), id="samples")


def _strip(i: int, run: Run, of: Frames) -> Element:
  shown = [_frame(run, frame, hidden=frame is not of.frames[-1]) for frame in of.frames]
  return element(
    "div",
    element("h3", element("span", run.name, class_=f"chip run-{i % 8}")),
    *shown,
    element("p", _kept(of), class_="note"),
    class_="strip",
  )


def _kept(of: Frames) -> str:
  """How many of how many are shown, and how."""
  kinds = "texts" if of.frames and of.frames[-1].uri is None else "pictures"
  words = [f"{len(of.frames):,} of {of.of:,} {kinds} shown"]
  if len(of.frames) + of.broken < of.of:
    words.append("evenly chosen, with the first and the last")
  smallest = min((frame.share for frame in of.frames if frame.uri is not None), default=1.0)
  if smallest < 1:
    words.append(f"sides made smaller, to {smallest:.0%} at the least")
  if any(frame.share < 1 and frame.uri is None for frame in of.frames):
    words.append("long texts cut")
  if of.broken:
    words.append(f"{of.broken:,} cannot be read")
  return "; ".join(words) + "."


def _frame(run: Run, frame: Frame, *, hidden: bool) -> Element:
  said = element("figcaption", f"step {frame.step:,}")
  if frame.uri is None:
    shown = element("pre", frame.text, tabindex="0")
  else:
    width, height = frame.size
    alt = f"samples of {run.name} after {frame.step:,} steps"
    shown = element("img", src=frame.uri, alt=alt, width=width, height=height)
  return element("figure", said, shown, class_="frame", data_step=frame.step, hidden=True if hidden else None)


def figures(runs: Sequence[Run], share: int) -> Element:
  """figure.png of each run: samples, the training images nearest to them, real images, the curve, the card."""
  drawn = [
    (i, run, run.figure and picture_of(run.figure, share // _OF_FIGURES), "samples, nearest training images, curve")
    for i, run in enumerate(runs)
  ]
  missing = "No figure.png: a run whose metrics have a Frechet distance of pictures writes it at its end."
  return _pictures("Nearest training images", "nearest", drawn, missing, commands.train)


def interpolations(
  runs: Sequence[Run], share: int, drawn: Mapping[str, np.ndarray | str], across: int, rows: int
) -> Element:
  """Pictures from one latent to another, and why there are none.

  Args:
    runs: of the page.
    share: bytes of pictures that each run may have.
    drawn: folder -> a picture [H, W, 1 or 3] uint8, or why there is none.
    across, rows: of each picture.
  """
  pictures = []
  for i, run in enumerate(runs):
    of_run = drawn.get(run.folder)
    picture = of_run if of_run is None or isinstance(of_run, str) else fitted(png(of_run), share // _OF_FIGURES)
    pictures.append((i, run, picture, "interpolations, each row from one latent to another"))
  missing = "Not drawn: genjax report with --interpolate 10 draws them from the newest checkpoint."
  given = lambda run: commands.interpolate(run, across, rows)
  return _pictures("Interpolations", "interpolations", pictures, missing, given)


def _pictures(
  heading: str, name: str, drawn: Sequence[tuple[int, Run, Picture | str | None, str]], missing: str, given: Any
) -> Element:
  """Pictures side by side, with their commands; one line where no run has one."""
  if all(picture is None for _, _, picture, _ in drawn):
    return element("section", element("h2", heading), element("p", missing, class_="note"), id=name)
  parts = [_picture(i, run, picture, alt, given) for i, run, picture, alt in drawn]
  return element("section", element("h2", heading), element("div", *parts, class_="side-by-side wide"), id=name)


def _picture(i: int, run: Run, picture: Picture | str | None, alt: str, given: Any) -> Element:
  chip = element("h3", element("span", run.name, class_=f"chip run-{i % 8}"))
  if not isinstance(picture, Picture):
    return element("div", chip, element("p", picture or "none", class_="note"))
  width, height = picture.size
  smaller = f"{picture.scale:.0%} of its sides; " if picture.scale < 1 else ""
  image = element("img", src=picture.uri, alt=f"{alt}, of {run.name}", width=width, height=height)
  return element(
    "div",
    chip,
    element("div", image, class_="scroll", tabindex="0", role="region", aria_label=alt),
    element("p", f"{smaller}given by:", class_="note"),
    command(given(run)),
  )
