"""AdamW with the gradient's clipping in one call, for models whose tensors are small: there torch's clipping, a
kernel for each tensor, takes longer than the arithmetic."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchsuite import cuda_ext
from benchsuite.cuda_ext.autograd import fake


class ClippedAdamW(torch.optim.AdamW):
    """torch's AdamW with a step of its own on the CPU; the state is torch's, and so is its `step`.

    The groups differ in their parameters and their weight decay alone; parameters are float32 and contiguous.
    """

    def __init__(self, params: Any, **options: Any) -> None:
        super().__init__(params, **options)
        cuda_ext.load()
        self._call = torch.ops.benchsuite.adamw_.default
        self._steps: float | None = None

    @torch.no_grad()
    def clipped_step(self, clip: float) -> Tensor:
        """Take a step with the gradient clipped to a norm of `clip`, and drop the gradients. Return the norm before, a
        scalar; NaN where the gradient has one, in which case the weights do, too."""
        if self._steps is None:
            self._begin()
        params: list[nn.Parameter] = []
        decay: list[float] = []
        for group in self.param_groups:
            given = [p for p in group["params"] if p.grad is not None]
            params += given
            decay += [group["weight_decay"]] * len(given)
        assert self._steps is not None
        self._steps += 1
        states = [self.state[p] for p in params]
        grads = [p.grad if p.grad.is_contiguous() else p.grad.contiguous() for p in params if p.grad is not None]
        options = self.param_groups[0]
        norm: Tensor = self._call(
            params, grads, [s["exp_avg"] for s in states], [s["exp_avg_sq"] for s in states], decay,
            options["lr"], *options["betas"], options["eps"], clip, self._steps,
        )  # fmt: skip
        torch._foreach_add_([s["step"] for s in states], 1)
        for p in params:
            p.grad = None
        return norm

    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        self._steps = None

    def _begin(self) -> None:
        """Make the state that is not there, and read how many steps were taken."""
        self._steps = 0.0
        for p in (p for group in self.param_groups for p in group["params"]):
            if not self.state[p]:
                moments = {name: torch.zeros_like(p) for name in ("exp_avg", "exp_avg_sq")}
                self.state[p] = {"step": torch.zeros(()), **moments}
            self._steps = max(self._steps, float(self.state[p]["step"]))


def register() -> None:
    """The fake implementation; called once, when the library is loaded."""
    fake("benchsuite::adamw_", _fake)


def _fake(params: list[Tensor], *rest: Any) -> Tensor:
    lists = [params, *rest[:3]]
    if len({tensor.device for several in lists for tensor in several}) > 1:
        raise RuntimeError("adamw_: the tensors are on different devices")
    return params[0].new_empty(())
