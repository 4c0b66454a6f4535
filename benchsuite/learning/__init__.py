"""Learning rules: how the parameters of a model get their gradients.

    learner = attach(model, ["layers.0", "layers.1"], "dfa", seed=0)
    criterion(model(x), target).backward()      # as ever; .grad is what the rule says

`backprop` changes nothing. `dfa` is Direct Feedback Alignment (Nøkland, arXiv:1609.01596; Launay et al.,
arXiv:2006.12878): no gradient crosses a feedback point, the output of a named submodule. The part of the model before
a point gets the error of the model's output instead, the gradient of the loss there, projected by a fixed random
matrix. Inside a part, and behind the last point, backpropagation works as usual. With `shallow` no gradient crosses a
point either, and none comes in its place: only what lies behind the last point learns.

The rule sits in the autograd graph, so that whatever calls `backward` needs to know nothing of it: gradient scalers,
micro-batches, several calls of the model before one `backward`, activation checkpointing that is not reentrant,
DistributedDataParallel around the model and torch.compile work. A copy of the model, or its pickle, learns by the same
rule. Parameters before and behind a point, such as tied embeddings, get the sum of both gradients.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from benchsuite.errors import UserError, did_you_mean

RULES = ("backprop", "dfa", "shallow")
STREAM = 4  # of a seed's random numbers: orders of data have the streams below


class Learner:
    """The hooks that `attach` left in a model, and the feedback matrix of `dfa`, which no state_dict holds.

    It is copied and pickled with the model, so that a copy learns by the same rule and the same matrix.
    """

    def __init__(self, model: nn.Module, points: Sequence[str], rule: str, seed: int, output: str) -> None:
        self.rule = rule
        self.seed = seed
        self.matrix: Tensor | None = None
        self._names = tuple(points)
        self._output = output
        self._passed: list[tuple[str, Tensor]] | None = None  # points and what came out; None but in the model's call
        self._watched: list[tuple[str, Tensor]] | None = None  # the same for `angles`, the output last
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        if rule == "backprop":
            return
        # Hooks are methods, not closures: those are neither copied nor pickled with the model.
        for name in self._names:
            hook = functools.partial(self._cut, name)
            self._handles.append(model.get_submodule(name).register_forward_hook(hook))
        self._handles.append(model.register_forward_pre_hook(self._begin))
        if rule == "dfa":
            self._handles.append(model.get_submodule(output).register_forward_hook(self._feed_back))
        self._handles.append(model.register_forward_hook(self._end))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_passed": None, "_watched": None}

    def draw(self, outputs: int, widest: int, device: str | torch.device = "cpu") -> Tensor:
        """Draw the feedback matrix, (outputs, widest), on the CPU, so that a seed means the same matrix on any device.

        Its numbers are uniform in [-1, 1) / √widest, as in the authors' code. The first call of the model draws it;
        draw it before where torch.compile reads the model first.
        """
        # Not from torch.manual_seed(seed), whose numbers are in the first weights of a model of the same seed.
        drawn = np.random.default_rng([self.seed, STREAM]).random((outputs, widest), dtype=np.float32)
        self.matrix = ((torch.from_numpy(drawn) * 2 - 1) / math.sqrt(widest)).to(device)
        return self.matrix

    def angles(self, loss: Callable[[], Tensor]) -> Mapping[str, float]:
        """Return for each point the cosine between the gradient that DFA gives it and the true one.

        It is the mean over the places (samples, tokens) of the cosine at each; 1 is backpropagation, 0 is what chance
        gives. `loss` calls the model and returns the loss; it is called once, with no point cut, at random numbers of
        its own and without what torch.compile made, and no `.grad` changes. Raises UserError for a rule that feeds
        nothing back, after `close`, and where `loss` does not call the model once.
        """
        if self.rule != "dfa":
            raise UserError(f"there are no angles of {self.rule}", hint="they compare dfa with backprop")
        if not self._handles:
            raise UserError("there are no angles once the rule is closed", hint="take them before close()")
        self._watched = []
        try:
            with torch.random.fork_rng(), torch.enable_grad(), torch.compiler.set_stance("force_eager"):
                value = loss()
                if (calls := sum(name == "" for name, _ in self._watched)) != 1:
                    raise UserError(f"the loss calls the model {calls} times", hint="angles are those of one call")
                *points, (_, output) = self._watched
                error, *true = torch.autograd.grad(value, [output, *(y for _, y in points)], allow_unused=True)
        finally:
            self._watched = self._passed = None
        if error is None:
            raise UserError("the loss does not depend on the output of the model")
        assert self.matrix is not None
        fed = _project(error, self.matrix, [y.shape for _, y in points])
        rows = error.numel() // _outputs(error.shape)
        cosines: dict[str, list[Tensor]] = {}
        for (name, _), mine, gradient in zip(points, fed, true, strict=True):
            if gradient is not None:
                one, other = (x.reshape(rows, -1).double() for x in (mine, gradient))
                cosines.setdefault(name, []).append(torch.cosine_similarity(one, other, dim=1))
        return {name: float(torch.cat(found).mean()) for name, found in cosines.items()}

    def close(self) -> None:
        """Remove the rule from the model, which learns by backpropagation from now on."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _begin(self, model: nn.Module, inputs: Any) -> None:
        self._passed = [] if torch.is_grad_enabled() else None  # also after a call that was broken off

    def _cut(self, name: str, module: nn.Module, inputs: Any, y: Any) -> Tensor | None:
        if not torch.is_grad_enabled():
            return None
        if not isinstance(y, Tensor) or not y.is_floating_point():
            raise UserError(
                f"the feedback point {name!r} gives {_kind(y)}, not one tensor of real numbers",
                hint="name a submodule that does",
            )
        if self._passed is not None:
            self._passed.append((name, y))
        elif self.rule == "dfa" and not _in_backward():  # recomputed activations have told theirs before
            raise UserError(
                f"no error reaches the feedback point {name!r}: it was computed behind the output, or outside the call "
                "of the model that the learning rule is attached to",
                hint="attach the rule to the module that you call; call parts of it under torch.no_grad()",
            )
        return y if self._watched is not None else y.detach()

    def _feed_back(self, module: nn.Module, inputs: Any, output: Any) -> Tensor | None:
        if not torch.is_grad_enabled():
            return None
        passed, self._passed = self._passed, None
        if passed is None:
            raise UserError(
                "the output was computed twice, or outside the call of the model that the learning rule is attached to",
                hint="call that model, or attach the rule to the module that you call",
            )
        if not isinstance(output, Tensor) or not output.is_floating_point() or not output.dim():
            raise UserError(
                f"the output that feeds back is {_kind(output)}, not one tensor with real numbers for each example",
                hint="name a submodule that gives one: attach(..., output=NAME)",
            )
        self._check_passed(passed, "before the output")
        features = [_features(name, y.shape, output.shape) for name, y in passed]
        matrix = self.matrix if self.matrix is not None else self.draw(_outputs(output.shape), max(features))
        if matrix.shape[0] != _outputs(output.shape) or matrix.shape[1] < max(features):
            raise UserError(
                f"the feedback matrix is {tuple(matrix.shape)}, the model has {_outputs(output.shape)} outputs and "
                f"points of up to {max(features)} features",
                hint="these must not change after the first call",
            )
        if matrix.device != output.device:
            self.matrix = matrix = matrix.to(output.device)
        if self._watched is not None:
            self._watched += [*passed, ("", output)]
            return None
        fed: Tensor = _Feedback.apply(matrix, output, *[y for _, y in passed])
        return fed

    def _end(self, model: nn.Module, inputs: Any, output: Any) -> None:
        passed, self._passed = self._passed, None
        if passed is None:  # without gradients, or fed back
            return
        self._check_passed(passed, "in the call of the model")
        if self.rule == "dfa":
            raise UserError(
                f"the output {self._output!r} was not computed in the call of the model, so that no error feeds back"
            )

    def _check_passed(self, passed: list[tuple[str, Tensor]], where: str) -> None:
        if missing := [name for name in self._names if name not in {name for name, _ in passed}]:
            raise UserError(
                f"the feedback points {', '.join(missing)} were not passed {where}",
                hint="a container such as ModuleList is not called itself; torch.no_grad(), checkpoint(..., "
                "use_reentrant=True) and code compiled before the rule was attached hide what is called inside",
            )


class _Feedback(torch.autograd.Function):
    """The output as it is; its gradient goes on to the output, and projected to every point."""

    @staticmethod
    def forward(matrix: Tensor, output: Tensor, *points: Tensor) -> Tensor:
        return output.detach()  # no view, which torch would not let anyone change in place

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        matrix, _, *points = inputs
        ctx.save_for_backward(matrix)
        ctx.shapes = [y.shape for y in points]
        ctx.dtypes = [y.dtype for y in points]

    @staticmethod
    def backward(ctx: Any, error: Tensor) -> Any:
        (matrix,) = ctx.saved_tensors
        fed = _project(error, matrix, ctx.shapes)
        return None, error, *(x.to(dtype) for x, dtype in zip(fed, ctx.dtypes, strict=True))


def _project(error: Tensor, matrix: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
    """The error (..., outputs) projected once, and of it for each shape (..., features) the leading columns."""
    if error.dim() < 2:
        error = error.unsqueeze(-1)
    projected = error @ matrix.to(error.dtype)
    places = error.dim() - 1
    return [projected[..., : math.prod(shape[places:])].reshape(shape) for shape in shapes]


def _outputs(output: torch.Size) -> int:
    return output[-1] if len(output) > 1 else 1


def _features(name: str, point: torch.Size, output: torch.Size) -> int:
    """Numbers per place of a point. The places are the leading dimensions of the output, all but its last; a vector
    is one number for each sample. What a point has behind them is flattened. Raises UserError where it lacks them."""
    places = output[:-1] if len(output) > 1 else output
    if point[: len(places)] != places:
        raise UserError(
            f"the feedback point {name!r} has the shape {tuple(point)}, which does not begin with {tuple(places)}, the "
            f"leading dimensions of the output {tuple(output)}",
            hint="each place of the output feeds back to the same place of a point: choose points, or an output, that "
            "have the same leading dimensions",
        )
    return math.prod(point[len(places) :])


def attach(model: nn.Module, points: Sequence[str], rule: str, *, seed: int, output: str = "") -> Learner:
    """Make `model` learn by `rule`, one of RULES, from its next call on.

    `points` are dotted names of submodules whose outputs are feedback points; `output` is that of the submodule whose
    output gives the error, the model itself if it is empty. The parts between points can be any modules. What bypasses
    all points learns by backpropagation. `seed` determines the feedback matrix.

    For an output (..., outputs) a point is (..., features) or (..., any more dimensions, flattened to features), with
    the same leading dimensions, so that each token of a sequence gets its own error; for an output (batch) it is
    (batch, ...). Raises UserError for a rule or names that are not there.

    Attach before compiled code calls the model for the first time: torch.compile does not see hooks that come later.
    After `torch.compiler.reset()` it does.
    """
    points = [points] if isinstance(points, str) else list(points)
    _check(model, points, rule, seed, output)
    return Learner(model, points, rule, seed, output)


def _check(model: nn.Module, points: Sequence[str], rule: str, seed: int, output: str) -> None:
    if rule not in RULES:
        raise UserError(f"unknown learning rule {rule!r}", hint=did_you_mean(rule, list(RULES)))
    if not isinstance(seed, int) or seed < 0:
        raise UserError(f"a seed is a whole number from 0 on, not {seed!r}")
    if isinstance(model, DistributedDataParallel):
        raise UserError(
            "DistributedDataParallel has looked which parameters learn before a rule attached to it feeds back",
            hint="attach the rule to the module inside it: attach(model.module, ...)",
        )
    known = {name: module for name, module in model.named_modules(remove_duplicate=False) if name}
    for name in (*points, *([output] if output else [])):
        if not isinstance(name, str):
            raise UserError(f"submodules are given by name, not as {type(name).__name__}", hint="such as 'layers.0'")
        if name not in known:
            raise UserError(f"the model has no submodule {name!r}", hint=did_you_mean(name, list(known)))
    if rule != "backprop" and not points:
        raise UserError(f"{rule} needs feedback points", hint="name the submodules whose outputs are to be cut")
    if output in points:
        raise UserError(f"the output {output!r} is a feedback point too", hint="it must lie behind all points")
    if len({known[name] for name in points}) < len(points):
        raise UserError(
            "a feedback point is named twice, or by two names",
            hint="each call of a submodule is a point: name it once",
        )
    for name in points:
        for hook in known[name]._forward_hooks.values():
            if isinstance(getattr(getattr(hook, "func", None), "__self__", None), Learner):
                raise UserError(f"{name!r} is a feedback point already", hint="close() the rule attached before")


def _kind(value: Any) -> str:
    """Describe what a module gives, for messages."""
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"a tensor of {str(value.dtype).removeprefix('torch.')} of the shape {tuple(value.shape)}"


def _in_backward() -> bool:
    graph_task: int = torch._C._current_graph_task_id()  # as torch.utils.checkpoint asks
    return graph_task != -1
