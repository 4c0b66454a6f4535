"""AdamW with clipping in one call: torch's steps in float64, its state, the same bits for any number of threads."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from benchsuite.cuda_ext.adamw import ClippedAdamW

from .operators import ISAS, error, isa

pytestmark = pytest.mark.slow

Made = tuple[list[nn.Parameter], torch.optim.AdamW]
SHAPES = ((3,), (70, 40), (1, 1), (300, 257))
OPTIONS = {"lr": 1e-2, "betas": (0.9, 0.95), "eps": 1e-8}


def made(kind: type[torch.optim.AdamW], dtype: torch.dtype = torch.float32) -> Made:
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.randn(shape).to(dtype)) for shape in SHAPES]
    groups = [{"params": parameters[1:], "weight_decay": 0.1}, {"params": parameters[:1], "weight_decay": 0.0}]
    return parameters, kind(groups, **OPTIONS)  # type: ignore[arg-type]


def give_gradients(seed: int, *models: list[nn.Parameter]) -> None:
    torch.manual_seed(seed)
    for several in zip(*models, strict=True):
        grad = torch.randn(several[0].shape)
        for parameter in several:
            parameter.grad = grad.to(parameter.dtype)


@pytest.mark.parametrize("name", ISAS)
@pytest.mark.parametrize("clip", [0.5, 1e6])
def test_its_steps_are_torch_s(name: str, clip: float) -> None:
    ours, optimizer = made(ClippedAdamW)
    theirs, exact = made(torch.optim.AdamW, torch.float64)
    assert isinstance(optimizer, ClippedAdamW)
    with isa(name):
        for step in range(4):
            give_gradients(step, ours, theirs)
            norm = optimizer.clipped_step(clip)
            want = torch.nn.utils.clip_grad_norm_(theirs, clip)
            exact.step()
            assert float(norm) == pytest.approx(float(want), rel=1e-5)
            assert all(error(a.detach(), b.detach()) < 1e-5 for a, b in zip(ours, theirs, strict=True))
            assert all(p.grad is None for p in ours)


def test_its_state_is_torch_s_and_goes_on_in_either() -> None:
    ours, optimizer = made(ClippedAdamW)
    theirs, other = made(torch.optim.AdamW)
    assert isinstance(optimizer, ClippedAdamW)
    for step in range(3):
        give_gradients(step, ours, theirs)
        optimizer.clipped_step(1e9)
        other.step()
    state = copy.deepcopy(optimizer.state_dict())
    again, loaded = made(ClippedAdamW)
    assert isinstance(loaded, ClippedAdamW)
    for new, old in zip(again, ours, strict=True):
        new.data.copy_(old.data)
    loaded.load_state_dict(copy.deepcopy(state))
    for model, way in ((ours, optimizer), (again, loaded)):
        give_gradients(9, model)
        assert isinstance(way, ClippedAdamW)
        way.clipped_step(1e9)
    assert all(torch.equal(a, b) for a, b in zip(ours, again, strict=True))
    other.load_state_dict(state)
    assert {float(one["step"]) for one in other.state.values()} == {3.0}


def test_a_parameter_without_a_gradient_stays_as_it_is_and_a_nan_is_told() -> None:
    ours, optimizer = made(ClippedAdamW)
    assert isinstance(optimizer, ClippedAdamW)
    give_gradients(0, ours)
    ours[1].grad = None
    before = ours[1].detach().clone()
    optimizer.clipped_step(1.0)
    assert torch.equal(ours[1], before)
    give_gradients(1, ours)
    assert ours[0].grad is not None
    ours[0].grad[1] = torch.nan
    assert optimizer.clipped_step(1.0).isnan()


def test_the_bits_do_not_depend_on_the_threads() -> None:
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            ours, optimizer = made(ClippedAdamW)
            assert isinstance(optimizer, ClippedAdamW)
            give_gradients(0, ours)
            optimizer.clipped_step(0.1)
            found.append(ours)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_what_does_not_fit_is_refused() -> None:
    x = [torch.randn(4, 8) for _ in range(4)]
    call = torch.ops.benchsuite.adamw_
    rest = (1e-3, 0.9, 0.95, 1e-8, 1.0, 1.0)
    with pytest.raises(RuntimeError, match="lists have different lengths"):
        call([x[0]], [x[1]], [x[2]], [x[3]], [0.1, 0.2], *rest)
    for place in range(4):
        for wrong in (x[0].double(), torch.randn(4, 7), torch.randn(8, 4).t(), torch.randn(4, 8, device="meta")):
            given = [[one] for one in x]
            given[place] = [wrong]
            with pytest.raises((RuntimeError, NotImplementedError)):
                call(*given, [0.1], *rest)
    with pytest.raises(RuntimeError, match="shares memory"):
        call([x[0]], [x[1]], [x[0]], [x[3]], [0.1], *rest)
