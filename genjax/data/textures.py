"""Photographs of textures that ship with scikit-image, as a TFDS builder: brick, grass, gravel, one example each.

A photograph is a whole example; patches are cut from it inside the jitted step (ops/augment.py, crop).

Departs  Configs of the builder: "all", or one texture, as in "textures/brick".
Shapes   image [512, 512, 1] uint8; label: the place in the config's textures.
Checked  tests/data/test_textures.py: equal to scikit-image's arrays.
"""

from collections.abc import Iterator

import tensorflow_datasets as tfds
from PIL import Image

TEXTURES = ("brick", "grass", "gravel")
ALL = "all"


class Textures(tfds.core.GeneratorBasedBuilder):
  """Grey photographs of textures from scikit-image."""

  VERSION = tfds.core.Version("1.0.0")
  code_path = None  # where checksums of downloads lie: none here, and TFDS needs importlib_resources to look
  BUILDER_CONFIGS = [  # noqa: RUF012 (the name and type that TFDS wants)
    tfds.core.BuilderConfig(name=name, description=f"{name} of {', '.join(TEXTURES)}") for name in (ALL, *TEXTURES)
  ]

  def _names(self) -> tuple[str, ...]:
    return TEXTURES if self.builder_config.name == ALL else (self.builder_config.name,)

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description="scikit-image's photographs of textures",
      features=tfds.features.FeaturesDict(
        {
          "image": tfds.features.Image(shape=(512, 512, 1)),
          "label": tfds.features.ClassLabel(names=list(self._names())),
        }
      ),
      supervised_keys=("image", "label"),
      homepage="https://scikit-image.org",
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
    return {"train": self._generate_examples()}

  def _generate_examples(self) -> Iterator:
    from skimage import data

    for number, name in enumerate(self._names()):
      yield number, {"image": Image.fromarray(getattr(data, name)()), "label": name}
