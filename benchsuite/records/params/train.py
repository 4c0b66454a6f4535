"""The settings of the trainer (`benchsuite.pretrain.trainer`), which the parameters of a trained model hold."""

from __future__ import annotations

from dataclasses import dataclass

from benchsuite.records.params.base import Part


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Part):
    """`tokens` in all; `batch` in sequences of the model's `seq` tokens; `lr` at its peak, `min_lr` as a fraction of
    it; `warmup` as a fraction of the training. The other defaults are GPT-3's (arXiv:2005.14165, appendix B).

    `decay_tokens` is the length of warm-up and cosine together where it is not that of the training (0): after it the
    learning rate stays at its least. With `ramp_tokens` the batch grows from `ramp_batch` sequences, in steps of
    `ramp_step` (None: of as many), until so many tokens are seen. `micro_batch` sequences are computed at once on a
    device and their gradients added up (None: all of its share). `precision` is that of matrix products; weights and
    optimizer stay float32, and float16 scales its loss. `recompute` keeps of each block its input alone; `compile` puts
    the loss through torch.compile.
    """

    tokens: int
    batch: int = 32
    lr: float = 3e-3
    min_lr: float = 0.1
    warmup: float = 0.05
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    clip: float = 1.0
    implementation: str = "sdpa"
    ramp_tokens: int = 0
    ramp_batch: int = 32
    ramp_step: int | None = None
    micro_batch: int | None = None
    decay_tokens: int = 0
    precision: str = "float32"
    recompute: bool = False
    compile: bool = False

    def steps(self, seq: int) -> int:
        """Optimizer steps that fit into `tokens`, at least one."""
        return len(self.sizes(seq))

    def sizes(self, seq: int) -> list[int]:
        """The batch of every step, in sequences."""
        left, seen = self.tokens // seq, 0
        found: list[int] = []
        while left - seen >= (size := self._size(seen * seq)) or not found:
            if not self.ramp_tokens or seen * seq >= self.ramp_tokens:
                return found + [self.batch] * max(0 if found else 1, (left - seen) // self.batch)
            found.append(size)
            seen += size
        return found

    def _size(self, seen_tokens: int) -> int:
        if seen_tokens >= self.ramp_tokens:
            return self.batch
        step = self.ramp_step or self.ramp_batch
        stages = max(0, -(-(self.batch - self.ramp_batch) // step))  # as Megatron: increments, evenly over the ramp
        return min(self.batch, self.ramp_batch + step * int(stages * seen_tokens / self.ramp_tokens))
