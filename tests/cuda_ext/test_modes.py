"""The operators among torch's modes: inference, fake tensors, autocast, torch.func, versions, second derivatives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.autograd import forward_ad
from torch.nn import functional as F

from benchsuite import cuda_ext
from benchsuite.cuda_ext.activation import act, glu, glu_separate
from benchsuite.cuda_ext.attention import attention, attention_qkv
from benchsuite.cuda_ext.cross_entropy import linear_cross_entropy
from benchsuite.cuda_ext.norm import embedding, embedding_layer_norm, layer_norm
from benchsuite.cuda_ext.rotary import rotary, rotary_
from benchsuite.cuda_ext.softmax import alibi_softmax
from benchsuite.model import peer_kernels
from benchsuite.model.gpt import GPT
from benchsuite.model.spec import ModelSpec

pytestmark = pytest.mark.slow

OPS = torch.ops.benchsuite
W, B, TARGETS = torch.randn(8), torch.randn(8), torch.tensor([1, 0, 3, -100, 2])
VOCABULARY = torch.randn(5, 8)

# Of one tensor (5, 8).
CALLS: dict[str, Callable[[Tensor], Tensor]] = {
    "act": lambda x: act(x, "gelu", B),
    "glu": lambda x: glu(x, "swiglu"),
    "glu_separate": lambda x: glu_separate(x, x, "geglu"),
    "layer_norm": lambda x: layer_norm(x, W, B),
    "embedding_layer_norm": lambda x: embedding_layer_norm(torch.tensor([0, 2, 2]), x, W),
    "embedding": lambda x: embedding(torch.tensor([0, 2, 2]), x),
    "rotary": lambda x: torch.cat(rotary(x[None, None], x[None, None], torch.arange(5))),
    "alibi_softmax": lambda x: alibi_softmax(x[None, None], torch.ones(1), causal=False),
    "attention": lambda x: attention(*[x[None, None]] * 3, rotary_base=1e4),
    "attention_qkv": lambda x: attention_qkv(torch.stack((x, x, x), 1)[None, :, :, None], torch.ones(1)),
    "linear_cross_entropy": lambda x: linear_cross_entropy(x, VOCABULARY, TARGETS),
}


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    cuda_ext.load()


def loss(call: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: call(x).square().sum()


def gradient(call: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(loss(call)(leaf), leaf)[0]


@pytest.mark.parametrize("name", CALLS)
def test_training_after_an_evaluation_of_the_same_shape(name: str) -> None:
    x = torch.randn(5, 8)
    want = CALLS[name](x)
    with torch.inference_mode():
        torch.testing.assert_close(CALLS[name](x), want)
    with torch.no_grad():
        torch.testing.assert_close(CALLS[name](x), want)
    gradient(CALLS[name], x)
    torch.testing.assert_close(CALLS[name](x), want)


def test_fake_tensors_leave_nothing_behind() -> None:
    q = torch.randn(1, 2, 24, 8)
    with FakeTensorMode():
        fakes = [torch.empty(1, 2, 24, 8) for _ in range(3)]
        assert attention(*fakes, rotary_base=1e4).shape == q.shape
        assert rotary(*fakes[:2], torch.arange(24))[0].shape == q.shape
    attention(q, q, q, rotary_base=1e4)
    rotary(q, q, torch.arange(24))


def test_flex_s_mask_is_of_the_mode_in_which_it_is_used() -> None:
    for _ in range(2):
        with torch.inference_mode():
            assert peer_kernels.causal_blocks(130, torch.device("cpu")).kv_indices.is_inference()
        assert not peer_kernels.causal_blocks(130, torch.device("cpu")).kv_indices.is_inference()


@pytest.mark.parametrize("implementation", ["eager", "sdpa", "folded", "fused"])
@pytest.mark.parametrize("position", ["rotary", "alibi", "sinusoidal", "learned"])
def test_a_model_trains_after_scoring(position: str, implementation: str) -> None:
    model = GPT(ModelSpec(layers=1, width=16, heads=2, vocab=20, seq=12, position=position), implementation)
    tokens = torch.randint(20, (2, 12))
    with FakeTensorMode(allow_non_fake_inputs=True):
        model(tokens)
    with torch.inference_mode():
        before = model(tokens)
    model(tokens).sum().backward()
    torch.testing.assert_close(model(tokens), before.clone())


# --- torch.func ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CALLS)
def test_func_grad_is_the_gradient(name: str) -> None:
    x = torch.randn(5, 8)
    torch.testing.assert_close(torch.func.grad(loss(CALLS[name]))(x), gradient(CALLS[name], x))
    value = torch.func.vjp(CALLS[name], x)[0]
    torch.testing.assert_close(value, CALLS[name](x))


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("name", CALLS)
def test_vmap_is_a_loop(name: str) -> None:
    call, many = CALLS[name], torch.randn(3, 5, 8)
    torch.testing.assert_close(torch.vmap(call)(many), torch.stack([call(x) for x in many]))
    with torch.no_grad():
        torch.testing.assert_close(torch.vmap(call)(many), torch.stack([call(x) for x in many]))
    each = torch.vmap(torch.func.grad(loss(call)))(many)
    torch.testing.assert_close(each, torch.stack([gradient(call, x) for x in many]))


@pytest.mark.parametrize("name", CALLS)
def test_second_derivatives_are_refused_wherever_they_are_asked_for(name: str) -> None:
    call, x = CALLS[name], torch.randn(5, 8)
    operator = name
    first = torch.func.grad(loss(call))
    with pytest.raises(RuntimeError, match=f"{operator}: benchsuite's kernels cannot be differentiated twice"):
        torch.func.grad(lambda x: first(x).square().sum())(x)
    leaf = x.clone().requires_grad_()
    with pytest.raises(RuntimeError, match=f"{operator}: benchsuite's kernels cannot be differentiated twice"):
        torch.autograd.grad(loss(call)(leaf), leaf, create_graph=True)


def test_second_derivatives_of_the_bare_operators_are_refused() -> None:
    x = torch.randn(5, 8, requires_grad=True)
    y = OPS.layer_norm(x, W, B, 1e-5)[0]
    (first,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    torch.testing.assert_close(first.detach(), gradient(CALLS["layer_norm"], x.detach()))
    with pytest.raises(RuntimeError, match="layer_norm: benchsuite's kernels cannot be differentiated twice"):
        first.sum().backward()


@pytest.mark.parametrize("name", CALLS)
def test_forward_derivatives_are_refused_and_not_zero(name: str) -> None:
    x = torch.randn(5, 8)
    with pytest.raises(RuntimeError, match=f"{name}: benchsuite's kernels have no derivative in forward mode"):
        torch.func.jvp(CALLS[name], (x,), (x,))
    for mode in (torch.enable_grad, torch.no_grad):
        with mode(), forward_ad.dual_level():
            dual = forward_ad.make_dual(x, x)
            with pytest.raises(RuntimeError, match=f"{name}: benchsuite's kernels have no derivative"):
                CALLS[name](dual)


def test_what_has_no_gradient_says_so() -> None:
    q, slopes = torch.randn(1, 2, 4, 8), torch.rand(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="attention: slopes require a gradient"):
        attention(q, q, q, slopes)
    with pytest.raises(RuntimeError, match="alibi_softmax: slopes require a gradient"):
        alibi_softmax(q @ q.mT, slopes)


# --- what is written in place ----------------------------------------------------------------------------------------


def written() -> dict[str, tuple[Callable[..., object], list[Tensor], list[Tensor]]]:
    """By operator: the call, what it reads, and what it writes."""
    x = torch.randn(4, 8)
    q = [torch.randn(1, 2, 3, 8) for _ in range(2)]
    scores = torch.rand(1, 2, 4, 4)
    return {
        "act_out": (lambda x, y: OPS.act_out(x, None, "relu", y), [x], [torch.empty(4, 8)]),
        "glu_out": (lambda x, y: OPS.glu_out(x, None, "swiglu", y), [x], [torch.empty(4, 4)]),
        "layer_norm_out": (
            lambda x, w, *y: OPS.layer_norm_out(x, w, None, 1e-5, *y),
            [x, torch.randn(8)],
            [torch.empty(4, 8), torch.empty(4), torch.empty(4)],
        ),
        "alibi_softmax_out": (lambda s, y: OPS.alibi_softmax_out(s, None, 1.0, True, y), [scores], [scores.clone()]),
        "cross_entropy_rows_": (
            lambda y: OPS.cross_entropy_rows_(y, torch.tensor([0, 1, 2, 3]), -100, 1.0, True),
            [],
            [torch.randn(4, 8)],
        ),
        "rotary_": (lambda q, k: rotary_(q, k, torch.arange(3)), [], q),
    }


@pytest.mark.parametrize("name", written())
def test_autograd_is_told_of_what_is_written(name: str) -> None:
    call, read, out = written()[name]
    versions = [one._version for one in out]
    call(*read, *out)
    assert [one._version for one in out] == [version + 1 for version in versions]
    assert all(one._version == 0 for one in read)
    # What autograd has kept of it is spoilt, and autograd sees that.
    leaf = torch.ones_like(out[0], requires_grad=True)
    product = leaf * out[0]
    call(*read, *out)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()


@pytest.mark.parametrize("name", written())
def test_a_gradient_that_would_be_lost_is_refused(name: str) -> None:
    call, read, out = written()[name]
    for place in range(len(read) + len(out)):
        arguments = [*read, *out]
        for wanting in (arguments[place].clone().requires_grad_(), arguments[place].clone().requires_grad_() * 1):
            arguments[place] = wanting
            with pytest.raises(RuntimeError, match=f"{name} has no gradient, and an argument requires one"):
                call(*arguments)
            with torch.no_grad():
                call(*arguments)


# --- autocast --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_norms_under_autocast_are_torch_s(dtype: torch.dtype) -> None:
    x = torch.randn(6, 8).to(dtype).requires_grad_()
    w, b = torch.randn(8, requires_grad=True), torch.randn(8, requires_grad=True)
    for on in (True, False):
        with torch.autocast("cpu", dtype, enabled=on):
            got, want = layer_norm(x, w, b), F.layer_norm(x, (8,), w, b)
        assert got.dtype == want.dtype == dtype
        torch.testing.assert_close(got, want)
        grads = [torch.autograd.grad(y.float().square().sum(), (x, w, b)) for y in (got, want)]
        torch.testing.assert_close(grads[0], grads[1], rtol=2e-2, atol=2e-2)
        tokens, table = torch.tensor([0, 3]), torch.randn(4, 8).to(dtype)
        with torch.autocast("cpu", dtype, enabled=on):
            got = embedding_layer_norm(tokens, table, w, b)
            want = F.layer_norm(F.embedding(tokens, table), (8,), w, b)
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_attention_and_loss_under_autocast_are_torch_s(dtype: torch.dtype) -> None:
    q, k, v = (torch.randn(1, 2, 6, 8, requires_grad=True) for _ in range(3))
    with torch.autocast("cpu", dtype):
        got = attention(q, k.to(dtype), v)
        want = F.scaled_dot_product_attention(q, k.to(dtype), v, is_causal=True)
        assert got.dtype == want.dtype == dtype
        assert attention_qkv(torch.randn(1, 4, 3, 2, 8)).dtype == dtype
        assert attention(*[x.double() for x in (q, k, v)]).dtype == torch.float64
        x, w = torch.randn(5, 8, requires_grad=True), torch.randn(9, 8).to(dtype)
        mean = linear_cross_entropy(x, w, TARGETS)
        torch.testing.assert_close(mean, F.cross_entropy(F.linear(x, w), TARGETS), rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(got, want, rtol=2e-2, atol=2e-2)
    grads = torch.autograd.grad(got.float().sum() + mean, (q, k, v, x))
    assert {grad.dtype for grad in grads} == {torch.float32}


def test_elementwise_operators_under_autocast_take_the_widest_type() -> None:
    x, low = torch.randn(2, 8), torch.randn(2, 8).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert glu_separate(x, low, "swiglu").dtype == (F.silu(x) * low).dtype == torch.float32
        assert act(low, "gelu", torch.randn(8)).dtype == torch.float32
        assert act(low, "gelu").dtype == torch.bfloat16
        assert alibi_softmax(torch.randn(1, 1, 2, 2).bfloat16()).dtype == torch.bfloat16


def test_compiled_code_has_the_types_of_autocast() -> None:
    q = torch.randn(1, 2, 6, 8)
    compiled = torch.compile(attention, backend="aot_eager", fullgraph=True)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(compiled(q, q, q), attention(q, q, q))


# --- no weights, no memory, no room ----------------------------------------------------------------------------------


def test_a_norm_needs_no_weight() -> None:
    x, b, tokens = torch.randn(3, 8), torch.randn(8, requires_grad=True), torch.tensor([1, 0])
    torch.testing.assert_close(layer_norm(x, None), F.layer_norm(x, (8,)))
    torch.testing.assert_close(layer_norm(x, None, b), F.layer_norm(x, (8,), None, b))
    torch.testing.assert_close(embedding_layer_norm(tokens, x, None), F.layer_norm(x[tokens], (8,)))


@pytest.mark.parametrize("name", CALLS)
def test_meta_tensors_give_shapes_and_gradients(name: str) -> None:
    if name.startswith("embedding"):
        return  # of tokens that are not on meta
    x = torch.randn(5, 8)
    with torch.device("meta"):
        globals_on_meta = {key: globals()[key].to("meta") for key in ("W", "B", "TARGETS", "VOCABULARY")}
        with pytest.MonkeyPatch.context() as patch:
            for key, value in globals_on_meta.items():
                patch.setitem(globals(), key, value)
            leaf = torch.empty(5, 8, requires_grad=True)
            got = CALLS[name](leaf)
            assert got.shape == CALLS[name](torch.empty(5, 8)).shape
            assert torch.autograd.grad(got.sum(), leaf)[0].shape == x.shape


def test_meta_tensors_that_do_not_fit_are_refused() -> None:
    def meta(*shape: int) -> Tensor:
        return torch.empty(shape, device="meta")

    for call, message in [
        (lambda: layer_norm(meta(3, 8), meta(9)), r"weight has shape \(9,\), not \(8,\)"),
        (lambda: layer_norm(meta(3, 8), torch.empty(8)), "different devices"),
        (lambda: attention(meta(1, 2, 3, 8), meta(1, 2, 3, 4), meta(1, 2, 3, 4)), "k has shape"),
        (lambda: glu(meta(3, 7), "swiglu"), "no halves"),
        (lambda: act(meta(3, 8), "gelu", meta(8).half()), "different types"),
    ]:
        with pytest.raises(RuntimeError, match=message):
            call()


# --- float16 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "vocab", "scale"),
    [(512, 2000, 1.0), (512, 2000, 65536.0), (3000, 5, 65536.0), (3000, 5, 1.0), (1, 300, 1e3)],
)
def test_gradients_of_a_loss_in_float16(rows: int, vocab: int, scale: float) -> None:
    """At a scale of 1 most gradients of a mean are below float16's least normal number, in torch's loss as well."""
    x, w = (torch.randn(rows, 32) * 3).half(), (torch.randn(vocab, 32) / 6).half()
    targets = torch.randint(vocab, (rows,))
    ours, exact = ([one.detach().to(t).requires_grad_() for one in (x, w)] for t in (torch.float16, torch.float64))
    (linear_cross_entropy(*ours, targets) * scale).backward()
    (F.cross_entropy(exact[0] @ exact[1].t(), targets) * scale).backward()
    for a, b in zip(ours, exact, strict=True):
        assert a.grad.dtype == torch.float16
        want = b.grad.half().double()
        assert (a.grad.double() - want).norm() <= 5e-3 * want.norm() + 1e-7 * want.numel() ** 0.5
