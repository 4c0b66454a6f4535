"""Share a batch out to processes. No torch here, so that a plan can refuse what a training would refuse."""

from __future__ import annotations

from collections.abc import Iterable

from benchsuite.errors import UserError


def check(sizes: Iterable[int], processes: int, micro_batch: int | None) -> None:
    """Raise UserError where a batch of one of `sizes` sequences cannot be shared out evenly."""
    unit = processes * (micro_batch or 1)
    uneven = next((size for size in sizes if size % unit), None)
    if uneven is not None:
        told = f"{processes} processes" + (f" with micro-batches of {micro_batch}" if micro_batch else "")
        raise UserError(
            f"a batch of {uneven} sequences cannot be shared by {told}", hint=f"make it a multiple of {unit}"
        )


def check_rule(learning_rule: str, processes: int) -> None:
    """Raise UserError for a learning rule that several processes cannot follow together."""
    if processes > 1 and learning_rule != "backprop":
        raise UserError(
            f"the learning rule {learning_rule!r} trains in one process, not in {processes}",
            hint="train it on one device, or by backprop",
        )
