"""A suite resolved for this machine: every case, what it is compared with, its estimate, and what cannot run here and
why.

Nothing is measured and torch is not imported. The parameters of a case hold all that changes its answer; they are
described where they are defined (`benchsuite.records.params`).
"""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchsuite import devices
from benchsuite.errors import UserError, did_you_mean
from benchsuite.limits import FIRST_LOOK, MOST_LOOKS
from benchsuite.planning import domain_cases, operator_cases, peer_cases, quality_cases, speed_cases
from benchsuite.planning.cases import Builder
from benchsuite.planning.machine import Machine
from benchsuite.records import rates
from benchsuite.records.case import Case, Comparison
from benchsuite.suite import corpora as corpora_
from benchsuite.suite import source
from benchsuite.suite.schema import Suite

PLACED = ("quality", "control", "shared", "rung")  # comparisons that are placed on the baseline's learning curve


@dataclass(frozen=True)
class Plan:
    """Cases in the order of their first replicate, comparisons, and notes for the reader."""

    suite: Suite
    device: str
    only: tuple[str, ...]
    cases: tuple[Case, ...]
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The part of a manifest that says what is measured, JSON-ready."""
        return {
            "suite": self.suite.name,
            "description": self.suite.description,
            "resolved_suite": asdict(self.suite),
            "device": self.device,
            "only": list(self.only),
            "notes": list(self.notes),
            "cases": [case.to_json() for case in self.cases],
            "comparisons": [comparison.to_json() for comparison in self.comparisons],
        }


def plan(
    suite: str | Path,
    *,
    device: str = devices.AUTO,
    only: Sequence[str] = (),
    sets: Sequence[str] = (),
    seeds: int | None = None,
    corpora: Sequence[str] = (),
    scale: str | None = None,
    ranks: int = 1,
    machine: Machine | None = None,
    dtype: str | None = None,
    until: str | None = None,
) -> Plan:
    """Return what a run of `suite`, a name or a file, would measure on this machine. Nothing is measured.

    `device` is auto, cpu, cuda, cuda:1, mps, xpu, or several with commas between. `only` are glob patterns on the
    labels of cases, `sets` overrides such as "quality.train.tokens=200k". `seeds` and `corpora` replace those of the
    quality part, `scale` the sizes of an ablation (125m, 350m, 760m, 1b3); `ranks` processes train one model together.
    `machine` is another than this one, with its device (`benchsuite.planning.elsewhere`). With `until="decided"` seeds
    are added until every comparison is decided; `seeds` is then the most.

    `dtype` (float32, bfloat16, float16) is that of all layers and operators, and the precision of trainings.

    Without a `scale` a suite that has a ladder takes the largest that is done in its time here; a note says why.

    Raises UserError where the suite is wrong, a filter fits no case, or a job would refuse its case.
    """
    from benchsuite.planning import ladder, preflight

    machine = machine or Machine.here(device)
    chosen = ladder.choose(str(suite), machine, sets, seeds, dtype) if scale in (None, source.AUTO) else None
    read = source.read(str(suite), sets=sets, scale=chosen.scale if chosen else scale, dtype=dtype)
    planned = resolve(read, machine, only=only, seeds=seeds, corpora=corpora, until=until)
    if chosen is not None:
        planned = replace(planned, notes=(chosen.note, *planned.notes))
    preflight.check(planned.cases, ranks)
    return planned


def resolve(
    suite: Suite,
    machine: Machine,
    *,
    only: Sequence[str] = (),
    seeds: int | None = None,
    corpora: Sequence[str] = (),
    until: str | None = None,
) -> Plan:
    """Resolve `suite` for `machine`. Raises UserError where a filter or an override fits nothing.

    `only` are glob patterns on labels, `seeds` and `corpora` override those of the quality part, `until` too.
    """
    suite = _until_decided(suite, until, seeds)
    if (corpora and suite.quality is None) or (seeds is not None and suite.quality is None and suite.domains is None):
        option = "--seeds" if seeds is not None else "--corpus"
        raise UserError(f"{option}: the suite {suite.name} has no quality part")
    if seeds is not None and suite.quality is not None and suite.quality.until != "decided":
        suite = replace(suite, quality=replace(suite.quality, seeds=seeds))
    if seeds is not None and suite.domains is not None:
        suite = replace(suite, domains=replace(suite.domains, seeds=seeds))
    suite, notes = corpora_.on(suite, tuple(corpora))
    suite = corpora_.located(suite)
    if suite.speed is not None and (suite.speed.threads or 0) > machine.cores:
        raise UserError(
            f"speed.threads: {suite.speed.threads} threads are asked for and this machine has {machine.cores} usable "
            "cores",
            hint="leave it out: all usable cores are the default",
        )
    if suite.speed is not None and suite.speed.mode is not None:
        for device in machine.devices:
            device.check_mode(suite.speed.mode, "speed.mode")
    builder = Builder(suite, machine, notes=list(notes))
    if suite.speed is not None:
        speed_cases.add(builder, suite.speed)
        operator_cases.add(builder, suite.speed)
        peer_cases.add(builder, suite.speed)
    if suite.quality is not None:
        quality_cases.add(builder, suite.quality, suite.setting())
    if suite.domains is not None:
        domain_cases.add(builder, suite.domains)
    cases, comparisons = _filtered(builder, tuple(only))
    return Plan(suite, machine.device, tuple(only), cases, comparisons, tuple(dict.fromkeys(builder.notes)))


def _until_decided(suite: Suite, until: str | None, most: int | None) -> Suite:
    """The suite with as many seeds as may be added, where they are added until they decide. Raises UserError where it
    has nothing that decides."""
    if until not in (None, "decided"):
        raise UserError(f"--until {until}: is not known", hint="--until decided")
    if until and suite.quality is None:
        raise UserError(f"--until {until}: the suite {suite.name} has no quality part")
    if suite.quality is None or (until or suite.quality.until) != "decided":
        return suite
    if not suite.quality.curve:
        raise UserError(
            "--until decided: token ratios decide, and the suite measures no learning curve to read them from",
            hint="give quality.curve, such as --set 'quality.curve=[0.5x, 2x]'",
        )
    seeds = most or suite.quality.most_seeds
    if not FIRST_LOOK <= seeds <= MOST_LOOKS:
        raise UserError(
            f"--until decided: {seeds} seeds at most are asked for; it should be from {FIRST_LOOK} to {MOST_LOOKS}",
            hint="--seeds says how many there may be at most",
        )
    return replace(suite, quality=replace(suite.quality, until="decided", seeds=seeds, most_seeds=seeds))


def _filtered(builder: Builder, only: tuple[str, ...]) -> tuple[tuple[Case, ...], tuple[Comparison, ...]]:
    """The comparisons whose case matches one of the patterns, with their baselines; all without a pattern."""
    if not only:
        return tuple(builder.cases.values()), tuple(builder.comparisons)
    labels = {case.id: case.label for case in builder.cases.values()}
    chosen = {identity for identity, label in labels.items() if _matches(label, only)}
    for pattern in only:
        if not any(_matches(label, (pattern,)) for label in labels.values()):
            raise UserError(f"--only {pattern}: no case has such a label", hint=_near(pattern, list(labels.values())))
    kept = [comparison for comparison in builder.comparisons if comparison.case in chosen]
    bases = {comparison.base_case for comparison in kept if comparison.kind in PLACED}
    curve = [c for c in builder.comparisons if c.kind == "curve" and c.base_case in bases]
    comparisons = tuple(c for c in builder.comparisons if c in kept or c in curve)
    chosen |= {comparison.case for comparison in curve}
    needed = chosen | {comparison.base_case for comparison in comparisons}
    searched = (case for case in builder.cases.values() if case.id in needed)
    needed |= {tried for case in searched for tried in rates.tried(case.typed).values()}
    left = [comparison.name for comparison in builder.comparisons if comparison.kind == "control"]
    left = [name for name in left if name not in {c.name for c in comparisons}]
    if left and any(comparison.kind == "quality" for comparison in comparisons):
        builder.notes.append(f"--only leaves out the controls {', '.join(left)}; add --only 'control/*' to keep them")
    return tuple(case for case in builder.cases.values() if case.id in needed), comparisons


def _near(pattern: str, labels: Sequence[str]) -> str:
    """Return what may have been meant: the beginning of a label, as long as the pattern; else how labels begin."""
    plain = pattern.replace("*", "").strip("/")
    depth = plain.count("/") + 1
    starts = list(dict.fromkeys("/".join(label.split("/")[:depth]) for label in labels))
    words = list(dict.fromkeys(part for label in labels for part in label.split("/")))
    near = difflib.get_close_matches(plain, starts, n=1)
    if near:
        return f"did you mean '{near[0]}/*'?"
    near = difflib.get_close_matches(plain, words, n=1)
    return (
        f"did you mean '*{near[0]}*'?"
        if near
        else did_you_mean(plain, list(dict.fromkeys(s.split("/")[0] for s in starts)))
    )


def _matches(label: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(label, p) or fnmatch.fnmatchcase(label, f"{p.rstrip('/')}/*") for p in patterns)
