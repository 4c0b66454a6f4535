"""alibi_softmax on the CPU, against the formula in float64 and BLOOM's own."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from benchsuite import cuda_ext
from benchsuite.components.position_modules import alibi_slopes
from benchsuite.cuda_ext.softmax import alibi_softmax

from .operators import DTYPES, ISAS, LIMITS, check, isa

pytestmark = pytest.mark.slow


def formula(s: Tensor, slopes: Tensor | None, scale: float, causal: bool) -> Tensor:
    Tq, Tk = s.shape[2:]
    query, key = torch.arange(Tk - Tq, Tk)[:, None], torch.arange(Tk)
    s = s * scale
    if slopes is not None:
        s = s + slopes.to(s.dtype)[:, None, None] * (key - query)
    return (s.masked_fill(key > query, -math.inf) if causal else s).softmax(-1)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_result_and_gradient_are_the_formula_s(dtype: torch.dtype, causal: bool) -> None:
    for B, H, Tq, Tk in ((1, 1, 1, 1), (2, 3, 7, 7), (1, 12, 33, 65), (2, 1, 100, 100), (0, 2, 4, 4), (1, 2, 0, 3)):
        for slopes in (None, alibi_slopes(H)):
            check(
                lambda s, m=slopes: alibi_softmax(s, m, 0.3, causal),
                lambda s, m=slopes: formula(s, m, 0.3, causal),
                [torch.randn(B, H, Tq, Tk, dtype=dtype) * 4],
                2 * LIMITS[dtype],
            )


@pytest.mark.parametrize("name", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_instruction_set_gives_the_result(name: str, dtype: torch.dtype) -> None:
    with isa(name):
        check(
            lambda s: alibi_softmax(s, alibi_slopes(2), 0.5),
            lambda s: formula(s, alibi_slopes(2), 0.5, True),
            [torch.randn(1, 2, 40, 77, dtype=dtype)],
            2 * LIMITS[dtype],
        )


def test_what_the_mask_hides_is_never_read() -> None:
    s = torch.randn(1, 2, 20, 20)
    want = alibi_softmax(s, alibi_slopes(2))
    hidden = torch.ones(20, 20, dtype=torch.bool).triu(1)
    assert torch.equal(alibi_softmax(s.masked_fill(hidden, torch.nan), alibi_slopes(2)), want)
    assert (want[..., hidden] == 0).all()


@pytest.mark.parametrize("name", ISAS)
@pytest.mark.parametrize("bits", [0x7FC00000, 0x7FFFFFFF, 0x7F800001, -0x400000])  # the second is CUDA's
def test_a_score_that_is_no_number_spoils_its_row_and_no_other(name: str, bits: int) -> None:
    s = torch.randn(1, 1, 40, 40)
    s.view(torch.int32)[0, 0, 20, 3] = bits
    with isa(name):
        found = alibi_softmax(s, alibi_slopes(1)).isnan()
    assert found[0, 0, 20, :21].all()
    assert found.sum() == 21


def test_large_scores_do_not_overflow() -> None:
    p = alibi_softmax(torch.randn(1, 1, 30, 30) * 1e4)
    torch.testing.assert_close(p.sum(-1), torch.ones(1, 1, 30))


def test_bloom_s_own_bias_gives_the_same() -> None:
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor

    s = torch.randn(2, 12, 25, 25)
    bias = build_alibi_tensor(torch.ones(2, 25), 12, torch.float32).view(2, 12, 1, 25)
    want = (s * 0.2 + bias + torch.full((25, 25), -math.inf).triu(1)).softmax(-1)
    torch.testing.assert_close(alibi_softmax(s, alibi_slopes(12), 0.2), want, rtol=1e-4, atol=1e-6)


def test_gradcheck_opcheck_and_compile() -> None:
    cuda_ext.load()
    s = torch.randn(1, 2, 4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: alibi_softmax(s, alibi_slopes(2), 0.3), (s,))
    ops = torch.ops.benchsuite
    torch.library.opcheck(ops.alibi_softmax.default, (s, alibi_slopes(2), 0.3, True))
    p = ops.alibi_softmax(s.detach(), None, 0.3, True)
    torch.library.opcheck(ops.alibi_softmax_backward.default, (torch.randn_like(p), p, 0.3, True))
    torch.library.opcheck(ops.alibi_softmax_out.default, (s.detach(), None, 0.3, True, torch.empty_like(p)))
    got = torch.compile(alibi_softmax, backend="aot_eager", fullgraph=True)(s, None, 0.3)
    torch.testing.assert_close(got, alibi_softmax(s, None, 0.3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: alibi_softmax(torch.randn(2, 3, 3)), "scores are"),
        (lambda: alibi_softmax(torch.randn(1, 2, 4, 3)), "4 queries and only 3 keys"),
        (lambda: alibi_softmax(torch.randn(1, 2, 3, 3), alibi_slopes(3)), "slopes has shape"),
    ],
)
def test_what_does_not_fit_is_said(call, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        call()
