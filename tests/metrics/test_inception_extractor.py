"""Inception as an extractor: torch-fidelity's numbers through a file of weights, sizes, batches, channels, errors."""

import dataclasses
import hashlib
import warnings

import jax
import numpy as np
import pytest
from PIL import Image
from released_inception import FIXTURE, expected, filled, pixels, published, reference, write_torch

from genjax.metrics import inception as inception_file
from genjax.metrics.inception import inception, pil_bicubic

SIDE = 107  # of the fixture's image


@pytest.fixture(scope="module", autouse=True)
def two_devices():
  two = jax.local_devices()[:2]
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jax, "local_devices", lambda: two)
    yield


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
  """A file as the port's authors publish it, with other values."""
  path = tmp_path_factory.mktemp("inception") / "formula.pth"
  write_torch(path, filled(published()))
  return path


@pytest.fixture(scope="module")
def extractor(weights):
  """For images of the fixture's size: an eighth of the work."""
  return dataclasses.replace(inception(weights=weights, batch=3), side=SIDE)


@pytest.fixture(scope="module")
def images():
  """Five, of which the first is the fixture's."""
  return pixels(5, SIDE, SIDE)


@pytest.fixture(scope="module")
def outputs(extractor, images):
  return extractor.outputs(images)


def near(ours, wanted):
  np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-4 * np.std(wanted))


def test_a_file_of_weights_gives_torch_fidelitys_features_and_logits_without_bias(outputs):
  features, logits = outputs
  assert (features.shape, logits.shape) == ((5, 2048), (5, 1008))
  assert features.dtype == logits.dtype == np.float32
  near(features[:1], expected()["features"])
  near(logits[:1, :200], expected()["unbiased"])
  assert np.abs(logits[0] - expected()["logits"][0]).max() > 0.2  # those with it


def test_batches_sizes_and_number_types_change_nothing_and_one_program_serves_all(extractor, images, outputs):
  assert extractor.batch == 4  # three, rounded up to the devices
  compiled = inception_file._net._cache_size()
  for given in (images[:1], images[:4], images[:1].astype(np.float32) / 127.5 - 1):
    near(extractor.features(given), outputs[0][: len(given)])
  grey = extractor.logits(images[:2, :, :, :1])
  near(grey, extractor.logits(np.repeat(images[:2, :, :, :1], 3, 3)))
  small = images[:2, :32, :41]
  by_pillow = dataclasses.replace(extractor, resizer="pil")
  assert np.abs(by_pillow.features(small) - extractor.features(small)).max() > 0.01
  near(by_pillow.features(images[:1]), outputs[0][:1])  # of the net's size nothing is resized
  assert inception_file._net._cache_size() == compiled == 1


def test_the_card_tells_the_weights_and_the_resizing(extractor, weights):
  sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
  assert extractor.sha256 == sha256
  assert f"NOT the published weights but formula.pth, sha256 {sha256[:8]}" in extractor.description
  assert extractor.resize == "tf1: bilinear of TensorFlow 1 to 107x107"
  assert extractor.scaling == "(x - 128) / 128"
  by_pillow = dataclasses.replace(extractor, resizer="pil")
  assert by_pillow.resize == "pil: bicubic of Pillow to 107x107, float32"
  assert by_pillow.digest != extractor.digest == dataclasses.replace(extractor).digest


def test_metrics_that_read_one_file_share_its_parameters(extractor, weights):
  assert inception(weights=weights, resize="pil").params is extractor.params


def test_what_cannot_be_read_is_told_in_one_line(tmp_path, extractor):
  with pytest.raises(FileNotFoundError) as error:
    inception(weights=tmp_path / "none.pth")
  assert str(error.value) == (
    f'weights "{tmp_path / "none.pth"}" is no file; wanted pt_inception-2015-12-05-6726825d.pth (95.6 MB), which its '
    "authors publish at github.com/mseitzer/pytorch-fid/releases, fid_weights"
  )
  other = FIXTURE.parents[1] / "metaoptnet" / "conv4_zip.pth"
  with pytest.raises(ValueError, match=r"conv4_zip.pth\": it lacks Conv2d_1a_3x3.bn.bias and 471 more"):
    inception(weights=other)
  cut = tmp_path / "cut.pth"
  cut.write_bytes(other.read_bytes()[:5000])
  with pytest.raises(ValueError, match=r"cut.pth\" is not read"):
    inception(weights=cut)
  with pytest.raises(ValueError, match=r"resize 'bicubic'; use one of 'tf1', 'pil'"):
    inception(weights=other, resize="bicubic")
  with pytest.raises(ValueError, match="images have 4 channels; Inception reads grey"):
    extractor.features(np.zeros((1, 9, 9, 4), np.uint8))


# Pillow's bicubic -----------------------------------------------------------------------------------------------------


def cubic(x):
  """Keys' kernel with a = -1/2."""
  x = np.abs(x)
  return np.where(x < 1, 1.5 * x**3 - 2.5 * x**2 + 1, np.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0))


def weights_of(old, new):
  """[new, old]: the kernel about each new pixel's centre, as wide as the step where that is above one pixel."""
  step = old / new
  at = (np.arange(new) + 0.5) * step
  values = cubic((np.arange(old) + 0.5 - at[:, None]) / max(step, 1))
  return values / values.sum(1, keepdims=True)


@pytest.mark.parametrize("size", [(8, 8), (7, 13), (45, 31)])
def test_pillows_bicubic_is_the_formula_cut_off_at_the_range(size):
  board = np.repeat((255 * (np.indices(size).sum(0) % 2)).astype(np.uint8)[..., None], 3, 2)
  impulse = np.zeros((*size, 3), np.uint8)
  impulse[3, 4, 1] = 200
  both = np.stack([board, impulse])
  rows, columns = (weights_of(old, 19) for old in size)
  wanted = np.einsum("ih,bhwc,jw->bijc", rows, both.astype(float), columns)
  assert wanted.min() < -1 or size == (45, 31)
  result = pil_bicubic(both, 19)
  assert result.dtype == np.float32
  np.testing.assert_allclose(result, wanted.clip(0, 255), atol=1e-3)


# Beside the published tools -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Three pictures with smooth parts and sharp ones, as files."""
  path = tmp_path_factory.mktemp("pictures")
  for number, picture in enumerate(pixels(3, 61, 48)):
    smooth = np.cumsum(np.cumsum(picture.astype(float) - 127, 0), 1)
    smooth = 255 * (smooth - smooth.min()) / np.ptp(smooth)
    Image.fromarray(np.where(np.arange(48)[None, :, None] < 30, smooth, picture).astype(np.uint8)).save(
      path / f"{number}.png"
    )
  return path


@pytest.fixture(scope="module")
def torch_net(weights):
  """torch-fidelity's net with the same file."""
  pytest.importorskip("torch")
  try:
    file = reference("torch_fidelity", "feature_extractor_inceptionv3")
  except ImportError:
    pytest.skip("torch_fidelity is not installed")
  return file.FeatureExtractorInceptionV3(
    "inception", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(weights)
  )


def opened(folder):
  return np.stack([np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.iterdir())])


@pytest.mark.slow
@pytest.mark.long
def test_torch_fidelity_gives_the_same_features_and_logits_of_image_files(weights, folder, torch_net):
  import torch

  images = opened(folder)
  features, logits = inception(weights=weights, resize="tf1", batch=1).outputs(images)
  wanted = [part.numpy() for part in torch_net(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))]
  same(features, wanted[0])
  same(logits, wanted[1])


@pytest.mark.slow
@pytest.mark.long
def test_clean_fid_gives_the_same_features_of_image_files(weights, folder, torch_net):
  import torch

  try:
    resized = reference("cleanfid", "resize").build_resizer("clean")
  except ImportError:
    pytest.skip("cleanfid is not installed")
  images = opened(folder)
  features = inception(weights=weights, resize="pil", batch=1).features(images)
  with warnings.catch_warnings():  # it says the mode of an image, which Pillow no longer wants to hear
    warnings.simplefilter("ignore", DeprecationWarning)
    x = torch.from_numpy(np.stack([resized(image) for image in images]).transpose(0, 3, 1, 2).copy())
  x = (x - 128) / 128  # its InceptionV3W
  for name, layer in torch_net.named_children():
    x = x if name == "fc" else layer(x)
  same(features, x.flatten(1).numpy())


def same(ours, wanted):
  """To the rounding of float32 through 48 layers."""
  assert np.linalg.norm(ours - wanted) / np.linalg.norm(wanted) < 2e-6
  np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=1e-5 * wanted.std())
