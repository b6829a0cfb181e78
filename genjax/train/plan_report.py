"""Plans of a config's programs on several TPU slices, as JSON and as a table for a person.

`genjax plan --json` prints one object. Sizes are bytes, times seconds; those of a program are of one device and one
call, those of "step" of one step.

    {"config": {"system", "data", "batch", "steps", "steps_per_call", "parameters"},
     "versions": {package: version},
     "topologies": {"v4-32": {
       "chip", "chips", "devices", "grid": [2, 2, 4],
       "memory": of a device, "error": why nothing could be compiled, or null,
       "programs": {"step", "sample 64", "few_shot 5": {
         "fits", "error", "advice": [what to change],
         "memory": {"peak", "parameters", "optimiser", "average", "pool", "other state", "arguments", "temporaries",
                    "code"},
         "flops": of products, "passes": the same as operations of bfloat16, "bytes": from and to memory,
         "model_flops": of all devices together, as the program is written, "unknown_loops": loops counted once,
         "collectives": {"all-reduce": {"count", "bytes"}},
         "exchanges": [{"name", "bytes", "times", "source"}], the ten that send most,
         "seconds": {"compute", "memory", "collectives", "total", "xla": XLA's estimate or null}}},
       "scaling": [{"chips", "seconds", "efficiency", "batch", "work": see below}],
       "hours": of all steps, "dollars": of these, or null}}}

"arguments" is what a device is given beside its share of the state: batches, and what the layout pads. The memory of a
program that does not fit is the state's alone. "scaling" keeps the work a chip as it is in the plan; "work" is how many
times that work it takes for 95 % of a step to be no exchange.

Shapes   A slice is {"chip", ...} as above without "hours" and "dollars", made by `slice_report`.
Checked  tests/train/test_plan_report.py
"""

import math
from collections.abc import Mapping
from typing import Any

from jax.sharding import Mesh

from genjax.train.plan import Plan
from genjax.train.report import aligned, in_bytes, in_units
from genjax.train.roofline import scaling, work_for
from genjax.train.slices import chips_of

WANTED = 0.95  # share of a step that should be no exchange
_PARTS = {"params": "parameters", "optimizer": "optimiser", "ema": "average", "pool": "pool"}  # by a leaf's first key
_SHOWN = 10
_SMALL = 0.25  # a part below this share of what is held needs no advice


def slice_report(mesh: Mesh, plans: Mapping[str, Plan], batch: int) -> dict[str, Any]:
  """The plans of one slice as JSON.

  Args:
    mesh: of the slice.
    plans: by name; "step" is the training step.
    batch: examples of a step.
  """
  chip, grid = chips_of(mesh)
  chips, step = math.prod(grid), plans.get("step")
  rows: list[dict[str, Any]] = []
  if chip is not None and step is not None and step.seconds is not None:
    local = step.seconds.total - step.seconds.collectives
    for row in scaling(local, step.collectives, chip):
      rows.append(row._asdict() | {"batch": batch * row.chips // chips, "work": work_for(WANTED, row)})
  return {
    "chip": chip.kind if chip else mesh.devices.flat[0].device_kind,
    "chips": chips,
    "devices": mesh.size,
    "grid": list(grid),
    "memory": chip.hbm // chip.devices if chip else None,
    "error": None,
    "programs": {name: _program(plan) for name, plan in plans.items()},
    "scaling": rows,
  }


def priced(report: Mapping[str, Any], steps: int, dollars: float | None) -> dict[str, Any]:
  """The report of a slice with the hours of so many steps, and their price at so many dollars a chip-hour."""
  took = report.get("programs", {}).get("step", {}).get("seconds")
  hours = None if took is None else steps * took["total"] / 3600
  price = None if hours is None or dollars is None else hours * report["chips"] * dollars
  return {**report, "hours": hours, "dollars": price}


def parts_of(plan: Plan) -> dict[str, int]:
  """What takes the memory of a program, in bytes."""
  parts = dict.fromkeys((*_PARTS.values(), "other state"), 0)
  for path, size in plan.state.items():
    parts[_PARTS.get(path.split("/")[0], "other state")] += size
  if not plan.memory:
    return parts
  beside = plan.memory["argument"] - sum(plan.state.values())
  made = plan.memory["output"] - plan.memory["alias"]
  rest = {"arguments": max(0, beside), "temporaries": plan.memory["temp"] + max(0, made), "code": plan.memory["code"]}
  return {"peak": plan.memory["peak"], **parts, **rest}


def _program(plan: Plan) -> dict[str, Any]:
  number = lambda value: None if isinstance(value, float) and math.isnan(value) else value
  kinds: dict[str, dict[str, float]] = {}
  for one in plan.collectives:
    kind = kinds.setdefault(one.name, {"count": 0, "bytes": 0})
    kind["count"] += one.times
    kind["bytes"] += one.times * one.bytes
  largest = sorted(plan.collectives, key=lambda one: -one.times * one.bytes)[:_SHOWN]
  return {
    "fits": plan.fits,
    "error": plan.error,
    "advice": advice(plan),
    "memory": parts_of(plan),
    "flops": number(plan.flops),
    "passes": number(plan.passes),
    "bytes": number(plan.bytes),
    "model_flops": number(plan.model.flops),
    "unknown_loops": plan.unknown_loops,
    "collectives": kinds,
    "exchanges": [{"name": o.name, "bytes": o.bytes, "times": o.times, "source": o.source} for o in largest],
    "seconds": None if plan.seconds is None else plan.seconds._asdict() | {"xla": plan.xla_seconds},
  }


def advice(plan: Plan) -> list[str]:
  """What to change: where a program does not fit, the largest part first; and what the plan says itself."""
  if plan.fits:
    return list(plan.advice)
  parts = parts_of(plan)
  held, words = sum(parts.values()), list(plan.advice)
  weights = parts["parameters"] + parts["optimiser"] + parts["average"]
  if parts["pool"] > _SMALL * held:
    words.append("a smaller capacity of the pool, or more chips, which share it")
  if weights > _SMALL * held:
    words.append("a narrower net, or splitting parameters and optimiser too: each chip has a copy of them")
  words.append("a smaller batch or more chips, which share it; remat=True or dtype=bfloat16 of the nets that take them")
  return words


# For a person ---------------------------------------------------------------------------------------------------------


def table(report: Mapping[str, Any]) -> str:
  """The whole report as text."""
  config, slices = report["config"], report["topologies"]
  lines = [
    f"{config['system']} on {config['data']}: batch {config['batch']}, {config['steps']:,} steps, "
    f"{config['parameters']:,} parameters; planned by the compiler, on no TPU",
    "",
    *_overview(slices),
  ]
  for name, one in slices.items():
    lines += ["", *_details(name, one)]
  return "\n".join([*lines, "", *_NOTES])


_NOTES = (
  "Times are lower bounds: products at the peak, bytes at full speed of the memory. Exchanges are taken to hide behind",
  "nothing, so the efficiency, at the same work a chip, is a lower bound of that model. FLOP (of products), bytes and",
  "times are of one device and, in `step`, of one step.",
)


def _overview(slices: Mapping[str, Mapping[str, Any]]) -> list[str]:
  counts = (8, 64, 512)
  head = ("slice", "chips", "fits", "peak memory", "of", "compute", "memory", "exchange", "step", "sends", "hours")
  rows: list[tuple[str, ...]] = [(*head, "dollars", *(f"eff. {n}" for n in counts))]
  for name, one in slices.items():
    step = one.get("programs", {}).get("step")
    if step is None or step["seconds"] is None:
      why = "no" if step is not None else "-"
      rows.append((name, str(one.get("chips", "-")), why, *["-"] * (len(rows[0]) - 3)))
      continue
    took = step["seconds"]
    scale = {row["chips"]: row["efficiency"] for row in one["scaling"]}
    rows.append(
      (
        name,
        str(one["chips"]),
        "yes" if all(program["fits"] for program in one["programs"].values()) else "not all",
        in_bytes(step["memory"]["peak"]),
        in_bytes(one["memory"]),
        *(_time(took[part]) for part in ("compute", "memory", "collectives", "total")),
        in_bytes(sum(kind["bytes"] for kind in step["collectives"].values())),
        "-" if one["hours"] is None else f"{one['hours']:.3g}",
        "-" if one["dollars"] is None else f"{one['dollars']:,.2f}",
        *(f"{100 * scale[n]:.1f} %" for n in counts),
      )
    )
  return aligned(rows, str.rjust)


def _details(name: str, one: Mapping[str, Any]) -> list[str]:
  if one["error"] is not None:
    return [f"{name}: {one['error']}"]
  lines = [f"{name}: {one['chips']} chips of {one['chip']}, {' x '.join(map(str, one['grid']))}"]
  for program, it in one["programs"].items():
    held = {part: size for part, size in it["memory"].items() if size and part != "peak"}
    peak = f"{in_bytes(it['memory']['peak'])} at the peak: " if "peak" in it["memory"] else ""
    lines.append(f"  {program:12}  {peak}{', '.join(f'{part} {in_bytes(size)}' for part, size in held.items())}")
    lines += [f"    {word}" for word in filter(None, (it["error"], *it["advice"]))]
    if not it["fits"]:
      continue
    lines.append(f"    {in_units(it['flops'])}FLOP, {in_bytes(it['bytes'])} moved" + _time_of(it["seconds"]))
    lines += [f"    {it['unknown_loops']} loop(s) of unknown length counted once"] if it["unknown_loops"] else []
    for kind, sum_of in it["collectives"].items():
      lines.append(f"    {kind}: {sum_of['count']:,.0f}, together {in_bytes(sum_of['bytes'])}")
    lines += [f"      {_exchange(e)}" for e in it["exchanges"][:5] if e["bytes"] * e["times"] > 1024]
  if one["scaling"]:
    each = ", ".join(f"{row['chips']}: {100 * row['efficiency']:.1f} %" for row in one["scaling"])
    last = one["scaling"][-1]
    lines.append(f"  at the same work a chip, efficiency on 8 to 512 chips: {each}")
    if last["work"] > 1:
      lines.append(
        f"  {100 * WANTED:.0f} % on {last['chips']} chips takes {last['work']} times the work a chip: a batch of "
        f"{last['batch'] * last['work']:,} there"
      )
  return lines


def _exchange(one: Mapping[str, Any]) -> str:
  often = f"{one['times']:,.0f} x " if one["times"] != 1 else ""
  return f"{often}{in_bytes(one['bytes'])}  {one['source'] or 'no source in the program'}"


def _time_of(took: Mapping[str, Any] | None) -> str:
  if took is None:
    return ""
  xla = f"; XLA's own estimate {_time(took['xla'])}" if took["xla"] is not None else ""
  return (
    f"; at least {_time(took['total'])} (compute {_time(took['compute'])}, memory {_time(took['memory'])}, "
    f"exchange {_time(took['collectives'])}){xla}"
  )


def _time(took: float) -> str:
  """3 significant digits: 1.20 s, 35.1 ms, 7.00 us."""
  for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
    if took >= scale:
      return f"{took / scale:.3g} {unit}"
  return "0 us" if took == 0 else f"{took / 1e-6:.2g} us"
