"""The scheduler against real processes: what goes wrong in a job stays in its record."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from benchsuite.engine import fork_workers, processes, scheduler, workers
from benchsuite.engine.job_order import together_order
from benchsuite.engine.scheduler import Scheduler
from benchsuite.errors import Interrupted, UserError
from benchsuite.records.case import Case, Job, Record, case_id
from benchsuite.records.store import Store
from benchsuite.stats.speed import FEWEST_ROUNDS

pytestmark = [pytest.mark.usefixtures("fake_kinds"), pytest.mark.slow]


def make_case(
    kind: str = "speed", replicates: int = 1, timeout_s: float = 20.0, group: str = "", **params: Any
) -> Case:
    identity = case_id(kind, params)
    return Case(identity, kind, f"test/{params.get('do', 'ok')}", params, tuple(range(replicates)), timeout_s, group)


class Quiet:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.starts: list[str] = []
        self.fractions: list[float] = []
        self.most = self.now = 0

    def begin(self, total: int, done: int) -> None:
        self.total, self.done = total, done

    def more(self, count: int) -> None:
        self.total += count

    def started(self, job: Job) -> None:
        self.starts.append(job.name)
        self.now += 1
        self.most = max(self.most, self.now)

    def progressed(self, job: Job, fraction: float) -> None:
        self.fractions.append(fraction)

    def ended(self, job: Job, record: Record | None) -> None:
        self.now -= job.name in self.starts

    def tick(self, remaining_s: float, honest: bool) -> None:
        self.left = remaining_s, honest


def run(
    folder: Path, cases: list[Case], *, stop: Callable[[], bool] = lambda: False, cold: bool = False, **options: Any
) -> tuple[list[Record], Quiet]:
    watcher = Quiet()
    store = Store.open(folder) if (folder / "manifest.json").exists() else Store.create(folder, {})

    def place() -> Any:
        return workers.ColdWorkers() if cold else fork_workers.ForkWorkers(("support.run_fakes",))

    try:
        Scheduler(cases, store, place, watcher, stop=stop, **options).run()
    finally:
        store.close()
    return store.records, watcher


def test_what_a_budget_leaves_out_is_recorded_in_whole_rounds(tmp_path: Path) -> None:
    cases = [make_case(replicates=5, n=n) for n in (1, 2)]
    records, _ = run(tmp_path / "run", cases, budget_s=1e-3)
    found = {(record.case_id, record.replicate): record for record in records}
    assert len(found) == len(records) == 10
    for case in cases:
        statuses = [found[case.id, replicate].status for replicate in range(5)]
        assert statuses == ["ok"] * FEWEST_ROUNDS + ["skipped", "skipped"]
        assert "its round would have ended after" in (found[case.id, FEWEST_ROUNDS].reason or "")
    all_of_them, _ = run(tmp_path / "whole", cases, budget_s=600.0)
    assert {record.status for record in all_of_them} == {"ok"}


def test_exclusive_jobs_of_two_devices_run_at_once_and_share_no_core(tmp_path: Path) -> None:
    cases = [
        make_case(do="work", s=0.3, n=n, device=f"fake:{device}", threads=1, replicates=2, group=f"{device}-{n}")
        for device in (0, 1)
        for n in (1, 2)
    ]
    records, watcher = run(tmp_path / "run", cases)
    assert [record.status for record in records] == ["ok"] * 8
    assert watcher.most == 2, "one on each device, never more"
    device = {case.id: case.params["device"] for case in cases}
    spans: dict[str, list[tuple[float, float]]] = {"fake:0": [], "fake:1": []}
    cores: dict[str, set[int]] = {"fake:0": set(), "fake:1": set()}
    for record in records:
        begun = datetime.fromisoformat(record.started).timestamp()
        spans[device[record.case_id]].append((begun, begun + 0.3))
        assert record.result is not None
        cores[device[record.case_id]] |= set(record.result["cores"])
    for own in spans.values():
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(sorted(own))), "a device is never shared"
    if len(os.sched_getaffinity(0)) > 1:
        assert not cores["fake:0"] & cores["fake:1"]


BAD = {"raise": "error", "memory": "oom", "hang": "timeout", "segfault": "error"}


@pytest.mark.parametrize("cold", [False, True], ids=["forked", "cold"])
def test_four_bad_jobs_leave_four_records_and_a_finished_run(tmp_path: Path, cold: bool) -> None:
    cases = [make_case(do=do, timeout_s=1.5 if do == "hang" else 30.0) for do in BAD] + [make_case(do="ok")]
    records, _ = run(tmp_path / "run", cases, cold=cold, memory_limit_bytes=300 * 1024**2)
    assert [record.status for record in records] == [*BAD.values(), "ok"]
    reasons = [record.reason or "" for record in records]
    assert "ValueError: a variant that raises (run_fakes.py:" in reasons[0]
    assert "MemoryError" in reasons[1]
    assert "no result within 3.75 s" in reasons[2] or "no result within 7.5 s" in reasons[2], "five share the cores"
    assert "now I hang" in reasons[2]
    assert "SIGSEGV" in reasons[3]
    assert "run_fakes.py" in reasons[3], "the Python stack of the crash is missing"
    assert records[4].result is not None
    assert records[4].result["time_s"] == 0.001


@pytest.mark.parametrize(
    ("do", "status", "words"),
    [
        ("exit", "error", "exit status 3"),
        ("killed", "oom", "SIGKILL"),
        ("unsupported", "unsupported", "not on this machine"),
        ("incorrect", "incorrect", "wrong by 3"),
        ("torch_oom", "oom", "not enough memory"),
        ("nan", "incorrect", "nan"),
        ("system_exit", "error", "SystemExit"),
    ],
)
def test_every_end_has_its_status(tmp_path: Path, do: str, status: str, words: str) -> None:
    [record], _ = run(tmp_path / "run", [make_case(do=do)])
    assert (record.status, words in (record.reason or "")) == (status, True)


def test_incorrect_keeps_what_it_found(tmp_path: Path) -> None:
    [record], _ = run(tmp_path / "run", [make_case(do="incorrect")])
    assert record.result is not None
    assert record.result["error"] == {"forward": 3.0}


def test_processes_left_behind_by_a_job_are_killed(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    [record], _ = run(tmp_path / "run", [make_case(do="grandchild", mark=str(mark))])
    assert record.status == "ok"
    pid = int(mark.read_text())
    for _ in range(100):
        if not _alive(pid):
            break
        time.sleep(0.02)
    assert not _alive(pid)


@pytest.mark.parametrize("end", ["ok", "timeout", "nanny killed", "nanny stopped", "cold", "cold timeout"])
def test_a_job_s_daemon_in_a_session_of_its_own_is_killed(tmp_path: Path, end: str) -> None:
    mark = tmp_path / "pid"
    late = "timeout" in end or "stopped" in end
    job: dict[str, Any] = {"do": "daemon", "mark": str(mark), "then_s": 60 if late or "killed" in end else 0}
    job |= {"nanny": end.split()[1]} if "nanny" in end else {}
    case = make_case(timeout_s=3.0 if late and "cold" not in end else 15.0, **job)
    [record], _ = run(tmp_path / "run", [case], cold="cold" in end)
    assert record.status == {"ok": "ok", "cold": "ok", "nanny killed": "oom"}.get(end, "timeout")
    pid = int(mark.read_text())
    for _ in range(200):
        if not _alive(pid):
            break
        time.sleep(0.02)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_output_without_end_ends_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "LOG_BYTES", 10_000)
    [record], _ = run(tmp_path / "run", [make_case(do="chatter")])
    assert record.status == "error"
    assert "more than 10000 bytes of output" in (record.reason or "")


def test_a_result_that_the_disk_refuses_ends_the_run_and_not_the_case(tmp_path: Path) -> None:
    case = make_case(mark="x", do="no_place", work=str(tmp_path / "run/work"))
    with pytest.raises(UserError, match="could not write its result"):
        run(tmp_path / "run", [case])
    (tmp_path / "run/work").unlink()
    (tmp_path / "run/work.away").rename(tmp_path / "run/work")
    store = Store.open(tmp_path / "run")
    store.close()
    assert store.records == []


def test_jobs_run_in_fresh_processes(tmp_path: Path) -> None:
    records, _ = run(tmp_path / "run", [make_case(replicates=3)])
    pids = {record.result["pid"] for record in records if record.result}
    assert len(pids) == 3
    assert os.getpid() not in pids


def test_a_dead_fork_server_is_started_once_more(tmp_path: Path) -> None:
    once = make_case(do="kill_server", mark=str(tmp_path / "a"))
    twice = make_case(do="kill_server", mark=str(tmp_path / "b"), always=True)
    records, _ = run(tmp_path / "run", [once, twice, make_case(do="ok")])
    assert [record.status for record in records] == ["ok", "error", "ok"]
    assert records[0].reason == "the fork server died once while it ran"
    assert "died again" in (records[1].reason or "")


def test_a_server_that_cannot_import_says_why(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "run", {})
    with pytest.raises(UserError, match="No module named 'no_such_module'"):
        Scheduler([make_case()], store, lambda: fork_workers.ForkWorkers(("no_such_module",)), Quiet()).run()


def test_what_failed_once_is_not_repeated(tmp_path: Path) -> None:
    records, _ = run(tmp_path / "run", [make_case(do="raise", replicates=3), make_case(do="ok", replicates=3)])
    of_bad = [record for record in records if record.case_id == make_case(do="raise").id]
    assert [record.status for record in of_bad] == ["error", "skipped", "skipped"]
    assert "replicate 0 ended with error" in (of_bad[1].reason or "")
    assert sum(record.status == "ok" for record in records) == 3


def test_planned_unsupported_cases_leave_records_and_start_nothing(tmp_path: Path) -> None:
    case = Case("abc", "speed", "x", {}, (0, 1), 1.0, unsupported="no compiler")
    records, watcher = run(tmp_path / "run", [case])
    assert [(record.status, record.reason) for record in records] == [("unsupported", "no compiler")] * 2
    assert watcher.starts == []


def test_together_order_prepares_first_and_takes_the_longest_first() -> None:
    def quality(corpus: str, estimate_s: float) -> Case:
        params = {"corpus": {"name": corpus}, "train": {"tokens": int(estimate_s)}}
        return Case(case_id("quality", params), "quality", corpus, params, (0, 1), 9.0, estimate_s=estimate_s)

    jobs = together_order([quality("a", 1.0), quality("b", 3.0), quality("a", 2.0)])
    assert [job.label for job in jobs] == ["prepare a", "prepare b", "b", "a", "a", "b", "a", "a"]
    assert [job.replicate for job in jobs[2:]] == [0, 0, 0, 1, 1, 1]
    first, second = jobs[:2]
    assert (first.needs, second.needs) == ((), (first.name,))
    assert jobs[2].needs == (second.name,)
    assert jobs[3].needs == (first.name,)


def test_quality_jobs_run_side_by_side_and_keep_their_models(tmp_path: Path) -> None:
    cases = [make_case("quality", replicates=2, sleep_s=0.3, n=n, corpus={"name": "a"}) for n in range(2)]
    records, watcher = run(tmp_path / "run", cases, jobs=2)
    assert [record.status for record in records] == ["ok"] * 4
    assert watcher.most == 2
    assert 1.0 in watcher.fractions
    assert sorted(record.result["bits_per_byte"]["value"] for record in records if record.result) == [1, 1, 2, 2]
    models = sorted(path.name for path in (tmp_path / "run/models").iterdir())
    assert models == sorted(f"{case.id}-{seed}" for case in cases for seed in (0, 1))
    assert list((tmp_path / "run/work").iterdir()) == []


def test_a_failed_preparation_fails_the_cases_that_need_it(tmp_path: Path) -> None:
    bad, good = (make_case("quality", corpus={"name": name}) for name in ("broken", "a"))
    records, _ = run(tmp_path / "run", [bad, good], jobs=2)
    by_case = {record.case_id: record for record in records}
    assert by_case[good.id].status == "ok"
    assert by_case[bad.id].status == "error"
    assert "no such text" in (by_case[bad.id].reason or "")


def test_a_stopped_run_keeps_its_records_and_resumes_with_the_rest(tmp_path: Path) -> None:
    cases = [make_case(n=n, replicates=2, sleep_s=0.05, group=str(n)) for n in range(3)]
    folder = tmp_path / "run"
    with pytest.raises(Interrupted):
        run(folder, cases, stop=lambda: (folder / "records.jsonl").read_bytes().count(b"\n") >= 2)
    store = Store.open(folder)
    store.close()
    assert 0 < len(store.records) < 6
    records, watcher = run(folder, cases)
    assert len(records) == len({record.key for record in records}) == 6
    assert (watcher.total, watcher.done) == (6, len(store.records))
    assert len(watcher.starts) == 6 - len(store.records)


def test_records_of_other_cases_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(folder, [make_case(n=1)])
    with pytest.raises(UserError, match="does not plan"):
        run(folder, [make_case(n=2)])


def test_the_estimate_becomes_honest(tmp_path: Path) -> None:
    _, watcher = run(tmp_path / "run", [make_case(replicates=3, sleep_s=0.1)])
    assert watcher.left == (0, True)


def test_available_memory_is_bounded_by_the_machine() -> None:
    assert 0 < scheduler.available_memory() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
