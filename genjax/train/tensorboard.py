"""TensorBoard event files, written in this thread.

Departs  tensorboardX's SummaryWriter hands events to a thread through a bounded queue. When that thread dies of a full
         disk the next event waits for ever, and a killed run loses what was queued. Its file format is used, not that.
Checked  tests/train/test_log.py: events read back by their framing.
"""

import os
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from tensorboardX import summary as summaries
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2


class Events(NamedTuple):
  """One open event file. Every function raises OSError where the disk does."""

  scalar: Callable[[int, str, float], None]  # step, name, value
  image: Callable[[int, str, np.ndarray], None]  # step, name, [H, W, 1 or 3] uint8
  text: Callable[[int, str, str], None]  # step, name, text
  flush: Callable[[], None]
  close: Callable[[], None]


def open_events(folder: str | os.PathLike, step: int) -> Events:
  """A new event file in a local folder; events after `step` of earlier attempts are hidden by TensorBoard."""
  os.makedirs(folder, exist_ok=True)
  # Its own name has the time in whole seconds, and an attempt may be shorter than that.
  writer = EventsWriter(os.path.join(folder, "events"), f".{os.getpid()}.{time.time_ns()}")

  def write(step, **what):
    writer.write_event(event_pb2.Event(wall_time=time.time(), step=step, **what))

  if step:
    write(step + 1, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))
  return Events(
    scalar=lambda step, name, value: write(step, summary=summaries.scalar(name, value)),
    image=lambda step, name, pixels: write(step, summary=summaries.image(name, pixels, dataformats="HWC")),
    text=lambda step, name, text: write(step, summary=summaries.text(name, _verbatim(text))),
    flush=lambda: writer.flush() and None,
    close=lambda: writer.close() and None,
  )


def _verbatim(text: str) -> str:
  """TensorBoard reads text as Markdown, where four spaces keep a line as it is."""
  return "\n".join(f"    {line}" for line in text.splitlines())
