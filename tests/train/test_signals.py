"""A signal saves and stops a run between two calls, or between two parts of a long one."""

import os
import signal
import threading

import pytest
import train_toy as toy
from toy_runs import bits, steps_in, timeless, train

from genjax.train import loop, pace
from genjax.train.errors import Interrupted


def signalling(at, number):
  def batch(step):
    if step == at:
      os.kill(os.getpid(), number)
    return toy.batch(step)

  return batch


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_stops_and_the_rest_is_the_same(tmp_path, number, code, capfd):
  before = signal.getsignal(number)
  with pytest.raises(Interrupted, match="the same command goes on from there") as caught:
    train(tmp_path / "cut", 30, batch=signalling(17, number))
  assert signal.getsignal(number) is before
  assert (caught.value.signal, caught.value.exit_code) == (number, code)
  assert caught.value.step in steps_in(tmp_path / "cut" / "checkpoints")
  assert 16 <= caught.value.step <= 18
  assert "finishing this call, then saving" in capfd.readouterr().err
  rest = train(tmp_path / "cut", 30)
  assert bits(rest.state) == bits(train(tmp_path / "whole", 30).state)
  assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")


def reading(monkeypatch, at, act):
  """Calls `act` while the loop waits for the call that ends at a step."""
  read = loop.read_outcome

  def spy(step, *rest):
    if step == at:
      act()
    return read(step, *rest)

  monkeypatch.setattr(loop, "read_outcome", spy)


def test_a_signal_while_a_call_is_waited_for_starts_no_other_call(tmp_path, monkeypatch):
  reading(monkeypatch, 20, lambda: signal.raise_signal(signal.SIGTERM))
  with pytest.raises(Interrupted, match="at step 20 of 30"):
    train(tmp_path, 30, steps_per_call=5)


def test_a_long_call_is_done_in_parts_and_stops_between_them_with_the_same_bits_and_lines(tmp_path, monkeypatch):
  whole = train(tmp_path / "whole", 20, steps_per_call=5)
  monkeypatch.setattr(pace, "_PART_S", 0.0)  # so a step is a part
  monkeypatch.setattr(pace, "_AHEAD_S", 0.0)
  with monkeypatch.context() as signalled:
    reading(signalled, 12, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Interrupted, match="at step 12 of 20"):
      train(tmp_path / "cut", 20, steps_per_call=5)
  rest = train(tmp_path / "cut", 20, steps_per_call=5)
  assert bits(rest.state) == bits(whole.state)
  assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")


def test_a_second_ctrl_c_is_not_waited_for(tmp_path):
  with pytest.raises(KeyboardInterrupt):
    train(tmp_path, 30, batch=twice)


def twice(step):
  if step == 12:
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)
  return toy.batch(step)


def test_outside_the_main_thread_it_trains_too_and_installs_no_handler(tmp_path):
  before, seen = signal.getsignal(signal.SIGTERM), []

  def work():
    seen.append(train(tmp_path, 10, batch=lambda s: seen.append(signal.getsignal(signal.SIGTERM)) or toy.batch(s)))

  thread = threading.Thread(target=work)
  thread.start()
  thread.join()
  assert seen[-1].step == 10
  assert set(seen[:-1]) == {before}
