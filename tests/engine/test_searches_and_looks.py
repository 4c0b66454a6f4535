"""What depends on earlier results: models at the learning rate that a search found, and seeds that are added until they
decide. Jobs end at once, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.params import training

from benchsuite.engine.processes import Observer
from benchsuite.engine.scheduler import Scheduler
from benchsuite.engine.workers import Ended, Event
from benchsuite.errors import Interrupted
from benchsuite.records.case import Case, Record, case_id
from benchsuite.records.store import Store

BITS = {0.5: 1.2, 1.0: 1.1, 2.0: 1.0}  # of each multiple of a rate of 1


class Instant:
    """Workers whose jobs have ended when they have begun; `order` has what they were, in order."""

    def __init__(self, order: list[tuple[str, float, int]], bits: dict[float, float | None]) -> None:
        self.order, self.bits, self.ended = order, bits, list[Event]()

    def warm(self) -> None: ...
    def kill(self, name: str) -> None: ...
    def close(self) -> None: ...
    def waiting(self, name: str) -> bool:
        return False

    def start(self, name: str, file: Path) -> None:
        job = json.loads(file.read_text())
        result: dict[str, Any] = {"bits_per_byte": {"value": 1.0}}
        if job["measure"].endswith("try_rate"):
            lr = job["params"]["train"]["lr"]
            result = {"search": {"lr": lr, "tokens": 1, "bits_per_byte": self.bits[lr]}}
        if not job["measure"].endswith(("prepare", "ready")):
            self.order.append((job["params"]["corpus"]["name"], job["params"]["train"]["lr"], job["replicate"]))
        Path(job["result"]).write_text(json.dumps({"status": "ok", "reason": None, "result": result}))
        self.ended.append(Ended(name, 0))

    def events(self, timeout_s: float) -> list[Event]:
        found, self.ended = self.ended, []
        return found


def make_case(kind: str, name: str, seeds: int, lr: float = 1.0, **params: Any) -> Case:
    params = training(corpus={"name": name}, train={"lr": lr}, **params)
    return Case(case_id(kind, params), kind, name, params, tuple(range(seeds)), 60.0, "", 1.0)


def tuned(seeds: int) -> list[Case]:
    """A model with its search, and at the shared rate."""
    searches = {f"{multiple:g}x": make_case("search", "search", 1, multiple) for multiple in BITS}
    shared = make_case("quality", "model", seeds)
    best = make_case("quality", "model", seeds, learning_rate={m: case.id for m, case in searches.items()})
    return [best, shared, *searches.values()]


def run(
    folder: Path, cases: list[Case], bits: dict[float, float | None] = BITS, **options: Any
) -> tuple[dict[tuple[str, int], Record], list[tuple[str, float, int]]]:
    store = Store.open(folder) if (folder / "manifest.json").exists() else Store.create(folder, {})
    order: list[tuple[str, float, int]] = []
    try:
        Scheduler(cases, store, lambda: Instant(order, bits), Observer(), **options).run()
    finally:
        store.close()
    return {record.key: record for record in store.records}, order


def test_a_model_is_trained_at_the_rate_that_was_found_and_at_the_shared_one(tmp_path: Path) -> None:
    cases = tuned(2)
    records, order = run(tmp_path / "run", cases)
    assert {name for name, _, _ in order[:3]} == {"search"}
    assert sorted(order[3:]) == [("model", 1.0, 0), ("model", 1.0, 1), ("model", 2.0, 0), ("model", 2.0, 1)]
    assert {record.status for record in records.values()} == {"ok"}


def test_where_the_shared_rate_is_best_nothing_is_trained_twice(tmp_path: Path) -> None:
    cases = tuned(2)
    records, order = run(tmp_path / "run", cases, {0.5: 1.2, 1.0: 1.0, 2.0: None})
    assert sorted(order[3:]) == [("model", 1.0, 0), ("model", 1.0, 1)]
    skipped = records[cases[1].id, 0]
    assert skipped.status == "skipped"
    assert "the best learning rate is the shared one" in (skipped.reason or "")


def test_without_a_score_no_model_is_trained(tmp_path: Path) -> None:
    cases = tuned(1)
    records, order = run(tmp_path / "run", cases, dict.fromkeys(BITS))
    assert len(order) == 3
    assert {records[case.id, 0].status for case in cases[:2]} == {"skipped"}
    assert "none of the learning rates" in (records[cases[0].id, 0].reason or "")


def test_a_run_that_is_resumed_takes_the_rate_that_its_records_chose(tmp_path: Path) -> None:
    cases, folder = tuned(1), tmp_path / "run"
    store = Store.create(folder, {})
    order: list[tuple[str, float, int]] = []
    scheduler = Scheduler(cases, store, lambda: Instant(order, BITS), Observer(), stop=lambda: len(store.records) == 3)
    with pytest.raises(Interrupted):
        scheduler.run()
    store.close()
    assert [name for name, _, _ in order] == ["search"] * 3
    records, order = run(folder, cases, {0.5: 0.1, 1.0: 0.2, 2.0: 0.3})  # another answer, were it asked again
    assert sorted(order) == [("model", 1.0, 0), ("model", 2.0, 0)]
    assert len(records) == 5


def looks(answers: list[list[str]]) -> tuple[Callable[[], list[str]], list[int]]:
    taken: list[int] = []

    def undecided() -> list[str]:
        taken.append(len(taken))
        return answers[len(taken) - 1]

    return undecided, taken


def test_seeds_are_added_until_nothing_is_undecided(tmp_path: Path) -> None:
    cases = [make_case("quality", name, 6) for name in ("a", "b")]
    undecided, taken = looks([["a"], ["a"], []])
    records, order = run(tmp_path / "run", cases, undecided=undecided, jobs=2)
    assert [seed for _, _, seed in order] == [0, 0, 1, 1, 2, 2, 3, 3], "seed by seed, and looks after 2, 3 and 4"
    assert len(taken) == 3
    for case in cases:
        for seed in (4, 5):
            assert records[case.id, seed].status == "skipped"
            assert records[case.id, seed].reason == "every comparison was decided after 4 seeds"


def test_what_never_decides_takes_all_seeds(tmp_path: Path) -> None:
    undecided, taken = looks([["a"]] * 9)
    _, order = run(tmp_path / "run", [make_case("quality", "a", 4)], undecided=undecided)
    assert [seed for _, _, seed in order] == [0, 1, 2, 3]
    assert len(taken) == 2
