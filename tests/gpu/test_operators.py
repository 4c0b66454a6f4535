"""The operators on a GPU: right in every type and layout, captured, on other streams and devices, and compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support import operator_cases
from torch import Tensor

from benchsuite import cuda_ext
from benchsuite.cuda_ext.activation import act
from benchsuite.cuda_ext.attention import attention_qkv
from benchsuite.cuda_ext.norm import layer_norm
from benchsuite.cuda_ext.softmax import alibi_softmax

pytestmark = pytest.mark.gpu

CALLS: dict[str, Callable[[Tensor], Tensor]] = {  # of one tensor (2, 64, 3, 2, 32)
    "act": lambda x: act(x, "gelu"),
    "layer_norm": lambda x: layer_norm(x, torch.ones_like(x[0, 0, 0, 0])),
    "alibi_softmax": lambda x: alibi_softmax(x[:, 0], torch.ones(3, device=x.device), causal=False),
    "attention": lambda x: attention_qkv(x, torch.full((2,), 0.5, device=x.device)),
}


@pytest.fixture(autouse=True)
def _loaded() -> None:
    cuda_ext.load()


def moved(x: Any, device: str = "cuda") -> Any:
    """A tensor on the device with the same strides, and as far from a 16-byte boundary."""
    if not isinstance(x, Tensor):
        return x
    whole = torch.empty(0, dtype=x.dtype).set_(x.untyped_storage())
    return whole.to(device).as_strided(x.shape, x.stride(), x.storage_offset())


def on_gpu(name: str, *arguments: Any) -> list[Tensor]:
    given = [moved(x) for x in arguments]
    results = operator_cases.several(getattr(torch.ops.benchsuite, name)(*given))
    back = operator_cases.written(name, given)
    for x, y in zip(operator_cases.written(name, arguments), back, strict=True):
        x.copy_(y)
    return [y.cpu() for y in results]


@pytest.mark.parametrize("dtype", operator_cases.TYPES, ids=str)
@pytest.mark.parametrize("family", operator_cases.FAMILIES)
def test_every_type_layout_and_odd_shape_gives_what_float64_gives(family: Any, dtype: torch.dtype) -> None:
    for name, *arguments in family(operator_cases.draws(dtype)):
        operator_cases.compare(name, arguments, on_gpu)


def sample(device: str = "cuda") -> Tensor:
    return torch.randn(2, 64, 3, 2, 32, generator=torch.Generator().manual_seed(0)).to(device, torch.bfloat16)


def gradient(call: Callable[[Tensor], Tensor], x: Tensor) -> list[Tensor]:
    leaf = x.detach().clone().requires_grad_()
    y = call(leaf)
    y.float().square().sum().backward()
    assert leaf.grad is not None
    return [y.detach(), leaf.grad]


@pytest.mark.parametrize("name", CALLS)
def test_a_captured_graph_replays_on_new_values(name: str) -> None:
    call, x = CALLS[name], sample()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        call(x)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = call(x)
    x.copy_(x.flip(0) * 2)
    graph.replay()
    assert torch.equal(y, call(x))


@pytest.mark.parametrize("name", CALLS)
def test_an_operator_is_on_the_current_stream(name: str) -> None:
    """The input is written late on a stream of its own; on any other stream the operator would not wait for it."""
    call, x = CALLS[name], sample()
    want = call(x)
    late, other = torch.zeros_like(x), torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(other):
        torch.cuda._sleep(50_000_000)
        late.copy_(x)
        y = call(late)
    other.synchronize()
    assert torch.equal(y, want)


@pytest.mark.parametrize("name", CALLS)
def test_the_device_is_that_of_the_tensor(name: str) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    y = CALLS[name](sample("cuda:1"))
    assert y.device == torch.device("cuda", 1)
    assert torch.cuda.current_device() == 0
    assert torch.equal(y.cpu(), CALLS[name](sample("cuda:0")).cpu())


@pytest.mark.parametrize("name", CALLS)
def test_torch_compile_takes_it_whole(name: str) -> None:
    compiled = torch.compile(CALLS[name], fullgraph=True)
    for mine, theirs in zip(gradient(compiled, sample()), gradient(CALLS[name], sample()), strict=True):
        torch.testing.assert_close(mine, theirs)
