"""What a run leaves to read."""

import io
import json
import os

import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto import event_pb2

from genjax.train import log as logs
from genjax.train.errors import StorageError


def opened(workdir, **kwargs):
  return logs.Log(workdir, quiet=True, **kwargs)


def test_a_grid_is_nearly_square_and_keeps_the_order():
  values = np.linspace(-1, 1, 5, dtype=np.float32)
  images = np.broadcast_to(values[:, None, None, None], (5, 64, 64, 1))
  pixels = logs.grid(images)
  assert pixels.shape == (2 * 66 + 2, 3 * 66 + 2, 1)
  assert pixels.dtype == np.uint8
  centres = [pixels[2 + 66 * (i // 3) + 30, 2 + 66 * (i % 3) + 30, 0] for i in range(6)]
  assert centres == [0, 64, 128, 191, 255, 255]  # round((x + 1) * 127.5), the last cell is empty


def test_tiny_images_are_enlarged_by_repeating_pixels():
  image = np.array([[-1.0, 1.0], [1.0, -1.0]], np.float32).reshape(1, 2, 2, 1)
  pixels = logs.grid(image)[2:-2, 2:-2, 0]
  assert pixels.shape == (64, 64)
  np.testing.assert_array_equal(pixels, np.kron(np.array([[0, 255], [255, 0]]), np.ones((32, 32))))


@pytest.mark.parametrize("size", [8, 32, 50, 96, 300])
def test_large_images_keep_their_size(size):
  height = logs.grid(np.zeros((1, size, size, 3), np.float32)).shape[0] - 4
  assert height == size * max(1, round(64 / size))


def test_the_range_is_fixed_and_never_stretched():
  assert logs.grid(np.full((1, 64, 64, 3), 0.5, np.float32))[5, 5].tolist() == [191, 191, 191]
  assert logs.grid(np.full((1, 64, 64, 3), 7.0, np.float32))[5, 5].tolist() == [255, 255, 255]


def test_columns_can_be_chosen():
  assert logs.grid(np.zeros((4, 64, 64, 1)), columns=4).shape[:2] == (68, 4 * 66 + 2)


@pytest.mark.parametrize("shape", [(4, 8, 8), (0, 8, 8, 1), (4, 8, 8, 2)])
def test_what_is_no_image_is_refused(shape):
  with pytest.raises(ValueError, match="wanted"):
    logs.grid(np.zeros(shape))


def test_lines_come_back_as_they_were_written(tmp_path):
  log = opened(tmp_path)
  log.scalars(10, {"loss": np.float32(0.1)}, clock={"rate": 3.5})
  log.scalars(10, {"eval/frechet": 2.0})
  log.close()
  rows = logs.read_metrics(tmp_path / "metrics.jsonl")
  assert rows == [
    {"step": 10, "loss": float(np.float32(0.1)), "clock": {"rate": 3.5}},
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
  assert [(r["step"], r["loss"]) for r in logs.read_metrics(tmp_path / "metrics.jsonl")] == [
    (10, 10),
    (20, 20),
    (30, 31),
  ]


@pytest.mark.parametrize("tail", ['{"step": 20, "lo', '{"step"', "{", '"step"\n', '{"step": 20}garbage\n'])
def test_a_last_line_cut_short_is_dropped(tmp_path, tail):
  (tmp_path / "metrics.jsonl").write_text('{"step": 10, "loss": 1.0}\n' + tail)
  assert [row["step"] for row in logs.read_metrics(tmp_path / "metrics.jsonl")] == [10]
  log = opened(tmp_path, step=50)
  log.scalars(60, {"loss": 2})
  log.close()
  assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 10, "loss": 1.0}\n{"step": 60, "loss": 2.0}\n'


def test_a_broken_line_in_the_middle_is_named(tmp_path):
  (tmp_path / "metrics.jsonl").write_text('{"step": 10}\nhello\n{"step": 20}\n')
  with pytest.raises(ValueError, match=r"line 2 of .*metrics.jsonl"):
    logs.read_metrics(tmp_path / "metrics.jsonl")


def test_a_value_that_is_not_finite_is_null_so_that_the_file_stays_json(tmp_path):
  log = opened(tmp_path)
  log.scalars(10, {"eval/x": float("nan")})
  log.close()
  assert logs.read_metrics(tmp_path / "metrics.jsonl") == [{"step": 10, "eval/x": None}]


def test_a_grid_is_a_png_and_reads_back(tmp_path):
  log = opened(tmp_path)
  images = np.random.default_rng(0).uniform(-1, 1, (5, 8, 8, 1)).astype(np.float32)
  log.images(1200, images)
  log.close()
  path = tmp_path / "samples" / "step_00001200.png"
  with Image.open(path) as picture:
    np.testing.assert_array_equal(np.asarray(picture), logs.grid(images)[..., 0])
  assert os.listdir(tmp_path / "samples") == ["step_00001200.png"]


def test_tensorboard_gets_scalars_and_grids(tmp_path):
  log = opened(tmp_path)
  log.scalars(10, {"loss": 0.25}, clock={"rate": 2.0})
  log.images(10, np.zeros((4, 8, 8, 3), np.float32))
  log.close()
  (file,) = (tmp_path / "tensorboard").iterdir()
  values = {value.tag: value for event in events(file.read_bytes()) for value in event.summary.value}
  assert values["loss"].simple_value == 0.25
  assert values["clock/rate"].simple_value == 2.0
  picture = Image.open(io.BytesIO(values["samples"].image.encoded_image_string))
  assert picture.size == (134, 134)


def events(content: bytes):
  """TFRecord: length (8 bytes), its checksum (4), data, its checksum (4)."""
  while content:
    length = int.from_bytes(content[:8], "little")
    event = event_pb2.Event()
    event.ParseFromString(content[12 : 12 + length])
    yield event
    content = content[16 + length :]


def test_json_is_written_whole_and_takes_numpy(tmp_path):
  logs.write_json(tmp_path / "deep" / "summary.json", {"a": np.float32(0.5), "b": np.arange(3), "c": [1, None]})
  assert logs.read_json(tmp_path / "deep" / "summary.json") == {"a": 0.5, "b": [0, 1, 2], "c": [1, None]}
  assert os.listdir(tmp_path / "deep") == ["summary.json"]
  assert logs.read_json(tmp_path / "other.json") is None


def test_a_value_without_a_json_form_is_refused_and_the_old_file_stays(tmp_path):
  logs.write_json(tmp_path / "config.json", {"a": 1})
  with pytest.raises(TypeError, match="object has no place in a JSON file"):
    logs.write_json(tmp_path / "config.json", {"a": object()})
  assert json.loads((tmp_path / "config.json").read_text()) == {"a": 1}


def test_a_file_in_the_way_of_the_workdir_is_one_clear_line(tmp_path):
  (tmp_path / "run").write_text("in the way")
  with pytest.raises(StorageError, match=r"cannot write .*run.*; make room, or choose another --workdir"):
    opened(tmp_path / "run")
  with pytest.raises(StorageError, match="cannot write"):
    logs.write_json(tmp_path / "run" / "config.json", {})


def test_without_a_terminal_there_are_plain_lines_not_too_many_and_always_the_last(tmp_path, capsys):
  log = logs.Log(tmp_path, total=300)
  for step in range(10, 310, 10):
    log.progress(step, {"loss": 0.5}, 20.0)
  log.close()
  lines = capsys.readouterr().out.splitlines()
  assert lines == ["step 10/300  20 steps/s, 0:00:14 left  loss 0.5", "step 300/300  20 steps/s  loss 0.5"]


def test_on_a_terminal_there_is_a_bar(tmp_path, capsys, monkeypatch):
  monkeypatch.setenv("FORCE_COLOR", "1")
  monkeypatch.setenv("COLUMNS", "120")
  log = logs.Log(tmp_path, step=5, total=10)
  log.progress(8, {"loss": 0.5}, 2.0)
  log.tick(9)
  log.say("a line [not markup]")
  log.close()
  out = capsys.readouterr().out
  assert "2 steps/s" in out
  assert "loss 0.5" in out
  assert "a line [not markup]" in out


def test_curves_are_drawn_for_every_scalar(tmp_path):
  log = opened(tmp_path)
  for step in (10, 20):
    log.scalars(step, {"loss": 1 / step, "other": step, "eval/x": float("nan")}, clock={"rate": 1.0})
  log.close()
  assert logs.curves(tmp_path) is not None
  with Image.open(tmp_path / "curves.png") as picture:
    assert picture.size == (900, 280)
  assert logs.curves(tmp_path / "nothing") is None
