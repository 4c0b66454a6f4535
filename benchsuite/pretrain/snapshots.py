"""Where a training goes on after an interruption: model, optimizer, scaler and what was logged, as a distributed
checkpoint of torch that any number of processes writes and reads."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.optim import Optimizer

from benchsuite.cache import digest, write_atomically
from benchsuite.errors import UserError
from benchsuite.pretrain.ranks import Ranks

ABOUT, STATE = "about.json", "state.json"
KEPT = 2  # the newest, and one before it should the newest be unreadable


@dataclass(frozen=True)
class Snapshots:
    """The snapshots of one training in `folder`, one every `every` steps. What was begun with another model, recipe,
    text or seed is refused, not continued."""

    folder: Path
    every: int

    def open(self, ranks: Ranks, what: dict[str, Any]) -> None:
        """Makes the folder for the training described by `what`. Raises UserError where it is another one's."""
        identity = digest(what)
        path = self.folder / ABOUT
        if path.exists():
            found = json.loads(path.read_text())
            if found["digest"] != identity:
                differing = ", ".join(
                    key for key in what if found["what"].get(key) != json.loads(json.dumps(what[key]))
                )
                raise UserError(
                    f"{self.folder} holds the snapshots of another training: {differing} differ",
                    hint="name another folder, or remove it",
                )
        ranks.wait()
        if ranks.first:
            self.folder.mkdir(parents=True, exist_ok=True)
            with write_atomically(path) as temporary:
                temporary.write_text(json.dumps({"digest": identity, "what": what}, indent=1) + "\n")
        ranks.wait()

    def steps(self) -> list[int]:
        """The steps that have a snapshot, oldest first."""
        return sorted(int(path.name.partition("-")[2]) for path in self.folder.glob("step-*") if path.suffix == "")

    def save(self, ranks: Ranks, step: int, model: nn.Module, optimizer: Optimizer, state: dict[str, Any]) -> None:
        """Writes the snapshot of `step`, whole or not at all, and removes all but the last KEPT."""
        final, partial = self.folder / f"step-{step}", self.folder / f"step-{step}.partial"
        weights, moments = get_state_dict(model, optimizer)
        dcp.save({"model": weights, "optimizer": moments}, checkpoint_id=partial)
        if ranks.first:
            (partial / STATE).write_text(json.dumps(state))
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
            for old in self.steps()[:-KEPT]:
                shutil.rmtree(self.folder / f"step-{old}", ignore_errors=True)
        ranks.wait()

    def restore(self, model: nn.Module, optimizer: Optimizer) -> tuple[int, dict[str, Any]]:
        """Loads the newest snapshot; returns its step and its state, (0, {}) where there is none."""
        steps = self.steps()
        if not steps:
            return 0, {}
        folder = self.folder / f"step-{steps[-1]}"
        weights, moments = get_state_dict(model, optimizer)
        found: dict[str, Any] = {"model": weights, "optimizer": moments}
        dcp.load(found, checkpoint_id=folder)
        set_state_dict(model, optimizer, model_state_dict=found["model"], optim_state_dict=found["optimizer"])
        return steps[-1], json.loads((folder / STATE).read_text())
