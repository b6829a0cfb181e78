"""Chains of different lengths in a fixed number of slots: a slot whose chain has ended goes on with the next one.

Chains wait in queues, and each queue has its own slots. A move of all slots is one gradient; then the chains that have
ended are written back to where they started from, and their slots load the next ones of their queue. The loop ends when
the queues are empty, so hardly any gradient is computed for a chain that stands still: `langevin.ascend`, which moves
all chains together, computes gradients for all of them until its slowest one has stopped.

On a CPU few slots are as quick as many (gradients a second of processor time, jax 0.10.2: 8x8 images and 32 to 64
channels, 9,300 with 16 slots, 9,500 with 128; 32x32 and 16 to 64, 780 with 8, 700 with 64), and leave fewer of them
empty at the end: there a queue has at most 8.

Departs  Every chain has its own count of moves, its own moments and its own noise, whose key is folded from the chain's
         number and the move: no image depends on the slots, on the queues or on the other chains, but for rounding.
Shapes   N chains in G queues, S slots each. images [N, H, W, C] float32; queue g holds the chains from g * N / G on, so
         devices that share the images and divide G exchange nothing in the loop but whether all of them have ended.
Checked  tests/ops/test_refill.py: every chain is that of a plain loop over its own moves.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from genjax.ops.langevin import NOISE_KEY, Chains, Rule, summed

Array = jax.Array
Score = Callable[[Array, Any], Array | tuple[Array, Array]]  # images [n, ...], their conditions -> [n], or two such
NoisyScore = Callable[[Array, Array, Any], Array | tuple[Array, Array]]  # key, images, conditions
ON_CPU = 8  # slots of a queue, at most


class Slots(NamedTuple):
  """What the slots are at work on; F = H * W * C, as images lie flat (ops/pool.py says why)."""

  chain: Array  # [G, S] int32, place in the queue; N / G: the slot is empty
  images: Array  # [G, S, F]
  moment: Any  # of the rule, leaves [G * S, ...]
  moves: Array  # [G, S] int32, of the chain


class Queues(NamedTuple):
  """All chains: those that wait lie at their start, those that have ended where they stopped."""

  images: Array  # [G, N / G, F]
  moves: Array  # [G, N / G] int32
  stopped: Array  # [G, N / G] bool
  next: Array  # [G] int32, how many were loaded


def ascend(
  key: Array,
  score: Score,
  images: Array,
  *,
  rule: Rule,
  steps: int,
  threshold: Array,
  conditions: Any = (),
  slots: int,
  queues: int = 1,
  low: float = -1.0,
  high: float = 1.0,
  noisy: NoisyScore | None = None,
) -> tuple[Chains, Array]:
  """Moves images [N, H, W, C] up the gradient of `score` as `langevin.ascend` does, each until it has stopped.

  Args:
    key: of the moves.
    score: images, conditions -> [n], or a pair of such: chains climb the first, and stop by the second. An image's
      score depends on this image alone.
    images: where the chains start.
    rule: how a gradient becomes a move.
    steps: at most this many moves of a chain.
    threshold: [N], at which a chain stops.
    conditions: leaves [N, ...], such as the class of each image.
    slots: chains that move together, in each queue; on a CPU at most `ON_CPU` of them.
    queues: how many, a divisor of N; on several devices a multiple of theirs.
    low, high: range of the pixels.
    noisy: (key, image [1, ...], its conditions) -> the score with noise inside. Each move follows its gradient and is
      stopped by its value, by a key of its own; the scores that are returned are those of `score`.

  Returns:
    the chains, and how many gradients of an image were computed: [] int32.
  """
  count = images.shape[0]
  if count % queues or slots < 1:
    raise ValueError(
      f"{count} chains in {queues} queues of {slots} slots; use a divisor of {count} and 1 slot at least"
    )
  slots = min(slots, count // queues)
  of = lambda slots: partial(_ascend, score, rule, steps, slots, queues, (low, high), noisy)
  if slots <= ON_CPU:
    return of(slots)(key, images, threshold, conditions)
  return lax.platform_dependent(key, images, threshold, conditions, cpu=of(ON_CPU), default=of(slots))


def _ascend(
  score: Score,
  rule: Rule,
  steps: int,
  slots: int,
  queues: int,
  span: tuple[float, float],
  noisy: NoisyScore | None,
  key: Array,
  images: Array,
  threshold: Array,
  conditions: Any,
) -> tuple[Chains, Array]:
  """`ascend` with so many slots, `span` the range of the pixels."""
  count, shape = images.shape[0], images.shape[1:]
  length = count // queues
  in_queues = lambda tree: jax.tree.map(lambda leaf: leaf.reshape(queues, length, *leaf.shape[1:]), tree)
  goals, conditions = in_queues(threshold), in_queues(conditions)
  number = jnp.arange(count, dtype=jnp.int32).reshape(queues, length)
  together = lambda tree: jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), tree)
  pictures = lambda flat: flat.reshape(-1, *shape)
  fresh = rule.init(jnp.zeros((queues * slots, *shape), images.dtype))

  def look(slot: Slots) -> tuple[Array, Array, Array]:
    """Keys of the slots' chains for this move, the gradient by their images, and their scores."""
    here = _at((number, conditions), slot.chain)
    own = jax.vmap(lambda n, move: jax.random.fold_in(jax.random.fold_in(key, n), move))
    keys, given = own(*together((here[0], slot.moves))), together(here[1])

    def value(images: Array) -> tuple[Array, Array]:
      if noisy is None:
        return summed(score(images, given))
      alone = lambda key, image, its: noisy(key, image[None], jax.tree.map(lambda leaf: leaf[None], its))
      scores = jax.vmap(alone)(jax.vmap(lambda key: jax.random.fold_in(key, NOISE_KEY))(keys), images, given)
      return summed(jax.tree.map(lambda leaf: leaf[:, 0], scores))

    gradient, scores = jax.grad(value, has_aux=True)(pictures(slot.images))
    return keys, gradient, scores.reshape(queues, slots)

  def move(carry: tuple[Slots, Queues, Array]) -> tuple[Slots, Queues, Array]:
    slot, queue, made = carry
    keys, gradient, scores = look(slot)
    busy = slot.chain < length
    reached = busy & (scores >= _at(goals, slot.chain))
    step, moment = jax.vmap(rule.move)(keys, gradient, slot.moment, slot.moves.reshape(-1))
    moved = jnp.clip(slot.images + step.reshape(slot.images.shape), *span)
    slot = Slots(slot.chain, jnp.where(reached[..., None], slot.images, moved), moment, slot.moves + (busy & ~reached))
    ended = reached | (busy & (slot.moves == steps))
    return *_refilled(slot, queue, ended, reached, fresh), made + 1

  queue = Queues(
    images.reshape(queues, length, -1),
    jnp.zeros((queues, length), jnp.int32),
    jnp.zeros((queues, length), bool),
    jnp.full((queues,), slots, jnp.int32),
  )
  first = jnp.broadcast_to(jnp.arange(slots, dtype=jnp.int32), (queues, slots))
  chain = first if steps else jnp.full_like(first, length)
  slot = Slots(chain, queue.images[:, :slots], fresh, jnp.zeros_like(first))
  busy = lambda carry: (carry[0].chain < length).any()
  moves = _while_busy(busy, _while_busy(busy, move, steps), -(-length // slots))
  _, queue, made = moves((slot, queue, jnp.int32(0)))
  scores = _scores(
    lambda flat, given: summed(score(pictures(together(flat)), together(given)))[1], queue, conditions, slots
  )
  stopped = queue.stopped | (scores >= goals)
  return Chains(pictures(queue.images), *together((scores, queue.moves, stopped))), made * queues * slots


def _while_busy(busy: Callable[[Any], Array], work: Callable[[Any], Any], most: int) -> Callable[[Any], Any]:
  """`work` at most so many times, as a scan: its length is in the program, and it does nothing from the end on."""
  one = lambda carry, _: (lax.cond(busy(carry), work, lambda carry: carry, carry), None)
  return lambda carry: lax.scan(one, carry, None, length=most)[0]


def _refilled(slot: Slots, queue: Queues, ended: Array, reached: Array, fresh: Any) -> tuple[Slots, Queues]:
  """Chains that have ended go back to their places, and their slots load the next ones of the queue."""
  length = queue.images.shape[1]
  put = jax.vmap(lambda all, place, some: all.at[place].set(some, mode="drop"))
  place = jnp.where(ended, slot.chain, length)  # past the end: dropped
  chain = jnp.where(ended, jnp.minimum(queue.next[:, None] + ended.cumsum(1) - 1, length), slot.chain)
  after = Queues(
    put(queue.images, place, slot.images),
    put(queue.moves, place, slot.moves),
    put(queue.stopped, place, reached),
    queue.next + ended.sum(1),
  )
  flags = lambda leaf: ended.reshape(-1, *[1] * (leaf.ndim - 1))
  moment = jax.tree.map(lambda new, old: jnp.where(flags(old), new, old), fresh, slot.moment)
  images = jnp.where(ended[..., None], _at(after.images, chain), slot.images)
  return Slots(chain, images, moment, jnp.where(ended, 0, slot.moves)), after


def _at(tree: Any, place: Array) -> Any:
  """Rows of leaves [G, N / G, ...] at places [G, S]; of a place past the end, the last row."""
  return jax.tree.map(lambda leaf: jax.vmap(lambda rows, i: rows.at[i].get(mode="clip"))(leaf, place), tree)


def _scores(score: Callable[[Array, Any], Array], queue: Queues, conditions: Any, slots: int) -> Array:
  """Scores [G, N / G] of where the chains are, as many together as there are slots."""
  groups, length = queue.moves.shape
  places = jnp.minimum(jnp.arange(-(-length // slots) * slots), length - 1).reshape(-1, slots)

  def some(places: Array) -> Array:
    here = _at((queue.images, conditions), jnp.broadcast_to(places, (groups, slots)))
    return score(*here).reshape(groups, slots)

  return lax.map(some, places).swapaxes(0, 1).reshape(groups, -1)[:, :length]
