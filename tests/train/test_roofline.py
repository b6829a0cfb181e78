"""Times of a program on a slice, against numbers worked out by hand from the published ones."""

import pytest

from genjax.train.chips import CHIPS, chip_of, closed, grid_of
from genjax.train.hlo import Collective, Reading, Work
from genjax.train.roofline import Scale, exchange_seconds, scaling, seconds, work_for

V3, V4, V5E = (CHIPS[kind] for kind in ("v3", "v4", "v5e"))


def sent(bytes, name="all-reduce", times=1.0, group=0):
  return Collective(name, ("f32[1]",), bytes, "", times, group)


@pytest.mark.parametrize(
  ("kind", "device_kind"),
  [("v2", "TPU v2"), ("v3", "TPU v3"), ("v4", "TPU v4"), ("v5e", "TPU v5 lite"), ("v5p", "TPU v5"), ("v6e", "TPU v6e")],
)
def test_a_chip_is_known_by_what_jax_calls_its_device(kind, device_kind):
  assert chip_of(device_kind).kind == kind


def test_a_device_that_is_no_tpu_is_no_chip():
  assert chip_of("cpu") is None


@pytest.mark.parametrize(
  ("kind", "chips", "grid", "rings"),
  [
    ("v4", 8, (2, 2, 2), (False, False, False)),
    ("v4", 16, (2, 2, 4), (False, False, False)),  # its optical switches close whole cubes alone
    ("v4", 512, (8, 8, 8), (True, True, True)),
    ("v5e", 128, (8, 16), (False, True)),
    ("v3", 64, (8, 8), (False, False)),
  ],
)
def test_chips_stand_in_a_grid_whose_long_axes_are_rings(kind, chips, grid, rings):
  assert grid_of(CHIPS[kind], chips) == grid
  assert closed(CHIPS[kind], grid) == rings


def test_an_instruction_takes_its_products_or_its_bytes_whichever_is_longer():
  work = (
    Work("product", times=2, flops=1e9, passes=275e9, bytes=12),  # 1 ms at 275 TFLOP/s
    Work("copy", times=1, flops=0, passes=0, bytes=1_200_000),  # 1 us at 1.2 TB/s
  )
  took = seconds(Reading(work, (), 0), V4, (2, 2, 4))
  assert took.compute == pytest.approx(2e-3)
  assert took.memory == pytest.approx(1e-6 + 2 * 1e-11)
  assert (took.collectives, took.total) == (0.0, pytest.approx(2e-3 + 1e-6))


def test_a_device_of_v3_is_half_a_chip():
  work = (Work("product", 1, 1.0, 123e9, 0), Work("copy", 1, 0.0, 0.0, 900_000))
  took = seconds(Reading(work, (), 0), V3, (2, 2))
  assert (took.compute, took.memory) == (pytest.approx(2e-3), pytest.approx(2e-6))


@pytest.mark.parametrize(
  ("chip", "grid", "one", "took"),
  [
    # 2 V 15/16 over three lines of 45 GB/s each way.
    (V4, (2, 2, 4), sent(135_000_000), 2 * 135e6 * 15 / 16 / 135e9),
    # Rings: both ways round, 2 * 3 * 45 GB/s.
    (V4, (4, 4, 4), sent(135_000_000), 2 * 135e6 * 63 / 64 / 270e9),
    (V4, (4, 4, 4), sent(135_000_000, "all-gather"), 135e6 * 63 / 64 / 270e9),
    (V4, (4, 4, 4), sent(1_000_000, "reduce-scatter"), 1e6 * 63 / 270e9),
    (V4, (4, 4, 4), sent(1_000_000, "all-to-all"), 1e6 * 64 / 4 / 270e9),
    (V4, (4, 4, 4), sent(45_000_000, "collective-permute"), 1e-3),
    # A few bytes: 2 ways of 2 hops on each of three rings, 1 + 1 + 3 hops along lines.
    (V4, (4, 4, 4), sent(4), 2 * 6e-6),
    (V4, (2, 2, 4), sent(4), 2 * 5e-6),
    (V4, (1, 1, 1), sent(10**9), 0.0),
    # Groups of four: a ring of its own.
    (V4, (4, 4, 4), sent(90_000_000, group=4), 2 * 90e6 * 3 / 4 / 90e9),
    # v3's two cores a chip share its links: 8 cores are 4 chips, two lines of 100 GB/s.
    (V3, (2, 2), sent(200_000_000), 2 * 200e6 * 7 / 8 / 200e9),
    (V3, (2, 2), sent(900_000_000, group=2), 2 * 900e6 / 2 / 900e9),  # within a chip: through its memory
  ],
)
def test_an_exchange_goes_along_all_axes_of_the_grid_or_takes_a_microsecond_a_hop(chip, grid, one, took):
  assert exchange_seconds(one, chip, grid) == pytest.approx(took, rel=1e-12)


def test_on_more_chips_the_work_stays_and_the_exchange_grows_with_the_way():
  rows = {row.chips: row for row in scaling(1e-3, [sent(135_000_000, times=2.0)], V4)}
  assert list(rows) == [8, 16, 32, 64, 128, 256, 512]
  assert rows[64].seconds == pytest.approx(1e-3 + 2 * 2 * 135e6 * 63 / 64 / 270e9)
  assert rows[64].efficiency == pytest.approx(1e-3 / rows[64].seconds)


def test_beyond_the_greatest_slice_each_chips_share_goes_over_the_network_too():
  inside, beyond = scaling(1e-3, [sent(256_000_000)], V5E, (256, 512))
  # Two slices exchange 1 MB a chip at 3.125 GB/s, beside the exchange within each.
  assert beyond.seconds - inside.seconds == pytest.approx(2 * 1e6 / 2 / 3.125e9)


@pytest.mark.parametrize(("efficiency", "times"), [(0.5, 19), (0.9, 3), (0.95, 1), (0.99, 1)])
def test_the_work_a_chip_that_brings_the_share_of_exchanges_down_to_a_twentieth(efficiency, times):
  assert work_for(0.95, Scale(512, 1.0, efficiency)) == times
