"""How a batch is shared out to processes. No torch here, so that plans know what a training will refuse."""

from __future__ import annotations

from collections.abc import Iterable

from benchsuite.errors import UserError


def check(sizes: Iterable[int], processes: int, micro_batch: int | None) -> None:
    """Raises UserError where a batch of one of `sizes` sequences cannot be shared out evenly."""
    unit = processes * (micro_batch or 1)
    uneven = next((size for size in sizes if size % unit), None)
    if uneven is not None:
        told = f"{processes} processes" + (f" with micro-batches of {micro_batch}" if micro_batch else "")
        raise UserError(
            f"a batch of {uneven} sequences cannot be shared by {told}", hint=f"make it a multiple of {unit}"
        )
