"""The vocabulary: what a system, a data set, a metric and a number are, and the order of arguments (key, state, data).

Shapes   B batch, n examples. A batch maps names to arrays [B, ...]. The data set says which names it has and what they
         hold: "image" [B, H, W, C] float32 in [-1, 1], "label" [B] int32, "tokens" [B, L] int32, ...
Checked  tests/systems/test_contract.py: every system of the registry does what is said here.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

Array = jax.Array
Raw = Mapping[str, np.ndarray]  # this process's share of a step's examples, on the host
Batch = Mapping[str, Array]  # what `Dataset.prepare` makes of it, on the devices
Metrics = Mapping[str, Array]  # names to float32 scalars
State = Any  # a pytree of the system's own, with an int32 scalar `step` that counts finished steps

VIEWS: Mapping[str, str] = {
  "sample": "(key, state, n) -> n new examples [n, ...]; n is static",
  "score": "(state, x) -> [B], high where x looks real",
  "classify": "(state, x) -> class logits [B, K]",
  "log_prob": "(state, x) -> [B] nats, or a bound that its docstring names",
  "log_weight": "(key, state, x) -> [B] nats, whose exponential has p(x) as its mean over keys: an importance weight",
  "likelihood": "(state) -> ops.likelihood.Likelihood, whether log_prob is exact or a bound, and of what",
  "encode": "(state, x) -> latents [B, ...]",
  "decode": "(state, latents) -> examples [B, ...]",
  "latents": "(state) -> ops.latents.Latents, a generator in two parts",
  "classes": "(state) -> K of a conditional system: example i of a call of `sample` is of class i modulo K",
  "translate": "(state, x, to) -> x in the domain `to`, [B, ...]",
  "adapt": "(state, episodes) -> logits [E, m, K] of the queries",
  "stages": "(state) -> sequence of ops.canvas.Stage, what an image goes through",
  "act": "(state, observation) -> action",
}  # standard views of a trained state, which use its averaged weights where it has any; all are pure and traceable


class Kernel(NamedTuple):
  """A piece of a system that `genjax bench` times alone."""

  fn: Callable[..., Any]  # traceable
  args: tuple[Any, ...]
  work: int  # units of work of one call, such as images * moves; the call does all of it, so nothing may stop early
  unit: str  # plural: "image-gradient steps"; the speed is printed in units/s


class System(NamedTuple):
  """A training algorithm as pure functions; whatever trains it or saves it needs to know no more.

  All that the next step depends on, but its key and its batch, is in the state, so a restored state goes on exactly.
  """

  init: Callable[[Array, Batch], State]  # traceable, like all that follows
  step: Callable[[Array, State, Batch], tuple[State, Metrics]]
  views: Mapping[str, Callable[..., Any]] = {}  # names of VIEWS, and the system's own
  kernels: Callable[[Array, Batch], Mapping[str, Kernel]] | None = None  # pieces that `genjax bench` times


class Split(NamedTuple):
  """Examples held in memory, for metrics. `examples` are raw: `Dataset.prepare(None, ...)` makes a batch of them."""

  name: str  # for cards: "digits/test"
  digest: str  # sha256 of the content
  examples: Raw  # name -> [N, ...]
  episodes: Callable[..., Callable[[int], Raw]] | None = (
    None  # (*, batch, shots, queries, seed) -> step -> raw episodes
  )


def unchanged(key: Array | None, raw: Batch) -> Batch:
  """The preparation of a data set whose raw batches are batches already."""
  del key
  return raw


class Dataset(NamedTuple):
  """Examples by step, and what is known of them."""

  batch: Callable[[int], Raw]  # stateless: the step is the position
  prepare: Callable[[Array | None, Batch], Batch] = unchanged  # traceable; augments where a key is given
  facts: Mapping[str, Any] = {}  # shape, classes, ways, vocabulary, length ...: they fill arguments of these names
  split: Callable[[str], Split] | None = (
    None  # "test", "train[:10%]" -> held-out examples; ValueError for no such split
  )
  show: Callable[..., np.ndarray | str] | None = (
    None  # examples [n, ...], columns=None -> picture [H, W, C] uint8, or text
  )


class Number(NamedTuple):
  """A measured value and the card that says how it was measured (metrics/card.py)."""

  value: float
  card: Any

  def to_dict(self) -> dict[str, Any]:
    """{"value": ..., "card": {...}}, for summary.json."""
    return {"value": float(self.value), "card": self.card.to_dict()}


class Metric(NamedTuple):
  """A measure of a trained state. `better` names every number that `measure` gives."""

  needs: tuple[str, ...]  # views
  measure: Callable[[Array, Mapping[str, Callable], State, Dataset], dict[str, Number]]  # key, views, state, data
  better: Mapping[str, Literal["lower", "higher", "neither"]]
  check: Callable[[Dataset], None] = lambda data: None  # ValueError where the data lack what `measure` needs
  samples: int = 0  # how many it draws by metrics/generated.py, and what it keeps of them: "pixels", "features",
  gathers: tuple[str, ...] = ()  # "logits", "moments"; metrics of an evaluation that want as many share one pass


class Experiment(NamedTuple):
  """A config and the objects that it names, as experiment.py makes them."""

  config: Any  # ConfigDict
  data: Dataset
  system: System
  facts: Mapping[str, Any]  # of the data, and of the run: arguments that sections may leave out
  maker: Any  # make.Maker, for sections that are made later


_NAMED = 2**32 - 1  # no step has this number: keys that belong to a name and not to a step hang from it
_AUGMENT = 0x617567  # "aug": the preparation's key of a step, apart from those that the system splits off


def prepared(system: System, prepare: Callable[[Array | None, Batch], Batch]) -> System:
  """The system that takes raw batches: the preparation of examples becomes part of its `init` and `step`."""
  if prepare is unchanged:
    return system

  def of(key: Array, raw: Batch) -> Batch:
    return prepare(jax.random.fold_in(key, _AUGMENT), raw)

  return system._replace(
    init=lambda key, raw: system.init(key, of(key, raw)),
    step=lambda key, state, raw: system.step(key, state, of(key, raw)),
    kernels=system.kernels and (lambda key, raw: system.kernels(key, of(key, raw))),
  )


def named_key(key: Array, name: str) -> Array:
  """A key that belongs to a name and is never that of a step."""
  return jax.random.fold_in(jax.random.fold_in(key, _NAMED), zlib.crc32(name.encode()))


# Parameters on devices ------------------------------------------------------------------------------------------------


class Layout(NamedTuple):
  """How parameters lie on devices that keep parts of them; both functions change no number."""

  whole: Callable[[Any], Any]  # a tree of parameters, as nets use them
  parted: Callable[[Any], Any]  # what has their shapes, as it is kept


_LAYOUT: ContextVar[Layout | None] = ContextVar("layout", default=None)  # None: nobody keeps parts


def whole(params: Any) -> Any:
  """Parameters that a net is about to use; devices that keep parts of them (train/mesh.py) give each other the rest."""
  layout = _LAYOUT.get()
  return params if layout is None else layout.whole(params)


def parted(grads: Any) -> Any:
  """Gradients of parameters in the parts that devices keep, so that an update is of those."""
  layout = _LAYOUT.get()
  return grads if layout is None else layout.parted(grads)


@contextmanager
def laid_out(layout: Layout) -> Iterator[None]:
  """While a function is traced in this block, `whole` and `parted` are those of the layout."""
  token = _LAYOUT.set(layout)
  try:
    yield
  finally:
    _LAYOUT.reset(token)
