"""Every leaf of a tree has one name: its keys joined by '/', such as `params/Conv_0/kernel`.

Sharding rules, checkpoints and error messages all speak of leaves by these names.
Checked  tests/train/test_paths.py
"""

import math
from collections import Counter
from typing import Any

import jax


def named_leaves(tree: Any) -> dict[str, Any]:
  """Returns {path: leaf} in the order of `jax.tree.leaves`.

  Raises:
    ValueError: if two leaves have the same path (a dictionary key that holds a '/').
  """
  flat, _ = jax.tree_util.tree_flatten_with_path(tree)
  names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in flat]
  twice = [name for name, count in Counter(names).items() if count > 1]
  if twice:
    raise ValueError(f"two leaves have the path {twice[0]!r}; use no '/' in the keys of a state")
  return dict(zip(names, (leaf for _, leaf in flat), strict=True))


def parameter_count(state: Any) -> int:
  """Numbers below "params" in a state of arrays or shapes."""
  return sum(math.prod(leaf.shape) for name, leaf in named_leaves(state).items() if name.split("/")[0] == "params")
