"""A headless Chromium, driven over a pipe by its DevTools protocol: no package is needed for it."""

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import sys

FLAGS = (
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
  "--hide-scrollbars",
  "--remote-debugging-pipe",
)
PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PLACE = """
import fcntl, os, sys
theirs = [fcntl.fcntl(int(word), fcntl.F_DUPFD, 10) for word in sys.argv[1:3]]
for number, place in zip(theirs, (3, 4)):
  os.dup2(number, place)
os.execv(sys.argv[3], sys.argv[3:])
"""  # a browser reads from 3 and writes to 4


class Tab:
  """A page, and what its console said."""

  def __init__(self, write, read):
    self._write, self._read, self._rest, self._ids = write, read, b"", itertools.count(1)
    self._session, self.said, self.requests, self.loaded = None, [], [], False
    target = self.call("Target.createTarget", url="about:blank")["targetId"]
    self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
      self.call(f"{domain}.enable")

  def call(self, method, **params):
    number = next(self._ids)
    session = {"sessionId": self._session} if self._session else {}
    os.write(self._write, json.dumps({"id": number, "method": method, "params": params, **session}).encode() + b"\0")
    while True:
      message = self._message()
      if message.get("id") == number:
        assert "error" not in message, message
        return message["result"]

  def _message(self):
    while b"\0" not in self._rest:
      assert select.select([self._read], [], [], 60)[0], "the browser says nothing"
      part = os.read(self._read, 1 << 20)
      assert part, "the browser has ended"
      self._rest += part
    text, self._rest = self._rest.split(b"\0", 1)
    message = json.loads(text)
    method, params = message.get("method"), message.get("params", {})
    if method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
      self.said.append(params)
    if method == "Network.requestWillBeSent":
      self.requests.append(params["request"]["url"])
    self.loaded = self.loaded or method == "Page.loadEventFired"
    return message

  def open(self, url, width, height=900, *, dark=False):
    phone = width < 600
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
    self.call("Emulation.setDeviceMetricsOverride", **metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    self.call("Emulation.setEmulatedMedia", features=[scheme])
    self.loaded = False
    self.call("Page.navigate", url=url)
    while not self.loaded:
      self._message()

  def value(self, expression):
    result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
    assert "exceptionDetails" not in result, result
    return result["result"].get("value")

  def press(self, key):
    for kind in ("keyDown", "keyUp"):
      self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key])

  def picture(self, path):
    """The whole page as PNG."""
    shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
    with open(path, "wb") as file:
      file.write(base64.b64decode(shot["data"]))


KEYS = {"ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35}


@contextlib.contextmanager
def tab(profile):
  """A tab of a browser of its own, which ends with the block."""
  theirs_in, ours_out = os.pipe()
  ours_in, theirs_out = os.pipe()

  process = subprocess.Popen(
    [sys.executable, "-c", PLACE, f"{theirs_in}", f"{theirs_out}", PROGRAM, *FLAGS, f"--user-data-dir={profile}"],
    pass_fds=(theirs_in, theirs_out),
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  os.close(theirs_in)
  os.close(theirs_out)
  try:
    yield Tab(ours_out, ours_in)
  finally:
    process.kill()
    process.wait()
    os.close(ours_out)
    os.close(ours_in)
