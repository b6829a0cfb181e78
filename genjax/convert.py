"""The authors' MetaOptNet checkpoints, best_model.pth and its like, as variables of genjax's nets.

Papers   Lee et al. 2019, arXiv:1904.03758; https://github.com/kjunelee/MetaOptNet writes {"embedding": state dict,
         "head": {"scale": [1]}}, with `module.` before each name where several GPUs trained.
Departs  num_batches_tracked is left out: momentum is constant. DropBlock's count is in no checkpoint: it starts at 0.
         Features come in the order height, width, channel; theirs, channel first, are a permutation of them, which no
         head sees.
Shapes   PyTorch's weights [O, I, h, w] -> kernel [h, w, I, O].
Checked  tests/test_convert.py: against what PyTorch computes with the same weights, at full width.
"""

import os
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from genjax.registry import UsageError, nearest, resolve
from genjax.torch_file import read_torch

RELEASED = ("resnet12", "conv4", "r2d2")  # names of such nets in a config
LAYERS = {  # class of a net to its convolutions and their norms, in the order in which flax counts them
  "ResNet12": [
    pair
    for stage in range(1, 5)
    for pair in (
      *((f"layer{stage}.0.conv{place}", f"layer{stage}.0.bn{place}") for place in (1, 2, 3)),
      (f"layer{stage}.0.downsample.0", f"layer{stage}.0.downsample.1"),
    )
  ],
  "Conv4": [(f"encoder.{block}.block.0", f"encoder.{block}.block.1") for block in range(4)],
  "R2D2Net": [(f"block{block}.0", f"block{block}.1") for block in range(1, 5)],
}
NORM = {  # of PyTorch to collection and name in nets/batch_norm.py
  "weight": ("params", "scale"),
  "bias": ("params", "bias"),
  "running_mean": ("batch_stats", "mean"),
  "running_var": ("batch_stats", "var"),
}
SCALE = "scale"  # of the head, in a file of `save_variables`


class Converted(NamedTuple):
  variables: dict[str, Any]  # collections of a net: params, batch_stats and, of ResNet12, counter
  scale: float  # of the head's logits


def converted(path: str | os.PathLike, net: Any) -> Converted:
  """Variables of `net` from a released checkpoint.

  Args:
    path: written by torch.save, by any version since 0.1.10.
    net: ResNet12, Conv4 or R2D2Net, of the widths of the checkpoint.

  Raises:
    FileNotFoundError: no such file.
    ValueError: no checkpoint of MetaOptNet, or one of another net; the text names what is missing or too much.
  """
  if type(net).__name__ not in LAYERS:
    raise ValueError(f"{type(net).__name__} was not released with MetaOptNet; there are {', '.join(LAYERS)}")
  file = f'"{os.fspath(path)}"'
  whole = read_torch(path)
  parts = [whole.get(name) if isinstance(whole, Mapping) else None for name in ("embedding", "head")]
  if not all(isinstance(part, Mapping) for part in parts):
    has = ", ".join(map(str, list(whole)[:5])) if isinstance(whole, Mapping) else f"a {type(whole).__name__}"
    raise ValueError(f"{file} has {has}; wanted a checkpoint of MetaOptNet, which has embedding and head")
  embedding, head = parts
  if np.shape(head.get("scale")) != (1,):
    raise ValueError(
      f"{file} has no scale of shape (1,) in its head, which has {', '.join(map(str, head)) or 'nothing'}"
    )
  names = {str(name).removeprefix("module."): value for name, value in embedding.items()}
  names = {name: value for name, value in names.items() if not name.endswith(".num_batches_tracked")}
  table = _table(type(net).__name__, biases=type(net).__name__ == "R2D2Net")
  _check_names(file, type(net).__name__, set(names), set(table))
  flat = {place: _transposed(names[name]) for name, place in table.items()}
  return Converted(_complete(file, net, flat, {place: name for name, place in table.items()}), float(head["scale"][0]))


def convert(path: str | os.PathLike, net: str, out: str | os.PathLike) -> str:
  """Converts a checkpoint to a file that `load_variables` reads, and a config as `net.weights`.

  Args:
    path: see `converted`.
    net: the name in a config of the net, which has its published widths: resnet12, conv4 or r2d2.
    out: the file to write; its folder is made where there is none.

  Returns:
    A line that says what was written.

  Raises:
    UsageError: another net, no such file, or a checkpoint that does not fit; nothing is written then.
  """
  if net not in RELEASED:
    raise UsageError(f"no --net {net!r}{nearest(net, RELEASED)}; there are {', '.join(RELEASED)}")
  try:
    variables, scale = converted(path, resolve("net", net)())
    os.makedirs(os.path.dirname(out) or ".", exist_ok=True)
    save_variables(out, variables, scale)
  except (ValueError, OSError) as error:
    raise UsageError(str(error)) from error
  return f"{net} of {parameters(variables):,} parameters, scale of the head {scale:g}, in {os.fspath(out)}"


def save_variables(path: str | os.PathLike, variables: Mapping[str, Any], scale: float) -> None:
  """Writes variables and the head's scale as .npz, without pickle: each array by its path, params/Conv_0/kernel."""
  with open(path, "wb") as file:  # numpy would put .npz after a name without it
    np.savez(file, **{SCALE: np.float32(scale)}, **_flat(variables))


def load_variables(path: str | os.PathLike) -> Converted:
  """Reads what `save_variables` wrote. Raises FileNotFoundError, and ValueError for another file."""
  try:
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
      flat = {name: archive[name] for name in archive.files}
    scale = float(flat.pop(SCALE))
  except (ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
    raise ValueError(f'"{os.fspath(path)}" is no file of `genjax convert` ({type(error).__name__}: {error})') from error
  return Converted(_nested({tuple(name.split("/")): value for name, value in flat.items()}), scale)


def parameters(variables: Mapping[str, Any]) -> int:
  """The number of learned numbers."""
  return sum(value.size for value in _flat(variables["params"]).values())


# Names ----------------------------------------------------------------------------------------------------------------


def _table(net: str, *, biases: bool) -> dict[str, tuple[str, str, str]]:
  """Name in PyTorch's state dict -> collection, layer and leaf in flax."""
  table = {}
  for number, (conv, norm) in enumerate(LAYERS[net]):
    table[f"{conv}.weight"] = ("params", f"Conv_{number}", "kernel")
    if biases:
      table[f"{conv}.bias"] = ("params", f"Conv_{number}", "bias")
    for theirs, (collection, ours) in NORM.items():
      table[f"{norm}.{theirs}"] = (collection, f"BatchNorm_{number}", ours)
  return table


def _check_names(file: str, net: str, names: set[str], wanted: set[str]) -> None:
  """Raises ValueError unless the names of a checkpoint are those of the net; the text says whose they are."""
  wrong = [f"{verb} {_some(some)}" for verb, some in (("lacks", wanted - names), ("has", names - wanted)) if some]
  if wrong:
    fits = [name for name in LAYERS if set(_table(name, biases=name == "R2D2Net")) == names]
    raise ValueError(f"{file} is no {net}: it {' and '.join(wrong)}" + (f"; it is a {fits[0]}" if fits else ""))


def _some(names: set[str]) -> str:
  first = sorted(names)[:3]
  return ", ".join(first) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _transposed(value: Any) -> np.ndarray:
  """A kernel [O, I, h, w] as [h, w, I, O]; other values as they are; float32."""
  value = np.asarray(value, np.float32)
  return np.ascontiguousarray(value.transpose(2, 3, 1, 0)) if value.ndim == 4 else value


def _complete(file: str, net: Any, flat: dict[tuple[str, ...], np.ndarray], names: Mapping[Any, str]) -> dict[str, Any]:
  """Variables of the structure of the net's own; what no checkpoint holds (counter) is zero.

  Raises:
    ValueError: a weight of another shape than the net's.
  """
  import jax
  import jax.numpy as jnp

  channels = flat["params", "Conv_0", "kernel"].shape[2]
  images = jnp.zeros((1, 32, 32, channels))
  shapes = jax.eval_shape(lambda key: net.init(key, images, train=False), jax.random.key(0))
  own = {tuple(name.split("/")): leaf for name, leaf in _flat(shapes).items()}
  for place, value in flat.items():
    if own[place].shape != value.shape:
      raise ValueError(
        f"{file} has {names[place]} for {'/'.join(place)} of shape {value.shape}, the net has {own[place].shape}; "
        "use a net of the same widths"
      )
  return _nested({place: flat.get(place, np.zeros(leaf.shape, leaf.dtype)) for place, leaf in own.items()})


def _flat(tree: Mapping[str, Any], at: str = "") -> dict[str, Any]:
  flat = {}
  for name, value in tree.items():
    flat |= _flat(value, f"{at}{name}/") if isinstance(value, Mapping) else {f"{at}{name}": value}
  return flat


def _nested(flat: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
  tree: dict[str, Any] = {}
  for (*folders, last), value in flat.items():
    at = tree
    for name in folders:
      at = at.setdefault(name, {})
    at[last] = value
  return tree
