"""linear_cross_entropy: torch's loss and gradients, without the logits of a whole batch."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from benchsuite import cuda_ext, devices
from benchsuite.cuda_ext import cross_entropy
from benchsuite.cuda_ext.cross_entropy import linear_cross_entropy

from .operators import DTYPES, ISAS, LIMITS, check, isa

pytestmark = pytest.mark.slow


def formula(x: torch.Tensor, w: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(x @ w.t(), targets)


@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_and_gradients_are_the_formula_s(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    for rows, C, V, chunk in ((1, 3, 2, 1), (40, 16, 77, 7), (64, 8, 1000, 64), (33, 5, 16, 33)):
        monkeypatch.setattr(cross_entropy, "CHUNK_BYTES", chunk * V * dtype.itemsize)
        targets = torch.randint(V, (rows,))
        if rows > 8:
            targets[3:8] = -100
        x, w = torch.randn(rows, C, dtype=dtype), torch.randn(V, C, dtype=dtype)
        check(
            lambda x, w, t=targets: linear_cross_entropy(x, w, t),
            lambda x, w, t=targets: formula(x, w, t),
            [x, w],
            3 * LIMITS[dtype],  # the logits themselves are rounded to 16 bits, as those of torch's projection are
        )


@pytest.mark.parametrize("name", ISAS)
def test_every_instruction_set_gives_the_result(name: str) -> None:
    targets = torch.randint(77, (9,))
    with isa(name):
        check(
            lambda x, w: linear_cross_entropy(x, w, targets),
            lambda x, w: formula(x, w, targets),
            [torch.randn(9, 6), torch.randn(77, 6)],
            1e-5,
        )


def test_large_logits_do_not_overflow() -> None:
    targets = torch.tensor([0, 1])
    x, w = torch.tensor([[300.0], [-300.0]]), torch.tensor([[1.0], [-1.0]])
    assert linear_cross_entropy(x, w, targets).item() == 0
    assert linear_cross_entropy(x, w, 1 - targets).item() == 600


def test_the_gradient_is_scaled_by_what_comes_from_above() -> None:
    x, w, targets = torch.randn(5, 4, requires_grad=True), torch.randn(7, 4), torch.randint(7, (5,))
    (one,) = torch.autograd.grad(linear_cross_entropy(x, w, targets), x)
    (three,) = torch.autograd.grad(linear_cross_entropy(x, w, targets) * 3, x)
    torch.testing.assert_close(three, 3 * one)


def test_nothing_but_ignored_targets_is_nan_as_torch_s() -> None:
    loss = linear_cross_entropy(torch.randn(2, 3), torch.randn(4, 3), torch.tensor([-100, -100]))
    assert loss.isnan()


def test_without_gradient_none_is_computed() -> None:
    cuda_ext.load()
    x, w, t = torch.randn(5, 4), torch.randn(7, 4), torch.randint(7, (5,))
    loss, dx, dw = torch.ops.benchsuite.linear_cross_entropy(x, w, t, -100, False)
    assert dx.numel() == dw.numel() == 0
    torch.testing.assert_close(loss, formula(x, w, t))


def test_peak_memory_is_a_fraction_of_eager_s() -> None:
    """At 4,096 rows and a vocabulary of 8,192 the logits alone are 134 MB; one chunk has 34."""
    x, w, t = torch.randn(4096, 32, requires_grad=True), torch.randn(8192, 32), torch.randint(8192, (4096,))

    def call(loss) -> None:
        loss(x, w, t).backward()
        x.grad = None

    ours, eager = (
        devices.named("cpu").memory(lambda f=f: call(f), [x, w, t]).peak for f in (linear_cross_entropy, formula)
    )
    assert ours is not None
    assert eager is not None
    assert ours < eager / 5


def test_gradcheck_and_opcheck() -> None:
    x, w = (torch.randn(s, dtype=torch.float64, requires_grad=True) for s in ((4, 3), (6, 3)))
    targets = torch.tensor([0, 5, -100, 2])
    assert torch.autograd.gradcheck(lambda x, w: linear_cross_entropy(x, w, targets), (x, w))
    ops = torch.ops.benchsuite
    torch.library.opcheck(ops.cross_entropy_rows_.default, (torch.randn(4, 6), targets, -100, 0.5, True))
    torch.library.opcheck(ops.linear_cross_entropy.default, (x, w, targets, -100, True))


def test_torch_compile_takes_it_whole() -> None:
    x, w, t = torch.randn(5, 4, requires_grad=True), torch.randn(7, 4), torch.randint(7, (5,))
    want = torch.autograd.grad(linear_cross_entropy(x, w, t), x)[0]
    compiled = torch.compile(linear_cross_entropy, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(torch.autograd.grad(compiled(x, w, t), x)[0], want)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: linear_cross_entropy(torch.randn(2, 3), torch.randn(4, 5), t), r"have shapes \(2, 3\), \(4, 5\)"),
        (
            lambda t: linear_cross_entropy(torch.randn(2, 3), torch.randn(4, 3), t + 3),
            "target 4 is not among 4 classes",
        ),
        (lambda t: linear_cross_entropy(torch.randn(2, 3), torch.randn(4, 3), t.int()), "not int64"),
    ],
)
def test_what_does_not_fit_is_said(call, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        call(torch.tensor([0, 1]))
