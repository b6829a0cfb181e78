"""A wrong value is one line that names it, before anything is compiled or written: each case takes milliseconds.

Nothing here trains: a run that gets as far as claiming its workdir has taken its settings.
"""

import typing

import pytest
import stand_in

from genjax import registry
from genjax import workdir as workdirs
from genjax.cli import main, parse
from genjax.make import parameters
from genjax.ranges import RANGES, complaint
from genjax.registry import UsageError

LONG = "12345678901234567890"
POSITIVE = "use a number above 0"
COUNT = "use 1 or more"
SHARE = "use 0 or more and less than 1"
REFUSED = {  # config -> (words, what the line says)
  "winn_digits": [
    ("train.keep=0", "config.train.keep=0; use 1 or more"),
    ("train.steps=0", "config.train.steps=0; use 1 or more"),
    ("train.steps=x", "config.train.steps='x' is no int"),
    ("train.watchdog_s=0", POSITIVE),
    ("data.batch=72", "batch 72 is not a multiple of the minibatch 64"),
    ("data.pad=-1", "config.data.pad=-1; use 0 or more"),
    ("data.pad=3000000000", "to 2,147,483,647"),
    (f"seed={LONG}", "use 0 or more and less than 2**32"),
    ("seed=true", "config.seed=True is no int"),
    ("mesh.fsdp=3", "config.mesh.fsdp=3 times config.mesh.model=1 does not divide 8 devices"),
    ("mesh.data=3", "config.mesh is data=3, fsdp=1, model=1, there are 8 devices"),
    ("mesh.model=0", "config.mesh.model=0; use 1 or more"),
    ("mesh.data=-2", "config.mesh.data=-2; use 1 or more, or -1 for as many as are left over"),
    ("mesh.pipeline=2", "no key config.mesh.pipeline"),
    ("dtype=float16", "config.dtype='float16' is no one of 'float32', 'bfloat16'"),
    ("system.accumulate=3", "minibatch 64 is not a multiple of accumulate 3"),
    ("net.blocks=((1.5,),)", "is no tuple of tuple of int"),
    ("net.blocks=()", "config.net.blocks=(); use at least one"),
    ("net.blocks=((),)", "none that is empty"),
    ("net.blocks=((0,),)", COUNT),
    ("net.blocks=((4,),(4,),(4,),(4,),(4,))", "config.net: images 8x8 do not survive 5 poolings"),
    ("net=none", "config.net is missing; winn needs one of convnet, "),
    ("noise.width=-1", POSITIVE),
    ("noise.width=0", POSITIVE),
    ("system.minibatch=0", COUNT),
    ("system.ascent_steps=0", COUNT),
    ("optimizer.learning_rate=-1", POSITIVE),
    ("optimizer.learning_rate=0", POSITIVE),
    ("optimizer.learning_rate=1e999", POSITIVE),
    ("optimizer.b1=2", SHARE),
    ("optimizer.eps=-1", "use 0 or more"),
    ("optimizer.decay_steps=0", COUNT),
    ("optimizer.decay_steps=-5", COUNT),
    ("sampler.learning_rate=0", POSITIVE),
    ("sampler.b2=1", SHARE),
    ("objective.weight=-1", "use 0 or more"),
    ("metrics.frechet.samples=0", "config.metrics.frechet: samples 0"),
  ],
  "vitgan_digits": [("mesh.fsdp=2", "config.mesh.fsdp and .model stay 1 with the system gan")],
  "gan_ring": [
    *((f"{key}=none", f"config.{key} is missing; gan needs one of ") for key in ("objective", "critic", "generator")),
    ("system.critic_steps=3", "config.data.batch"),
    ("system.accumulate=7", "batch of an update"),
    ("system.augment=foo", "config.system"),
    ("critic.activation=foo", "is no one of 'relu'"),
    ("critic.widths=(0,)", POSITIVE),
    ("generator.widths=(64,-1)", POSITIVE),
    ("metrics.modes.samples=0", "config.metrics.modes: samples 0"),
    ("metrics.modes.name=frechet", "config.metrics.modes: ring/train has images of 1x1"),
  ],
}


@pytest.fixture(autouse=True)
def nothing_is_claimed(monkeypatch):
  stand_in.replace(monkeypatch)

  def claim(*_):
    raise AssertionError("the workdir was claimed")

  monkeypatch.setattr(workdirs, "claim", claim)


@pytest.mark.parametrize("config", REFUSED)
def test_a_wrong_value_is_one_line_with_its_key(config, tmp_path, capsys):
  for word, part in REFUSED[config]:
    assert main(["train", "--config", config, "--workdir", str(tmp_path / "w"), f"--config.{word}"]) == 2, word
    line = capsys.readouterr().err
    assert line.startswith("genjax: "), word
    assert line.count("\n") == 1, word
    assert part in line, (word, line)
    assert not (tmp_path / "w").exists(), word


def test_a_batch_that_does_not_fit_is_one_line_in_bench_too(capsys):
  assert main(["bench", "--config", "winn_digits", "--config.data.batch=72"]) == 2
  assert "batch 72 is not a multiple" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("words", "part"),
  [
    (["--seed", LONG], f"--seed {LONG}; use 0 or more and less than 2**32"),
    (["--n", "0"], "--n 0; use 1 or more"),
    (["--truncation", "nan"], "--truncation nan; use 0 or more"),
    (["--truncation", "-1"], "--truncation -1; use 0 or more"),
  ],
)
def test_a_wrong_number_of_an_option_is_refused_when_it_is_read(words, part):
  with pytest.raises(UsageError) as error:
    parse(["sample", "--config", "gan_ring", *words])
  assert part in str(error.value)


@pytest.mark.parametrize(
  "words", [["--n", "100000000"], ["--n", "30000", "--mix"], ["--n=60000", "--interpolate=60000"]]
)
def test_more_samples_than_memory_holds_are_refused_with_a_number_that_fits(words, tmp_path, capsys):
  assert main(["sample", "--config", "gan_digits:hinge", "--workdir", str(tmp_path), *words]) == 2
  line = capsys.readouterr().err
  assert "GiB; 16,777,216 go into one command" in line


def numbers_in(hint) -> bool:
  """Whether an annotation admits a number."""
  inner = typing.get_args(hint)
  return hint in (int, float) or (typing.get_origin(hint) is not typing.Literal and any(map(numbers_in, inner)))


def test_every_argument_that_takes_numbers_has_a_range_and_its_default_lies_in_it():
  without, outside = set(), set()
  for kind in registry.KINDS:
    for name in registry.table(kind):
      function = registry.resolve(kind, name)
      hints = typing.get_type_hints(function)
      for key, it in parameters(function).items():
        if not registry.kind_of(key) and numbers_in(hints[key]):
          without |= set() if key in RANGES else {f"{name}.{key}"}
          outside |= (
            {f"{name}.{key}={it.default}"} if it.default is not it.empty and complaint(key, it.default) else set()
          )
  assert not without, "give it a row in genjax/ranges.py"
  assert not outside
