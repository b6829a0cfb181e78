"""FID's own features: Inception v3 of 2015-12-05, with the weights of its public port for PyTorch.

genjax holds no weights and fetches none: `weights` is the path of the file that the authors of pytorch-fid publish
(torch-fidelity publishes the same bytes). It is read without PyTorch, and its pickle is not run.

Two ways to bring images to 299x299 are in use, and numbers of one are not numbers of the other:

    tf1  bilinear of TensorFlow 1, which the graph itself begins with: the FID of TTUR, torch-fidelity and StyleGAN
    pil  bicubic of Pillow, each channel in float32, cut off at 0 and 255: clean-fid

Papers   FID  Heusel et al. 2017, arXiv:1706.08500; clean-fid  Parmar et al. 2022, arXiv:2104.11222
Shapes   N images [N, H, W, C] of any size, C 1 (then three equal channels) or 3, uint8 or floats in [-1, 1] (rounded to
         8 bit first) -> features [N, 2048] float32 of the pool before the logits, and logits [N, 1008] float32 without
         their bias: so the Inception score's authors and torch-fidelity ("logits_unbiased") have them.
Checked  tests/metrics/test_inception_extractor.py: torch-fidelity's numbers through a file of weights, on two devices;
         from image files beside torch-fidelity and clean-fid (`long`): 5e-7 apart, logits 1e-6.
"""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal

import jax
import numpy as np
from PIL import Image

from genjax.core import Array
from genjax.metrics.pixels import as_uint8
from genjax.metrics.placing import copied, multiple, split
from genjax.nets.inception import FEATURES, LOGITS, SIDE, Inception, from_port
from genjax.ops.resize import tf1_bilinear
from genjax.torch_file import read_torch

FILE = "pt_inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"  # of its 95,628,359 bytes
WANTED = f"{FILE} (95.6 MB), which its authors publish at github.com/mseitzer/pytorch-fid/releases, fid_weights"
RESIZES = {
  "tf1": "tf1: bilinear of TensorFlow 1 to {0}x{0}",
  "pil": "pil: bicubic of Pillow to {0}x{0}, float32",
}
THREADS = 4  # that resize; Pillow lets go of the interpreter lock while it does


@dataclass(frozen=True, eq=False)
class InceptionExtractor:
  """Inception v3 with its weights, as an extractor of features.

  Attributes:
    params: of nets/inception.Inception, on the devices.
    resizer: "tf1" or "pil".
    description: what it is, for the card.
    sha256: of the file of its parameters.
    batch: images of one pass; a multiple of the number of devices.
    side: what images are resized to.
  """

  params: Any
  resizer: str
  description: str
  sha256: str
  batch: int
  side: int = SIDE
  scaling: str = "(x - 128) / 128"

  @property
  def digest(self) -> str:
    """sha256 of all that its features depend on: of one digest are only numbers of one file and one resizing."""
    return hashlib.sha256(f"{self.sha256} {self.resize}".encode()).hexdigest()

  @property
  def resize(self) -> str:
    """How images come to the net's size, for the card."""
    return RESIZES[self.resizer].format(self.side)

  def outputs(self, images: Any) -> tuple[np.ndarray, np.ndarray]:
    """Features [N, 2048] and logits without bias [N, 1008] of images; see the file's header."""
    pixels = _coloured(as_uint8(images))
    features = np.empty((len(pixels), FEATURES), np.float32)
    logits = np.empty((len(pixels), LOGITS), np.float32)
    for rows, of_net in self._passes(pixels):
      features[rows], logits[rows] = (part[: rows.stop - rows.start] for part in jax.device_get(of_net))
    return features, logits

  def features(self, images: Any) -> np.ndarray:
    """Features [N, 2048] alone."""
    return self.outputs(images)[0]

  def logits(self, images: Any) -> np.ndarray:
    """Logits [N, 1008] alone, without their bias."""
    return self.outputs(images)[1]

  def _passes(self, pixels: np.ndarray) -> Iterator[tuple[slice, tuple[Array, Array]]]:
    """The rows of a batch and what the net gives for them; the host prepares a batch while devices are at the last."""
    before = None
    for start in range(0, len(pixels), self.batch):
      part = pixels[start : start + self.batch]
      rows = slice(start, start + len(part))
      padded = np.concatenate([part, np.zeros((self.batch - len(part), *part.shape[1:]), np.uint8)])
      if self.resizer == "pil":
        resized = jax.device_put(pil_bicubic(padded, self.side), split())
      else:
        resized = _tf1(jax.device_put(padded, split()), self.side)
      now = rows, _net(self.params, resized)
      if before is not None:
        yield before
      before = now
    yield before


def inception(
  *, weights: str | os.PathLike, resize: Literal["tf1", "pil"] = "tf1", batch: int = 32
) -> InceptionExtractor:
  """Inception v3 as an extractor, on this process's devices.

  Args:
    weights: path of `FILE`. A file with the same parameters and other values is used too, and `description` says so.
    resize: see the file's header.
    batch: images of one pass; rounded up to a multiple of the devices. The last one is filled up.

  Raises:
    FileNotFoundError: no such file; the text says where its authors publish it.
    ValueError: the file is damaged, or not of this net; a `resize` that there is not.
  """
  weights = os.fspath(weights)
  if resize not in RESIZES:
    raise ValueError(f"resize {resize!r}; use one of {', '.join(map(repr, RESIZES))}")
  if not os.path.isfile(weights):
    raise FileNotFoundError(f'weights "{weights}" is no file; wanted {WANTED}')
  about = os.stat(weights)
  params, sha256 = _opened(weights, os.path.realpath(weights), about.st_mtime_ns, about.st_size)
  name = "the published weights" if sha256 == SHA256 else f"NOT the published weights but {os.path.basename(weights)}"
  description = f"{FEATURES} pool features of Inception v3 (2015-12-05), {name}, sha256 {sha256[:8]}"
  return InceptionExtractor(params, resize, description, sha256, multiple(batch))


@lru_cache(maxsize=1)
def _opened(weights: str, file: str, changed: int, size: int) -> tuple[Any, str]:
  """Parameters on the devices, and sha256 of their file: once for all metrics that read it, until it changes."""
  del file, changed, size
  with open(weights, "rb") as opened:
    sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
  state = read_torch(weights)
  try:
    params = from_port(state if isinstance(state, dict) else {})
  except ValueError as error:
    raise ValueError(f'weights "{weights}": {error}') from error
  return jax.device_put(params, copied()), sha256


def pil_bicubic(pixels: np.ndarray, side: int) -> np.ndarray:
  """Images [B, H, W, 3] uint8 -> [B, side, side, 3] float32 in 0..255, by Pillow, each channel by itself in float32."""
  with ThreadPoolExecutor(THREADS) as pool:
    return np.stack(list(pool.map(partial(_one_bicubic, side=side), pixels)))


def _one_bicubic(image: np.ndarray, side: int) -> np.ndarray:
  planes = (Image.fromarray(image[..., channel].astype(np.float32)) for channel in range(image.shape[-1]))
  resized = [np.asarray(plane.resize((side, side), Image.Resampling.BICUBIC)) for plane in planes]
  return np.stack(resized, -1).clip(0, 255)


def _coloured(pixels: np.ndarray) -> np.ndarray:
  if pixels.shape[3] not in (1, 3):
    raise ValueError(f"images have {pixels.shape[3]} channels; Inception reads grey (1) or red, green, blue (3)")
  return np.broadcast_to(pixels, (*pixels.shape[:3], 3))


@partial(jax.jit, static_argnums=1)
def _tf1(pixels: Array, side: int) -> Array:
  return tf1_bilinear(pixels, (side, side))


@jax.jit
def _net(params: Any, pixels: Array) -> tuple[Array, Array]:
  """Of images [B, side, side, 3] in 0..255: a program of its own, so that images of another size do not compile it."""
  return Inception(biased=False).apply({"params": params}, (pixels - 128.0) / 128.0)
