"""Reads a run directory: manifest.json and records.jsonl, checked, and forgiving only where a crash explains it.

Fields that this version does not know are ignored: runs may record more than the report shows.
`benchsuite.records.schema` reads older versions and refuses newer ones, in which the known fields may mean something
else.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from benchsuite.errors import UserError
from benchsuite.records import schema
from benchsuite.records.schema import Case, Manifest, SpeedResult, Status, validated

_NUMBER = re.compile(r"\d[\d.]*%?")

MEASURED: frozenset[str] = frozenset({"ok", "throttled", "unstable"})  # the result is a measurement, if a flagged one


class _File(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Graded(_File):
    """By how much the right answer is preferred, one value a document; see benchsuite.zeroshot.graded."""

    probability: list[float]
    bits_per_byte: list[float]
    margin: list[float]


class TaskScore(_File):
    acc: float
    n: int
    random_acc: float | None = None
    family: str | None = None
    outcomes: str = Field(pattern="^[01]+$")
    graded: Graded | None = None
    questions: list[str] | None = None  # of each document: those that ask the same are one observation
    version: str | None = None


class Stability(_File):
    """How calmly a model learned, as `benchsuite.pretrain.stability` says it."""

    steps: int
    diverged_at: int | None = None
    start: float | None = None
    last: float | None = None
    loss_spikes: float | None = None
    norm_spikes: float | None = None
    norm_median: float | None = None
    norm_p99: float | None = None
    norm_max: float | None = None
    skipped: int = 0


class Training(_File):
    tokens: float | None = None
    time_s: float | None = None
    tokens_per_s: float | None = None
    final_loss: float | None = None
    curve: list[tuple[float, float]] = []
    stability: Stability | None = None


class ByPosition(_File):
    edges: list[int]
    bits: list[list[float]]
    bytes: list[list[float]]


class BitsPerByte(_File):
    value: float | None = None
    bits: list[float] = []
    bytes: list[float] = []


class QualityResult(_File):
    train: Training = Training()
    parameters: int | None = None
    digests: dict[str, Any] = {}
    bits_per_byte: BitsPerByte | None = None
    by_position: ByPosition | None = None
    tasks: dict[str, TaskScore] = {}


class _Row(_File):
    schema_version: int
    case_id: str
    replicate: int
    status: Status
    reason: str | None = None
    started: str = ""
    time_s: float = 0.0
    result: dict[str, Any] | None = None
    round: int | None = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """One (case, replicate). `speed`, `quality` or `stability` holds the result where the status is one of
    `MEASURED`."""

    case_id: str
    replicate: int
    status: str
    reason: str | None
    speed: SpeedResult | None = None
    quality: QualityResult | None = None
    stability: Stability | None = None
    started: str = ""
    time_s: float = 0.0  # of the whole process
    round: int | None = None  # records of the same round took turns


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run directory as read. `records` are by case id, then by replicate."""

    name: str
    manifest: Manifest
    records: dict[str, dict[int, Record]]
    warnings: tuple[str, ...]

    @property
    def cases(self) -> dict[str, Case]:
        return {case.id: case for case in self.manifest.cases}

    def statuses(self) -> Counter[str]:
        """How many planned (case, replicate) pairs ended in each status; those without a record are `missing`."""
        counts: Counter[str] = Counter()
        for case in self.manifest.cases:
            for replicate in case.replicates:
                record = self.records.get(case.id, {}).get(replicate)
                counts[record.status if record else "missing"] += 1
        return counts


def load(folder: Path) -> Run:
    """Reads the run in `folder`.

    A torn last line of records.jsonl (a crash in mid-write) is left out and told in `warnings`; no records.jsonl is a
    run that has not begun. Raises UserError where `folder` is no run directory, a file is broken or of a newer schema.
    """
    path = folder / "manifest.json"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(
            f"{folder} is not a run directory: it has no manifest.json",
            hint="give the directory that `benchsuite run` printed",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}", hint="is it a run directory of benchsuite?") from error
    content = schema.manifest(_json(text, str(path)), str(path))
    manifest = validated(Manifest, content, str(path))
    kinds = {case.id: case.kind for case in manifest.cases}
    records, warnings = _records(folder / "records.jsonl", kinds)
    warnings += _disturbed(records)
    return Run(name=folder.resolve().name, manifest=manifest, records=records, warnings=tuple(warnings))


def _records(path: Path, kinds: Mapping[str, str]) -> tuple[dict[str, dict[int, Record]], list[str]]:
    records: dict[str, dict[int, Record]] = {}
    warnings: list[str] = []
    if not path.exists():
        return records, ["The run has no records yet."]
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror}", hint="check the permissions of the folder"
        ) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        last = number == len(lines)  # a whole line ends in a newline, so the last piece is empty or torn
        try:
            content = _json(line.decode("utf-8"), where)
        except (UnicodeDecodeError, UserError) as error:
            if last:
                warnings.append(f"The last line of records.jsonl (line {number}) is torn and was left out.")
                continue
            raise UserError(f"{where}: not a JSON record", hint="restore the file, or run again") from error
        record = _record(validated(_Row, schema.record(content, where), where), kinds, where)
        if record is None:
            warnings.append(f"A record of a case that is not in the manifest was left out (line {number}).")
            continue
        replicates = records.setdefault(record.case_id, {})
        if record.replicate in replicates:
            warnings.append(f"Case {record.case_id} has two records of replicate {record.replicate}; the later counts.")
        replicates[record.replicate] = record
    return records, warnings


def _disturbed(records: Mapping[str, Mapping[int, Record]]) -> list[str]:
    """How many speed measurements other work or the host has got into, and how."""
    speeds = [record.speed for replicates in records.values() for record in replicates.values() if record.speed]
    texts = [text for speed in speeds for text in speed.monitor.disturbed]
    reasons = Counter(map(kind_of, texts))
    count = sum(bool(speed.monitor.disturbed) for speed in speeds)
    if not count:
        return []
    worst = {kind_of(text): text for text in sorted(texts, key=figure)}
    how = "; ".join(
        f"{worst[kind]} at worst ({n} times)" if n > 1 else f"{worst[kind]} (once)"
        for kind, n in reasons.most_common(3)
    )
    return [f"{count} of {len(speeds)} speed measurements were disturbed, and are shown as measured: {how}."]


def kind_of(text: str) -> str:
    """A sentence about what disturbed, whatever its figure."""
    return _NUMBER.sub("", text)


def figure(text: str) -> float:
    """The first number of a sentence, 0 where there is none."""
    found = _NUMBER.search(text)
    return float(found[0].rstrip("%.")) if found else 0.0


def _record(row: _Row, kinds: Mapping[str, str], where: str) -> Record | None:
    kind = kinds.get(row.case_id)
    if kind is None:
        return None
    speed = quality = stability = None
    if row.result is not None and row.status in MEASURED:
        if kind == "quality":
            quality = validated(QualityResult, row.result, where)
        elif kind == "stability":
            stability = validated(Stability, row.result.get("stability"), where)
        else:
            speed = validated(SpeedResult, row.result, where)
    return Record(
        case_id=row.case_id,
        replicate=row.replicate,
        status=row.status,
        reason=row.reason,
        speed=speed,
        quality=quality,
        stability=stability,
        started=row.started,
        time_s=row.time_s,
        round=row.round,
    )


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not JSON ({error})", hint="is it a run directory of benchsuite?") from error
