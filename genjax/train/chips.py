"""What one TPU chip can do, as published, and how chips are wired: every number that a plan divides by.

Sources  v3, v4, v5e, v5p, v6e: cloud.google.com/tpu/docs/<kind> (operations, memory and its bandwidth, data-centre
         network of a pod), and "How to Scale Your Model", jax-ml.github.io/scaling-book/tpus (bytes a second one way
         on a link, where a ring closes, a microsecond a hop). v2: Jouppi et al. 2020, CACM 63(7):67, table 3.
Departs  No float32 peak is published: a product of float32 numbers at precision HIGHEST is six passes of bfloat16, at
         HIGH three, by default one (docs.jax.dev, jax.lax.Precision), so its peak is a sixth, a third or all of it.
         v2 and v3 have two devices of jax (cores) a chip, which share memory bandwidth and links here.
Checked  tests/train/test_roofline.py
"""

import math
import re
from typing import NamedTuple

PASSES = {"default": 1, "high": 3, "highest": 6}  # of bfloat16, for a product of float32 numbers
HOP = 1e-6  # seconds from chip to chip, however few the bytes


class Chip(NamedTuple):
  """One kind of chip. Bytes are decimal but for `hbm`."""

  kind: str  # "v4"
  pattern: str  # of jax's device_kind
  peak: float  # bf16 operations a second
  hbm: int  # bytes of memory
  bandwidth: float  # bytes a second between it and the cores
  link: float  # bytes a second one way on one link to a neighbour
  axes: int  # of the grid of chips: links go both ways along each
  closes: int  # an axis of a multiple of so many chips is a ring, a shorter one a line
  pod: int  # chips of the greatest slice
  devices: int = 1  # of jax, a chip
  network: float = 3.125e9  # bytes a second a chip from pod to pod, by the data-centre network


_GIB = 2**30
CHIPS = {
  chip.kind: chip
  for chip in (
    Chip("v2", r"TPU v2", 45e12, 16 * _GIB, 7.0e11, 6.2e10, axes=2, closes=16, pod=256, devices=2),
    Chip("v3", r"TPU v3", 123e12, 32 * _GIB, 9.0e11, 1.0e11, axes=2, closes=32, pod=1024, devices=2),
    Chip("v4", r"TPU v4", 275e12, 32 * _GIB, 1.2e12, 4.5e10, axes=3, closes=4, pod=4096),
    Chip("v5e", r"TPU v5 ?(lite|e)", 197e12, 16 * _GIB, 8.19e11, 4.5e10, axes=2, closes=16, pod=256),
    Chip("v5p", r"TPU v5p?", 459e12, 95 * _GIB, 2.765e12, 9.0e10, axes=3, closes=4, pod=8960),
    Chip("v6e", r"TPU v6 ?(lite|e)", 918e12, 32 * _GIB, 1.638e12, 9.0e10, 2, closes=16, pod=256, network=1.25e10),
  )
}


def chip_of(device_kind: str) -> Chip | None:
  """The chip of jax's `device.device_kind`, or None for one that is no TPU of the table."""
  return next((chip for chip in CHIPS.values() if re.fullmatch(chip.pattern, device_kind)), None)


def closed(chip: Chip, grid: tuple[int, ...]) -> tuple[bool, ...]:
  """Whether each axis of a grid of chips is a ring. Optical switches close those of v4 and v5p, of whole cubes only."""
  cubes = chip.axes == 2 or all(size % chip.closes == 0 for size in grid)
  return tuple(cubes and size % chip.closes == 0 for size in grid)


def grid_of(chip: Chip, chips: int) -> tuple[int, ...]:
  """The grid of so many chips, a power of two, its axes as equal as they can be: 8 of v4 are (2, 2, 2)."""
  doublings = round(math.log2(chips))
  return tuple(sorted(2 ** ((doublings + place) // chip.axes) for place in range(chip.axes)))
