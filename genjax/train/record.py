"""The record of a checkpoint: path, shape, dtype and fingerprint of every leaf, and whether a restored state has them.

Checked  tests/train/test_checkpoint.py, test_checkpoint_damage.py
"""

import hashlib
import json
from typing import Any

import jax
import jax.numpy as jnp
from etils import epath

from genjax.core import Array
from genjax.train.errors import CheckpointMismatch
from genjax.train.fingerprint import Fingerprints, fingerprints

_SHOWN = 5  # differing leaves named in a message


def record_of(leaves: dict[str, Array], known: Fingerprints) -> list[dict[str, Any]]:
  return [
    {"path": name, "shape": list(leaf.shape), "dtype": str(leaf.dtype), "fingerprint": [int(word) for word in words]}
    for (name, leaf), words in zip(leaves.items(), known.words, strict=True)
  ]


def sealed(record: list[dict[str, Any]]) -> dict[str, Any]:
  return {"leaves": record, "sha256": _digest(record)}


def unsealed(sealed: Any) -> list[dict[str, Any]] | None:
  """The record, or None if it is not what was written: a flipped bit in a name must not look like another model."""
  if not isinstance(sealed, dict) or sealed.get("sha256") != _digest(sealed.get("leaves")):
    return None
  return sealed["leaves"]


def _digest(record: Any) -> str:
  return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def compare(record: list[dict[str, Any]], wanted: dict[str, Any], where: epath.Path) -> None:
  saved = {row["path"]: f"{row['dtype']}{row['shape']}" for row in record}
  asked = {name: f"{leaf.dtype}{list(leaf.shape)}" for name, leaf in wanted.items()}
  differ = [
    f"{name}: saved {saved.get(name, 'nothing')}, wanted {asked.get(name, 'nothing')}"
    for name in dict.fromkeys([*asked, *saved])
    if saved.get(name) != asked.get(name)
  ]
  if differ:
    more = f"; and {len(differ) - _SHOWN} more" if len(differ) > _SHOWN else ""
    raise CheckpointMismatch(
      f"checkpoint {where} is of another model: {'; '.join(differ[:_SHOWN])}{more}; "
      "use the config it was trained with, or another --workdir"
    )


def verified(record: list[dict[str, Any]], wanted: dict[str, Any], leaves: dict[str, Array], structure: Any) -> Any:
  """Builds the state from fresh copies of the leaves and compares its fingerprints with the record."""
  copies = _copied(leaves)
  whole = [copies[name] if leaf.size else _empty(leaf) for name, leaf in wanted.items()]
  state = jax.tree.unflatten(structure, whole)
  for row, words in zip(_by_path(record, wanted), fingerprints(state).words, strict=True):
    if row["fingerprint"] != words.tolist():
      return None, f"{row['path']} is not what was saved"
  return state, None


@jax.jit
def _copied(leaves: dict[str, Array]) -> dict[str, Array]:
  # What a reader hands out may lie in host memory that several devices share, and that must not be donated.
  return jax.tree.map(jnp.copy, leaves)


def _empty(leaf: jax.ShapeDtypeStruct) -> Array:
  return jax.device_put(jnp.zeros(leaf.shape, leaf.dtype), leaf.sharding)


def _by_path(record: list[dict[str, Any]], wanted: dict[str, Any]) -> list[dict[str, Any]]:
  rows = {row["path"]: row for row in record}
  return [rows[name] for name in wanted]
