"""Trainings under torchrun and as Slurm's jobs (by submitit's local executor): the records are those of any run."""

from __future__ import annotations

import functools
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from benchsuite.engine import workers
from benchsuite.engine.scheduler import Scheduler
from benchsuite.engine.slurm import SlurmWorkers
from benchsuite.errors import Interrupted, UserError
from benchsuite.records.case import Case, Record, case_id
from benchsuite.records.store import Store

pytestmark = [pytest.mark.usefixtures("fake_kinds"), pytest.mark.slow]


class Quiet:
    def begin(self, total: int, done: int) -> None: ...
    def more(self, count: int) -> None: ...
    def started(self, job: Any) -> None: ...
    def progressed(self, job: Any, fraction: float) -> None: ...
    def ended(self, job: Any, record: Record | None) -> None: ...
    def tick(self, remaining_s: float, honest: bool) -> None: ...


def case(kind: str, timeout_s: float = 60.0, replicates: int = 1, **params: Any) -> Case:
    about = (
        {"model": {}, "corpus": {"name": "x"}, "tokenizer": {}, "tasks": {}, "heldout": {}} if kind == "quality" else {}
    )
    params = about | params
    return Case(case_id(kind, params), kind, kind, params, tuple(range(replicates)), timeout_s)


def run(folder: Path, trainings: workers.Workers, cases: list[Case], **options: Any) -> list[Record]:
    store = Store.create(folder, {})
    place = functools.partial(workers.make, ("support.run_fakes",))
    try:
        Scheduler(cases, store, place, Quiet(), trainings=trainings, **options).run()
    finally:
        store.close()
    return store.records


def test_torchrun_trains_and_the_first_process_s_result_counts(tmp_path: Path) -> None:
    records = run(tmp_path / "run", workers.ColdWorkers(ranks=2), [case("speed"), case("quality", do="ranks")])
    assert [record.status for record in records] == ["ok", "ok"]
    assert records[1].result is not None
    assert records[1].result["bits_per_byte"] == {"value": 1.0}
    assert sorted(path.name for path in (tmp_path / "run/models").glob("*/rank-*")) == ["rank-0-of-2", "rank-1-of-2"]


def test_a_process_that_fails_ends_the_training_with_its_reason(tmp_path: Path) -> None:
    [record] = run(tmp_path / "run", workers.ColdWorkers(ranks=2), [case("quality", do="second_fails")])
    assert record.status == "error"
    assert "the second one fails" in (record.reason or "")


def local(folder: Path, **options: str) -> SlurmWorkers:
    return SlurmWorkers(folder / "jobs", options={"cluster": "local", **options})


def test_jobs_of_a_cluster_leave_the_same_records(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    cases = [case("quality", replicates=2), case("quality", do="raise"), case("speed")]
    records = run(tmp_path / "run", local(tmp_path), cases, jobs=10)
    found = {(record.case_id, record.replicate): record for record in records}
    assert [found[cases[0].id, seed].result["bits_per_byte"] for seed in (0, 1)] == [{"value": 1.0}, {"value": 2.0}]  # type: ignore[index]
    assert found[cases[1].id, 0].status == "error"
    assert "a variant that raises" in (found[cases[1].id, 0].reason or "")
    assert found[cases[2].id, 0].status == "ok"
    assert len(list((tmp_path / "run/models").iterdir())) == 2


def test_what_hangs_on_a_cluster_is_ended_and_a_stop_cancels(tmp_path: Path) -> None:
    [record] = run(tmp_path / "one", local(tmp_path), [case("quality", do="hang", timeout_s=8.0)])
    assert record.status == "timeout"
    calls = iter(range(10_000))
    with pytest.raises(Interrupted):
        run(tmp_path / "two", local(tmp_path), [case("quality", do="hang")], stop=lambda: next(calls) > 8)


def test_a_job_can_be_cancelled_where_interrupts_are_ignored(tmp_path: Path) -> None:
    """As in all that a shell runs in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        [record] = run(tmp_path / "one", local(tmp_path), [case("quality", do="hang", timeout_s=4.0)])
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert record.status == "timeout"


@pytest.mark.parametrize(
    ("options", "said"), [({"colour": "red"}, "no such option"), ({"cluster": "slurm"}, "no Slurm here")]
)
def test_what_cannot_be_launched_is_said(options: dict[str, str], said: str, tmp_path: Path) -> None:
    if "cluster" in options and shutil.which("sbatch"):
        pytest.skip("there is a Slurm here")
    with pytest.raises(UserError, match=said):
        SlurmWorkers(tmp_path, options=options)


def test_options_of_slurm_become_submitit_s() -> None:
    from benchsuite.engine.slurm import _parameters

    assert _parameters({"gpus_per_node": "8", "partition": "gpu", "time": "1.5"}, ranks=16) == {
        "tasks_per_node": 8,
        "nodes": 2,
        "gpus_per_node": 8,
        "timeout_min": 90,
        "slurm_partition": "gpu",
    }
