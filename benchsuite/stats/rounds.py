"""Records by the rounds in which they were measured, as the statistics of speed take them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from benchsuite.records.case import Record
from benchsuite.stats.speed import Timed


def by_round(records: Iterable[Record]) -> dict[int, Record]:
    """Return the records that have a finite, positive time, by their round. In runs from before there were rounds, a
    replicate is one."""
    usable = [record for record in records if _usable(record)]
    if all(record.round is None for record in usable):
        return {record.replicate: record for record in usable}
    return {record.round: record for record in usable if record.round is not None}


def timed(records: Iterable[Record]) -> list[Timed]:
    """Return the times of each round: seconds a call of every turn, or of the whole process where it took no turns."""
    return [
        Timed(
            round=number,
            times_s=speed.samples_s if speed.stop == "turns" else [speed.time_s],
            in_turns=speed.stop == "turns",
            tokens=speed.tokens,
        )
        for number, record in by_round(records).items()
        if (speed := record.speed) is not None and speed.time_s is not None
    ]


def _usable(record: Record) -> bool:
    time_s = record.speed.time_s if record.speed is not None else None
    return time_s is not None and math.isfinite(time_s) and time_s > 0
