"""rotary on the CPU: the model's own formula, transformers' NeoX, and GPT-J's neighbours."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchsuite import cuda_ext
from benchsuite.components.position_modules import Rotary, Shape, rotate
from benchsuite.cuda_ext.rotary import rotary, rotary_

from .operators import DTYPES, ISAS, LIMITS, check, error, isa

pytestmark = pytest.mark.slow


def formula(x: Tensor, positions: Tensor, interleaved: bool = False, R: int | None = None, base: float = 1e4) -> Tensor:
    R = x.shape[-1] if R is None else R
    angles = positions.reshape(-1, 1, positions.shape[-1], 1) * (base ** (-torch.arange(0, R, 2) / R)).double()
    turned, rest = x[..., :R], x[..., R:]
    pairs = torch.view_as_complex(
        (turned.unflatten(-1, (-1, 2)) if interleaved else turned.unflatten(-1, (2, -1)).transpose(-1, -2))
        .double()
        .contiguous()
    )
    done = torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles))
    done = done.flatten(-2) if interleaved else done.transpose(-1, -2).flatten(-2)
    return torch.cat((done.to(x.dtype), rest), -1)


def both(call):
    """q and k as one tensor, so that one gradient check sees both."""
    return lambda q, k: torch.cat(call(q, k), -1)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_both_layouts_in_every_type(dtype: torch.dtype, interleaved: bool) -> None:
    for B, H, T, D, R in ((1, 1, 1, 2, None), (2, 3, 5, 64, None), (2, 1, 33, 40, 24), (1, 5, 3, 6, 6)):
        positions = torch.arange(T) + 3
        q, k = (torch.randn(B, H, T, D, dtype=dtype) for _ in range(2))
        check(
            both(lambda q, k: rotary(q, k, positions, interleaved=interleaved, rotary_dim=R)),
            both(lambda q, k: (formula(q, positions, interleaved, R), formula(k, positions, interleaved, R))),
            [q, k],
            # The angles are float32, as the model's own are: 40 places cost 40 eps of them.
            max(LIMITS[dtype], 2e-5),
        )


def test_an_empty_batch() -> None:
    q = torch.randn(0, 1, 2, 4)
    assert rotary(q, q, torch.arange(2))[0].shape == q.shape


@pytest.mark.parametrize("name", ISAS)
def test_every_instruction_set_gives_the_result(name: str) -> None:
    q, k, positions = torch.randn(1, 2, 9, 34), torch.randn(1, 2, 9, 34), torch.arange(9)
    with isa(name):
        got = rotary(q, k, positions)
    assert error(got[0], formula(q, positions)) < 1e-5
    assert error(got[1], formula(k, positions)) < 1e-5


def test_positions_may_differ_between_sequences_and_start_anywhere() -> None:
    positions = torch.tensor([[0, 1, 2], [7, 100, 4000]])
    q, k = torch.randn(2, 3, 3, 8), torch.randn(2, 3, 3, 8)
    assert error(rotary(q, k, positions)[0], formula(q, positions)) < 1e-3


def test_views_of_a_packed_projection_and_in_place() -> None:
    qkv = torch.randn(2, 7, 3, 4, 16)
    q, k, _ = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    want = [formula(x, torch.arange(7)) for x in (q, k)]
    for got, exact in zip(rotary(q, k, torch.arange(7)), want, strict=True):
        assert error(got, exact) < 1e-5
        assert got.transpose(1, 2).is_contiguous()
    value = qkv[:, :, 2].clone()
    rotary_(q, k, torch.arange(7), rotary_dim=16)
    assert error(qkv.permute(2, 0, 3, 1, 4)[0], want[0]) < 1e-5
    assert torch.equal(qkv[:, :, 2], value), "v lies beside them and is not touched"


def test_it_is_the_model_s_and_transformers_own() -> None:
    from transformers import GPTNeoXConfig
    from transformers.models.gpt_neox.modeling_gpt_neox import GPTNeoXRotaryEmbedding, apply_rotary_pos_emb

    q, k, positions = torch.randn(1, 4, 600, 32), torch.randn(1, 4, 600, 32), torch.arange(600)
    cos, sin = Rotary(Shape(128, 4, 600)).rotation(positions)
    got = rotary(q, k, positions)
    torch.testing.assert_close(got[0], rotate(q, cos, sin), rtol=1e-5, atol=1e-5)
    config = GPTNeoXConfig(hidden_size=128, num_attention_heads=4, rotary_pct=1.0)
    theirs = apply_rotary_pos_emb(q, k, *GPTNeoXRotaryEmbedding(config)(q, positions[None]))
    # Their frequencies are rounded once more; 600 places make 600 eps of it.
    torch.testing.assert_close(got[1], theirs[1], rtol=1e-3, atol=1e-3)


def test_gradcheck_and_opcheck_and_compile() -> None:
    cuda_ext.load()
    q, k = (torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda q, k: rotary(q, k, torch.arange(3), interleaved=True), (q, k))
    angles = torch.randn(1, 3, 2, dtype=torch.float64)
    torch.library.opcheck(torch.ops.benchsuite.rotary.default, (q, k, angles.cos(), angles.sin(), False, 1.0))
    args = (q.detach().clone(), k.detach().clone(), angles.cos(), angles.sin(), False, 1.0)
    torch.library.opcheck(torch.ops.benchsuite.rotary_.default, args)
    got = torch.compile(rotary, backend="aot_eager", fullgraph=True)(q, k, torch.arange(3))
    torch.testing.assert_close(got, rotary(q, k, torch.arange(3)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: rotary(x, x, torch.arange(3), rotary_dim=3), "3 channels have no pairs"),
        (lambda x: rotary(x, x, torch.arange(4)), "cos and sin"),
        (lambda x: rotary(x, x[:, :1], torch.arange(3)), "shapes differ"),
        (lambda x: rotary_(x.mT.contiguous().mT, x, torch.arange(3)), "not contiguous"),
    ],
)
def test_what_does_not_fit_is_said(call, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        call(torch.randn(1, 2, 3, 4))
