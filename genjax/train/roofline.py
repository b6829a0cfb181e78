"""How long a program takes at least on a slice of TPUs, and what becomes of that on more chips.

An instruction takes as long as its products at the peak, or its bytes at the memory's full speed, whichever is longer.
Instructions run one after the other, and exchanges between chips hide behind nothing. So the time of the first is a
lower bound, and the share of the exchanges an upper one.

An exchange goes along all axes of the grid of chips at once: both ways round a ring, one way along a line.

    all-reduce          2 V (n - 1) / n / W       V bytes of the result, n devices, W bytes a second of a chip's links
    all-gather          V (n - 1) / n / W
    reduce-scatter      V (n - 1) / W             V is a device's share
    all-to-all          V n / 4 / W
    collective-permute  V / one link

but no less than a microsecond for each chip on the way. Beyond the greatest slice, each chip's share of V goes over the
data-centre network as well.

Papers   "How to Scale Your Model", jax-ml.github.io/scaling-book/sharding: the formulae
Checked  tests/train/test_roofline.py, by numbers worked out by hand
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from genjax.train.chips import HOP, Chip, closed, grid_of
from genjax.train.hlo import Collective, Reading

CHIPS_OF_A_PLAN = (8, 16, 32, 64, 128, 256, 512)


class Seconds(NamedTuple):
  """Of one call on one device. `total` is less than the sum of compute and memory, which go on at the same time."""

  compute: float  # products at the peak
  memory: float  # bytes at full speed
  collectives: float
  total: float


class Scale(NamedTuple):
  """So many chips, each with as much work as in the plan."""

  chips: int
  seconds: float
  efficiency: float  # share of the time that is no exchange


def seconds(reading: Reading, chip: Chip, grid: Sequence[int]) -> Seconds:
  """The time of a program.

  Args:
    reading: of the program.
    chip: what it runs on.
    grid: of the chips.
  """
  peak, bandwidth = chip.peak / chip.devices, chip.bandwidth / chip.devices
  local = math.fsum(work.times * max(work.passes / peak, work.bytes / bandwidth) for work in reading.work)
  sent = math.fsum(one.times * exchange_seconds(one, chip, grid) for one in reading.collectives)
  return Seconds(
    compute=reading.total(lambda work: work.passes) / peak,
    memory=reading.total(lambda work: work.bytes) / bandwidth,
    collectives=sent,
    total=local + sent,
  )


def scaling(
  local: float, collectives: Sequence[Collective], chip: Chip, counts: Sequence[int] = CHIPS_OF_A_PLAN
) -> list[Scale]:
  """What becomes of a program on more chips, at the same work a chip.

  Args:
    local: seconds without exchanges.
    collectives: of the program. Their bytes are those of any number of chips, as those of gradients are.
    chip: the kind.
    counts: of chips, powers of two.
  """
  rows = []
  for chips in counts:
    pods, inside = math.ceil(chips / chip.pod), min(chips, chip.pod)
    sent = math.fsum(
      one.times * (exchange_seconds(one, chip, grid_of(chip, inside)) + _between(one, chip, pods))
      for one in collectives
    )
    rows.append(Scale(chips, local + sent, local / (local + sent) if local + sent else 1.0))
  return rows


def work_for(efficiency: float, row: Scale) -> int:
  """How many times the work a chip it takes for that share of the time to be no exchange; 1: it is already."""
  local = row.seconds * row.efficiency
  return max(1, math.ceil((row.seconds - local) * efficiency / (1 - efficiency) / local)) if local else 1


def exchange_seconds(one: Collective, chip: Chip, grid: Sequence[int]) -> float:
  """One exchange over a grid of chips, or, where it is within smaller groups, over a line or ring of so many."""
  devices = math.prod(grid) * chip.devices
  if 0 < one.group < devices:
    grid = (max(1, one.group // chip.devices),)
    devices = one.group
  if devices == 1:
    return 0.0
  if one.name == "collective-permute":
    return max(one.bytes / chip.link, HOP)
  rings = closed(chip, tuple(grid))
  speed = sum(chip.link * (2 if ring else 1) for size, ring in zip(grid, rings, strict=True) if size > 1)
  hops = sum(size // 2 if ring else size - 1 for size, ring in zip(grid, rings, strict=True))
  if not speed:  # the two cores of one chip, which share its memory
    return volume(one, devices) / chip.bandwidth
  return max(volume(one, devices) / speed, (2 if one.name == "all-reduce" else 1) * hops * HOP)


def volume(one: Collective, devices: int) -> float:
  """Bytes that a device sends, by the formulae above."""
  share = (devices - 1) / devices
  return one.bytes * {
    "all-reduce": 2 * share,
    "all-gather": share,
    "reduce-scatter": devices - 1,
    "all-to-all": devices / 4,
    "ragged-all-to-all": devices / 4,
  }.get(one.name, 1.0)


def _between(one: Collective, chip: Chip, pods: int) -> float:
  """Seconds on the data-centre network, where the chips are of several slices."""
  return volume(one, pods) / chip.pod / chip.network if pods > 1 else 0.0
