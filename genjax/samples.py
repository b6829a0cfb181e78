"""New examples of a trained state, in the ways that `genjax sample` offers.

Checked  tests/test_run.py
"""

import math
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax

from genjax.core import Experiment
from genjax.make import make
from genjax.ops import latents as draw
from genjax.ops.augment import to_uint8
from genjax.ops.canvas import Stage
from genjax.registry import UsageError
from genjax.train.files import save_png
from genjax.train.mesh import batch_sharding, make_mesh, replicated
from genjax.train.terminal import say

MOST_BYTES = 4 * 2**30  # of the float32 examples of one command
LATENT_OPTIONS = ("truncation", "interpolate", "mix")


class Samples(NamedTuple):
  """Examples [n, ...], the columns of their grid (None: as many as rows), and whether each is a picture by itself."""

  examples: np.ndarray
  columns: int | None = None
  single: bool = False


def check(it: Experiment, options: Mapping[str, Any]) -> None:
  """Raises UsageError, before anything is restored or compiled, for options that this system cannot serve."""
  views, name = it.system.views, it.config.system.name
  chosen = [option for option in LATENT_OPTIONS if option in options]
  if chosen and "latents" not in views:
    raise UsageError(f"--{chosen[0]} is for generators with latents; system {name} has none")
  if "to" in options and "translate" not in views:
    raise UsageError(f"--to is for systems that translate; system {name} does not")
  if not {"sample", "translate"} & set(views):
    raise UsageError(f"system {name} has no samples; its views are {', '.join(views) or 'none'}")
  if it.config.get("sample") and not {"stages", "score"} & set(views):
    raise UsageError(f"config.sample needs the view 'score'; system {name} has {', '.join(views)}")
  shape = tuple(it.facts.get("shape") or (it.facts.get("length", 1),))
  if it.config.get("sample"):
    _generator(it)
    sides = np.broadcast_to(it.config.sample.get("size") or shape[:2], 2)
    shape = (*sides.tolist(), *shape[2:])
  drawn, bytes_of_one = _drawn(options), 4 * math.prod(shape)
  if drawn * bytes_of_one > MOST_BYTES:
    raise UsageError(
      f"{drawn:,} samples take {drawn * bytes_of_one / 2**30:,.0f} GiB; "
      f"{max(1, MOST_BYTES // bytes_of_one):,} go into one command: use a smaller --n, and several --seed"
    )


def _drawn(options: Mapping[str, Any]) -> int:
  """Examples that the options make, at the least."""
  n = options.get("n", 1)
  return n * n if options.get("mix") else n * options.get("interpolate", 1)


def samples(it: Experiment, key: jax.Array, state: Any, options: Mapping[str, Any]) -> Samples:
  """The examples that the options n, truncation, interpolate, mix and to ask for.

  Raises:
    UsageError: numbers that make no picture.
  """
  check(it, options)
  if any(option in options for option in LATENT_OPTIONS):
    picture, columns = by_latents(it.system.views["latents"](state), options)
    return Samples(np.asarray(jax.jit(picture)(key)), columns)
  if it.config.get("sample"):
    return Samples(np.asarray(_canvas(it)(key, state, options.get("n", 1))), single=options.get("n", 1) == 1)
  n = options.get("n", 64)
  if "sample" not in it.system.views:
    return _translated(it, state, n, options.get("to", "target"))
  return Samples(np.asarray(jax.jit(it.system.views["sample"], static_argnums=2)(key, state, n)))


def _translated(it: Experiment, state: Any, n: int, to: str) -> Samples:
  """Held-out examples of one domain, and below each row what it becomes in the domain `to`."""
  domains = ("source", "target")
  if to not in domains:
    raise UsageError(f"--to {to!r}; use source or target")
  held_out = it.data.split("test").examples
  raw = {name: values[: min(n, len(values))] for name, values in held_out.items()}
  x = it.data.prepare(None, raw)[domains[1 - domains.index(to)]]
  y = jax.jit(it.system.views["translate"], static_argnums=2)(state, x, to)
  columns = min(8, len(x))
  rows = len(x) // columns
  pairs = [np.asarray(side[: rows * columns]).reshape(rows, columns, *side.shape[1:]) for side in (x, y)]
  return Samples(np.stack(pairs, 1).reshape(-1, *x.shape[1:]), columns)


def _canvas(it: Experiment) -> Callable[[jax.Array, Any, int], jax.Array]:
  """(key, state, n) -> pictures of the size of section `sample`; the work of each is split over the devices."""
  generate = _generator(it)
  views, mesh = it.system.views, make_mesh()

  def stages(state: Any) -> Any:
    if "stages" in views:
      return views["stages"](state)
    return [Stage(lambda images: views["score"](state, images), state.bounds)]

  spread = lambda parts: lax.with_sharding_constraint(parts, batch_sharding(mesh))
  call = jax.jit(lambda key, state, n: generate(key, stages(state), n, mesh.size, spread), static_argnums=2)
  return lambda key, state, n: call(key, jax.device_put(state, replicated(mesh)), n)


def _generator(it: Experiment) -> Callable:
  """What section `sample` names, with the noise and the sampler of the run. Raises UsageError."""
  made = {name: make(name, it.config[name], it.maker) for name in ("noise", "sampler") if name in it.config}
  return make("sample", it.config.sample, it.maker._replace(facts={**it.facts, **made}))


def by_latents(latents: Any, options: Mapping[str, Any]) -> tuple[Callable[[Any], Any], int | None]:
  """key -> images of --truncation, --interpolate or --mix, and the columns of their grid.

  Raises:
    UsageError: numbers that make no picture, or a generator of one style to be mixed.
  """
  psi, across, mix = options.get("truncation", 1.0), options.get("interpolate"), options.get("mix", False)
  if not 0 <= psi < math.inf or (across is not None and (across < 2 or mix)):
    raise UsageError("--truncation takes 0 or more, --interpolate 2 or more; --mix is another picture")
  if mix and latents.styles < 2:
    raise UsageError("--mix is for generators whose images are made of several w; this one has one style")
  if psi != 1:
    say("truncated " + ("towards the mean of w" if latents.has_w else f"by latents times {psi:g}: no w here"))
  rows = options.get("n", 64 if across is None and not mix else 8)
  if across is not None:
    return lambda key: draw.interpolated(key, latents, rows, across, psi), across
  if mix:
    return lambda key: draw.mixed(key, latents, rows, rows, latents.styles // 2, psi), rows + 1
  return lambda key: draw.sampled(key, latents, rows, psi), None


def write(it: Experiment, drawn: Samples, out: str) -> str:
  """Writes examples as one picture, one text, an archive, or a folder of single files; returns where.

  Raises:
    UsageError: pictures as text, or text as a picture.
  """
  show, examples = it.data.show, drawn.examples
  if out.endswith(".npz"):
    images = examples.ndim == 4 and np.issubdtype(examples.dtype, np.floating)
    np.savez_compressed(out, **({"images": np.asarray(to_uint8(examples))} if images else {"examples": examples}))
    return out
  if show is None:
    raise UsageError(f"data set {it.config.data.name} cannot show examples; use --out NAME.npz")
  if out.endswith("/"):
    os.makedirs(out, exist_ok=True)
    for number, example in enumerate(examples):
      shown = _single(show, example)
      _save(shown, f"{out}{number:05d}{'.txt' if isinstance(shown, str) else '.png'}")
    return out
  _save(_single(show, examples[0]) if drawn.single else _grid(show, examples, drawn.columns), out)
  return out


def _grid(show: Callable, examples: np.ndarray, columns: int | None) -> np.ndarray | str:
  return show(examples) if columns is None else show(examples, columns)


def _single(show: Callable, example: np.ndarray) -> np.ndarray | str:
  """One example without the frame of a grid."""
  image = example.ndim == 3 and example.shape[:2] != (1, 1)
  return np.asarray(to_uint8(example)) if image else show(example[None])


def _save(shown: np.ndarray | str, out: str) -> None:
  if isinstance(shown, str) != out.endswith(".txt"):
    raise UsageError(
      f"--out {out!r}: these examples are {'text; use .txt' if isinstance(shown, str) else 'pictures; use .png'}"
    )
  if isinstance(shown, str):
    with open(out, "w", encoding="utf-8") as file:
      file.write(shown)
  else:
    save_png(out, shown)
