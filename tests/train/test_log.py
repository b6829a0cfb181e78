"""What a run leaves to read."""

import io
import json
import os

import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto import event_pb2

from genjax.train import log as logs
from genjax.train import terminal
from genjax.train.curves import curves
from genjax.train.errors import StorageError
from genjax.train.files import read_json, read_metrics, write_json


def opened(workdir, **kwargs):
  return logs.Log(workdir, quiet=True, **kwargs)


def test_lines_come_back_as_they_were_written(tmp_path):
  log = opened(tmp_path)
  log.scalars(10, {"loss": np.float32(0.1)}, clock={"steps_per_second": 3.5})
  log.scalars(10, {"eval/frechet": 2.0})
  log.close()
  rows = read_metrics(tmp_path / "metrics.jsonl")
  assert rows == [
    {"step": 10, "loss": float(np.float32(0.1)), "clock": {"steps_per_second": 3.5}},
    {"step": 10, "eval/frechet": 2.0},
  ]


def test_resuming_drops_the_lines_after_the_step(tmp_path):
  log = opened(tmp_path)
  for step in (10, 20, 30):
    log.scalars(step, {"loss": step})
  log.close()
  log = opened(tmp_path, step=20)
  assert log.has(20, "loss")
  assert not log.has(30, "loss")
  log.scalars(30, {"loss": 31})
  log.close()
  assert [(r["step"], r["loss"]) for r in read_metrics(tmp_path / "metrics.jsonl")] == [
    (10, 10),
    (20, 20),
    (30, 31),
  ]


@pytest.mark.parametrize("tail", ['{"step": 20, "lo', '{"step"', "{", '"step"\n', '{"step": 20}garbage\n'])
def test_a_last_line_cut_short_is_dropped(tmp_path, tail):
  (tmp_path / "metrics.jsonl").write_text('{"step": 10, "loss": 1.0}\n' + tail)
  assert [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [10]
  log = opened(tmp_path, step=50)
  log.scalars(60, {"loss": 2})
  log.close()
  assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 10, "loss": 1.0}\n{"step": 60, "loss": 2.0}\n'


def test_damaged_lines_in_the_middle_are_left_out_and_named(tmp_path, caplog):
  lines = [b'{"step": 10}', b"hello", b'{"step": 20, "x": "\xff"}', b"[1]", b'{"step": "30"}', b'{"step": 40}']
  (tmp_path / "metrics.jsonl").write_bytes(b"\n".join(lines) + b"\n")
  assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 10}, {"step": 40}]
  (warning,) = caplog.messages
  assert warning.endswith("left out 4 damaged line(s), number 2, 3, 4, 5, such as 'hello'")
  log = opened(tmp_path, step=10)
  log.close()
  assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 10}\n'


def test_no_line_for_a_terminal_ends_a_run_and_an_answer_that_cannot_be_given_is_an_error(monkeypatch):
  with open("/dev/full", "w") as full:
    monkeypatch.setattr("sys.stdout", full)
    with pytest.raises(StorageError, match="cannot write to standard output: No space left on device"):
      terminal.answer("0.5")
  reader, writer = os.pipe()
  os.close(reader)
  with os.fdopen(writer, "w") as gone:
    monkeypatch.setattr("sys.stdout", gone)
    plain = terminal.open_terminal(0, 10)
    plain.show(5, {"loss": 0.5}, 1.0)
    plain.say("a line")
    plain.close()
    terminal.answer("0.5")
  with open("/dev/full", "w") as full:
    monkeypatch.setattr("sys.stdout", full)
    monkeypatch.setenv("FORCE_COLOR", "1")
    bar = terminal.open_terminal(0, 10)
    bar.say("a line")
    bar.show(5, {"loss": 0.5}, 1.0)
    bar.close()


def test_a_value_that_is_not_finite_is_null_so_that_the_file_stays_json(tmp_path):
  log = opened(tmp_path)
  log.scalars(10, {"eval/x": float("nan")})
  log.close()
  assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 10, "eval/x": None}]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_is_a_png_and_reads_back(tmp_path, channels):
  log = opened(tmp_path)
  pixels = np.random.default_rng(0).integers(0, 256, (6, 8, channels), np.uint8)
  assert not log.has_samples(1200)
  log.samples(1200, pixels)
  assert log.has_samples(1200)
  log.close()
  with Image.open(tmp_path / "samples" / "step_00001200.png") as picture:
    np.testing.assert_array_equal(np.asarray(picture).reshape(pixels.shape), pixels)
  assert os.listdir(tmp_path / "samples") == ["step_00001200.png"]


def test_a_text_is_a_file_of_its_own(tmp_path):
  log = opened(tmp_path)
  log.samples(30, "to be\nör not")
  assert log.has_samples(30)
  log.close()
  assert (tmp_path / "samples" / "step_00000030.txt").read_text(encoding="utf-8") == "to be\nör not\n"


def test_tensorboard_gets_scalars_pictures_and_texts(tmp_path):
  log = opened(tmp_path)
  log.scalars(10, {"loss": 0.25}, clock={"steps_per_second": 2.0})
  log.samples(10, np.zeros((134, 134, 3), np.uint8))
  log.samples(20, "to be\nor not")
  log.close()
  (file,) = (tmp_path / "tensorboard").iterdir()
  values = {value.tag: value for event in events(file.read_bytes()) for value in event.summary.value}
  assert values["loss"].simple_value == 0.25
  assert values["clock/steps_per_second"].simple_value == 2.0
  picture = Image.open(io.BytesIO(values["samples"].image.encoded_image_string))
  assert picture.size == (134, 134)
  assert values["samples/text_summary"].tensor.string_val == [b"    to be\n    or not"]


def events(content: bytes):
  """TFRecord: length (8 bytes), its checksum (4), data, its checksum (4)."""
  while content:
    length = int.from_bytes(content[:8], "little")
    event = event_pb2.Event()
    event.ParseFromString(content[12 : 12 + length])
    yield event
    content = content[16 + length :]


def test_json_is_written_whole_and_takes_numpy(tmp_path):
  write_json(tmp_path / "deep" / "summary.json", {"a": np.float32(0.5), "b": np.arange(3), "c": [1, None]})
  assert read_json(tmp_path / "deep" / "summary.json") == {"a": 0.5, "b": [0, 1, 2], "c": [1, None]}
  assert os.listdir(tmp_path / "deep") == ["summary.json"]
  assert read_json(tmp_path / "other.json") is None


def test_a_value_without_a_json_form_is_refused_and_the_old_file_stays(tmp_path):
  write_json(tmp_path / "config.json", {"a": 1})
  with pytest.raises(TypeError, match="object has no place in a JSON file"):
    write_json(tmp_path / "config.json", {"a": object()})
  assert json.loads((tmp_path / "config.json").read_text()) == {"a": 1}


def test_a_file_in_the_way_of_the_workdir_is_one_clear_line(tmp_path):
  (tmp_path / "run").write_text("in the way")
  with pytest.raises(StorageError, match=r"cannot write .*run.*; .* missing or a file: .* choose another --workdir"):
    opened(tmp_path / "run")
  with pytest.raises(StorageError, match="cannot write"):
    write_json(tmp_path / "run" / "config.json", {})


def test_without_a_terminal_there_are_plain_lines_not_too_many_and_always_the_last(tmp_path, capsys):
  log = logs.Log(tmp_path, total=300)
  for step in range(10, 310, 10):
    log.progress(step, {"loss": 0.5}, 20.0)
  log.close()
  lines = capsys.readouterr().out.splitlines()
  assert lines == ["step 10/300  20 steps/s, 0:00:14 left  loss 0.5", "step 300/300  20 steps/s  loss 0.5"]


def test_without_a_terminal_a_run_that_is_silent_for_long_says_where_it_is(capsys, monkeypatch):
  now = [0.0]
  monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
  plain = terminal.Plain(total=300)
  for now[0], step in ((59.0, 10), (61.0, 20), (100.0, 30), (121.0, 40)):
    plain.tick(step)
  assert capsys.readouterr().out.splitlines() == ["step 20/300", "step 40/300"]


@pytest.mark.parametrize(("known", "shown"), [(None, "2 steps/s"), (3.5, "3.5 steps/s")])
def test_on_a_terminal_there_is_a_bar(tmp_path, capsys, monkeypatch, known, shown):
  monkeypatch.setenv("FORCE_COLOR", "1")
  monkeypatch.setenv("COLUMNS", "120")
  log = logs.Log(tmp_path, step=5, total=10)
  log.progress(8, {"loss": 0.5}, 2.0)
  log.tick(9, known)
  log.say("a line [not markup]")
  log.close()
  out = capsys.readouterr().out
  assert shown in out
  assert "loss 0.5" in out
  assert "a line [not markup]" in out


def test_curves_are_drawn_for_every_scalar(tmp_path):
  log = opened(tmp_path)
  for step in (10, 20):
    log.scalars(step, {"loss": 1 / step, "other": step, "eval/x": float("nan")}, clock={"steps_per_second": 1.0})
  log.close()
  assert curves(tmp_path) == tmp_path / "curves.png"
  with Image.open(tmp_path / "curves.png") as picture:
    assert picture.size == (900, 280)
  assert curves(tmp_path / "nothing") is None
