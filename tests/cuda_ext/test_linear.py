"""linear by 16-bit products, by AMX and by AVX512-BF16 where this machine has them, against torch's in float64."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchsuite import cuda_ext
from benchsuite.cuda_ext.attention import attention
from benchsuite.cuda_ext.cross_entropy import linear_cross_entropy
from benchsuite.cuda_ext.linear import linear
from benchsuite.measure import accuracy
from benchsuite.model.gpt import GPT
from benchsuite.model.spec import ModelSpec
from benchsuite.pretrain.step import Objective, add_gradients
from benchsuite.records.params import TrainConfig

from .operators import LIMITS, error
from .test_attention import SCHEMES, draw, formula

pytestmark = pytest.mark.slow

LIMIT = LIMITS[torch.bfloat16]
SIZES = ((512, 96, 288), (1, 1, 1), (7, 5, 3), (16, 32, 16), (33, 65, 49), (40, 200, 17), (100, 33, 70))


@contextmanager
def only(name: str) -> Iterator[None]:
    cuda_ext.load()
    best = torch.ops.benchsuite.cpu_products()
    try:
        if torch.ops.benchsuite.set_cpu_products(name) != name:
            pytest.skip(f"this CPU has no {name}")
        yield
    finally:
        torch.ops.benchsuite.set_cpu_products(best)


@pytest.fixture
def products() -> Iterator[str]:
    """Those that layers take."""
    with only("amx"):
        yield "amx"


def mixed() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("inputs", [torch.float32, torch.bfloat16])
def test_result_and_gradients_at_every_remainder(products: str, inputs: torch.dtype, weights: torch.dtype) -> None:
    for rows, width, out in SIZES:
        x = torch.randn(rows, width, dtype=inputs, requires_grad=True)
        weight = (torch.randn(out, width) / width**0.5).to(weights).requires_grad_()
        bias = torch.randn(out, dtype=weights, requires_grad=True)
        onto = torch.randn(rows, out, requires_grad=True)
        given = (x, weight, bias, onto)
        grad = torch.randn(rows, out)
        with mixed():
            y = linear(*given)
        assert y.dtype == torch.float32, "as the stream is"
        found = torch.autograd.grad(y, given, grad)
        assert [one.dtype for one in found] == [one.dtype for one in given]
        exact = [one.detach().double().requires_grad_() for one in given]
        want = exact[3] + F.linear(*exact[:3])
        for got, right in zip((y, *found), (want, *torch.autograd.grad(want, exact, grad.double())), strict=True):
            assert error(got, right) < LIMIT, (rows, width, out)


@pytest.mark.parametrize("name", ["amx", "avx512_bf16"])
def test_both_kinds_of_products_give_the_result(name: str) -> None:
    operators = torch.ops.benchsuite
    with only(name):
        for rows, width, out in SIZES:
            x, weight, grad = torch.randn(rows, width), torch.randn(out, width) / width**0.5, torch.randn(rows, out)
            wanted = F.linear(x.double(), weight.double())
            assert error(operators.linear(x, weight, None, None), wanted) < LIMIT
            found = operators.linear_backward(grad, x, weight, True, True, True)
            exact = (grad.double() @ weight.double(), grad.double().t() @ x.double(), grad.double().sum(0))
            assert all(error(a, b) < LIMIT for a, b in zip(found, exact, strict=True)), (rows, width, out)


def test_without_a_stream_the_result_is_bfloat16_and_rows_may_have_any_stride(products: str) -> None:
    x, weight = torch.randn(4, 9, 80)[:, ::2, :64], torch.randn(24, 64) / 8
    with mixed():
        y = linear(x, weight)
        assert y.dtype == torch.bfloat16
        torch.testing.assert_close(y, linear(x.contiguous(), weight), rtol=0, atol=0)
    assert error(y, F.linear(x.double(), weight.double())) < LIMIT


def test_elsewhere_it_is_torch_s_own() -> None:
    cuda_ext.load()
    x, weight, bias, onto = torch.randn(3, 8), torch.randn(4, 8), torch.randn(4), torch.randn(3, 4)
    assert torch.equal(linear(x, weight, bias, onto), onto + F.linear(x, weight, bias))
    best = torch.ops.benchsuite.cpu_products()
    try:
        assert torch.ops.benchsuite.set_cpu_products("none") == "none"
        with mixed():
            assert torch.equal(linear(x, weight, bias), F.linear(x, weight, bias))
        with pytest.raises(RuntimeError, match="linear: this CPU has no 16-bit products"):
            torch.ops.benchsuite.linear(x, weight, None, None)
    finally:
        torch.ops.benchsuite.set_cpu_products(best)


def test_the_bits_do_not_depend_on_the_threads(products: str) -> None:
    torch.manual_seed(0)
    x, weight, bias = (torch.randn(*shape, requires_grad=True) for shape in ((300, 96), (200, 96), (200,)))
    q, k, v = (torch.randn(2, 3, 130, 32, dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
    found = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            with mixed():
                y, z = linear(x, weight, bias), attention(q, k, v)
            of_y = torch.autograd.grad(y.float().square().sum(), (x, weight, bias))
            found.append([y, z, *of_y, *torch.autograd.grad(z.float().square().sum(), (q, k, v))])
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_attention_is_the_formula_s(products: str, scheme: str) -> None:
    keywords = SCHEMES[scheme](3)
    for T, D in ((1, 2), (7, 16), (32, 16), (33, 40), (64, 64), (130, 80)):
        inputs = [x.requires_grad_() for x in draw(2, 3, T, D, torch.bfloat16)]
        exact = [x.detach().double().requires_grad_() for x in inputs]
        y, want = attention(*inputs, **keywords), formula(*exact, **keywords)
        grad = torch.randn_like(want).bfloat16()
        found, right = torch.autograd.grad(y, inputs, grad), torch.autograd.grad(want, exact, grad.double())
        for a, b in zip((y, *found), (want, *right), strict=True):
            assert error(a, b) < 2 * LIMIT, (T, D)


def test_attention_of_the_last_queries_and_of_shared_keys(products: str) -> None:
    q, (k, v) = torch.randn(2, 6, 35, 16).bfloat16(), draw(2, 2, 90, 16, torch.bfloat16)[:2]
    shared = [x.repeat_interleave(3, 1).double() for x in (k, v)]
    assert error(attention(q, k, v), formula(q.double(), *shared)) < LIMIT


def test_cross_entropy_in_chunks_and_with_targets_that_do_not_count(
    products: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchsuite.cuda_ext import cross_entropy

    x, weight = torch.randn(50, 24, requires_grad=True), torch.randn(70, 24, requires_grad=True)
    targets = torch.randint(70, (50,))
    targets[::7] = -100
    exact = [one.detach().double().requires_grad_() for one in (x, weight)]
    want = F.cross_entropy(F.linear(*exact), targets)
    right = torch.autograd.grad(want, exact)
    for chunk in (cross_entropy.CHUNK_BYTES, 70 * 2 * 16):
        monkeypatch.setattr(cross_entropy, "CHUNK_BYTES", chunk)
        with mixed():
            loss = linear_cross_entropy(x, weight, targets)
        for a, b in zip((loss, *torch.autograd.grad(loss, (x, weight))), (want, *right), strict=True):
            assert a.dtype == torch.float32
            assert accuracy.relative_error(a, b) < LIMIT


@pytest.mark.parametrize(
    "variant",
    [{}, {"position": "rotary"}, {"position": "alibi"}, {"activation": "swiglu"}, {"embedding_norm": "on"}],
    ids=str,
)
def test_gradients_of_whole_models(products: str, variant: dict[str, str]) -> None:
    torch.manual_seed(0)
    spec = ModelSpec(layers=2, width=48, heads=3, vocab=200, seq=40, **variant)
    ours, exact = GPT(spec, "fused"), GPT(spec, "eager").double()
    exact.load_state_dict(ours.state_dict())
    tokens = torch.randint(spec.vocab, (4, spec.seq + 1))
    loss = add_gradients(Objective(ours), tokens.split(2), TrainConfig(tokens=1, precision="bfloat16"))
    want = exact.loss(tokens[:, :-1], tokens[:, 1:])
    want.backward()
    assert {p.grad.dtype for p in ours.parameters()} == {torch.float32}
    got: list[Tensor] = [loss, *(p.grad for p in ours.parameters())]
    accuracy.check(got, [want.detach(), *(p.grad for p in exact.parameters())], "bfloat16")


def test_opcheck_and_compile(products: str) -> None:
    x, weight = torch.randn(6, 8, requires_grad=True), torch.randn(4, 8, requires_grad=True)
    bias, onto = torch.randn(4, requires_grad=True), torch.randn(6, 4, requires_grad=True)
    torch.library.opcheck(torch.ops.benchsuite.linear.default, (x, weight, bias, onto))
    with mixed():
        got = torch.compile(linear, backend="aot_eager", fullgraph=True)(x, weight, bias, onto)
        torch.testing.assert_close(got, linear(x, weight, bias, onto))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.randn(3, 8), torch.randn(4, 7), None, None), "have shapes"),
        ((torch.randn(3, 8), torch.randn(4, 8), torch.randn(5), None), "bias has shape"),
        ((torch.randn(3, 8), torch.randn(4, 8), None, torch.randn(3, 5)), "shapes differ"),
        ((torch.randn(3, 8).double(), torch.randn(4, 8), None, None), "x is float64, not float32 or bfloat16"),
    ],
)
def test_what_does_not_fit_is_said(products: str, arguments: tuple[Tensor | None, ...], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        torch.ops.benchsuite.linear(*arguments)
