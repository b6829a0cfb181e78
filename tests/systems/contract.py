"""What every System promises (core.py), as functions that the test of each system calls with a Trial of its own.

    TRIAL = Trial(builder(...), batches)

    @pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
    def test_my_system_keeps_the_contract(promise):
      promise(TRIAL)

    def test_one_device_and_eight_agree():
      one_device_and_eight_agree(TRIAL)   # see there for when it may be asked of a system

A Trial compiles `init`, `step`, `sample` and `evaluate` once for all promises, `step` with its state donated as in the
loop; so a promise never keeps a state that it has stepped from.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.core import Batch, System
from genjax.train.mesh import make_mesh, place, state_shardings
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

  @cached_property
  def init(self) -> Callable:
    return jax.jit(self.system.init)

  @cached_property
  def step(self) -> Callable:
    return jax.jit(self.system.step, donate_argnums=1)

  @cached_property
  def sample(self) -> Callable:
    return jax.jit(self.system.sample, static_argnums=2)

  @cached_property
  def evaluate(self) -> Callable:
    return jax.jit(self.system.evaluate)

  def start(self) -> Any:
    return self.init(jax.random.key(0), self.batches[0])

  def run(self, state: Any, first: int, last: int) -> tuple[Any, list[Mapping[str, Any]]]:
    """Steps number `first` to `last - 1`, each with its own key and batch; the state given is used up."""
    history = []
    for i in range(first, last):
      state, metrics = self.step(jax.random.fold_in(jax.random.key(1), i), state, self.batches[i % len(self.batches)])
      history.append(metrics)
    return state, history

  @cached_property
  def trained(self) -> Any:
    """The state after three steps, on the host."""
    return jax.device_get(self.run(self.start(), 0, 3)[0])


def a_step_keeps_the_structure_of_the_state(trial: Trial) -> None:
  before = jax.eval_shape(trial.system.init, jax.random.key(0), trial.batches[0])
  after, _ = jax.eval_shape(trial.system.step, jax.random.key(0), before, trial.batches[0])
  assert jax.tree.structure(before) == jax.tree.structure(after)
  for (path, old), new in zip(named_leaves(before).items(), jax.tree.leaves(after), strict=True):
    assert (old.shape, old.dtype, old.weak_type) == (new.shape, new.dtype, new.weak_type), path


def every_number_stays_finite(trial: Trial) -> None:
  state, history = trial.run(trial.start(), 0, 3)
  for tree in (state, *history):
    for path, leaf in named_leaves(tree).items():
      if jnp.issubdtype(leaf.dtype, jnp.floating):
        assert np.isfinite(leaf).all(), path


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
  one, _ = trial.step(jax.random.key(1), trial.start(), trial.batches[0])
  two, _ = trial.step(jax.random.key(2), trial.start(), trial.batches[0])
  assert any(not np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True))


def a_saved_copy_goes_on_exactly(trial: Trial) -> None:
  """Whatever makes the next step different is in the state."""
  halfway, _ = trial.run(trial.start(), 0, 1)
  copy = jax.tree.map(jnp.asarray, jax.tree.map(np.array, jax.device_get(halfway)))
  _same(trial.run(copy, 1, 3)[0], trial.trained)


def samples_are_images(trial: Trial) -> None:
  if trial.system.sample is None:
    return
  images = trial.sample(jax.random.key(5), trial.trained, trial.n)
  assert images.shape == (trial.n, *trial.batches[0]["image"].shape[1:])
  assert images.dtype == jnp.float32
  assert jnp.abs(images).max() <= 1
  assert len({np.asarray(image).tobytes() for image in images}) == trial.n
  np.testing.assert_array_equal(images, trial.sample(jax.random.key(5), trial.trained, trial.n))
  assert not np.array_equal(images, trial.sample(jax.random.key(6), trial.trained, trial.n))


def evaluation_gives_float32_scalars_and_repeats(trial: Trial) -> None:
  if trial.system.evaluate is None:
    return
  first, second = (trial.evaluate(jax.random.key(5), trial.trained, trial.batches[1]) for _ in range(2))
  assert first
  for name, value in first.items():
    assert (value.shape, value.dtype) == ((), jnp.float32), name
    assert np.isfinite(value), name
    assert value == second[name], name


PROMISES = (
  a_step_keeps_the_structure_of_the_state,
  every_number_stays_finite,
  the_step_is_counted,
  metrics_are_float32_scalars_with_steady_names,
  several_steps_compile_once,
  a_step_changes_the_parameters_and_gives_its_memory_back,
  the_same_keys_give_the_same_bits,
  another_key_gives_another_state,
  a_saved_copy_goes_on_exactly,
  samples_are_images,
  evaluation_gives_float32_scalars_and_repeats,
)


def one_device_and_eight_agree(trial: Trial, *, tolerance: float = 2e-5, metrics: Sequence[str] | None = None) -> None:
  """Two steps on a mesh of 8 give the metrics of one device, relative to `tolerance`; `metrics` None: all of them.

  Adam's first move is the sign of the gradient, which rounding flips where the gradient is nearly 0: ask this of a
  system with plain gradient moves, or of the metrics that do not look past the first update (platform.md).
  """
  one, eight = _two_steps(trial, 1), _two_steps(trial, 8)
  for name in metrics or one:
    np.testing.assert_allclose(eight[name], one[name], rtol=tolerance, atol=tolerance, err_msg=name)


def _two_steps(trial: Trial, devices: int) -> Mapping[str, np.ndarray]:
  mesh = make_mesh(jax.devices()[:devices])
  batches = [place(mesh, batch) for batch in trial.batches[:2]]
  shardings = state_shardings(mesh, jax.eval_shape(trial.system.init, jax.random.key(0), batches[0]))
  state = jax.jit(trial.system.init, out_shardings=shardings)(jax.random.key(0), batches[0])
  step = jax.jit(trial.system.step, donate_argnums=1, out_shardings=(shardings, None))
  for i, batch in enumerate(batches):
    state, metrics = step(jax.random.key(i), state, batch)
  return jax.device_get(metrics)


def _same(ours: Any, theirs: Any) -> None:
  for (path, a), b in zip(named_leaves(ours).items(), jax.tree.leaves(theirs), strict=True):
    np.testing.assert_array_equal(a, b, err_msg=path)
