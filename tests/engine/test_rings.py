"""Rings: what is compared is measured together, and no longer than the comparison needs."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from benchsuite.engine import fork_workers, rings
from benchsuite.engine.processes import Observer, Processes
from benchsuite.engine.rings import Edge, pack
from benchsuite.engine.rounds import Resolution
from benchsuite.engine.scheduler import Scheduler
from benchsuite.records.case import Case, Comparison, Record, case_id
from benchsuite.records.store import Store

pytestmark = pytest.mark.usefixtures("fake_kinds")


def case(name: str, group: str = "g", replicates: int = 3, **params: Any) -> Case:
    params = {"n": name, "sample_s": 0.02, **params}
    return Case(case_id("speed", params), "speed", name, params, tuple(range(replicates)), 20.0, group)


def against(base: Case, *cases: Case) -> list[Comparison]:
    return [Comparison("speed", one.id, base.id) for one in cases]


def run(folder: Path, cases: Iterable[Case], comparisons: Iterable[Comparison] = (), **options: Any) -> list[Record]:
    store = Store.open(folder) if (folder / "manifest.json").exists() else Store.create(folder, {})
    place: Callable[[], Any] = lambda: fork_workers.ForkWorkers(("support.run_fakes",))  # noqa: E731
    try:
        Scheduler(cases, store, place, Observer(), comparisons=comparisons, **options).run()
    finally:
        store.close()
    return store.records


def by_round(records: Iterable[Record]) -> dict[int, set[str]]:
    found: dict[int, set[str]] = defaultdict(set)
    for record in records:
        if record.round is not None:
            found[record.round].add(record.case_id)
    return found


def test_a_ring_holds_the_ends_of_its_edges_and_shares_the_baseline() -> None:
    base, *others = (case(str(n)) for n in range(6))
    edges: list[Edge] = [(one, base) for one in others]
    assert pack(edges) == [edges]
    parts = pack(edges, lambda _: 3)
    assert [len(rings.cases_of(part)) for part in parts] == [3, 3, 2]
    assert all(base in rings.cases_of(part) for part in parts)
    assert [edge for part in parts for edge in part] == edges
    other = case("other", group="h")
    assert pack([*edges, (other, None)]) == [edges, [(other, None)]], "groups do not mix"


@pytest.mark.slow
def test_the_records_of_a_round_are_of_all_that_is_compared(tmp_path: Path) -> None:
    base, a, b, alone = case("base"), case("a"), case("b"), case("alone", group="h")
    records = run(tmp_path / "run", [base, a, b, alone], against(base, a, b), resolution=Resolution(most=3))
    assert {record.status for record in records} == {"ok"}
    rounds = by_round(records)
    assert Counter(map(frozenset, rounds.values())) == {
        frozenset({base.id, a.id, b.id}): 3,
        frozenset({alone.id}): 3,
    }
    pids = [record.result["pid"] for record in records if record.result]
    assert len(set(pids)) == len(pids)


class Noisy:
    """Stands in for the engine's measurement: times by case, in each round as `times` says."""

    def __init__(self, times: dict[str, Callable[[int], float]], status: Callable[[int, str], str]) -> None:
        self.times, self.status = times, status
        self.counts: Counter[str] = Counter()
        self.rings: list[set[str]] = []

    def __call__(
        self,
        members: list[rings.Member],
        round_: int,
        limit: int | None,
        look: Any,
        together: bool = True,
        longer: float = 1.0,
    ) -> list[Record]:
        look()
        self.rings.append({member.case.label for member in members})
        records = []
        for member in members:
            label = member.case.label
            status = self.status(len(members) if together else 1, label)
            time_s = self.times[label](self.counts[label])
            self.counts[label] += 1
            result = {"time_s": time_s, "samples_s": [time_s] * 4, "stop": "turns"} if status == "ok" else None
            records.append(Record(member.case.id, member.replicate, status, None, "", 0.1, result, round=round_))
        return records


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Noisy]:
    def make(status: Callable[[int, str], str] = lambda _, __: "ok", **times: Any) -> Noisy:
        noisy = Noisy({name: time if callable(time) else (lambda _, t=time: t) for name, time in times.items()}, status)
        monkeypatch.setattr(rings, "measure", noisy)
        return noisy

    return make


def test_rounds_go_to_what_is_not_resolved(tmp_path: Path, engine: Callable[..., Noisy]) -> None:
    """`quiet` is resolved after five rounds; `wild` gets as many as there may be, with the baseline and no other."""
    base, quiet, wild = case("base", replicates=5), case("quiet", replicates=5), case("wild", replicates=5)
    noisy = engine(base=1.0, quiet=lambda n: 1.1 + 0.001 * (n % 2), wild=lambda n: 1.0 + 0.5 * (n % 2))
    run(tmp_path / "run", [base, quiet, wild], against(base, quiet, wild), resolution=Resolution(0.01, most=12))
    assert noisy.counts == {"base": 12, "quiet": 5, "wild": 12}
    assert noisy.rings[5:] == [{"base", "wild"}] * 7


def test_the_budget_ends_added_rounds_and_not_the_planned_ones(tmp_path: Path, engine: Callable[..., Noisy]) -> None:
    base, wild = case("base", replicates=5), case("wild", replicates=5)
    noisy = engine(base=1.0, wild=lambda n: 1.0 + 0.5 * (n % 2))
    run(tmp_path / "run", [base, wild], against(base, wild), resolution=Resolution(0.01, most=12, budget_s=0.0))
    assert noisy.counts == {"base": 5, "wild": 5}


def test_a_resumed_run_goes_on_with_the_round_it_lacks(tmp_path: Path, engine: Callable[..., Noisy]) -> None:
    base, wild = case("base", replicates=5), case("wild", replicates=5)
    noisy = engine(base=1.0, wild=lambda n: 1.0 + 0.5 * (n % 2))
    run(tmp_path / "run", [base, wild], against(base, wild), resolution=Resolution(0.01, most=9))
    path = tmp_path / "run/records.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-3]))  # a whole round, and one record of the one before it
    noisy.counts.clear()
    records = run(tmp_path / "run", [base, wild], against(base, wild), resolution=Resolution(0.01, most=9))
    assert noisy.counts == {"base": 2, "wild": 2}
    assert len({record.key for record in records}) == len(records) == len(lines) + 1
    noisy.counts.clear()
    run(tmp_path / "run", [base, wild], against(base, wild), resolution=Resolution(0.01, most=9))
    assert noisy.counts == {}, "a run that is done does not go on"


def test_what_fails_leaves_the_others_to_their_rounds(tmp_path: Path, engine: Callable[..., Noisy]) -> None:
    base, good, bad = (case(name, replicates=5) for name in ("base", "good", "bad"))
    noisy = engine(lambda _, label: "incorrect" if label == "bad" else "ok", base=1.0, good=1.0, bad=1.0)
    records = run(tmp_path / "run", [base, good, bad], against(base, good, bad))
    assert noisy.counts == {"base": 5, "good": 5, "bad": 1}
    of_bad = [record for record in records if record.case_id == bad.id]
    assert [record.status for record in of_bad] == ["incorrect"] + ["skipped"] * 4
    assert of_bad[1].reason == "replicate 0 ended with incorrect; what failed once is not repeated"


def test_where_the_baseline_fails_its_variants_are_measured_all_the_same(
    tmp_path: Path, engine: Callable[..., Noisy]
) -> None:
    base, a = case("base", replicates=3), case("a", replicates=3)
    noisy = engine(lambda _, label: "error" if label == "base" else "ok", base=1.0, a=1.0)
    run(tmp_path / "run", [base, a], against(base, a))
    assert noisy.counts == {"base": 1, "a": 3}


@pytest.mark.parametrize("room", [4, 2, 1])
def test_what_does_not_fit_into_memory_together_is_measured_in_smaller_rings(
    tmp_path: Path, engine: Callable[..., Noisy], room: int
) -> None:
    """With room for one process, each is alive by itself, in the same round."""
    base, *others = (case(name, replicates=3) for name in "abcdefgh")
    noisy = engine(lambda members, _: "oom" if members > room else "ok", **dict.fromkeys("abcdefgh", 1.0))
    records = run(tmp_path / "run", [base, *others], against(base, *others), resolution=Resolution(most=3))
    assert {record.status for record in records} == {"ok"}
    rounds = by_round(records)
    for other in others:
        assert sum({base.id, other.id} <= ids for ids in rounds.values()) == 3
    assert noisy.counts["b"] <= 3 + 4, "the attempts that did not fit, and three"


def test_records_that_tell_no_time_end_the_rounds_too(tmp_path: Path, engine: Callable[..., Noisy]) -> None:
    base, a = case("base", replicates=5), case("a", replicates=5)
    noisy = engine(base=1.0, a=-1.0)
    run(tmp_path / "run", [base, a], against(base, a), resolution=Resolution(0.01, most=7))
    assert noisy.counts == {"base": 7, "a": 7}


def test_what_does_not_fit_by_itself_is_out_of_memory(tmp_path: Path, engine: Callable[..., Noisy]) -> None:
    base, large = case("base"), case("large")
    engine(lambda _, label: "oom" if label == "large" else "ok", base=1.0, large=1.0)
    records = run(tmp_path / "run", [base, large], against(base, large))
    assert [r.status for r in records if r.case_id == large.id] == ["oom", "skipped", "skipped"]
    assert [r.status for r in records if r.case_id == base.id] == ["ok"] * 3


@pytest.mark.slow
def test_one_that_kills_the_server_spoils_no_other_s_record(tmp_path: Path) -> None:
    base, good = case("base", replicates=1), case("good", replicates=1)
    bad = case("bad", replicates=1, do="kill_server", always=True, mark=str(tmp_path / "mark"))
    records = run(tmp_path / "run", [base, good, bad], against(base, good, bad))
    statuses = {record.case_id: record.status for record in records}
    assert statuses == {base.id: "ok", good.id: "ok", bad.id: "error"}


@pytest.mark.slow
@pytest.mark.parametrize("do", ["raise", "segfault", "exit", "hang"])
def test_one_that_fails_in_a_ring_leaves_the_others_their_turns(tmp_path: Path, do: str) -> None:
    base, good, bad = case("base"), case("good"), case("bad", do=do)
    bad = Case(bad.id, bad.kind, bad.label, bad.params, bad.replicates, 2.0, bad.group)
    records = run(tmp_path / "run", [base, good, bad], against(base, good, bad), resolution=Resolution(most=3))
    assert Counter(r.status for r in records if r.case_id != bad.id) == {"ok": 6}
    assert next(r.status for r in records if r.case_id == bad.id) == ("timeout" if do == "hang" else "error")


@pytest.mark.slow
def test_all_devices_work_at_the_same_time(tmp_path: Path) -> None:
    cases = [case(f"{n}", group=device, device=device, threads=1) for device in ("fake:0", "fake:1") for n in (1, 2)]
    first, second = cases[:2], cases[2:]
    records = run(tmp_path / "run", cases, [*against(*first), *against(*second)], resolution=Resolution(most=3))
    assert Counter(record.status for record in records) == {"ok": 12}
    assert all(len(ids) == 2 for ids in by_round(records).values())


@pytest.mark.slow
def test_the_json_of_a_job_says_where_its_turns_are(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "run", {})
    place = fork_workers.ForkWorkers(("support.run_fakes",))
    processes = Processes(store, place, Observer())
    seen: list[dict[str, Any]] = []
    start = place.start
    place.start = lambda name, file: (seen.append(json.loads(file.read_text())), start(name, file))  # type: ignore[method-assign,func-returns-value,assignment]
    try:
        rings.measure([rings.Member(case(n), 0, processes) for n in "ab"], 0, None, lambda: None)
    finally:
        processes.close()
        store.close()
    assert sorted(job["turns"]["member"] for job in seen) == [0, 1]
    assert {job["turns"]["members"] for job in seen} == {2}
    assert not any(Path(job["turns"]["path"]).exists() for job in seen), "the turnstile is gone"


@pytest.mark.parametrize(
    "result",
    [
        {"time_s": "0.5"},
        {"time_s": -1.0},
        {"samples_s": ["a"]},
        {"samples_s": "123"},
        {"stop": "turns", "samples_s": [[1.0], [2.0]]},
        {"monitor": {"disturbed": [["x"]]}},
        {"monitor": {"disturbed": "x"}},
        {"tokens": -3},
    ],
)
@pytest.mark.slow
def test_a_strange_result_is_an_error_of_its_case_alone(tmp_path: Path, result: dict[str, Any]) -> None:
    """What a job writes is checked before anything reads it: a wrong field ends no run."""
    base, good, bad = case("base"), case("good"), case("bad", do="strange", result=result)
    records = run(tmp_path / "run", [base, good, bad], against(base, good, bad), resolution=Resolution(most=3))
    found = defaultdict(set)
    for record in records:
        found[record.case_id].add(record.status)
    assert found[base.id] == found[good.id] == {"ok"}
    assert found[bad.id] == {"error", "skipped"}
    [error] = [record for record in records if record.status == "error"]
    assert "its result cannot be read" in (error.reason or "")
