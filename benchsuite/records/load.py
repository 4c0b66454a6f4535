"""Read a run directory: the only reader of manifest.json and records.jsonl, whatever is done with the run then.

    run = load(Path("runs/quick"))
    run.cases; run.records[case_id][replicate].speed; run.frame()

The rule: files of older versions are read in today's words, of newer ones refused, in which known fields may mean
something else. Unknown fields are ignored. The last line of records.jsonl may be torn by a crash: it is left out, and
`warnings` says so; a run that is resumed repairs it. Any other line that is no record, and a second record of one case
and replicate, are damage, which is refused.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsuite import files, text
from benchsuite.errors import UserError
from benchsuite.records import schema
from benchsuite.records.case import MEASURED, Case, Record
from benchsuite.records.results import checked
from benchsuite.records.schema import MANIFEST, RECORD, Manifest

if TYPE_CHECKING:
    import pandas as pd

_NUMBER = re.compile(r"\d[\d.]*%?")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run directory as read. `records` are by case id, then by replicate; iteration gives all of them."""

    name: str
    folder: Path
    manifest: Manifest
    records: dict[str, dict[int, Record]]
    warnings: tuple[str, ...]

    def __iter__(self) -> Iterator[Record]:
        return (record for replicates in self.records.values() for record in replicates.values())

    @property
    def cases(self) -> dict[str, Case]:
        """The planned cases by id."""
        return {case.id: case for case in self.manifest.cases}

    def statuses(self) -> Counter[str]:
        """Count the planned (case, replicate) pairs by status; those without a record are `missing`."""
        counts: Counter[str] = Counter()
        for case in self.manifest.cases:
            for replicate in case.replicates:
                record = self.records.get(case.id, {}).get(replicate)
                counts[record.status if record else "missing"] += 1
        return counts

    def why_not(self, case_id: str, side: str) -> str | None:
        """Why a case has no measurement: its first status that is not one, with the reason given. None where it has
        one."""
        case = self.cases.get(case_id)
        if case is None:
            return f"{side}: not in the manifest"
        records = self.records.get(case_id, {})
        if any(record.speed or record.quality for record in records.values()):
            return None
        for record in records.values():
            if record.status not in MEASURED:
                return f"{side}: {record.status}" + (f" ({record.reason})" if record.reason else "")
        return f"{side}: unsupported ({case.unsupported})" if case.unsupported else f"{side}: no record"

    def frame(self) -> pd.DataFrame:
        """Return the run as a pandas DataFrame with one row for each record.

        Columns: `run` (the name of the folder), `case_id`, `label`, `kind`, `replicate` (process or seed), `round`,
        `status`, `reason`, `started` (UTC), `process_time_s`; `params.…`, the parameters of the case; and the fields of
        the result (`benchsuite export --schema` describes them), nested ones joined by dots: `time_s`, `tokens_per_s`,
        `monitor.steal_fraction`, `tasks.cloze.acc`. A cell is missing where a record does not have the field.
        """
        import pandas as pd

        from benchsuite.records.exchange import rows

        return pd.DataFrame(rows([self]))


def load(folder: str | Path) -> Run:
    """Read the run in `folder`. Raises UserError where it is no run directory, is damaged, or of a newer version."""
    folder = Path(folder)
    manifest = read_manifest(folder)
    found, torn = read_records(folder)
    warnings = ["The last line of records.jsonl is torn and was left out."] if torn else []
    if not (folder / "records.jsonl").exists():
        warnings.append("The run has no records yet.")
    planned = {case.id for case in manifest.cases}
    records: dict[str, dict[int, Record]] = {}
    for record in found:
        if record.case_id in planned:
            records.setdefault(record.case_id, {})[record.replicate] = record
    if foreign := sum(record.case_id not in planned for record in found):
        warnings.append(f"{foreign} records of cases that are not in the manifest were left out.")
    warnings += _disturbed(record for record in found if record.case_id in planned)
    return Run(name=folder.resolve().name, folder=folder, manifest=manifest, records=records, warnings=tuple(warnings))


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a run. Raises UserError where `folder` is no run, another version wrote it, or a field is
    missing or of another type."""
    return checked(MANIFEST, text.tree(manifest_json(folder)), str(folder / "manifest.json"))


def manifest_json(folder: Path) -> dict[str, Any]:
    """Return the manifest of a run as JSON in this version's words, its fields unchecked and its texts exact. Raises
    UserError where `folder` is no run or a newer version wrote it."""
    path = folder / "manifest.json"
    if not path.is_file():
        raise UserError(
            f"{folder} is not a run directory: it has no manifest.json",
            hint="give the directory that `benchsuite run` printed",
        )
    try:
        content = json.loads(_bytes(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not a run's manifest: {error}") from error
    return schema.manifest(content, str(path))


def read_records(folder: Path) -> tuple[list[Record], bytes]:
    """Return the records of a run in the order in which they were written, and the torn end of the file, empty where
    there is none. Raises UserError for damage, and where a newer version wrote a record."""
    path = folder / "records.jsonl"
    if not path.exists():
        return [], b""
    records = []
    *lines, last = _bytes(path).split(b"\n")  # a whole line ends in a newline, so the last piece is empty or torn
    torn = last if last and not _is_row(last) else b""
    for number, line in enumerate([*lines, b"" if torn else last], start=1):
        if line.strip():
            records.append(_record(line, f"{path}, line {number}"))
    if twice := len(records) - len({record.key for record in records}):
        raise UserError(
            f"{path}: {twice} records are there twice", hint="the file was edited: keep one line for each replicate"
        )
    return records, torn


def _record(line: bytes, where: str) -> Record:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{where}: not a JSON record: {error}", hint="the file was damaged: restore it, or measure again"
        ) from error
    record = checked(RECORD, text.tree(schema.record(content, where)), where)
    try:
        _ = record.measured  # a damaged result is found now, not where it is shown
    except UserError as error:
        raise UserError(f"{where}: {error.message}", hint=error.hint) from error
    return record


def _is_row(line: bytes) -> bool:
    """Return True if a last line that lacks its newline is a complete record."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and "schema_version" in content


def _bytes(path: Path) -> bytes:
    try:
        return files.read(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror}", hint="check the permissions of the folder"
        ) from error


def _disturbed(records: Iterable[Record]) -> list[str]:
    """Warn of the speed measurements that other work or the host disturbed."""
    speeds = [record.speed for record in records if record.speed]
    texts = [sentence for speed in speeds for sentence in speed.monitor.disturbed]
    reasons = Counter(map(kind_of, texts))
    count = sum(bool(speed.monitor.disturbed) for speed in speeds)
    if not count:
        return []
    worst = {kind_of(sentence): sentence for sentence in sorted(texts, key=figure)}
    how = "; ".join(
        f"{worst[kind]} at worst ({n} times)" if n > 1 else f"{worst[kind]} (once)"
        for kind, n in reasons.most_common(3)
    )
    return [f"{count} of {len(speeds)} speed measurements were disturbed, and are shown as measured: {how}."]


def kind_of(sentence: str) -> str:
    """Return a sentence about a disturbance without its figures."""
    return _NUMBER.sub("", sentence)


def figure(sentence: str) -> float:
    """Return the first number of a sentence, 0 where there is none."""
    found = _NUMBER.search(sentence)
    return float(found[0].rstrip("%.")) if found else 0.0
