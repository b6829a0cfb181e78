"""How often the `while` loops of a traced program run whose length follows from numbers that the caller knows.

A loop with bounds that are arguments (`lax.fori_loop(0, n, ...)` with a traced n) has no length in the program. Here
scalars are followed through it, from the arguments that the caller gives, as far as arithmetic alone is done with them;
an array all of whose elements are one number is such a scalar. What stands in a loop's body is followed as in its first
pass. A loop that may end earlier has its greatest length.

Checked  tests/train/test_trips.py
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

from genjax.train.flops import inner_jaxprs

_ARITHMETIC = """add sub mul div rem neg sign min max clamp floor ceil round convert_element_type integer_pow eq ne lt
  le gt ge and or not xor select_n"""
_SAME = "squeeze reshape broadcast_in_dim copy copy_p"  # other shapes, the same elements
Known = dict[Any, Any]  # variable -> scalar


class Loop(NamedTuple):
  """A `while` whose length is known."""

  trips: int
  written: bool  # the bound stands in the program as a number, so a compiled program has it too


def loops(jaxpr: ClosedJaxpr, known: Sequence[Any]) -> dict[int, Loop]:
  """id of each equation `while` of known length -> its length.

  Args:
    jaxpr: of `jax.jit(f).trace(...).jaxpr`.
    known: for each argument, flattened, a number, or None.
  """
  lengths: dict[int, Loop] = {}
  with jax.ensure_compile_time_eval():
    _follow(jaxpr, known, lengths)
  return lengths


def _follow(jaxpr: ClosedJaxpr | Jaxpr, known: Sequence[Any], lengths: dict[int, Loop]) -> list[Any]:
  """Finds the loops of a jaxpr; returns what is known of its results."""
  inner, consts = (jaxpr.jaxpr, jaxpr.consts) if isinstance(jaxpr, ClosedJaxpr) else (jaxpr, ())
  scalar = lambda value: value if getattr(value, "shape", None) == () else None
  env = dict(zip(inner.constvars, map(scalar, consts), strict=False))
  env |= dict(zip(inner.invars, known, strict=True))
  for eqn in inner.eqns:
    env.update(zip(eqn.outvars, _results(eqn, [_read(env, atom) for atom in eqn.invars], lengths), strict=True))
  return [_read(env, atom) for atom in inner.outvars]


def _read(env: Mapping[Any, Any], atom: Any) -> Any:
  return atom.val if isinstance(atom, Literal) else env.get(atom)


def _results(eqn: JaxprEqn, known: list[Any], lengths: dict[int, Loop]) -> list[Any]:
  name, params, nothing = eqn.primitive.name, eqn.params, [None] * len(eqn.outvars)
  if name == "while":
    _while(eqn, known, lengths)
  elif name == "scan":
    _follow(params["jaxpr"], _in_first_pass(eqn, known), lengths)
  elif name == "cond":
    for branch in params["branches"]:
      _follow(branch, known[1:], lengths)
  elif name in _SAME.split():
    return known[:1]
  elif name in _ARITHMETIC.split():
    if all(value is not None for value in known):
      result = eqn.primitive.bind(*known, **params)
      return list(result) if eqn.primitive.multiple_results else [result]
  else:
    for inner in inner_jaxprs(params):
      arguments = getattr(inner, "jaxpr", inner).invars
      same = len(arguments) == len(known)
      results = _follow(inner, known if same else [None] * len(arguments), lengths)
      if same and len(results) == len(nothing):
        return results
  return nothing


def _in_first_pass(eqn: JaxprEqn, known: list[Any]) -> list[Any]:
  """What is known of the arguments of a scan's body; of a slice, whose shape is another one, nothing."""
  inner = getattr(eqn.params["jaxpr"], "jaxpr", eqn.params["jaxpr"])
  same = (out.aval.shape == var.aval.shape for out, var in zip(eqn.invars, inner.invars, strict=True))
  return [value if whole else None for value, whole in zip(known, same, strict=True)]


def _while(eqn: JaxprEqn, known: list[Any], lengths: dict[int, Loop]) -> None:
  of_cond, of_body = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
  cond, carry = getattr(eqn.params["cond_jaxpr"], "jaxpr", eqn.params["cond_jaxpr"]), known[of_cond + of_body :]
  env = dict(zip(cond.invars, known[:of_cond] + carry, strict=True))
  for test in cond.eqns:
    if test.primitive.name != "lt":
      continue
    start, end = (_read(env, atom) for atom in test.invars)
    if start is not None and end is not None:
      trips = max(0, int(end) - int(start))
      longest = max(trips, lengths[id(eqn)].trips) if id(eqn) in lengths else trips
      lengths[id(eqn)] = Loop(longest, isinstance(test.invars[1], Literal))
  _follow(eqn.params["body_jaxpr"], known[of_cond : of_cond + of_body] + carry, lengths)
