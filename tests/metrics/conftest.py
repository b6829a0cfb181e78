"""Scikit-learn's digits as the metrics see them, and one classifier of them for the whole session."""

from typing import NamedTuple

import numpy as np
import pytest
from sklearn.datasets import load_digits
from toy_images import data_of

from genjax.core import Dataset
from genjax.metrics.extractor import train_extractor


class Digits(NamedTuple):
  train: np.ndarray
  train_labels: np.ndarray
  held_out: np.ndarray
  held_out_labels: np.ndarray


@pytest.fixture(scope="session")
def digits() -> Digits:
  """1,297 digits to train on and 500 held out, 8x8x1 uint8."""
  loaded = load_digits()
  images = np.round(loaded.images * 255 / 16).astype(np.uint8)[..., None]
  order = np.random.default_rng(0).permutation(len(images))
  images, labels = images[order], loaded.target[order]
  return Digits(images[500:], labels[500:], images[:500], labels[:500])


@pytest.fixture(scope="session")
def data(digits) -> Dataset:
  splits = {"train": (digits.train, digits.train_labels), "test": (digits.held_out, digits.held_out_labels)}
  return data_of(splits, classes=10, name="digits")


@pytest.fixture(scope="session")
def extractor(digits, own_cache):
  return train_extractor(
    digits.train,
    digits.train_labels,
    classes=10,
    held_out_images=digits.held_out,
    held_out_labels=digits.held_out_labels,
    data_name="digits",
  )
