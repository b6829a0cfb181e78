"""Data sets: one function a set makes a core.Dataset; here are `load`, `few_shot` and `batches` for one's own loop.

    images.py, points.py, episodes.py, tokens.py, pairs.py    the data sets, a file a form of data
    image_dataset.py, episode_dataset.py                      what data sets of one form share
    epochs.py, image_batches.py, episode_batches.py           which step sees which examples
    show.py                                                   pictures of examples
    catalogue.py, few_shot_catalogue.py                       sets by name
    the rest                                                  readers of files, and makers of bundled sets

Names load on first use, so that a folder of images needs neither TFDS nor JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from genjax.data.catalogue import load
  from genjax.data.few_shot_catalogue import few_shot
  from genjax.data.few_shot_sets import FewShotSet
  from genjax.data.image_batches import batches
  from genjax.data.image_set import ImageSet

_HOMES = {
  "FewShotSet": "few_shot_sets",
  "ImageSet": "image_set",
  "batches": "image_batches",
  "few_shot": "few_shot_catalogue",
  "load": "catalogue",
}

__all__ = ["FewShotSet", "ImageSet", "batches", "few_shot", "load"]


def __getattr__(name: str) -> Any:
  if name in _HOMES:
    return getattr(importlib.import_module(f"genjax.data.{_HOMES[name]}"), name)
  raise AttributeError(f"genjax.data has no {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
  return sorted({*globals(), *__all__})
