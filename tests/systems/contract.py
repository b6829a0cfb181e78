"""What every System promises (core.py), as functions of a Trial: a system with data small enough to try it on.

    TRIAL = Trial(builder(...), batches)

    @pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
    def test_my_system_keeps_the_contract(promise):
      promise(TRIAL)

test_contract.py asks all of this of one Trial of every system in the registry (rows.py); a system's own test asks it of
variants that differ in more than numbers. A Trial compiles `init`, `step` and each view once for all promises, `step`
with its state donated as in the loop; so a promise never keeps a state that it has stepped from.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

from genjax.core import VIEWS, Batch, System
from genjax.ops.likelihood import Likelihood
from genjax.train.mesh import DEFAULT_RULES, FSDP, MODEL, Rules, make_mesh, on_mesh, place, rules_of, state_shardings
from genjax.train.paths import named_leaves


class Trial:
  """A system with three batches or more, small enough that a step takes well under a second.

  Args:
    system: what is on trial.
    batches: host batches of one shape.
    n: how many samples to ask for.
  """

  def __init__(self, system: System, batches: Sequence[Batch], n: int = 5):
    assert len(batches) >= 3
    self.system, self.batches, self.n = system, batches, n
    self._views: dict[str, Callable] = {}

  @cached_property
  def init(self) -> Callable:
    return jax.jit(self.system.init)

  @cached_property
  def step(self) -> Callable:
    return jax.jit(self.system.step, donate_argnums=1)

  def view(self, name: str, *arguments: Any) -> Any:
    """What a view answers, compiled once; numbers and words among the arguments are static."""
    static = tuple(place for place, each in enumerate(arguments) if isinstance(each, int | str))
    if name not in self._views:
      self._views[name] = jax.jit(self.system.views[name], static_argnums=static)
    return self._views[name](*arguments)

  def sample(self, key: Any, state: Any, n: int) -> Any:
    return self.view("sample", key, state, n)

  @property
  def examples(self) -> np.ndarray:
    """[B, ...], what a system that samples would make."""
    return next(self.batches[0][name] for name in ("image", "tokens") if name in self.batches[0])

  def start(self) -> Any:
    return self.init(jax.random.key(0), self.batches[0])

  def run(self, state: Any, first: int, last: int, root: int = 1) -> tuple[Any, list[Mapping[str, Any]]]:
    """Steps number `first` to `last - 1`, each with its own key and batch; the state given is used up."""
    history = []
    for i in range(first, last):
      key = jax.random.fold_in(jax.random.key(root), i)
      state, metrics = self.step(key, state, self.batches[i % len(self.batches)])
      history.append(metrics)
    return state, history

  @cached_property
  def trained(self) -> Any:
    """The state after three steps, on the host."""
    return jax.device_get(self.run(self.start(), 0, 3)[0])


def a_step_keeps_the_structure_of_the_state(trial: Trial) -> None:
  before = trial.init.eval_shape(jax.random.key(0), trial.batches[0])
  after, _ = trial.step.eval_shape(jax.random.key(0), before, trial.batches[0])
  assert jax.tree.structure(before) == jax.tree.structure(after)
  for (path, old), new in zip(named_leaves(before).items(), jax.tree.leaves(after), strict=True):
    assert (old.shape, old.dtype, old.weak_type) == (new.shape, new.dtype, new.weak_type), path


def every_number_stays_finite(trial: Trial) -> None:
  state, history = trial.run(trial.start(), 0, 3)
  for tree in (state, *history):
    for path, leaf in named_leaves(tree).items():
      if jnp.issubdtype(leaf.dtype, jnp.floating):
        assert np.isfinite(leaf).all(), path


def images_as_they_are_stored_are_refused(trial: Trial) -> None:
  """Bytes where `init` is traced, and floats in [0, 255] where it is not."""
  batch = dict(trial.batches[0])
  raw = {name: (np.asarray(x) + 1) * 127.5 for name, x in batch.items() if np.ndim(x) >= 4}
  for name, images in raw.items():
    with pytest.raises(ValueError, match=r"are uint8; a system takes prepared ones, float32 in \[-1, 1\]"):
      jax.eval_shape(trial.system.init, jax.random.key(0), {**batch, name: images.clip(0, 255).astype(np.uint8)})
    with pytest.raises(ValueError, match="have values up to 2"):
      trial.system.init(jax.random.key(0), {**batch, name: images.clip(0, 255).astype(np.float32)})


def the_step_is_counted(trial: Trial) -> None:
  assert trial.start().step.dtype == jnp.int32
  assert trial.start().step == 0
  assert trial.trained.step == 3


def metrics_are_float32_scalars_with_steady_names(trial: Trial) -> None:
  _, history = trial.run(trial.start(), 0, 2)
  assert set(history[0]) == set(history[1])
  assert history[0]
  for name, value in history[0].items():
    assert value.shape == (), name
    assert value.dtype == jnp.float32, name


def several_steps_compile_once(trial: Trial) -> None:
  trial.run(trial.start(), 0, 3)
  assert trial.step._cache_size() == 1
  assert trial.init._cache_size() == 1


def a_step_changes_the_parameters_and_gives_its_memory_back(trial: Trial) -> None:
  """Donation fails loudly if two leaves of the initial state share a buffer; a leaf not reused would be a warning."""
  state = trial.start()  # nobody may look at it: a numpy view keeps its memory from being given back
  after, _ = trial.run(state, 0, 1)
  sizes = {path: (leaf.nbytes, leaf.is_deleted()) for path, leaf in named_leaves(state).items()}
  kept = {path: size for path, (size, deleted) in sizes.items() if not deleted}
  assert sum(kept.values()) < sum(size for size, _ in sizes.values()) / 100, kept  # jit drops what a step never reads
  changed = jax.tree.map(lambda old, new: not np.array_equal(old, new), trial.start().params, after.params)
  assert any(jax.tree.leaves(changed))


def the_same_keys_give_the_same_bits(trial: Trial) -> None:
  _same(trial.run(trial.start(), 0, 3)[0], trial.trained)


def another_key_gives_another_state(trial: Trial) -> None:
  """Two steps, as what is drawn may show in the second alone."""
  one, two = (trial.run(trial.start(), 0, 2, root)[0] for root in (1, 2))
  assert any(not np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True))


def a_saved_copy_goes_on_exactly(trial: Trial) -> None:
  """Whatever makes the next step different is in the state."""
  halfway, _ = trial.run(trial.start(), 0, 1)
  copy = jax.tree.map(jnp.asarray, jax.tree.map(np.array, jax.device_get(halfway)))
  _same(trial.run(copy, 1, 3)[0], trial.trained)


def views_answer_as_core_says(trial: Trial) -> None:
  """A view of a name of its own is the system's own affair."""
  for name in trial.system.views:
    if name in VIEWS:
      ANSWERS[name](trial)


PROMISES = (
  a_step_keeps_the_structure_of_the_state,
  every_number_stays_finite,
  images_as_they_are_stored_are_refused,
  the_step_is_counted,
  metrics_are_float32_scalars_with_steady_names,
  several_steps_compile_once,
  a_step_changes_the_parameters_and_gives_its_memory_back,
  the_same_keys_give_the_same_bits,
  another_key_gives_another_state,
  a_saved_copy_goes_on_exactly,
  views_answer_as_core_says,
)


# Views ----------------------------------------------------------------------------------------------------------------


def _samples(trial: Trial) -> None:
  draw = lambda key: trial.sample(jax.random.key(key), trial.trained, trial.n)
  samples = draw(5)
  assert samples.shape == (trial.n, *trial.examples.shape[1:])
  assert samples.dtype == trial.examples.dtype
  if samples.dtype == jnp.float32:
    assert jnp.abs(samples).max() <= 1
  else:
    assert (samples.min() >= 0) & (samples.max() <= trial.examples.max())
  assert len({np.asarray(sample).tobytes() for sample in samples}) == trial.n
  np.testing.assert_array_equal(samples, draw(5))
  assert not np.array_equal(samples, draw(6))


def _numbers(trial: Trial, name: str) -> None:
  """One finite float32 for each example, the same whenever it is asked for, and not the same for all."""
  result = trial.view(name, trial.trained, trial.examples)
  assert (result.shape, result.dtype) == ((len(trial.examples),), jnp.float32)
  assert np.isfinite(result).all()
  assert len(np.unique(result)) > 1
  np.testing.assert_array_equal(result, trial.view(name, trial.trained, trial.examples))


def _weights(trial: Trial) -> None:
  """One finite float32 for each example, others by another key; their view of one key is pure."""
  draw = lambda key: trial.view("log_weight", jax.random.key(key), trial.trained, trial.examples)
  assert (draw(0).shape, draw(0).dtype) == ((len(trial.examples),), jnp.float32)
  assert np.isfinite(draw(0)).all()
  np.testing.assert_array_equal(draw(0), draw(0))
  assert not np.array_equal(draw(0), draw(1))


def _likelihood(trial: Trial) -> None:
  assert isinstance(trial.system.views["likelihood"](trial.trained), Likelihood)
  assert "log_prob" in trial.system.views


def _logits(trial: Trial) -> None:
  logits = trial.view("classify", trial.trained, trial.examples)
  assert (logits.ndim, logits.dtype) == (2, jnp.float32)
  assert logits.shape[0] == len(trial.examples)
  assert logits.shape[1] > trial.batches[0]["label"].max()
  assert np.isfinite(logits).all()


def _codes(trial: Trial) -> None:
  images = trial.batches[0].get("image", trial.batches[0].get("support", [None])[0])
  codes = trial.view("encode", trial.trained, images)
  assert len(codes) == len(images)
  assert np.isfinite(codes).all()
  if "decode" in trial.system.views:
    again = trial.view("decode", trial.trained, codes)
    assert (again.shape, again.dtype) == (images.shape, jnp.float32)


def _latents(trial: Trial) -> None:
  def generated(key: Any, state: Any) -> tuple[Any, Any]:
    view = trial.system.views["latents"](state)
    labels = None if view.classes is None else jnp.arange(trial.n) % view.classes
    latents = view.draw(key, trial.n)
    return latents, view.generate(view.mapping(latents, labels), labels)

  latents, images = jax.jit(generated)(jax.random.key(0), trial.trained)
  assert len(latents) == trial.n
  assert images.shape == (trial.n, *trial.examples.shape[1:])


def _translations(trial: Trial) -> None:
  for to, other in (("target", "source"), ("source", "target")):
    translate = jax.jit(trial.system.views["translate"], static_argnums=2)
    images = translate(trial.trained, trial.batches[0][other], to)
    assert (images.shape, images.dtype) == (trial.batches[0][to].shape, jnp.float32)
    assert jnp.abs(images).max() <= 1


def _adapted(trial: Trial) -> None:
  episodes = trial.batches[1]
  logits = trial.view("adapt", trial.trained, episodes)
  assert logits.shape == (*episodes["query_label"].shape, episodes["support_label"].max() + 1)
  assert np.isfinite(logits).all()
  np.testing.assert_array_equal(logits, trial.view("adapt", trial.trained, episodes))


def _stages(trial: Trial) -> None:
  def scores(state: Any, images: Any) -> list:
    return [(stage.score(images), stage.bounds) for stage in trial.system.views["stages"](state)]

  for score, bounds in jax.jit(scores)(trial.trained, trial.examples):
    assert (score.shape, bounds.shape) == ((len(trial.examples),), (2,))
    assert bounds[0] <= bounds[1]


def _classes(trial: Trial) -> None:
  assert trial.system.views["classes"](trial.trained) == trial.batches[0]["label"].max() + 1


ANSWERS = {
  "sample": _samples,
  "score": lambda trial: _numbers(trial, "score"),
  "log_prob": lambda trial: _numbers(trial, "log_prob"),
  "log_weight": _weights,
  "likelihood": _likelihood,
  "classify": _logits,
  "encode": _codes,
  "decode": lambda trial: None,  # asked beside "encode"
  "latents": _latents,
  "translate": _translations,
  "adapt": _adapted,
  "stages": _stages,
  "classes": _classes,
}


# Devices --------------------------------------------------------------------------------------------------------------


def one_device_and_eight_agree(trial: Trial, *, tolerance: float = 2e-5, metrics: Sequence[str] | None = None) -> None:
  """Two steps on a mesh of 8 give the metrics of one device, relative to `tolerance`; `metrics` None: all of them.

  Adam's first move is the sign of the gradient, which rounding flips where the gradient is nearly 0: ask this of a
  system with plain gradient moves, or of the metrics that do not look past the first update.
  """
  _agree(trial, _on_a_mesh(trial, make_mesh(jax.devices()[:8])), tolerance, metrics)


def one_device_and_a_grid_of_all_axes_agree(trial: Trial, *, tolerance: float = 2e-5) -> None:
  """As `one_device_and_eight_agree`, with 2 devices along each of data, fsdp and model, whatever the size of a leaf."""
  mesh, rules = make_mesh(jax.devices()[:8], fsdp=2, model=2), rules_of(least=2, width=2)
  specs = {sharding.spec for sharding in jax.tree.leaves(state_shardings(mesh, trial.start(), rules))}
  used = {axis for spec in specs for entry in spec for axis in ((entry,) if isinstance(entry, str) else entry or ())}
  assert used >= {FSDP, MODEL}
  _agree(trial, _on_a_mesh(trial, mesh, rules), tolerance)


def _agree(
  trial: Trial, eight: list[Mapping[str, np.ndarray]], tolerance: float, metrics: Sequence[str] | None = None
) -> None:
  one = jax.device_get(trial.run(trial.start(), 0, 2)[1])
  for i in range(2):
    for name in metrics or one[i]:
      np.testing.assert_allclose(eight[i][name], one[i][name], rtol=tolerance, atol=tolerance, err_msg=f"{name}, {i}")


def _on_a_mesh(trial: Trial, mesh: Mesh, rules: Rules = DEFAULT_RULES) -> list[Mapping[str, np.ndarray]]:
  """The metrics of two steps on a mesh, which start from the state of one device."""
  state = jax.device_get(trial.start())
  shardings = state_shardings(mesh, state, rules)
  step = jax.jit(on_mesh(trial.system, mesh, rules).step, donate_argnums=1, out_shardings=(shardings, None))
  state, history = jax.device_put(state, shardings), []
  for i in range(2):
    key, batch = jax.random.fold_in(jax.random.key(1), i), place(mesh, trial.batches[i])
    state, metrics = step(key, state, batch)
    history.append(jax.device_get(metrics))
  return history


def _same(ours: Any, theirs: Any) -> None:
  for (path, a), b in zip(named_leaves(ours).items(), jax.tree.leaves(theirs), strict=True):
    np.testing.assert_array_equal(a, b, err_msg=path)
