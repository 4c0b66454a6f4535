"""Rank the variants of each component, with a verdict in plain words and how sure it is.

The order is that of time to quality; where it is not known, of the tokens for equal quality. A variant is chosen over
its baseline only where its interval excludes 1: otherwise the baseline stays, and the answer says what is open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchsuite import format
from benchsuite.report import words

Fields = dict[str, Any]
HERE = "here, at this budget"
BASIS = ("time", "tokens", "accuracy", "speed", "")  # what a variant is judged by, the best first


@dataclass(frozen=True)
class Candidate:
    """A variant as one to be chosen. `basis`: what it is judged by; `verdict`: better, worse or open; `plain`: the
    verdict in words; `value`: the ratio that orders it, below 1 better, None where there is none."""

    row: Fields
    name: str
    basis: str
    verdict: str
    plain: str
    value: float | None


@dataclass(frozen=True)
class Choice:
    """The choice for a component: a variant, or the baseline where `pick` is None. `told` says it in a sentence,
    `sure` how sure it is; `clear` where the interval excludes that another is better."""

    run: str
    component: str
    baseline: str
    candidates: tuple[Candidate, ...]
    pick: Candidate | None
    told: str
    sure: str
    clear: bool

    @property
    def judged(self) -> bool:
        """True if the quality of a candidate was measured."""
        return any(one.basis not in ("speed", "") for one in self.candidates)

    @property
    def name(self) -> str:
        """The chosen variant, as it stands in a sentence."""
        return called(self.component, self.pick.row["variant"] if self.pick else self.baseline)


def choices(document: Fields) -> list[Choice]:
    """Return a choice for each component of each run, those that change the most first."""
    groups: dict[tuple[str, str, str], list[Fields]] = {}
    rows = words.headline_rows(document["rows"])
    names = dict(zip(map(id, rows), words.names_apart(rows), strict=True))
    for row in rows:
        groups.setdefault((row["run"], row["component"], row["baseline"]), []).append(row)
    found = [
        _choice(run, component, baseline, [candidate(row, names[id(row)]) for row in group])
        for (run, component, baseline), group in groups.items()
    ]
    return sorted(found, key=lambda one: (one.pick is None, (one.pick and one.pick.value) or 1.0))


def candidate(row: Fields, name: str) -> Candidate:
    """Return a row as a candidate."""
    quality, speed = row["quality"], row["speed"]
    ratios = (("time", row["time"]), ("tokens", quality["tokens"] or {}))
    for basis, found in ratios:
        if found.get("ratio") is not None:
            verdict = {"less": "better", "more": "worse"}.get(found["verdict"], "open")
            return Candidate(row, name, basis, verdict, _plain(basis, verdict, found), found["ratio"])
    if quality["delta"] is not None:
        verdict = quality["verdict"] if quality["verdict"] in ("better", "worse") else "open"
        plain = {"better": "▲ more accurate", "worse": "▼ less accurate"}.get(verdict, "Not resolved")
        return Candidate(row, name, "accuracy", verdict, plain, None)
    if speed["ratio"] is not None:
        verdict = {"faster": "better", "slower": "worse"}.get(speed["verdict"], "open")
        told = {"faster": "faster", "slower": "slower", "same": "as fast"}.get(speed["verdict"], "speed open")
        plain = f"Quality not measured; {told}"
        return Candidate(row, name, "speed", verdict, plain, None)
    return Candidate(row, name, "", "open", "Not measured", None)


def order(one: Candidate) -> tuple[int, float, str]:
    """Return the place of a candidate in a ranking."""
    judged = BASIS.index(one.basis)
    return (0 if one.value is not None else judged, one.value or -(one.row["quality"]["delta"] or 0), one.name)


def cost(row: Fields) -> tuple[float | None, float | None, float | None]:
    """Return the cost of a training step over the baseline's with its interval; None where it was not measured."""
    speed = row["speed"]
    if row["scope"] != "step" or not speed["ratio"]:
        return None, None, None
    if not speed["low"] or not speed["high"]:
        return 1 / speed["ratio"], None, None
    return 1 / speed["ratio"], 1 / speed["high"], 1 / speed["low"]


def budget(document: Fields, run: str) -> str:
    """Return what "this budget" is, in a clause; empty where nothing was trained."""
    models = [m for m in document["training"] if m["run"] == run and m["role"] == "baseline"]
    if not models or not models[0]["tokens"]:
        return ""
    seeds = len({model["seed"] for model in models})
    size = f"{format.si(models[0]['parameters'], '')} parameters, " if models[0]["parameters"] else ""
    return f"{size}{format.si(models[0]['tokens'], 'tokens')}, {seeds} seed{'s' if seeds > 1 else ''}"


def machine(hardware: Fields) -> str:
    """Return the machine's processor in a few words."""
    identity = hardware.get("identity") or {}
    gpus = identity.get("gpus") or []
    if gpus and isinstance(gpus[0], dict):
        return f"{len(gpus)} x {gpus[0].get('name')}" if len(gpus) > 1 else str(gpus[0].get("name"))
    cpu, cores = identity.get("cpu"), identity.get("cores")
    return f"{cpu}, {cores} cores" if cpu and cores else str(cpu or "an unknown machine")


def headline(document: Fields) -> str:
    """Return the answer in one sentence."""
    found = choices(document)
    runs = [run["name"] for run in document["runs"]]
    if not found:
        return "Rules of learning compared" if document["rules"] else "This run compares nothing yet"
    if not any(one.judged for one in found):
        return (
            f"{'These runs' if len(runs) > 1 else 'This run'} measured speed alone: what is faster, not what is better"
        )
    told = {run: _answer([one for one in found if one.run == run]) for run in runs}
    if len(runs) == 1:
        return f"On this machine, {told[runs[0]]}"
    if len(set(told.values())) == 1:
        return f"All {len(runs)} runs agree: {told[runs[0]]}"
    return f"The {len(runs)} runs differ in what to choose"


def _answer(found: list[Choice]) -> str:
    picked = [one.name for one in found if one.pick]
    kept = [one.name for one in found if not one.pick and one.judged]
    parts = [f"use {_listed(picked)}"] if picked else []
    parts += [f"keep {_listed(kept)}"] if kept else []
    return "; ".join(parts) if parts else "nothing was compared"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _choice(run: str, component: str, baseline: str, found: list[Candidate]) -> Choice:
    ranked = tuple(sorted(found, key=order))
    better = [one for one in ranked if one.verdict == "better" and one.basis in ("time", "tokens", "accuracy")]
    better = [one for one in better if one.basis != "accuracy" or one.row["speed"]["verdict"] != "slower"]
    mixed = {one.row["variant"] for one in ranked if one.basis not in ("speed", "") and one.verdict != "better"}
    better = [one for one in better if one.row["variant"] not in mixed]  # by every way of comparing it
    base = called(component, baseline)
    if better:
        pick = better[0]
        return Choice(run, component, baseline, ranked, pick, *_use(pick, base, ranked), True)
    judged = [one for one in ranked if one.basis not in ("", "speed")]
    clear = bool(judged) and all(one.verdict == "worse" for one in judged)
    return Choice(run, component, baseline, ranked, None, *_keep(base, ranked, judged, clear), clear)


def _use(pick: Candidate, base: str, ranked: tuple[Candidate, ...]) -> tuple[str, str]:
    name, row = pick.name, pick.row
    many = _many(name)
    if pick.basis == "accuracy":
        quality = row["quality"]
        size = format.points_in_words(quality["delta"], quality["low"], quality["high"])
        told = f"{name} {'are' if many else 'is'} {size} more accurate than {base} {HERE}."
        return told, "The 95% interval excludes 0, after Holm's correction."
    found = _ratio(pick)
    if pick.basis == "time":
        value = f"{format.bounded(found)} of the training time"
        told = f"{name} {'reach' if many else 'reaches'} the quality of {base} in {value} {HERE}."
    else:
        value = f"{format.bounded(found)} of the tokens"
        told = f"{name} {'need' if many else 'needs'} {value} for the quality of {base} {HERE}."
    sure = "The 95% interval excludes 1."
    others = [one for one in ranked if one is not pick and one.basis == pick.basis and one.value is not None]
    if others:
        second = others[0]
        sure += f" {second.name} come{'' if _many(second.name) else 's'} next at {format.bounded(_ratio(second))}: "
        apart = found["high"] < _ratio(second)["low"]
        sure += "the intervals do not overlap." if apart else "the intervals overlap, so the order of the two is open."
    return told, sure


def _keep(base: str, ranked: tuple[Candidate, ...], judged: list[Candidate], clear: bool) -> tuple[str, str]:
    if not judged:
        faster = [one.name for one in ranked if one.verdict == "better"]
        told = f"Keep {base}: quality was not measured, so nothing speaks for a change."
        return told, f"{_listed(faster)} measured faster." if faster else "No variant measured faster."
    if clear:
        return f"Keep {base}: every other choice is worse {HERE}.", "No interval includes a tie."
    best = judged[0]
    quality = best.row["quality"]
    value = format.points(quality["delta"], quality["low"], quality["high"]) + " points"
    if best.basis in ("time", "tokens"):
        value = f"{format.bounded(_ratio(best))} of the {best.basis}"
    told = f"Keep {base}: nothing is shown to be better {HERE}."
    dearer = best.basis == "accuracy" and best.row["speed"]["verdict"] == "slower"
    if best.verdict == "better" and not dearer:
        return told, f"{best.name}: {value}, but compared in another way it is not resolved, or worse."
    if best.verdict == "better":  # more accurate but slower, and no token ratio weighs the two
        return told, f"{best.name} is more accurate ({value}) but slower; a learning curve would weigh the two."
    return told, f"The closest is {best.name} at {value}, which is unresolved: more seeds or tokens would tell."


def _ratio(one: Candidate) -> Fields:
    """Return the ratio that a candidate is judged by."""
    found: Fields = one.row["time"] if one.basis == "time" else one.row["quality"]["tokens"]
    return found


def _plain(basis: str, verdict: str, found: Fields) -> str:
    if verdict == "open":
        return "Not resolved"
    percent = format.percent(abs(1 - found["ratio"]), 0)
    bound = "at least " if found["bound"] else ""
    of = "time" if basis == "time" else "tokens"
    if found["ratio"] < 1:
        return f"▲ {bound}{percent} {'less' if basis == 'time' else 'fewer'} {of}"
    return f"▼ {bound}{percent} more {of}"


def called(component: str, variant: str) -> str:
    """Return a variant as it stands in a sentence: "the curated corpus", "rotary positions"."""
    name = words.mid_sentence(words.variant_name(component, variant))
    return f"the {name} corpus" if component == "corpus" else name


def _many(name: str) -> bool:
    return name.split()[-1] in words.PLURALS
