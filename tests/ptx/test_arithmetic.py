"""Each instruction against numpy, on values at the edges of its type."""

# ruff: noqa: E501 - one line for each instruction
from __future__ import annotations

import numpy as np
import pytest

from benchsuite.cuda_ext.ptx import Program, Uninitialised, from_bf16, to_bf16
from benchsuite.cuda_ext.ptx.arithmetic import TYPES, UnknownInstruction, operation
from benchsuite.cuda_ext.ptx.parse import parse

pytestmark = pytest.mark.slow

F = np.array([0.0, -0.0, 1.5, -2.25, 3e38, -3e38, 1e-40, np.inf, -np.inf, np.nan, 0.1, 7.0], np.float32)
I = np.array([0, 1, -1, 2**31 - 1, -(2**31), 12345, -54321, 31, 32, 33, 255, 65536], np.int64).astype(np.int32)  # noqa: E741


def run(instruction: str, inputs: list[np.ndarray], result: str) -> np.ndarray:
    """The instruction on registers %a, %b, %c of the inputs' types, one thread for each element; %d comes back."""
    names = {np.dtype("f4"): "f32", np.dtype("i4"): "b32", np.dtype("u4"): "b32", np.dtype("u2"): "b16",
             np.dtype("i8"): "b64", np.dtype("u8"): "b64", np.dtype("f2"): "b16"}  # fmt: skip
    kinds = [names[x.dtype] for x in inputs]
    size = TYPES[result].itemsize
    store = {2: "b16", 4: "b32", 8: "b64"}[size]
    lines = [f".reg .{kind} %{name};" for kind, name in zip(kinds, "abc", strict=False)]
    loads = []
    for number, (kind, name) in enumerate(zip(kinds, "abc", strict=False)):
        width = TYPES[kind].itemsize
        loads += [f"ld.param.u64 %p, [p{number}];", f"mul.wide.u32 %o, %t, {width};", "add.s64 %p, %p, %o;"]
        loads += [f"ld.global.{kind} %{name}, [%p];"]
    end = [f"ld.param.u64 %p, [p{len(inputs)}];", f"mul.wide.u32 %o, %t, {size};", "add.s64 %p, %p, %o;"]
    text = f""".visible .entry k({", ".join(f".param .u64 p{i}" for i in range(len(inputs) + 1))})
{{
.reg .b64 %p, %o; .reg .b32 %t; .reg .pred %q; .reg .{store} %d;
{chr(10).join(lines)}
mov.u32 %t, %tid.x;
{chr(10).join(loads)}
{instruction}
{chr(10).join(end)}
st.global.{store} [%p], %d;
ret;
}}
"""
    n = len(inputs[0])
    found = Program(parse(text)).launch("k", (1,), (n,), [*inputs, Uninitialised((n,), TYPES[result])])
    return found.arrays[len(inputs)]


@pytest.mark.parametrize(
    ("instruction", "want"),
    [
        ("add.f32 %d, %a, %b;", lambda a, b: a + b),
        ("sub.f32 %d, %a, %b;", lambda a, b: a - b),
        ("mul.f32 %d, %a, %b;", lambda a, b: a * b),
        ("div.rn.f32 %d, %a, %b;", lambda a, b: a / b),
        ("min.f32 %d, %a, %b;", np.fmin),
        ("max.f32 %d, %a, %b;", np.fmax),
        ("copysign.f32 %d, %a, %b;", lambda a, b: np.copysign(b, a)),
        ("fma.rn.f32 %d, %a, %b, %a;", lambda a, b: (a.astype("f8") * b + a).astype("f4")),
        ("neg.f32 %d, %a;", lambda a, b: -a),
        ("abs.f32 %d, %a;", lambda a, b: np.abs(a)),
        ("ex2.approx.ftz.f32 %d, %a;", lambda a, b: np.exp2(a.astype("f8")).astype("f4")),
        ("lg2.approx.f32 %d, %a;", lambda a, b: np.log2(a.astype("f8")).astype("f4")),
        ("rcp.rn.f32 %d, %a;", lambda a, b: (1 / a.astype("f8")).astype("f4")),
        ("rsqrt.approx.f32 %d, %a;", lambda a, b: (1 / np.sqrt(a.astype("f8"))).astype("f4")),
        ("sqrt.rn.f32 %d, %a;", lambda a, b: np.sqrt(a)),
        ("tanh.approx.f32 %d, %a;", lambda a, b: np.tanh(a.astype("f8")).astype("f4")),
        ("cvt.rzi.f32.f32 %d, %a;", lambda a, b: np.trunc(a)),
        ("cvt.rni.f32.f32 %d, %a;", lambda a, b: np.rint(a)),
        ("setp.gt.f32 %q, %a, %b; selp.f32 %d, %a, %b, %q;", lambda a, b: np.where(a > b, a, b)),
        ("setp.gtu.f32 %q, %a, %b; selp.f32 %d, %a, %b, %q;", lambda a, b: np.where(~(a <= b), a, b)),
        ("setp.nan.f32 %q, %a, %b; selp.f32 %d, %a, 0f3F800000, %q;", lambda a, b: np.where(np.isnan(a + 0 * b) | np.isnan(b), a, np.float32(1))),
    ],
)  # fmt: skip
def test_float32(instruction: str, want) -> None:
    a, b = (x.ravel() for x in np.meshgrid(F, F))
    with np.errstate(all="ignore"):
        expected = want(a, b)
        if "nan" in instruction:
            expected = np.where(np.isnan(a) | np.isnan(b), a, np.float32(1))
    np.testing.assert_array_equal(run(instruction, [a, b], "f32"), expected)


@pytest.mark.parametrize(
    ("instruction", "result", "want"),
    [
        ("add.s32 %d, %a, %b;", "s32", lambda a, b: a + b),
        ("sub.s32 %d, %a, %b;", "s32", lambda a, b: a - b),
        ("mul.lo.s32 %d, %a, %b;", "s32", lambda a, b: a * b),
        ("mul.hi.s32 %d, %a, %b;", "s32", lambda a, b: (a.astype("i8") * b >> 32).astype("i4")),
        ("mul.hi.u32 %d, %a, %b;", "u32", lambda a, b: (a.view("u4").astype("u8") * b.view("u4") >> np.uint64(32)).astype("u4")),
        ("mul.wide.s32 %d, %a, %b;", "s64", lambda a, b: a.astype("i8") * b),
        ("mul.wide.u32 %d, %a, %b;", "u64", lambda a, b: a.view("u4").astype("u8") * b.view("u4")),
        ("mad.lo.s32 %d, %a, %b, 7;", "s32", lambda a, b: a * b + np.int32(7)),
        ("min.s32 %d, %a, %b;", "s32", np.minimum),
        ("max.u32 %d, %a, %b;", "u32", lambda a, b: np.maximum(a.view("u4"), b.view("u4"))),
        ("and.b32 %d, %a, %b;", "u32", lambda a, b: (a & b).view("u4")),
        ("or.b32 %d, %a, %b;", "u32", lambda a, b: (a | b).view("u4")),
        ("xor.b32 %d, %a, -1;", "u32", lambda a, b: (~a).view("u4")),
        ("not.b32 %d, %a;", "u32", lambda a, b: (~a).view("u4")),
        ("shl.b32 %d, %a, 5;", "u32", lambda a, b: a.view("u4") << np.uint32(5)),
        ("shl.b32 %d, %a, 32;", "u32", lambda a, b: 0 * a.view("u4")),
        ("shr.u32 %d, %a, 33;", "u32", lambda a, b: 0 * a.view("u4")),
        ("shr.u32 %d, %a, 3;", "u32", lambda a, b: a.view("u4") >> np.uint32(3)),
        ("shr.s32 %d, %a, 3;", "s32", lambda a, b: a >> 3),
        ("shr.s32 %d, %a, 40;", "s32", lambda a, b: a >> 31),
        ("setp.lt.s32 %q, %a, %b; selp.b32 %d, 1, 2, %q;", "u32", lambda a, b: np.where(a < b, 1, 2)),
        ("setp.lt.u32 %q, %a, %b; selp.b32 %d, 1, 2, %q;", "u32", lambda a, b: np.where(a.view("u4") < b.view("u4"), 1, 2)),
        ("setp.ne.s32 %q, %a, 0; setp.lt.and.s32 %q, %a, %b, %q; selp.b32 %d, 1, 2, %q;", "u32", lambda a, b: np.where((a < b) & (a != 0), 1, 2)),
        ("setp.ne.s32 %q, %a, 0; setp.lt.or.s32 %q, %a, %b, !%q; selp.b32 %d, 1, 2, %q;", "u32", lambda a, b: np.where((a < b) | (a == 0), 1, 2)),
        ("bfi.b32 %d, %a, %b, 5, 9;", "u32", lambda a, b: (b.view("u4") & ~np.uint32(511 << 5)) | (a.view("u4") & np.uint32(511)) << np.uint32(5)),
        ("bfi.b32 %d, %a, %b, 28, 9;", "u32", lambda a, b: (b.view("u4") & np.uint32(2**28 - 1)) | a.view("u4") << np.uint32(28)),
        ("bfe.u32 %d, %a, 3, 7;", "u32", lambda a, b: a.view("u4") >> np.uint32(3) & np.uint32(127)),
        ("bfe.s32 %d, %a, 3, 7;", "s32", lambda a, b: (a << 22) >> 25),
        ("bfe.s32 %d, %a, 28, 9;", "s32", lambda a, b: a >> 28),
        ("bfe.s32 %d, %a, 3, 0;", "s32", lambda a, b: 0 * a),
        ("prmt.b32 %d, %a, %b, 0x5410;", "u32", lambda a, b: (a.view("u4") & np.uint32(0xFFFF)) | b.view("u4") << np.uint32(16)),
        ("prmt.b32 %d, %a, %b, 0xbb73;", "u32", lambda a, b: a.view("u4") >> np.uint32(24) | b.view("u4") >> np.uint32(24) << np.uint32(8) | np.where(a < 0, np.uint32(0xFFFF0000), np.uint32(0))),
        ("lop3.b32 %d, %a, %b, 0x0F0F0F0F, 0x96;", "u32", lambda a, b: a.view("u4") ^ b.view("u4") ^ np.uint32(0x0F0F0F0F)),
        ("lop3.b32 %d, %a, %b, 0x0F0F0F0F, 0xEA;", "u32", lambda a, b: (a.view("u4") & b.view("u4")) | np.uint32(0x0F0F0F0F)),
        ("popc.b32 %d, %a;", "u32", lambda a, b: np.array([int(x).bit_count() for x in a.view("u4")], "u4")),
        ("clz.b32 %d, %a;", "u32", lambda a, b: np.array([32 - int(x).bit_length() for x in a.view("u4")], "u4")),
        ("brev.b32 %d, %a;", "u32", lambda a, b: np.array([int(f"{x:032b}"[::-1], 2) for x in a.view("u4")], "u4")),
        ("cvt.rn.f32.s32 %d, %a;", "f32", lambda a, b: a.astype("f4")),
        ("cvt.rn.f32.u32 %d, %a;", "f32", lambda a, b: a.view("u4").astype("f4")),
        ("cvt.s64.s32 %d, %a;", "s64", lambda a, b: a.astype("i8")),
        ("cvt.u64.u32 %d, %a;", "u64", lambda a, b: a.view("u4").astype("u8")),
        ("@%q mov.u32 %d, 1; setp.gt.s32 %q, %a, 5; mov.u32 %d, 3; @!%q mov.u32 %d, 4;", "u32", None),
    ],
)  # fmt: skip
def test_integers(instruction: str, result: str, want) -> None:
    a, b = (x.ravel().copy() for x in np.meshgrid(I, I))
    if want is None:  # a guard that reads a predicate nobody set is a fault; without it the guard chooses
        instruction = instruction.split(";", 1)[1]
        expected = np.where(a > 5, 3, 4)
    else:
        with np.errstate(all="ignore"):
            expected = want(a, b)
    np.testing.assert_array_equal(run(instruction, [a, b], result), expected.astype(TYPES[result]))


def test_integer_division_truncates_and_never_divides_by_zero() -> None:
    a, b = (x.ravel().copy() for x in np.meshgrid(I[3:], I[5:]))
    want = np.trunc(a.astype("f8") / b).astype("i4")
    np.testing.assert_array_equal(run("div.s32 %d, %a, %b;", [a, b], "s32"), want)
    np.testing.assert_array_equal(run("rem.s32 %d, %a, %b;", [a, b], "s32"), a - want * b)
    with pytest.raises(RuntimeError, match="division by zero"):
        run("div.s32 %d, %a, %b;", [I, 0 * I], "s32")


def test_floats_to_integers_saturate_and_nan_is_zero() -> None:
    got = run("cvt.rzi.s32.f32 %d, %a;", [F], "s32")
    assert got.tolist() == [0, 0, 1, -2, 2**31 - 1, -(2**31), 0, 2**31 - 1, -(2**31), 0, 0, 7]
    assert run("cvt.rni.u32.f32 %d, %a;", [F], "u32").tolist() == [0, 0, 2, 0, 2**32 - 1, 0, 0, 2**32 - 1, 0, 0, 0, 7]


def test_sixteen_bit_types_round_to_nearest_even() -> None:
    import torch

    x = np.concatenate([F, np.float32([1 + 2**-8, 1 + 3 * 2**-8, 65504, 65519.9, 65520, 2**-24, 2**-25, 1 / 3])])
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(run("cvt.rn.f16.f32 %d, %a;", [x], "f16"), x.astype(np.float16))
    got = run("cvt.rn.bf16.f32 %d, %a;", [x], "u16")
    want = torch.from_numpy(x).bfloat16()
    known = ~np.isnan(x)
    np.testing.assert_array_equal(got[known], want.view(torch.int16).numpy().view(np.uint16)[known])
    assert np.isnan(from_bf16(got)[~known]).all()
    np.testing.assert_array_equal(run("cvt.f32.bf16 %d, %a;", [to_bf16(x)], "f32"), from_bf16(to_bf16(x)))
    packed = run("cvt.rn.bf16x2.f32 %d, %a, %b;", [x, x[::-1].copy()], "u32")
    np.testing.assert_array_equal(packed >> 16, to_bf16(x))
    np.testing.assert_array_equal(packed & 0xFFFF, to_bf16(x[::-1]))


def test_packs_are_lowest_first() -> None:
    a, b = np.uint16([1, 2, 3]), np.uint16([9, 8, 7])
    np.testing.assert_array_equal(run("mov.b32 %d, {%a, %b};", [a, b], "u32"), a + (b.astype("u4") << 16))
    wide = np.uint32([0x00010002, 0xFFFF0000])
    assert run(".reg .b16 %l, %h; mov.b32 {%l, %h}, %a; mov.b16 %d, %h;", [wide], "u16").tolist() == [1, 0xFFFF]


@pytest.mark.parametrize(
    "text", ["add.rz.f32", "add.sat.f32", "mul.hi.s16", "dp4a.s32.s32", "fma.rn.relu.f32", "add.f8"]
)
def test_an_instruction_or_modifier_that_is_not_known_is_named(text: str) -> None:
    with pytest.raises(UnknownInstruction, match=text):
        operation(tuple(text.split(".")))
