"""Sliced Wasserstein distance of generated images to held-out real ones, at each scale of detail; it needs no net.

Papers   Karras et al. 2018, arXiv:1710.10196, section 5, with their numbers of patches and directions;
         see ops/sliced.py.
Departs  As many images as there are samples, not 16,384; the reference is held out.
Checked  tests/ops/test_sliced.py, tests/metrics/test_features.py
"""

from collections.abc import Callable, Mapping

import numpy as np

from genjax.core import Array, Dataset, Metric, Number, State
from genjax.metrics.card import Card, digest
from genjax.metrics.generated import gathered
from genjax.metrics.real import once, train_and_held_out
from genjax.ops import sliced

_BETTER = {
  "sliced_wasserstein": "lower",
  "sliced_wasserstein_fine": "lower",
  "sliced_wasserstein_coarse": "lower",
}


def sliced_wasserstein(
  *,
  split: str = "test",
  samples: int = 500,
  train_split: str = "train",
  patches: int = 128,
  directions: int = 512,
  choice_seed: int = 0,
  seed: int | None = None,
  ema: bool | None = None,
) -> Metric:
  """The metrics "sliced_wasserstein", the mean over the levels, and that of the finest and of the coarsest, times 1e3.

  Args:
    split, train_split, seed, ema: see metrics/frechet.py.
    samples: number of samples, and of real images; as many as the split has where those are fewer. Their pixels are
      held in memory, and of each level the patches: some 75 kB a sample of 3 channels.
    patches: of 7x7 pixels, of each image and level.
    directions: onto which they are projected.
    choice_seed: of the real images, the patches and the directions.
  """
  if samples < 2:
    raise ValueError(f"samples {samples}; a distance of patches takes two at least")
  images = once(lambda data: train_and_held_out(data, train_split, split))
  of_split = once(lambda data: digest(images(data)[1].examples["image"]))

  def measure(key: Array, views: Mapping[str, Callable], state: State, data: Dataset) -> dict[str, Number]:
    real = images(data)[1].examples["image"]
    drawn = gathered(views["sample"], key, state, samples, real=real, wants=frozenset({"pixels"}))
    count = min(samples, len(real))
    chosen = np.random.default_rng(choice_seed).permutation(len(real))[:count]
    levels = sliced.sliced_wasserstein(
      real[np.sort(chosen)], drawn.pixels[:count], per_image=patches, directions=directions, seed=choice_seed
    )
    heights = sorted(levels, reverse=True)
    settings = f"{patches} patches of {sliced.PATCH}x{sliced.PATCH}, {directions} directions"
    card = lambda level: Card(
      metric=f"sliced Wasserstein x 1e3, {level}, {settings}",
      subject="samples",
      generated=count,
      reference=count,
      split=images(data)[1].name,
      data_digest=of_split(data),
      ema=ema,
      seed=seed,
      precision=None,
    )
    mean = float(np.mean(list(levels.values())))
    return {
      "sliced_wasserstein": Number(mean, card(f"mean of the levels {', '.join(map(str, heights))}")),
      "sliced_wasserstein_fine": Number(levels[heights[0]], card(f"level {heights[0]}")),
      "sliced_wasserstein_coarse": Number(levels[heights[-1]], card(f"level {heights[-1]}")),
    }

  def check(data: Dataset) -> None:
    images(data)

  return Metric(("sample",), measure, _BETTER, check, samples, ("pixels",))
