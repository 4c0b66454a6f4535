"""What an operator is given may be anything: it is computed or refused, and no memory of others is read or written.

`test_sanitizers.py` runs this file under AddressSanitizer, where what is wrongly accepted ends the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchsuite import cuda_ext
from benchsuite.cuda_ext.attention import attention, attention_qkv
from benchsuite.cuda_ext.rotary import rotary, rotary_

pytestmark = pytest.mark.slow

OPS = torch.ops.benchsuite
B, H, T, D = 1, 2, 6, 8


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    cuda_ext.load()


def given(name: str) -> list[Any]:
    """Arguments that the operator takes."""
    x, w, b, row = torch.randn(4, 8), torch.randn(8), torch.randn(8), torch.rand(4) + 0.5
    tokens, table = torch.randint(5, (4,)), torch.randn(5, 8)
    places, place_table = torch.randint(3, (4,)), torch.randn(3, 8)
    q, k, v, out = (torch.randn(B, H, T, D) for _ in range(4))
    out = out.transpose(1, 2).contiguous()
    slopes, lse, qkv = torch.rand(H), torch.rand(B, H, T), torch.randn(B, T, 3, H, D)
    cos, sin = torch.rand(T, D // 2), torch.rand(T, D // 2)
    position = [slopes, cos, sin, True, 0.3]
    scores = torch.rand(B, H, T, T)
    return {
        "act": [x, b, "gelu"],
        "act_out": [x, b, "gelu", torch.empty(4, 8)],
        "act_backward": [x.clone(), x, b, "gelu"],
        "glu": [x, b, "swiglu"],
        "glu_out": [x, b, "swiglu", torch.empty(4, 4)],
        "glu_backward": [torch.randn(4, 4), x, b, "swiglu"],
        "glu_separate": [x, x.clone(), "geglu"],
        "glu_separate_backward": [x.clone(), x, x.clone(), "geglu"],
        "layer_norm": [x, w, b, 1e-5],
        "layer_norm_out": [x, w, b, 1e-5, torch.empty(4, 8), torch.empty(4), torch.empty(4)],
        "layer_norm_backward": [x.clone(), x, w, row, row.clone()],
        "embedding_layer_norm": [tokens, table, places, place_table, w, b, 1e-5],
        "embedding_layer_norm_backward": [x, tokens, table, w, row, row.clone()],
        "embedding_layer_norm_rows_backward": [x, tokens, table, w, row, row.clone()],
        "embedding": [tokens, table],
        "embedding_backward": [x, tokens, 5],
        "rotary": [q, k, cos[None], sin[None], False, 1.0],
        "rotary_": [q, k, cos[None], sin[None], False, 1.0],
        "alibi_softmax": [scores, slopes, 0.5, True],
        "alibi_softmax_out": [scores, slopes, 0.5, True, torch.empty(B, H, T, T)],
        "alibi_softmax_backward": [scores.clone(), scores, 0.5, True],
        "attention": [q, k, v, *position],
        "attention_backward": [out.clone(), q, k, v, out, lse, *position],
        "attention_qkv": [qkv, *position],
        "attention_qkv_backward": [out.clone(), qkv, out, lse, *position],
        "cross_entropy_rows_": [torch.randn(4, 9), torch.randint(9, (4,)), -100, 1.0, True],
        "linear_cross_entropy": [x, torch.randn(9, 8), torch.randint(9, (4,)), -100, True],
        "rounded_cross_entropy": [x, torch.randn(9, 8), torch.randint(9, (4,)), -100, True],
        "linear": [x, torch.randn(9, 8), torch.randn(9), torch.randn(4, 9)],
        "linear_backward": [torch.randn(4, 9), x, torch.randn(9, 8), True, True, True],
    }[name]


NAMES = [
    *("act", "act_out", "act_backward", "glu", "glu_out", "glu_backward", "glu_separate", "glu_separate_backward"),
    *("layer_norm", "layer_norm_out", "layer_norm_backward", "embedding", "embedding_backward"),
    *("embedding_layer_norm", "embedding_layer_norm_backward", "embedding_layer_norm_rows_backward"),
    *("rotary", "rotary_", "alibi_softmax", "alibi_softmax_out", "alibi_softmax_backward", "linear_cross_entropy"),
    *("attention", "attention_backward", "attention_qkv", "attention_qkv_backward", "cross_entropy_rows_"),
    *("linear", "linear_backward", "rounded_cross_entropy"),
]
PRODUCTS = ("linear", "linear_backward", "rounded_cross_entropy")  # of a CPU that has them


def spoiled(x: Tensor) -> Iterator[tuple[str, Tensor]]:
    """x in ways that may not fit: other types, shapes, lengths, layouts, indices."""
    for dtype in (torch.bfloat16, torch.float64, torch.int64, torch.int8, torch.complex64):
        if dtype != x.dtype:
            yield f"as {dtype}", x.to(dtype)
    if not x.is_floating_point():
        for index in (-1, -(2**40), 2**40, int(x.max()) + 100):
            yield f"with {index}", torch.where(torch.arange(len(x)) == 1, index, x)
    yield "empty", x[:0]
    yield "without a dimension", x.flatten()[0].clone()
    yield "with a dimension more", x[None]
    yield "flat", x.flatten()
    yield "on meta", x.to("meta")
    for d in range(x.dim()):
        yield f"shorter in {d}", x.narrow(d, 0, x.shape[d] - 1)
        yield f"longer in {d}", torch.cat((x, x), d)
        yield f"one in {d}", x.narrow(d, 0, 1)
        yield f"no element in {d}", x.narrow(d, 0, 0)
        yield f"the same element along {d}", x.narrow(d, 0, 1).expand(x.shape)
        yield f"every other one along {d}", x.repeat_interleave(2, d)[(slice(None),) * d + (slice(None, None, 2),)]
        yield f"transposed in {d}", x.transpose(d, -1).contiguous().transpose(d, -1)


def test_every_operator_is_tried() -> None:
    known = {
        name.partition("::")[2] for name in torch._C._dispatch_get_all_op_names() if name.startswith("benchsuite::")
    }
    about = {"cpu_isa", "set_cpu_isa", "cpu_products", "set_cpu_products", "has_cuda"}
    assert known - about - {"adamw_"} == set(NAMES), "the lists of adamw_ are tried in test_adamw.py"


@pytest.mark.parametrize("name", NAMES)
def test_whatever_an_operator_is_given_it_computes_or_refuses(name: str) -> None:
    """Where it computes, the result is that of the same values laid out plainly."""
    if name in PRODUCTS and OPS.cpu_products() == "none":
        pytest.skip("this CPU has no 16-bit products")
    operator, tried, refused = getattr(OPS, name), 0, 0
    operator(*given(name))
    for place, argument in enumerate(given(name)):
        if not isinstance(argument, Tensor):
            continue
        for what, wrong in spoiled(argument):
            arguments = given(name)
            arguments[place] = wrong
            plain = [
                one.clone(memory_format=torch.contiguous_format) if isinstance(one, Tensor) else one
                for one in arguments
            ]
            tried += 1
            try:
                got = operator(*arguments)
            except (RuntimeError, NotImplementedError):
                refused += 1
                continue
            for a, b in zip(_tensors(got), _tensors(operator(*plain)), strict=True):
                torch.testing.assert_close(a, b, equal_nan=True, msg=f"argument {place} {what}")
    assert tried > 20
    assert refused > tried / 4


def _tensors(found: Any) -> list[Tensor]:
    return [found] if isinstance(found, Tensor) else [one for one in found or () if isinstance(one, Tensor)]


STATISTICS = [
    ("layer_norm_backward", 3, "mean"),
    ("layer_norm_backward", 4, "rstd"),
    ("embedding_layer_norm_backward", 4, "mean"),
    ("embedding_layer_norm_backward", 5, "rstd"),
    ("embedding_layer_norm_rows_backward", 4, "mean"),
    ("attention_backward", 5, "lse"),
    ("attention_backward", 4, "out|types"),
    ("attention_qkv_backward", 3, "lse"),
    ("attention_qkv_backward", 2, "out|types"),
]


@pytest.mark.parametrize(("name", "place", "message"), STATISTICS)
def test_statistics_that_no_forward_pass_gives_are_refused_by_name(name: str, place: int, message: str) -> None:
    right = given(name)[place]
    doubled = right.repeat_interleave(2, -1)
    for wrong in (right.bfloat16(), right.double(), doubled[..., ::2], doubled, right[..., :-1], right.to("meta")):
        arguments = given(name)
        arguments[place] = wrong
        with pytest.raises(RuntimeError, match=f"^{name}: .*({message}|device)"):
            getattr(OPS, name)(*arguments)


def test_rotary_attention_of_more_queries_than_keys_is_refused() -> None:
    q, k = torch.randn(1, 1, 9, 8), torch.randn(1, 1, 2, 8)
    with pytest.raises(RuntimeError, match="9 queries are more than the 2 keys"):
        attention(q, k, k, causal=False, rotary_base=1e4)
    places = torch.arange(2) - torch.arange(-7, 2)[:, None]
    bias = torch.tensor([0.25]) * places
    want = F.scaled_dot_product_attention(q, k, k, attn_mask=bias)
    torch.testing.assert_close(attention(q, k, k, torch.tensor([0.25]), causal=False), want)


@pytest.mark.parametrize("name", ["glu_out", "glu", "act"])
def test_rows_of_no_elements_have_any_stride(name: str) -> None:
    x = torch.empty(0, 1).expand(0, 8)
    more = (torch.empty(0, 4),) if name == "glu_out" else ()
    getattr(OPS, name)(x, None, "relu" if name == "act" else "swiglu", *more)


def test_what_is_written_shares_no_memory() -> None:
    x, w = torch.randn(4, 8), torch.randn(8)
    base = torch.randn(60)
    for out in (x, x.view(4, 8), base[8:40].view(4, 8)):
        with pytest.raises(RuntimeError, match="act_out: out shares memory"):
            OPS.act_out(x if out.data_ptr() == x.data_ptr() else base[:32].view(4, 8), None, "relu", out)
    row, scores = torch.empty(4), torch.rand(1, 1, 4, 4)
    with pytest.raises(RuntimeError, match="mean shares memory"):
        OPS.layer_norm_out(x, w, None, 1e-5, torch.empty(4, 8), row, row)
    with pytest.raises(RuntimeError, match="out shares memory"):
        OPS.alibi_softmax_out(scores, None, 1.0, True, scores)


def test_rotary_in_place_takes_every_layout_whose_elements_are_apart() -> None:
    places = torch.arange(T)

    def split(packed: Tensor, order: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        return packed.permute(order).unbind(0)[:2]  # type: ignore[return-value]

    layouts = [
        split(torch.randn(B, T, 3, H, D), (2, 0, 3, 1, 4)),  # all q, all k, all v
        split(torch.randn(B, T, H, 3, D), (3, 0, 2, 1, 4)),  # a head's q, k, v
        split(torch.randn(2, B, H, T, D), (0, 1, 2, 3, 4)),
        (torch.randn(B, H, T, D), torch.randn(B, T, H, D).transpose(1, 2)),
    ]
    for q, k in layouts:
        want = rotary(q, k, places)
        rotary_(q, k, places)
        torch.testing.assert_close((q, k), want)
    base = torch.randn(2 * B * H * T * D)
    one = torch.randn(B, H, T, D)
    window = base.as_strided((B, H, T, D), (H * T * D, T * D, D // 2, 1))
    shared = [
        (one, one),
        (one[:, :1].expand(B, H, T, D), torch.randn(B, H, T, D)),
        (torch.randn(B, H, T, D), one[:, :, :1].expand(B, H, T, D)),
        (base[: one.numel()].view_as(one), base[8 : 8 + one.numel()].view_as(one)),
        (window, torch.randn(B, H, T, D)),
    ]
    for q, k in shared:
        with pytest.raises(RuntimeError, match="share memory"):
            rotary_(q, k, places)


def test_heads_may_share_keys_and_values() -> None:
    for shared, causal, base in ((1, True, None), (2, False, 1e4), (3, True, 1e4)):
        leaves = [torch.randn(2, heads, 9, 16, requires_grad=True) for heads in (6, shared, shared)]
        q, k, v = leaves
        whole = [q, *(x.repeat_interleave(6 // shared, 1) for x in (k, v))]
        slopes = torch.rand(6)
        got, want = (attention(*x, slopes, causal=causal, rotary_base=base) for x in ((q, k, v), whole))
        torch.testing.assert_close(got, want)
        grads = [torch.autograd.grad(y.square().sum(), leaves) for y in (got, want)]
        torch.testing.assert_close(grads[0], grads[1])
    low = [torch.randn(1, heads, 9, 16, dtype=torch.bfloat16, requires_grad=True) for heads in (6, 2, 2)]
    found = torch.autograd.grad(attention(*low).float().square().sum(), low)
    assert [x.dtype for x in found] == [torch.bfloat16] * 3
    with pytest.raises(RuntimeError, match="6 heads of q are no multiple of 4"):
        attention(torch.randn(1, 6, 2, 8), *[torch.randn(1, 4, 2, 8)] * 2)


def test_attention_says_what_its_arguments_are() -> None:
    with pytest.raises(RuntimeError, match=r"\(batch, heads, time, channels\), not \(2, 3, 8\)"):
        attention(torch.randn(2, 3, 8), *[torch.randn(2, 3, 8)] * 2)
    with pytest.raises(RuntimeError, match=r"\(batch, time, 3, heads, channels\), not \(2, 3, 8\)"):
        attention_qkv(torch.randn(2, 3, 8))
    with pytest.raises(RuntimeError, match=r"positions are \(T\) or \(B, T\) int64"):
        rotary(*[torch.randn(1, 1, 3, 8)] * 2, torch.rand(3))
