"""A section becomes the call that it names; whatever is wrong with it is one line that names the key."""

from typing import Literal, NamedTuple

import pytest
from ml_collections import ConfigDict

from genjax import registry
from genjax.make import Maker, UsageError, checked, make


class Brush(NamedTuple):
  width: int
  colour: str


def brush(*, width: int = 1, colour: Literal["red", "blue"] = "red") -> Brush:
  if width < 1:
    raise ValueError(f"width {width}; use at least 1")
  return Brush(width, colour)


def painting(
  net: Brush,
  *,
  shape: tuple[int, int],
  classes: int | None = None,
  rate: float = 0.5,
  sizes: tuple[int, ...] = (),
  flag: bool = False,
  optimizer: Brush | None = None,
):
  return locals()


def needs_classes(*, classes: int):
  return classes


@pytest.fixture(autouse=True)
def tables(monkeypatch):
  monkeypatch.setitem(registry.KINDS, "net", {"brush": f"{__name__}:brush"})
  monkeypatch.setitem(registry.KINDS, "optimizer", {"brush": f"{__name__}:brush"})
  rows = {"painting": f"{__name__}:painting", "needs_classes": f"{__name__}:needs_classes"}
  monkeypatch.setitem(registry.KINDS, "system", rows)


FACTS = Maker({"shape": (8, 8), "classes": 10, "width": 7})


def test_a_section_is_the_call_that_it_names_and_nested_sections_are_made_first():
  section = ConfigDict({"name": "painting", "rate": 1, "sizes": [3, 4], "net": {"name": "brush", "colour": "blue"}})
  made = make("system", section, FACTS)
  assert made["net"] == Brush(7, "blue")  # a fact fills what is left out, at any depth
  assert (made["shape"], made["classes"], made["rate"], made["sizes"]) == ((8, 8), 10, 1, (3, 4))


def test_what_stands_beside_a_section_is_its_argument_too():
  made = make("system", {"name": "painting"}, FACTS, beside={"net": {"name": "brush", "width": 2}})
  assert made["net"] == Brush(2, "red")


def test_a_word_where_a_section_is_wanted_is_the_section_of_that_name():
  assert make("system", {"name": "painting", "net": "brush"}, FACTS)["net"] == Brush(7, "red")


NET = {"net": {"name": "brush"}}


@pytest.mark.parametrize(
  ("section", "parts"),
  [
    ({"name": "paintin", **NET}, ["config.system.name='paintin'", "did you mean painting"]),
    ({**NET}, ["config.system.name is missing", "painting"]),
    ({"name": "painting", "rat": 1, **NET}, ["config.system.rat;", "did you mean rate", "sizes"]),
    ({"name": "painting", "net": {"name": "brush", "widht": 1}}, ["config.system.net.widht", "did you mean width"]),
    ({"name": "painting", "net": {"name": "brsh"}}, ["config.system.net.name='brsh'", "did you mean brush"]),
    ({"name": "painting", "net": {"name": "brush", "width": 0}}, ["config.system.net: width 0; use at least 1"]),
    ({"name": "painting", "net": {"name": "brush", "colour": "green"}}, ["colour='green'", "one of 'red', 'blue'"]),
    ({"name": "painting", "rate": "x", **NET}, ["config.system.rate='x' is no float"]),
    ({"name": "painting", "flag": 3, **NET}, ["config.system.flag=3 is no bool"]),
    ({"name": "painting", "sizes": (1, 2.5), **NET}, ["config.system.sizes=(1, 2.5) is no tuple of int"]),
    ({"name": "painting", "classes": True, **NET}, ["classes=True", "int or None"]),
    ({"name": "painting", "shape": (9, 9), **NET}, ["shape=(9, 9)", "the data have (8, 8)", "leave it out"]),
    ({"name": "painting"}, ["painting needs net", "set config.system.net"]),
    ({"name": "nowhere.at_all:Net"}, ["nowhere.at_all:Net", "cannot be imported"]),
    ({"name": "os.path:nothing"}, ["os.path:nothing", "nothing"]),
  ],
)
def test_a_mistake_is_one_line_that_names_the_key(section, parts):
  with pytest.raises(UsageError) as caught:
    make("system", section, FACTS)
  assert "\n" not in str(caught.value)
  assert all(part in str(caught.value) for part in parts), caught.value


def test_what_the_data_do_not_have_is_named():
  with pytest.raises(UsageError, match="needs_classes needs classes, and the data have none"):
    make("system", {"name": "needs_classes"}, Maker({"classes": None}))


def test_a_name_may_be_the_users_own_function():
  assert make("system", {"name": "colorsys:rgb_to_hsv", "r": 1.0, "g": 0.0, "b": 0.0}) == (0.0, 1.0, 1.0)


def test_code_outside_the_registry_runs_only_where_its_package_is_allowed():
  section = {"name": "colorsys:rgb_to_hsv", "r": 1.0, "g": 0.0, "b": 0.0}
  with pytest.raises(UsageError, match="--allow colorsys"):
    make("system", section, Maker(allow=()))
  assert make("system", section, Maker(allow=("colorsys",)))


def test_nothing_is_imported_before_it_is_allowed(tmp_path, monkeypatch):
  (tmp_path / "hostile_net.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef f(): return 1\n")
  monkeypatch.syspath_prepend(str(tmp_path))
  with pytest.raises(UsageError, match="--allow hostile_net"):
    make("net", {"name": "hostile_net:f"}, Maker(allow=()))
  assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
  ("value", "hint", "result"),
  [
    (1, float, 1),
    (None, int | None, None),
    ([1, 2], tuple[int, int], (1, 2)),
    (2024, str, "2024"),
    (1, int | float, 1),
  ],
)
def test_values_that_an_annotation_admits_pass(value, hint, result):
  assert checked(value, hint, at="here") == result
  assert type(checked(value, hint, at="here")) is type(result)
