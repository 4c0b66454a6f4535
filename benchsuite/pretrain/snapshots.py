"""Snapshots, from which an interrupted training continues: weights, moments, loss scale and what was logged.

FOLDER/about.json                     what is trained
FOLDER/step-500/state.safetensors     every parameter and its moments, whole, by name
FOLDER/step-500/state.json            losses and gradient norms of all steps so far, and the hash of the file above

Nothing of it is executed when it is read, so that snapshots may come from elsewhere. Any number of processes writes and
reads them: one writes whole tensors, and each reads its share of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from benchsuite import files
from benchsuite.cache import digest, write_atomically
from benchsuite.errors import UserError
from benchsuite.pretrain.ranks import Ranks

ABOUT, TENSORS, STATE = "about.json", "state.safetensors", "state.json"
KEPT = 2  # the newest, and one before it should the newest be unreadable
MOMENTS = {"exp_avg": True, "exp_avg_sq": True, "step": False}  # of AdamW, and whether they have their weight's shape
_NAME = re.compile(r"step-(\d+)")


class _About(BaseModel):
    digest: str
    what: dict[str, Any]


class _Steps(BaseModel):
    model_config = ConfigDict(extra="forbid")
    losses: list[float]
    norms: list[float]
    time_s: float


class _State(BaseModel):
    model_config = ConfigDict(extra="forbid")
    sha256: str
    steps: _Steps
    scaler: dict[str, int | float]


class _Damaged(Exception):  # noqa: N818 - what a snapshot is
    """A snapshot that cannot be gone on from; the text says why."""


@dataclass(frozen=True)
class Snapshots:
    """The snapshots of one training in `folder`, one every `every` steps. What was begun with another model, recipe,
    text or seed is refused, not continued. Where none of the snapshots can be read, that is an error, or with
    `begin_again` no more than a loss of time."""

    folder: Path
    every: int
    begin_again: bool = False

    def open(self, ranks: Ranks, what: dict[str, Any]) -> None:
        """Make the folder for the training described by `what`. Raises UserError where it is another one's, and where
        it cannot be written."""
        identity = digest(what)
        path = self._real / ABOUT
        for step in self._real.glob("step-*"):
            files.no_link(step)
        if path.exists():
            try:
                found = _About.model_validate_json(files.read(path))
            except (OSError, ValidationError) as error:
                raise UserError(
                    f"{path} does not say of which training the snapshots are",
                    hint=f"name another folder, or remove {self.folder} to begin again",
                ) from error
            if found.digest != identity:
                told = json.loads(json.dumps(what))
                differing = ", ".join(key for key in told if found.what.get(key) != told[key])
                raise UserError(
                    f"{self.folder} holds the snapshots of another training: {differing or 'its parts'} differ",
                    hint="name another folder, or remove it",
                )
        ranks.wait()
        if ranks.first:
            with self._written(), write_atomically(path) as temporary:
                temporary.write_text(json.dumps({"digest": identity, "what": what}, indent=1) + "\n")
        ranks.wait()

    def steps(self) -> list[int]:
        """The steps that have a snapshot, oldest first."""
        found = [(path, _NAME.fullmatch(path.name)) for path in self._real.glob("step-*")]
        return sorted(int(match[1]) for path, match in found if match and path.is_dir())

    def save(
        self, ranks: Ranks, step: int, model: nn.Module, optimizer: Optimizer, scaler: Any, steps: dict[str, Any]
    ) -> None:
        """Write the snapshot of `step`, whole or not at all, and remove all but the last KEPT. The disk has it when
        this returns. Raises UserError where it cannot be written."""
        tensors = {}
        for name, tensor in _tensors(model, optimizer):
            whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor  # all processes take part in it
            if ranks.first:
                tensors[name] = whole.detach().cpu().contiguous()
        if ranks.first:
            final, partial = self._real / f"step-{step}", self._real / f"step-{step}.partial"
            with self._written():
                files.remove_tree(partial)
                with write_atomically(partial / TENSORS) as temporary:
                    save_file(tensors, temporary)
                state = {"sha256": _hash(partial / TENSORS), "steps": steps, "scaler": scaler.state_dict()}
                with write_atomically(partial / STATE) as temporary:
                    temporary.write_text(json.dumps(state))
                files.remove_tree(final)
                files.move(partial, final)
                for old in self.steps()[:-KEPT]:
                    files.remove_tree(self._real / f"step-{old}")
        ranks.wait()

    def restore(self, ranks: Ranks, model: nn.Module, optimizer: Optimizer, scaler: Any) -> tuple[int, dict[str, Any]]:
        """Load the newest snapshot that is whole, and report which are not; return its step and the `steps` that `save`
        was given, (0, {}) where there is none. Raises UserError where none is whole, unless with `begin_again`."""
        told = self.steps()
        why = []
        for step in told[::-1] if ranks.first else []:
            try:
                self._read(step, model, optimizer, scaler)
                break
            except _Damaged as error:
                why.append(f"step-{step}: {error}")
        else:
            step = 0
        step = ranks.told(step)
        for text in why:
            print(f"{self.folder} has a damaged snapshot, which is not used: {text}", file=sys.stderr)
        if step == 0:
            if ranks.agree(bool(why)) and not self.begin_again:
                raise UserError(
                    f"no snapshot in {self.folder} can be read: {'; '.join(why) or 'the first process says why'}",
                    hint="they are damaged, or an older version wrote them; remove the folder to begin again",
                )
            return 0, {}
        state = self._read(step, model, optimizer, scaler)
        with safe_open(self._real / f"step-{step}" / TENSORS, "pt") as file:
            for name in file.keys():  # noqa: SIM118 - it has no other way
                _put(name, file.get_tensor(name), model, optimizer)
        if state.scaler:
            scaler.load_state_dict(state.scaler)
        return step, state.steps.model_dump()

    @property
    def _real(self) -> Path:
        return files.real(self.folder)

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"no snapshot can be written into {self.folder}: {getattr(error, 'strerror', None) or error}",
                hint="make room or give rights; the training goes on from the last one",
            ) from error

    def _read(self, step: int, model: nn.Module, optimizer: Optimizer, scaler: Any) -> _State:
        """Return what is beside the tensors of a snapshot, once both are known to be whole and to fit. Raises
        _Damaged."""
        folder = self._real / f"step-{step}"
        try:
            state = _State.model_validate(json.loads(files.read(folder / STATE)))
            if _hash(folder / TENSORS) != state.sha256:
                raise _Damaged(f"{TENSORS} is not what was written")
            with safe_open(folder / TENSORS, "pt") as file:
                found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except FileNotFoundError as error:
            raise _Damaged(f"{Path(error.filename or STATE).name} is missing") from error
        except (OSError, ValueError, RecursionError, SafetensorError, UserError) as error:
            raise _Damaged(f"it cannot be read ({str(error).splitlines()[0]})") from error
        if not len(state.steps.losses) == len(state.steps.norms) == step:
            raise _Damaged(f"it tells of {len(state.steps.losses)} steps")
        kinds = [{key: type(value) for key, value in scale.items()} for scale in (state.scaler, scaler.state_dict())]
        if kinds[0] != kinds[1]:
            raise _Damaged("its loss scale is another's")
        expected = _shapes(model)
        needed = {name for name in expected if name.startswith("weight.")}
        if not needed <= found.keys() or any(expected.get(name) != shape for name, shape in found.items()):
            raise _Damaged("it is of another model")
        return state


def _hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """By name; the wrapping for several processes is no part of it."""
    return {name.removeprefix("module."): parameter for name, parameter in model.named_parameters()}


def _tensors(model: nn.Module, optimizer: Optimizer) -> Iterator[tuple[str, Tensor]]:
    """Yield what a training changes: `weight.NAME`, and after a step `exp_avg.NAME` and `exp_avg_sq.NAME`."""
    for name, parameter in _parameters(model).items():
        yield f"weight.{name}", parameter
        for moment in MOMENTS:
            if moment in optimizer.state.get(parameter, {}):
                yield f"{moment}.{name}", optimizer.state[parameter][moment]


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Of all that a snapshot may hold."""
    found: dict[str, tuple[int, ...]] = {}
    for name, parameter in _parameters(model).items():
        whole = tuple(parameter.shape)
        found |= {f"weight.{name}": whole, **{f"{m}.{name}": whole if like else () for m, like in MOMENTS.items()}}
    return found


@torch.no_grad()
def _put(name: str, value: Tensor, model: nn.Module, optimizer: Optimizer) -> None:
    """Put a tensor of a snapshot where it belongs, this process's share of it where it is sharded."""
    kind, _, of = name.partition(".")
    parameter = _parameters(model)[of]
    value = value.to(parameter.device, torch.float32 if kind == "step" else parameter.dtype)
    if kind != "step" and isinstance(parameter, DTensor):
        value = distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)
    if kind == "weight":
        parameter.copy_(value)
    else:
        optimizer.state[parameter][kind] = value
