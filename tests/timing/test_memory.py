"""The memory pass, against tensors whose sizes are known."""

from __future__ import annotations

import pytest
import torch

from benchsuite import devices

KIB = 1024


@pytest.mark.slow
def test_the_peak_is_what_lives_at_once() -> None:
    held = torch.zeros(256)  # 1 KiB

    def call() -> None:
        a = torch.empty(KIB, 256)  # 1 MiB
        del a
        b = torch.empty(KIB, 512)  # 2 MiB
        c = torch.empty(KIB, 256)  # 1 MiB beside it
        del b, c

    memory = devices.named("cpu").memory(call, [held])
    assert memory.peak == 3 * KIB * KIB + KIB
    assert memory.saved == 0
    assert memory.rss_peak is not None
    assert memory.rss_peak > 50 * KIB * KIB


def test_saved_bytes_leave_out_inputs_and_parameters() -> None:
    x = torch.randn(64, 256)
    weight = torch.randn(256, 256, requires_grad=True)

    def call() -> None:
        weight.grad = None
        y = (x @ weight).exp()  # exp saves its result: 64 KiB
        y.sum().backward()

    assert devices.named("cpu").memory(call, [x, weight]).saved == 64 * KIB


def test_what_autograd_keeps_is_told_by_shape_and_maker() -> None:
    x = torch.randn(64, 256)
    weight = torch.randn(256, 256, requires_grad=True)

    def call() -> None:
        weight.grad = None
        y = (x @ weight).exp()
        (y * y.sin()).sum().backward()

    memory = devices.named("cpu").memory(call, [x, weight])
    largest = memory.saved_by[0]
    assert (largest.shape, largest.dtype, largest.bytes) == ((64, 256), "float32", largest.count * 64 * KIB)
    assert {group.made_by for group in memory.saved_by} >= {"ExpBackward0"}
    assert sum(group.bytes for group in memory.saved_by) == memory.saved
    assert memory.to_json()["reserved_bytes"] is None, "unknown on a CPU, and not 0"
