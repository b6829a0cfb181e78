"""A mistake on the command line is one line, before anything is compiled."""

import pytest
from small_config import WORDS

from genjax.cli import main


@pytest.mark.parametrize(
  ("command", "words", "part"),
  [
    ("sample", ["--out", "x.gif"], "x.gif"),
    ("sample", ["--n", "0"], "--n 0"),
    ("sample", ["--truncation", "0.5"], "is for generators with latents; system winn has none"),
    ("sample", ["--to", "target"], "system winn does not"),
    ("sample", ["--workdir", "/nowhere/at/all"], "no checkpoints"),
    ("encode", [], "has no view 'encode'"),
    ("train", ["--config.data.name=digts"], "did you mean digits"),
    ("train", ["--config.data.bacth=4"], "did you mean batch"),
    ("train", ["--config.dat.batch=4"], "no key config.dat"),
    ("train", ["--config.data.batch=x"], "config.data.batch='x' is no int"),
    ("train", ["--config.data.flip=maybe"], "config.data.flip='maybe' is no bool"),
    ("train", ["--config.net.blocks=3"], "config.net.blocks=3 is no tuple"),
    ("train", ["--config.seed=-1"], "config.seed=-1"),
    ("train", ["--config.data.name=folder"], "path"),
    ("train", ["--config.data.name=folder", "--config.data.path=/nowhere"], "/nowhere"),
    ("train", ["--config.system.name=wim"], "winn"),
    ("train", ["--config.net.name=covnet"], "convnet"),
    ("train", ["--config.noise.name=gauss"], "gaussian"),
    ("train", ["--config.objective.wieght=1"], "did you mean weight"),
    ("train", ["--config.optimizer.schedule=square"], "config.optimizer.schedule='square'"),
    ("train", ["--config.system.synthesis=9"], "use 8"),
    ("train", ["--config.system.rate=1"], "no key config.system.rate"),
    ("train", ["--config.data.batch=17"], "batch 17"),
    ("train", ["--config.train.steps=5"], "config.train.steps_per_call"),
    ("train", ["--config.train.stps=5"], "did you mean steps"),
    ("train", ["--config.system.stop=never"], "stop"),
    ("train", ["--config.system.policy=lifo"], "reservoir"),
    ("train", ["--config.metrics.fid.samples=5"], "frechet"),
    ("train", ["--config.metrics.frechet.split=tset"], "test"),
    ("train", ["--config.metrics.error.split=test"], "needs the view 'classify'"),
    ("train", ["--config.metrics=modes"], "config.metrics is a section"),
    ("train", ["--workdir", "/proc/nowhere"], "/proc/nowhere"),
  ],
)
def test_a_mistake_is_one_line_before_anything_is_compiled(command, words, part, tmp_path, capsys):
  where = [] if "--workdir" in words else ["--workdir", str(tmp_path / "w")]
  assert main([command, "--config", "winn_digits", *WORDS, *where, *words]) == 2
  line = capsys.readouterr().err
  assert line.count("\n") == 1, line
  assert part in line
  assert not (tmp_path / "w").exists()
