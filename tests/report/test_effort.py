"""Where the wall time of a run's speed cases went."""

import pytest

from benchsuite.records.load import load
from benchsuite.report.effort import effort, sentence
from benchsuite.report.join import join
from benchsuite.report.terminal import terminal


def timed(edit, run, *, phases, starts, created="2026-01-01T00:00:00+00:00"):
    """The run with these moments as the starts of its first speed records, one second each, and without the others."""

    def manifest(content):
        content["created"] = created

    def records(rows):
        speeds = [row for row in rows if row["result"] and "samples_s" in row["result"]][: len(starts)]
        for row, start in zip(speeds, starts, strict=True):
            row["started"] = start
            row["result"]["phases_s"] = phases
        return speeds

    return edit(run, manifest=manifest, records=records)


def test_what_is_not_timed_work_is_overhead_and_a_break_is_neither(small, edit):
    phases = {"build": 0.1, "first_call": 0.2, "timing": 0.6, "check": 0.1}
    starts = ["2026-01-01T00:00:02+00:00", "2026-01-01T00:00:03.500+00:00", "2026-01-01T09:00:00+00:00"]
    run = timed(edit, small, phases=phases, starts=starts)
    found = effort(load(run))
    assert found.wall_s == pytest.approx(2 + 1 + 0.5 + 1 + 1)  # start-up, a process, a gap, two more, a night
    assert (found.sampled_s, found.first_s, found.compiled_s) == (3 * 0.6, 3 * 0.2, 0)
    assert found.timed == pytest.approx(2.4 / 5.5)
    assert "44% of 5.5" in sentence(join([run])["runs"][0]["effort"])


def test_compilation_is_told_apart(small, edit):
    def compile_all(content):
        for case in content["cases"]:
            case.get("params", {})["implementation"] = "compile"

    run = timed(edit, small, phases={"first_call": 0.3, "timing": 0.5}, starts=["2026-01-01T00:00:01+00:00"])
    found = effort(load(edit(run, manifest=compile_all)))
    assert (found.first_s, found.compiled_s) == (0, 0.3)


def test_records_without_phases_or_moments_have_no_effort(small, edit, capsys):
    assert effort(load(small)) is None
    run = timed(edit, small, phases={"timing": 0.5}, starts=["yesterday"], created="")
    assert effort(load(run)) is None
    assert join([run])["runs"][0]["effort"] is None


def test_the_end_of_a_run_says_it(small, edit):
    import io

    from rich.console import Console

    run = timed(edit, small, phases={"timing": 0.9}, starts=["2026-01-01T00:00:00+00:00"])
    console = Console(file=io.StringIO(), width=200)
    terminal(run, console)
    assert "Timed work: 90% of 1" in console.file.getvalue()
