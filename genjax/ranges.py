"""Which numbers an argument of genjax's functions may be given by a config, by the argument's name. Imports no JAX.

One name, one meaning: a count is a count wherever it stands, so a table of names says of every argument of every
registered function what its numbers may be. It holds for each number of a tuple. Words, None and truth values are the
business of the annotation (make.py); what depends on other arguments is checked by the function. Options of a command
stand here with their dashes.

Checked  tests/test_wrong_values.py: every argument that takes numbers has a row.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

MOST = 2**31 - 1  # of a whole number: the largest extent of an array, and the largest step
SEEDS = 2**32  # JAX keeps 32 bits of a seed, so greater ones repeat the smaller


class Range(NamedTuple):
  """`low` (with it, where `closed`) to below `high`; `words` follow "use" in an error."""

  words: str
  low: float = -math.inf
  high: float = math.inf
  closed: bool = True


_ANY = Range("a finite number")
_COUNT = Range("1 or more", 1)
_REST = Range("1 or more, or -1 for as many as are left over", -1)
_FROM_ZERO = Range("0 or more", 0)
_ABOVE_ZERO = Range("a number above 0", 0, closed=False)
_SHARE = Range("0 or more and less than 1", 0, 1)
_PROBABILITY = Range("0 to 1", 0, math.nextafter(1, 2))
_SEED = Range("0 or more and less than 2**32", 0, SEEDS)

_ROWS: dict[Range, str] = {
  _COUNT: """
    accumulate ascent_steps base batch block blocks candidates capacity cascade_steps cascades channels
    checkpoint_every chosen_at chunk classes code codes component_steps components critic_steps decay_steps degree
    depth depths directions episodes evaluate_steps factors features first_kernel fsdp group groups growth
    head_classes heads hidden importance_samples initial inner_steps interval iterations keep kernel latent layers
    length levels log_every minibatch mixture_critic_steps model most neighbours outputs passes patch patches
    path_interval points processes queries queues r1_interval ramp ratio sample_batch sampler_steps scales shape
    shared shots size splits stages starts stem steps steps_per_call strides subset_size subsets synthesis_batch
    target_shape units vocabulary ways --n --interpolate --seeds""",
  _FROM_ZERO: """
    alpha attention beta class_weight consensus contraction crop cycle ema_start eps eta evaluate_every fake gamma
    guidance halvings history identity jitter kernels lecam mapping_depth margin pad path penalty process pull_away
    real rho ridge sample_every samples start synthesis temperature tolerance unroll warmup_steps weight weight_decay
    --truncation --step""",
  _ABOVE_ZERO: """
    C clip clip_norm cover drop_over ema_half_life epsilon inner_learning_rate last learning_rate mapping_multiplier
    multiplier scale std watchdog_s width widths --seconds --dollars""",
  _SHARE: "b1 b2 decay drop dropout ema label_dropout masked momentum smoothing",
  _PROBABILITY: "style_mixing",
  _SEED: "anchor_seed choice_seed decoder_seed episode_seed extractor_seed out_seed seed --seed",
  _REST: "data",
  _ANY: "above drops high low noise sharpness",
}
RANGES = {name: span for span, names in _ROWS.items() for name in names.split()}
FILLED = ("blocks", "depths", "factors", "layers", "shots", "units")  # tuples that mean nothing when they are empty


def complaint(name: str, value: Any) -> str:
  """What to use instead of a value of an argument of this name, or "" where the value is in range.

  Args:
    name: of the argument; one that no row has may take every finite number.
    value: what a config gives; tuples and lists are looked at number by number.
  """
  if name in FILLED and isinstance(value, tuple | list) and not (len(value) and all(_filled(one) for one in value)):
    return "at least one, and none that is empty"
  span = RANGES.get(name, _ANY)
  for number in _numbers(value):
    if isinstance(number, int) and span is not _SEED and not -MOST <= number <= MOST:
      return f"{span.words}, to {MOST:,}"
    if (
      not math.isfinite(number) or number >= span.high or number < span.low or (number <= span.low and not span.closed)
    ):
      return span.words
  return ""


def _filled(value: Any) -> bool:
  return not isinstance(value, tuple | list) or len(value) > 0


def _numbers(value: Any) -> Iterator[int | float]:
  if isinstance(value, tuple | list):
    for one in value:
      yield from _numbers(one)
  elif isinstance(value, int | float) and not isinstance(value, bool):
    yield value
