"""The page in a real browser, at a desk and on a phone; left out where no Chromium is installed."""

import browser
import pytest
from workdirs import CONFIG, ROWS, write

from genjax.page.build import page
from genjax.page.read import read

pytestmark = pytest.mark.skipif(browser.PROGRAM is None, reason="needs chromium (apt-get install chromium)")
FITS = "document.documentElement.scrollWidth <= innerWidth"
SHOWN = "[...document.querySelectorAll('.frame')].filter(one => one.offsetParent).map(one => one.dataset.step).join()"


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
  with browser.tab(tmp_path_factory.mktemp("profile")) as opened:
    yield opened


@pytest.fixture(scope="module")
def address(tmp_path_factory):
  folder = tmp_path_factory.mktemp("pages")
  rows = [{"step": 5, "loss": None, "eval/<b>": -1.0}, {"step": 6, "loss": 0.0}, *ROWS]
  odd = [1e308, -1e308, 5e-324, 1.0, 1.0000000000000002]
  rows += [{"step": 9 + i, "far": y, "near": 1 + 3e-16 * i, "same": 7.0} for i, y in enumerate(odd)]
  rows += [{"step": 2**53 - 1, "late": 1e-300}]
  long = {**CONFIG, "data": {"name": "digits", "path": "a" * 300}}
  runs = [write(folder / "one"), write(folder / f"two{'_' * 100}<script>x", rows=rows, config=long, samples=(0, 15))]
  texts = write(folder / "texts", text="t" * 2000, samples=(20,))
  path = folder / "page.html"
  path.write_bytes(page([read(str(run), run.name) for run in (*runs, texts)]))
  return path.as_uri()


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False), (390, True)])
def test_nothing_is_wider_than_the_page_nothing_is_loaded_and_the_console_is_silent(width, dark, tab, address):
  tab.requests.clear()
  tab.open(address, width, dark=dark)
  assert tab.value(FITS)
  tab.value("document.querySelectorAll('details').forEach(one => one.open = true)")
  assert tab.value(FITS)
  assert tab.value("document.querySelectorAll('.plot path').length") == 4 * 3 + 5
  assert tab.value("[...document.images].every(one => one.complete && one.naturalWidth)")
  assert {url for url in tab.requests if not url.startswith("data:")} == {address}
  assert not tab.said


def test_the_slider_moves_by_keys_and_every_run_shows_its_last_samples_up_to_it(tab, address):
  tab.open(address, 1280)
  assert tab.value(SHOWN) == "20,15,20"
  tab.value("document.getElementById('slider').focus()")
  tab.press("ArrowLeft")
  assert tab.value("document.getElementById('slider-step').textContent") == "15"
  assert tab.value(SHOWN) == "10,15,20"
  tab.press("Home")
  assert tab.value(SHOWN) == "0,0,20"
  assert tab.value("document.getElementById('slider').getAttribute('aria-valuetext')") == "step 0"
  assert not tab.said


def test_a_curve_is_read_by_keys_and_by_pointing_and_drawn_on_a_log_scale(tab, address):
  tab.open(address, 1280)
  tab.value("document.querySelectorAll('.plot svg')[1].focus()")
  for key, said in (("Home", "onestep 10: 9"), ("ArrowRight", "onestep 20: 4.25"), ("ArrowLeft", "onestep 10: 9")):
    tab.press(key)
    assert tab.value("document.querySelectorAll('.plot')[1].querySelector('li').textContent") == said
  tab.value("document.querySelectorAll('.plot svg')[1].scrollIntoView({block: 'center', behavior: 'instant'})")
  x, y = tab.value(
    "(() => {const b = document.querySelectorAll('.plot svg')[1].getBoundingClientRect();"
    "return [b.right - 20, b.top + 30]})()"
  )
  tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
  assert tab.value("document.querySelectorAll('.plot')[1].querySelector('li').textContent") == "onestep 20: 4.25"
  assert tab.value("document.querySelectorAll('.plot .cursor').length") == 1
  tab.value("document.querySelector('input[name=y][value=log]').click()")
  assert "1 at 0 or below, not on a log scale" in tab.value("document.getElementById('plots').textContent")
  tab.value("document.querySelectorAll('input[name=run]')[0].click()")
  assert tab.value("document.querySelectorAll('.plot .run-0 path').length") == 0
  assert not tab.said
