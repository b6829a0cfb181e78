"""What a compiled program does is read from its text: programs written by hand, with numbers worked out by hand."""

import pytest

from genjax.train import hlo, hlo_text

LOOP = """HloModule jit_call, is_scheduled=true, num_partitions=4

FileNames
1 "/home/me/genjax/genjax/systems/winn.py"
2 "/usr/lib/python3/site-packages/jax/lax.py"

FileLocations
1 {file_name_id=1 function_name_id=1 line=180 end_line=180 column=2 end_column=9}
2 {file_name_id=2 function_name_id=2 line=7 end_line=7}

StackFrames
1 {file_location_id=1 parent_frame_id=1}
2 {file_location_id=2 parent_frame_id=2}

%fused (p0: f32[8,16], p1: f32[16,4]) -> f32[8,4] {
  %p0 = f32[8,16]{1,0} parameter(0)
  %p1 = f32[16,4]{1,0} parameter(1)
  ROOT %dot.1 = f32[8,4]{1,0} dot(%p0, %p1), lhs_contracting_dims={1}, rhs_contracting_dims={0}, \
operand_precision={highest,highest}
}

%body (t: (s32[], f32[8,16], f32[16,4], f32[8,4])) -> (s32[], f32[8,16], f32[16,4], f32[8,4]) {
  %t = (s32[], f32[8,16]{1,0}, f32[16,4]{1,0}, f32[8,4]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%t), index=0
  %x = f32[8,16]{1,0} get-tuple-element(%t), index=1
  %w = f32[16,4]{1,0} get-tuple-element(%t), index=2
  %y = f32[8,4]{1,0} fusion(%x, %w), kind=kOutput, calls=%fused
  %sum = f32[8,4]{1,0} all-reduce(%y), channel_id=1, replica_groups=[2,2]<=[4], to_apply=%add, \
metadata={op_name="jit(call)/while/body/psum" stack_frame_id=2}
  ROOT %out = (s32[], f32[8,16]{1,0}, f32[16,4]{1,0}, f32[8,4]{1,0}) tuple(%i, %x, %w, %sum)
}

%cond (t: (s32[], f32[8,16], f32[16,4], f32[8,4])) -> pred[] {
  %t = (s32[], f32[8,16]{1,0}, f32[16,4]{1,0}, f32[8,4]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%t), index=0
  %n = s32[] constant(BOUND)
  ROOT %less = pred[] compare(%i, %n), direction=LT
}

ENTRY %main (a: (s32[], f32[8,16], f32[16,4], f32[8,4])) -> (s32[], f32[8,16], f32[16,4], f32[8,4]) {
  %a = (s32[], f32[8,16]{1,0}, f32[16,4]{1,0}, f32[8,4]{1,0}) parameter(0)
  ROOT %while = (s32[], f32[8,16]{1,0}, f32[16,4]{1,0}, f32[8,4]{1,0}) while(%a), condition=%cond, body=%bodyKNOWN
}
"""
PRODUCT = 2 * 8 * 16 * 4
MOVED = 4 * (8 * 16 + 16 * 4 + 8 * 4)  # of the fusion: two operands and the result, float32
UNBOUND = LOOP.replace("%n = s32[] constant(BOUND)", "%n = s32[] get-tuple-element(%t), index=0")


def flops(reading):
  return reading.total(lambda work: work.flops)


@pytest.mark.parametrize(
  ("bound", "known"), [("20", ""), ("7", ', backend_config={"known_trip_count":{"n":"20"},"other":{"n":"3"}}')]
)
def test_the_body_of_a_loop_counts_as_often_as_it_runs(bound, known):
  reading = hlo.read(LOOP.replace("BOUND", bound).replace("KNOWN", known))
  assert reading.unknown_loops == 0
  assert flops(reading) == 20 * PRODUCT
  assert reading.total(lambda work: work.passes) == 20 * 6 * PRODUCT
  assert reading.total(lambda work: work.bytes) == 20 * MOVED + 21 * (4 + 4 + 1)  # the condition: two s32, one pred
  (sent,) = reading.collectives
  assert (sent.name, sent.shapes, sent.bytes, sent.times, sent.group) == ("all-reduce", ("f32[8,4]",), 128, 20, 2)
  assert sent.source == "jit(call)/while/body/psum (genjax/systems/winn.py:180)"


def test_a_loop_of_unknown_length_is_counted_once_and_reported():
  reading = hlo.read(UNBOUND.replace("KNOWN", ""))
  assert (flops(reading), reading.unknown_loops) == (PRODUCT, 1)


def test_the_caller_may_know_the_length_of_a_loop_that_the_text_does_not_have():
  text = UNBOUND.replace("KNOWN", "")
  assert (flops(hlo.read(text, [300])), hlo.read(text, [300]).unknown_loops) == (300 * PRODUCT, 0)
  assert (flops(hlo.read(text, [300, 5])), hlo.read(text, [300, 5]).unknown_loops) == (PRODUCT, 1)
  assert (flops(hlo.read(text, [300], steps=True)), hlo.read(text, [300], steps=True).unknown_loops) == (PRODUCT, 0)


BRANCHES = """
%fused (p0: f32[4,4]) -> f32[4,4] {
  %p0 = f32[4,4]{1,0} parameter(0)
  ROOT %dot = f32[4,4]{1,0} dot(%p0, %p0), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

%dear (t: (f32[4,4])) -> f32[] {
  %t = (f32[4,4]{1,0}) parameter(0)
  %x = f32[4,4]{1,0} get-tuple-element(%t), index=0
  %y = f32[4,4]{1,0} fusion(%x), kind=kOutput, calls=%fused
  ROOT %s = f32[] all-reduce-start(%y), replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%add
}

%cheap (t: ()) -> f32[] {
  ROOT %zero = f32[] constant(0)
}

%check (t: (f32[4,4])) -> f32[] {
  %t = (f32[4,4]{1,0}) parameter(0)
  %x = f32[4,4]{1,0} get-tuple-element(%t), index=0
  %r = f32[] reduce(%x), dimensions={0,1}, to_apply=%add
  ROOT %s = f32[] all-reduce(%r), replica_groups={}, to_apply=%add
}

ENTRY %main (p: pred[], x: (f32[4,4])) -> f32[] {
  %p = pred[] parameter(0)
  %x = (f32[4,4]{1,0}) parameter(1)
  %e = () tuple()
  %one = f32[] conditional(%p, %e, %x), true_computation=%cheap, false_computation=%dear
  ROOT %two = f32[] conditional(%p, %e, %x), branch_computations={%cheap, %check}
}
"""


def test_of_the_branches_the_one_with_products_counts_and_of_others_the_one_that_moves_least():
  reading = hlo.read(BRANCHES)
  assert flops(reading) == 2 * 4 * 4 * 4
  assert reading.total(lambda work: work.bytes) == 2 * 4 * 16  # nothing of `check`
  # The exchange of `check` is listed, and runs no time.
  assert [(sent.times, sent.group) for sent in reading.collectives] == [(1, 4), (0, 0)]


FUSED = """
%inner (p0: f32[8]) -> f32[8] {
  %p0 = f32[8]{0} parameter(0)
  ROOT %sum = f32[8]{0} all-reduce(%p0), replica_groups={}, to_apply=%add
}

%outer (p0: f32[8]) -> f32[2] {
  %p0 = f32[8]{0} parameter(0)
  %all = f32[8]{0} fusion(%p0), kind=kCustom, calls=%inner
  ROOT %part = f32[2]{0} slice(%all), slice={[0:2]}
}

ENTRY %main (x: f32[8]) -> f32[2] {
  %x = f32[8]{0} parameter(0)
  %one = f32[2]{0} fusion(%x), kind=kCustom, calls=%outer
  ROOT %two = f32[2]{0} fusion(%x), kind=kCustom, calls=%outer
}
"""


def test_an_exchange_within_fusions_runs_as_often_as_they_do():
  reading = hlo.read(FUSED)
  assert [(sent.name, sent.times) for sent in reading.collectives] == [("all-reduce", 2)]
  assert [work.bytes for work in reading.work] == [32 + 8, 32 + 8]


CONVOLUTION = """
ENTRY %main (x: f32[2,5,5,3], k: f32[3,3,3,8]) -> f32[2,3,3,8] {
  %x = f32[2,5,5,3]{3,2,1,0} parameter(0)
  %k = KIND[3,3,3,8]{3,2,1,0} parameter(1)
  ROOT %c = f32[2,3,3,8]{3,2,1,0} convolution(%x, %k), window={size=3x3 stride=2x2 pad=1_1x1_1}, \
dim_labels=b01f_01io->b01f, operand_precision={high,default}
}
"""


def test_a_convolution_costs_two_operations_for_each_multiply_add_that_meets_no_padding():
  # Along an axis of 5, outputs at -1, 1, 3 see 2, 3 and 2 of the kernel's 3 elements.
  reading = hlo.read(CONVOLUTION.replace("KIND", "f32"))
  assert flops(reading) == 2 * (2 * 8 * 3) * 7 * 7
  assert reading.total(lambda work: work.passes) == 3 * flops(reading)


SLICES = """
%read (p0: f32[1000,8], p1: s32[]) -> f32[10,8] {
  %p0 = f32[1000,8]{1,0} parameter(0)
  %p1 = s32[] parameter(1)
  %zero = s32[] constant(0)
  ROOT %part = f32[10,8]{1,0} dynamic-slice(%p0, %p1, %zero), dynamic_slice_sizes={10,8}
}

%write (p0: f32[1000,8], p1: f32[10,8], p2: s32[]) -> f32[1000,8] {
  %p0 = f32[1000,8]{1,0} parameter(0)
  %p1 = f32[10,8]{1,0} parameter(1)
  %p2 = s32[] parameter(2)
  ROOT %all = f32[1000,8]{1,0} dynamic-update-slice(%p0, %p1, %p2, %p2)
}

ENTRY %main (pool: f32[1000,8], i: s32[]) -> f32[1000,8] {
  %pool = f32[1000,8]{1,0} parameter(0)
  %i = s32[] parameter(1)
  %part = f32[10,8]{1,0} fusion(%pool, %i), kind=kLoop, calls=%read
  ROOT %new = f32[1000,8]{1,0} fusion(%pool, %part, %i), kind=kLoop, calls=%write
}
"""


def test_of_a_pool_only_what_is_read_and_written_counts():
  reading = hlo.read(SLICES)
  part, index = 10 * 8 * 4, 4
  assert [work.bytes for work in reading.work] == [part + index + part, part + index + part]


ON_CHIP = """
ENTRY %main (x: f32[10,3]) -> f32[10,3] {
  %x = f32[10,3]{1,0:T(8,128)} parameter(0)
  %start = (f32[10,3]{1,0:T(8,128)S(1)}, f32[10,3]{1,0:T(8,128)}, u32[]{:S(2)}) copy-start(%x)
  %near = f32[10,3]{1,0:T(8,128)S(1)} copy-done(%start)
  ROOT %y = f32[10,3]{0,1:T(8,128)} add(%near, %near)
}
"""


def test_arrays_count_with_the_padding_of_their_tiles_and_not_at_all_on_chip():
  copied, added = (work.bytes for work in hlo.read(ON_CHIP).work)
  assert copied == 16 * 128 * 4  # read from memory, written on chip
  assert added == 8 * 128 * 4  # the other axis is the minor one


@pytest.mark.parametrize(
  ("kind", "size", "memory"),
  [
    ("f32[10,3]{1,0:T(8,128)}", 120, 16 * 128 * 4),
    ("bf16[20]{0:T(256)}", 40, 512),
    ("(s4[3], pred[2,2]{1,0}, token[])", 6, 6),
    ("f32[]", 4, 4),
    ("f32[4,8]{1,0:T(8,128)S(1)}", 128, 0),
  ],
)
def test_the_bytes_of_a_type(kind, size, memory):
  assert (hlo_text.size_of(kind), hlo_text.memory_of(kind)) == (size, memory)
