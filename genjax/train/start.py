"""The state that a run starts with: of its newest checkpoint, or fresh, or fresh with something put in its place.

Checked  tests/train/test_resume.py, test_longer_runs.py, test_loop_refusals.py
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from genjax.core import Array, Raw, State, System, named_key
from genjax.train.checkpoint import Checkpoints
from genjax.train.errors import BadSetting
from genjax.train.mesh import Rules, place, state_shardings
from genjax.train.paths import named_leaves


def abstract_state(system: System, key: Array, first: Raw, mesh: Mesh, rules: Rules) -> State:
  """The state as a tree of shapes, each with its sharding; nothing is compiled.

  Args:
    system: takes raw batches.
    key: of the run.
    first: this process's share of the batch of step 0.
    mesh: the devices.
    rules: which leaves are split.

  Raises:
    ValueError: the state has no scalar `step`.
    BadSetting: the system refuses the batch; the batch, or a leaf that is split, does not divide over the devices.
  """
  placed = place(mesh, first)
  try:
    shapes = jax.eval_shape(system.init, key, placed)
  except ValueError as error:
    raise BadSetting(str(error)) from error
  if getattr(getattr(shapes, "step", None), "shape", None) != ():
    raise ValueError(f"the state of a system has an int32 scalar `step`; this {type(shapes).__name__} has none")
  return jax.tree.map(
    lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
    shapes,
    state_shardings(mesh, shapes, rules),
  )


def shardings_of(abstract: State) -> State:
  """Where the leaves of an abstract state lie."""
  return jax.tree.map(lambda leaf: leaf.sharding, abstract)


def restored(abstract: State, checkpoints: Checkpoints) -> tuple[State | None, int]:
  """The state of the newest sound checkpoint, and its finished steps; None and 0 where there is none."""
  state = checkpoints.restore(abstract)
  return (None, 0) if state is None else (state[0], int(state[0].step))


def fresh(
  system: System, key: Array, first: Raw, mesh: Mesh, abstract: State, initial: Callable[[State], State] | None = None
) -> State:
  """The state of step 0.

  Args:
    system, key, first, mesh: as for `abstract_state`.
    abstract: what that gave.
    initial: the fresh state to the one to start with, of the same leaves and at step 0.

  Raises:
    ValueError: `initial` gave another tree, another shape or another step; names it.
  """
  shardings = shardings_of(abstract)
  state = jax.jit(system.init, out_shardings=shardings)(named_key(key, "init"), place(mesh, first))
  if initial is None:
    return state
  changed = initial(state)
  wanted, came = _forms(state), _forms(changed)
  for name in dict.fromkeys([*wanted, *came]):
    if came.get(name) != wanted.get(name):
      raise ValueError(f"initial gave {name}: {came.get(name)}; the fresh state has {wanted.get(name)}")
  if int(changed.step):
    raise ValueError(f"initial gave a state of step {int(changed.step)}; a run starts at 0, so take the weights alone")
  copies = jax.jit(lambda leaves: jax.tree.map(jnp.copy, leaves), out_shardings=shardings)
  return copies(jax.device_put(changed, shardings))  # it will be donated, so nobody else may hold its buffers


def _forms(state: State) -> dict[str, str]:
  return {name: f"{leaf.dtype}{list(leaf.shape)}" for name, leaf in named_leaves(state).items()}
