"""Attention on the CPU: against the formula in float64, and without a T×T tensor."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchsuite import cuda_ext, devices
from benchsuite.components.position_modules import Rotary, Shape, alibi_slopes, rotate
from benchsuite.cuda_ext.attention import attention, attention_qkv
from benchsuite.model.folded import folded_attention

from .operators import DTYPES, ISAS, LIMITS, check, error, gradients, isa

pytestmark = pytest.mark.slow

# The scheme inside, by name, for H heads.
SCHEMES = {
    "none": lambda H: {},
    "alibi": lambda H: {"slopes": alibi_slopes(H)},
    "rotary": lambda H: {"rotary_base": 10_000.0},
    "full": lambda H: {"causal": False},
    "alibi full": lambda H: {"slopes": alibi_slopes(H), "causal": False},
}


def formula(q: Tensor, k: Tensor, v: Tensor, slopes=None, causal=True, rotary_base=None) -> Tensor:
    Tq, Tk, D = q.shape[2], k.shape[2], q.shape[3]
    if rotary_base is not None:
        cos, sin = (x.to(q.dtype) for x in Rotary(Shape(D, 1, Tk)).rotation(torch.arange(Tk)))
        q, k = rotate(q, cos[Tk - Tq :], sin[Tk - Tq :]), rotate(k, cos, sin)
    scores = q @ k.transpose(-1, -2) / math.sqrt(D)
    query, key = torch.arange(Tk - Tq, Tk)[:, None], torch.arange(Tk)
    if slopes is not None:
        scores = scores + slopes.to(q.dtype)[:, None, None] * (key - query)
    if causal:
        scores = scores.masked_fill(key > query, -math.inf)
    return scores.softmax(-1) @ v


def draw(B: int, H: int, T: int, D: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    return [torch.randn(B, H, T, D, dtype=dtype) for _ in range(3)]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("D", [2, 32, 40, 64, 96, 128])
def test_result_and_gradients_are_the_formula_s(D: int, scheme: str) -> None:
    keywords = SCHEMES[scheme](3)
    for T in (1, 2, 7, 47, 48, 49, 64, 65, 130):
        check(lambda *x: attention(*x, **keywords), lambda *x: formula(*x, **keywords), draw(2, 3, T, D), 1e-5)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type(dtype: torch.dtype, scheme: str) -> None:
    keywords = SCHEMES[scheme](2)
    inputs = draw(1, 2, 100, 48, dtype)
    # The model's own cosines, which the formula takes, are float32.
    limit = max(3 * LIMITS[dtype], 1e-5 if scheme == "rotary" else 0)
    check(lambda *x: attention(*x, **keywords), lambda *x: formula(*x, **keywords), inputs, limit)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ISAS)
def test_every_instruction_set_gives_the_result(name: str, scheme: str) -> None:
    keywords = SCHEMES[scheme](2)
    with isa(name):
        check(lambda *x: attention(*x, **keywords), lambda *x: formula(*x, **keywords), draw(1, 2, 77, 40), 1e-5)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_queries_may_be_the_last_ones_only(scheme: str) -> None:
    keywords = SCHEMES[scheme](3)
    for Tq, Tk in ((1, 90), (50, 51), (3, 200), (65, 128)):
        q, (k, v) = torch.randn(2, 3, Tq, 16), draw(2, 3, Tk, 16)[:2]
        check(lambda *x: attention(*x, **keywords), lambda *x: formula(*x, **keywords), [q, k, v], 1e-5)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("heads", [1, 6, 12])
def test_the_packed_projection_is_the_same(heads: int, scheme: str) -> None:
    keywords = SCHEMES[scheme](heads)

    def separate(qkv: Tensor) -> Tensor:
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return formula(q, k, v, **keywords).transpose(1, 2).flatten(2)

    check(lambda x: attention_qkv(x, **keywords), separate, [torch.randn(2, 70, 3, heads, 16)], 1e-5)


def test_any_strides_with_a_contiguous_last_dimension() -> None:
    base = torch.randn(2, 3, 40, 3, 24)
    views = [base[:, :, :, 0, 4:20], base[:, :, :, 1, :16], base[:, :, ::1, 2, 8:]]
    assert error(attention(*views), formula(*(x.double() for x in views))) < 1e-5
    last = [x.transpose(-1, -2).contiguous().transpose(-1, -2) for x in views]
    assert torch.equal(attention(*last), attention(*views)), "a strided last dimension is copied"
    check(attention, formula, last, 1e-5)


def test_large_scores_neither_overflow_nor_vanish() -> None:
    q, k, v = draw(1, 2, 150, 16)
    # A score of 4e4 is exact to 0.004, and so is the logarithm of a probability.
    check(attention, formula, [q * 100, k * 100, v], 2e-2)
    assert attention(q * 1e4, k * 1e4, v).isfinite().all()
    slopes = torch.tensor([50.0, 0.01])
    check(lambda *x: attention(*x, slopes), lambda *x: formula(*x, slopes), [q, k, v], 1e-5)


def test_the_same_bits_for_any_number_of_threads() -> None:
    before, found = torch.get_num_threads(), []
    qkv, grad = torch.randn(1, 300, 3, 3, 32), torch.randn(1, 300, 96)
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        found.append(gradients(lambda x: attention_qkv(x, alibi_slopes(3)), [qkv], grad))
    torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_empty_batches_and_no_queries() -> None:
    assert attention(*draw(0, 2, 5, 8)).shape == (0, 2, 5, 8)
    assert attention(torch.randn(1, 2, 0, 8), *draw(1, 2, 5, 8)[:2]).shape == (1, 2, 0, 8)
    assert attention_qkv(torch.randn(2, 0, 3, 2, 8)).shape == (2, 0, 16)


def test_allocations_do_not_grow_with_the_square_of_the_length() -> None:
    """Twice the length with half the batch: the same tokens, and the same bytes."""

    def peak(B: int, T: int) -> int:
        qkv = torch.randn(B, T, 3, 2, 16, requires_grad=True)
        found = devices.named("cpu").memory(lambda: attention_qkv(qkv, alibi_slopes(2)).sum().backward(), [qkv]).peak
        assert found is not None
        return found

    assert peak(1, 2048) <= peak(8, 256) * 1.01
    assert peak(1, 2048) < 8 * 2048 * 3 * 32 * 4, "some copies of the projection; the scores would be 42 of them"


def test_bloom_s_alibi_is_ours() -> None:
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor

    q, k, v = draw(2, 12, 30, 16)
    theirs = build_alibi_tensor(torch.ones(2, 30), 12, torch.float32).view(2, 12, 1, 30)
    mask = torch.full((30, 30), -math.inf).triu(1)
    want = F.scaled_dot_product_attention(q, k, v, attn_mask=theirs + mask)
    torch.testing.assert_close(attention(q, k, v, alibi_slopes(12)), want, rtol=1e-4, atol=1e-5)


def test_gradcheck_and_opcheck() -> None:
    cuda_ext.load()
    for keywords in (SCHEMES[name](2) for name in SCHEMES):
        qkv = torch.randn(1, 5, 3, 2, 4, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda x, k=keywords: attention_qkv(x, **k), (qkv,))
    ops = torch.ops.benchsuite
    q, k, v = (x.requires_grad_() for x in draw(1, 2, 6, 4))
    torch.library.opcheck(ops.attention.default, (q, k, v, alibi_slopes(2), None, None, True, 0.5))
    qkv = torch.randn(1, 6, 3, 2, 4, requires_grad=True)
    angles = torch.randn(6, 2)
    torch.library.opcheck(ops.attention_qkv.default, (qkv, None, angles.cos(), angles.sin(), True, 0.5))


@pytest.mark.parametrize("scheme", ["alibi", "rotary"])
def test_torch_compile_takes_it_whole(scheme: str) -> None:
    keywords = SCHEMES[scheme](2)
    qkv = torch.randn(1, 20, 3, 2, 8, requires_grad=True)
    want = attention_qkv(qkv, **keywords)
    got = torch.compile(lambda x: attention_qkv(x, **keywords), backend="aot_eager", fullgraph=True)(qkv)
    torch.testing.assert_close(got, want)
    grads = [torch.autograd.grad(y.square().sum(), qkv)[0] for y in (want, got)]
    torch.testing.assert_close(grads[1], grads[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: attention(torch.randn(2, 3, 4), *[torch.randn(1, 2, 3, 4)] * 2), r"not \(2, 3, 4\)|dimension|index"),
        (lambda: attention(torch.randn(1, 2, 9, 4), *[torch.randn(1, 2, 3, 4)] * 2), "9 queries to only 3 keys"),
        (
            lambda: attention(torch.randn(1, 2, 3, 4), *[torch.randn(1, 3, 3, 4)] * 2),
            "2 heads of q are no multiple of 3",
        ),
        (lambda: attention(*draw(1, 2, 3, 4), alibi_slopes(3)), "slopes has shape"),
        (lambda: attention(*draw(1, 2, 3, 4), alibi_slopes(2).double()), "slopes are not float32"),
        (lambda: attention(*draw(1, 2, 3, 5), rotary_base=1e4), "even head size"),
        (lambda: attention_qkv(torch.randn(1, 2, 4, 2, 4)), r"qkv is \(batch, time, 3, heads, channels\)"),
    ],
)
def test_what_does_not_fit_is_said(call, message: str) -> None:
    with pytest.raises((RuntimeError, IndexError), match=message):
        call()


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-9), (torch.float32, 2e-4), (torch.bfloat16, 3e-2)])
@pytest.mark.parametrize("T", [5, 257, 4096])
def test_folded_attention_keeps_its_precision_at_length(T: int, dtype: torch.dtype, limit: float) -> None:
    q, k, v = draw(1, 4, T, 16, dtype)
    slopes = alibi_slopes(4)
    got = folded_attention(q, k, v, slopes)
    if dtype == torch.bfloat16:  # the slopes themselves are rounded, √D of them and all
        slopes = (slopes * 4).to(dtype).float() / 4
    assert error(got, formula(q.double(), k.double(), v.double(), slopes.double())) < limit
