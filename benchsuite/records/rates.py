"""The learning rate that a model is trained at, where several are tried: it follows from the records of the search
alone.

The parameters of such a case hold the search, `learning_rate`: multiples of the shared rate, `train.lr`, and the ids of
the cases that tried them, as `{"0.5x": id, "1x": id, …}`. The multiple whose model reads held-out training text best
is taken. The records of a run decide it, so a run that is resumed takes the same one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from benchsuite.records.case import Case, Record, case_id
from benchsuite.records.params import Params, TrainingParams

SHARED = 1.0
SEED = 0  # of every search

Records = Mapping[str, Mapping[int, Record]]  # by case id, then by replicate


@dataclass(frozen=True)
class Choice:
    """The multiple of the shared rate that was taken, the bits per byte at each that was tried (None where the training
    diverged or failed), and whether the best lies at an end of the range."""

    multiple: float
    bits_per_byte: dict[float, float | None]

    @property
    def at_edge(self) -> bool:
        return self.multiple in (min(self.bits_per_byte), max(self.bits_per_byte))


def tried(params: Params) -> dict[float, str]:
    """Return the cases that tried a rate for a case with these parameters, by multiple, rising; none where the rate is
    given, or no model is trained."""
    searches = params.learning_rate if isinstance(params, TrainingParams) else {}
    return dict(sorted((float(multiple[:-1]), case) for multiple, case in searches.items()))


def chosen(params: Params, records: Records) -> Choice | None:
    """Return the choice for a case with these parameters. None where there is nothing to choose, a search has no record
    yet, or none of them ended with a score. Of equals the one nearest to the shared rate is taken."""
    found = {multiple: records.get(case, {}).get(SEED) for multiple, case in tried(params).items()}
    if not found or None in found.values():
        return None
    scores = {
        multiple: record.search.bits_per_byte if record and record.search else None
        for multiple, record in found.items()
    }
    known = {multiple: score for multiple, score in scores.items() if score is not None}
    if not known:
        return None
    return Choice(min(known, key=lambda multiple: (known[multiple], abs(multiple - SHARED))), scores)


def at(params: TrainingParams, choice: Choice) -> TrainingParams:
    """Return the parameters of a training at the rate that was chosen."""
    return replace(plain(params), train=replace(params.train, lr=choice.multiple * params.train.lr))


def plain(params: TrainingParams) -> TrainingParams:
    """Return the parameters without the search: those of the case at the shared rate."""
    return replace(params, learning_rate={})


def at_shared_rate(case: Case) -> str:
    """Return the id of `case` at the shared rate."""
    return case_id(case.kind, {key: value for key, value in case.params.items() if key != "learning_rate"})
