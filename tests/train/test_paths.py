"""Names of leaves."""

from typing import NamedTuple

import numpy as np
import pytest

from genjax.train.paths import named_leaves, parameter_count


class Pair(NamedTuple):
  left: object
  right: object


def test_a_leaf_is_named_by_its_keys_joined_by_slashes():
  tree = Pair(left={"b": 1, "a": [2, 3]}, right=(None, 4))
  assert named_leaves(tree) == {"left/a/0": 2, "left/a/1": 3, "left/b": 1, "right/1": 4}


def test_two_leaves_of_one_name_are_refused():
  with pytest.raises(ValueError, match="two leaves have the path 'a/b'"):
    named_leaves({"a": {"b": 1}, "a/b": 2})


def test_parameters_are_what_lies_below_params_at_the_top():
  state = {"params": {"w": np.zeros((3, 4)), "b": np.zeros(4)}, "ema": {"params": np.zeros(9)}, "step": np.int32(0)}
  assert parameter_count(state) == 16
  assert parameter_count({"step": np.int32(0)}) == 0
