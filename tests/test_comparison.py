"""`genjax compare`: two places of the bundled digits' images are measured as ops measures their features."""

import json
import logging
import os
import tarfile

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from genjax.cli import main, parse
from genjax.comparison import compare, table
from genjax.data.image_files import image_files
from genjax.metrics.extractor import random_extractor
from genjax.ops.frechet import Moments, frechet_between
from genjax.ops.kernel_distance import subset_distances
from genjax.ops.neighbours import overlap, two_sample
from genjax.registry import UsageError

A, B = 80, 120  # images of each side
MEANS = "test_comparison:means"
METRICS = {"frechet": {}, "kid": {"subsets": 5, "subset_size": 50}, "prdc": {}, "two_sample": {}}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
  """The folder of A and B, and their images [N, 8, 8, 3]."""
  home = tmp_path_factory.mktemp("places")
  digits = np.round(load_digits().images[: A + B] * 255 / 16).astype(np.uint8)
  for name, images in {"a": digits[:A], "b": digits[A:]}.items():
    for number, image in enumerate(images):
      (home / name / "01"[number % 2]).mkdir(parents=True, exist_ok=True)
      Image.fromarray(image).save(home / name / "01"[number % 2] / f"{number:03}.png")
  with tarfile.open(home / "b.tgz", "w:gz") as archive:
    archive.add(home / "b", "b")
  in_order = lambda images: np.concatenate([images[::2], images[1::2]])[..., None].repeat(3, -1)
  a, b = in_order(digits[:A]), in_order(digits[A:])
  np.savez(home / "a.npz", x=a.transpose(0, 3, 1, 2), y=np.arange(A) % 10)
  return home, a, b


@pytest.fixture(scope="module")
def numbers(places):
  home, _, _ = places
  return compare(str(home / "a"), str(home / "b"), metrics=METRICS)


def between(a, b):
  return frechet_between(*(Moments.empty(x.shape[1]).update(x) for x in (a, b)))


def test_numbers_are_those_of_the_features(places, numbers):
  _, a, b = places
  net = random_extractor(b)
  of_a, of_b = net.features(a), net.features(b)
  value = {name: number.value for name, number in numbers.items()}
  assert value["frechet"] == pytest.approx(between(of_a, of_b), rel=1e-5)
  distances = subset_distances(of_a, of_b, subsets=5, size=50, seed=2020)
  assert value["kid"] == pytest.approx(distances.mean(), rel=1e-4)
  for name, share in overlap(of_b, of_a, neighbours=(3, 5))._asdict().items():
    assert value[name] == pytest.approx(share), name
  chosen = np.sort(np.random.default_rng(0).choice(B, A, replace=False))
  assert value["two_sample"] == pytest.approx(two_sample(of_b[chosen], of_a).accuracy)


def test_cards_say_what_was_compared(places, numbers):
  home, _, _ = places
  for number in numbers.values():
    card = number.card
    assert card.subject.startswith(f"{home}/a, sha256 ")
    assert (card.split, card.generated, card.quantisation) == (f"{home}/b", A, "8 bit, as the files have it")
    assert card.extractor.endswith("(seed 0), not Inception")
    assert len(card.data_digest) == len(card.extractor_sha256) == 64
    assert card.seed is None
  assert (numbers["frechet"].card.reference, numbers["two_sample"].card.reference) == (B, A)
  shown = table(numbers)
  assert f"A         {home}/a, sha256 " in shown
  assert "lower is better" in shown


def test_an_npz_and_a_tar_are_the_folders_whose_images_they_hold(places, numbers):
  home, _, _ = places
  others = compare(str(home / "a.npz"), str(home / "b.tgz"), metrics=METRICS)
  for name, number in numbers.items():
    other = others[name]
    assert number.value == other.value, name
    assert number.card.data_digest == other.card.data_digest
    assert number.card.subject[-64:] == other.card.subject[-64:]
    assert number.card.extractor_sha256 == other.card.extractor_sha256


def test_the_same_images_are_at_distance_0_and_pixels_need_no_net(places):
  home, _, _ = places
  same = compare(str(home / "b"), str(home / "b.tgz"), metrics=("frechet", "sliced_wasserstein"), extractor=MEANS)
  assert same["frechet"].value == pytest.approx(0, abs=1e-6)
  assert same["sliced_wasserstein"].card.extractor is None
  assert same["sliced_wasserstein"].card.data_digest == same["frechet"].card.data_digest


class Means:
  """Features of a net that resizes: mean and deviation of the channels, of images of any size."""

  description, digest, resize, logits = "means", "0" * 64, "by averaging", None

  def features(self, images):
    images = np.asarray(images, np.float32)
    return np.concatenate([images.mean((1, 2)), images.std((1, 2))[:, :1]], 1)


def means():
  return Means()


def test_images_of_several_sizes_are_compared_by_a_net_that_resizes_and_refused_by_others(tmp_path, places):
  home, _, b = places
  for number in range(12):
    image = Image.fromarray(b[number]).resize((8 + number % 3, 8), Image.Resampling.NEAREST)
    image.save(tmp_path / f"{number:02}.png")
  with pytest.raises(
    UsageError, match=r"is 8x8, .*01\.png is 9x8; images of several sizes are compared in features of"
  ):
    compare(str(tmp_path), str(home / "b"))
  settings = {"metrics": ("frechet",), "extractor": MEANS}
  value = compare(str(tmp_path), str(home / "b"), **settings)["frechet"].value
  read = [image_files(str(tmp_path)).read(index)[0][None] for index in range(12)]
  features = np.concatenate([Means().features(image) for image in read])
  assert value == pytest.approx(between(features, Means().features(b)), rel=1e-4)


def test_n_images_are_chosen_by_the_seed(places):
  home, _, _ = places
  call = lambda **more: compare(str(home / "a"), str(home / "b"), metrics=("frechet",), extractor=MEANS, n=70, **more)[
    "frechet"
  ]
  first, second = call(), call(seed=1)
  assert first.value != second.value
  assert (first.card.generated, first.card.reference, first.card.seed) == (70, 70, 0)
  assert first.card.split == f"{home}/b, 70 of 120 images"


def test_unreadable_files_are_named_once_and_left_out(places, tmp_path, caplog):
  home, a, _ = places
  for number, image in enumerate(a[:5]):
    Image.fromarray(image).save(tmp_path / f"{number}.png")
  (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:50])
  os.mkfifo(tmp_path / "pipe.png")
  with caplog.at_level(logging.WARNING):
    number = compare(str(home / "a"), str(tmp_path), metrics=("frechet",), extractor=MEANS)["frechet"]
  assert number.card.reference == 4
  (line,) = [record.message for record in caplog.records if "unreadable" in record.message]
  assert line.startswith(f"{tmp_path}: 2 of 6 images are unreadable: 1.png (")
  assert "pipe.png (no regular file)" in line


def test_the_command_prints_numbers_with_their_cards(places, capsys):
  home, _, _ = places
  assert (
    main(["compare", str(home / "a"), str(home / "b"), "--metrics", "frechet", "--extractor", MEANS, "--json"]) == 0
  )
  printed = json.loads(capsys.readouterr().out)
  assert printed["metrics"]["frechet"]["card"]["split"] == printed["b"] == str(home / "b")


@pytest.mark.parametrize(
  ("words", "line"),
  [
    ([], "takes two places of images, A and the reference B, not none"),
    (["a", "b", "c"], "not a b c"),
    (["a", "b", "--metrics", "fdi"], "--metrics 'fdi'; did you mean fid?; there are frechet, fid"),
    (["a", "b", "--metrics", "copies"], "--metrics 'copies'"),
    (["a", "b", "--n", "0"], "--n 0; use 1 or more"),
    (["a", "b", "--config.seed=1"], "images on disk need no config"),
    (["a", "b", "--wieghts", "x"], "no option --wieghts; did you mean weights?; compare takes --metrics"),
  ],
)
def test_a_wrong_word_is_refused_when_it_is_read(words, line):
  with pytest.raises(UsageError) as error:
    parse(["compare", *words])
  assert line in str(error.value)


@pytest.mark.parametrize(
  ("words", "line"),
  [
    (["nowhere", "b"], '"nowhere" does not exist; wanted a folder of images'),
    (["a", "b", "--metrics", "fid"], "pt_inception-2015-12-05-6726825d.pth"),
    (["a", "b", "--extractor", "inception"], "inception is in Inception's features: say --weights PATH of pt_in"),
    (["a", "b", "--weights", "nowhere.pth"], 'weights "nowhere.pth" is no file'),
    (["a", "b", "--weights", "w.pth", "--extractor", "random"], "leave one of them out"),
    (["a", "b", "--resize", "pil"], "--resize is Inception's, and --extractor is random"),
    (["a", "b", "--extractor", "rnadom"], "--extractor 'rnadom'; did you mean random?"),
    (["a", "b", "--metrics", "inception_score"], "class logits are needed"),
    (["a", "b", "--extractor", "classifier", "--n", "1"], "samples 1; a Frechet distance takes two at least"),
    (["b", "b/0", "--extractor", "classifier"], "has no labels to train a classifier on"),
  ],
)
def test_what_cannot_be_measured_is_one_line(places, monkeypatch, capsys, words, line):
  monkeypatch.chdir(places[0])
  assert main(["compare", *words]) == 2
  said = capsys.readouterr().err
  assert line in said
  assert said.startswith("genjax: ")
  assert said.count("\n") == 1
