"""Training on several devices: one process for each, as torchrun starts them.

    ranks = Ranks.here("cuda")      # from torchrun's variables; one process alone without them
    objective = ranks.spread(Objective(model), "fsdp")

The order of the data and the arithmetic of a step do not depend on the number of processes: every batch is shared out,
and gradients are means over all of it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from benchsuite import devices
from benchsuite.model.gpt import GPT, Block
from benchsuite.pretrain import shares
from benchsuite.pretrain.step import Objective

Parallel = Literal["ddp", "fsdp"]


@dataclass(frozen=True)
class Ranks:
    """This process among `size`; `device` is its own."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @classmethod
    def here(cls, device: str = "cpu") -> Ranks:
        """Join the processes that torchrun started; alone where it did not."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return cls(device=device)
        own = devices.named(device).for_rank(int(os.environ.get("LOCAL_RANK", "0")))
        own.select()
        if not dist.is_initialized():
            dist.init_process_group(own.process_group)
        return cls(dist.get_rank(), size, own.name)

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, sizes: list[int], micro_batch: int | None) -> slice:
        """The rows of a batch that this process takes. Raises UserError where batches cannot be shared out evenly."""
        shares.check(sizes, self.size, micro_batch)
        return slice(self.rank, None, self.size)

    def spread(self, objective: Objective, parallel: Parallel) -> nn.Module:
        """The objective over all processes: `ddp` keeps the model whole on each and averages gradients, `fsdp` shards
        parameters, gradients and optimizer state (FSDP2), block by block."""
        if self.size == 1:
            return objective
        if parallel == "ddp":
            on = None if devices.named(self.device).is_host else [torch.device(self.device)]
            return DistributedDataParallel(objective, device_ids=on)
        for block in [module for module in objective.model.modules() if isinstance(module, Block)]:
            fully_shard(block)
        fully_shard(objective)
        return objective

    def mean(self, values: Tensor) -> Tensor:
        """The mean over processes."""
        if self.size > 1:
            dist.all_reduce(values)
            values /= self.size
        return values

    def agree(self, here: bool) -> bool:
        """Return what the first process says."""
        return bool(self.told(int(here)))

    def told(self, here: int) -> int:
        """The number of the first process."""
        if self.size == 1:
            return here
        told = torch.tensor(here, device=self.device)
        dist.broadcast(told, 0)
        return int(told)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()

    def leave(self) -> None:
        """The end: once the first has done what it alone does."""
        if self.size > 1:
            dist.barrier()
            dist.destroy_process_group()

    def whole(self, model: GPT) -> GPT:
        """`model` with all its weights in each process, whatever was sharded."""
        if not any(isinstance(parameter, DTensor) for parameter in model.parameters()):
            return model
        options = StateDictOptions(full_state_dict=True, cpu_offload=False)
        state: dict[str, Any] = get_model_state_dict(model, options=options)
        plain = type(model)(model.spec, model.implementation).to(self.device)
        plain.load_state_dict(state)
        return plain
