"""Other people's kernels: that they are asked for the right thing, and where they cannot run, why."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from benchsuite.components import other_kernels
from benchsuite.model.gpt import GPT
from benchsuite.model.spec import ModelSpec

SPEC = {"layers": 2, "width": 32, "heads": 4, "vocab": 50, "seq": 24}


def module(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> None:
    found = ModuleType(name)
    for key, value in members.items():
        setattr(found, key, value)
    monkeypatch.setitem(sys.modules, name, found)


def check(implementation: str, **variants: str) -> None:
    spec = ModelSpec(**SPEC, **variants)  # type: ignore[arg-type]
    exact, model = GPT(spec, "eager"), GPT(spec, implementation)
    model.load_state_dict(exact.state_dict())
    tokens = torch.randint(spec.vocab, (3, spec.seq))
    with torch.no_grad():
        torch.testing.assert_close(model(tokens), exact(tokens), atol=2e-5, rtol=1e-4)


POSITIONS = ["none", "learned", "sinusoidal", "rotary", "alibi"]


@pytest.mark.slow
@pytest.mark.parametrize("position", POSITIONS)
def test_flex_computes_every_position_scheme(position: str) -> None:
    check("flex", position=position)


@pytest.mark.parametrize("position", POSITIONS)
def test_flash_attn_gets_slopes_and_its_layout(position: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def flash_attn_func(q: Tensor, k: Tensor, v: Tensor, causal: bool, alibi_slopes: Tensor | None) -> Tensor:
        """As flash-attn documents it: (B, T, H, D), and a bias of -slope · |query - key|."""
        asked.append(causal)
        T, places = q.shape[1], torch.arange(q.shape[1])
        bias = torch.zeros(q.shape[2], T, T)
        if alibi_slopes is not None:
            bias = -alibi_slopes[:, None, None] * (places[:, None] - places[None]).abs()
        bias = bias.masked_fill(places[None] > places[:, None], -torch.inf)
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2)

    module(monkeypatch, "flash_attn", flash_attn_func=flash_attn_func)
    check("flash_attn", position=position)
    assert asked == [True, True]


@pytest.mark.parametrize("position", POSITIONS)
def test_xformers_gets_a_mask_or_a_bias(position: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class LowerTriangularMask:
        pass

    def memory_efficient_attention(q: Tensor, k: Tensor, v: Tensor, attn_bias: Any) -> Tensor:
        plain = isinstance(attn_bias, LowerTriangularMask)
        assert plain is (position != "alibi")
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        mask = None if plain else attn_bias
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=plain).transpose(1, 2)

    module(monkeypatch, "xformers")
    module(
        monkeypatch,
        "xformers.ops",
        LowerTriangularMask=LowerTriangularMask,
        memory_efficient_attention=memory_efficient_attention,
    )
    check("xformers", position=position)


@pytest.mark.parametrize(("activation", "act"), [("swiglu", "silu"), ("geglu", "gelu")])
def test_liger_gets_gate_and_up(activation: str, act: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Silu:
        apply = staticmethod(lambda gate, up: functional.silu(gate) * up)

    class Gelu:
        apply = staticmethod(lambda gate, up: functional.gelu(gate, approximate="tanh") * up)

    module(monkeypatch, "liger_kernel")
    module(monkeypatch, "liger_kernel.ops")
    module(monkeypatch, "liger_kernel.ops.swiglu", LigerSiLUMulFunction=Silu)
    module(monkeypatch, "liger_kernel.ops.geglu", LigerGELUMulFunction=Gelu)
    check("liger", activation=activation)


@pytest.mark.parametrize(
    ("implementation", "device", "dtype", "reason"),
    [
        ("eager", "cpu", "float32", None),
        ("flex", "cpu", "float32", "FlexAttention has no backward pass for the CPU"),
        ("flash_attn", "cpu", "bfloat16", "flash-attn has no kernels for the CPU"),
        ("liger", "cpu", "float32", "liger-kernel has no kernels for the CPU"),
        ("flex", "cuda", "float32", None),
        ("flash_attn", "cuda", "bfloat16", "flash-attn is not installed: pip install flash-attn"),
        ("xformers", "cuda", "float32", "xformers is not installed: pip install xformers"),
    ],
)
def test_where_it_cannot_run_it_says_why(implementation: str, device: str, dtype: str, reason: str | None) -> None:
    assert other_kernels.unavailable_reason(implementation, dtype, on_cpu=device == "cpu") == reason


def test_flash_attn_wants_sixteen_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_kernels.importlib.util, "find_spec", lambda name: object())
    assert "not in float32" in str(other_kernels.unavailable_reason("flash_attn", "float32", on_cpu=False))
    assert other_kernels.unavailable_reason("flash_attn", "float16", on_cpu=False) is None
