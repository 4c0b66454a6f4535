"""The tables of operators and peers: ratios over rounds, the README's rows, and what was wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from support.params import check, operator

from benchsuite.records.load import Run, load
from benchsuite.report import rivals, rivals_page


class Made:
    """A run directory of operators, written by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cases: list[dict[str, Any]] = []
        self.comparisons: list[dict[str, Any]] = []
        self.records: list[dict[str, Any]] = []

    def case(self, identity: str, kind: str = "operator", variant: str = "gelu", **extra: Any) -> None:
        made = check if kind == "check" else operator
        params = made(variant=variant, implementation=identity)
        case = {"id": identity, "kind": kind, "label": identity, "params": params, "replicates": [0], "timeout_s": 1}
        self.cases.append(case | extra)

    def times(self, identity: str, *times_s: float, peak_bytes: int | None = None) -> None:
        for number, time_s in enumerate(times_s):
            result = {"time_s": time_s, "samples_s": [time_s] * 4, "stop": "turns", "peak_bytes": peak_bytes}
            self.record(identity, number, "ok", result=result, round=number)

    def record(self, identity: str, replicate: int, status: str, **extra: Any) -> None:
        row = {"schema_version": 3, "case_id": identity, "replicate": replicate, "status": status}
        self.records.append(row | {"reason": None, "started": "", "time_s": 1.0} | extra)

    def compare(self, case: str, base: str, shape: str, component: str = "operator", variant: str = "gelu") -> None:
        about = {"kind": "implementation", "component": component, "variant": variant, "implementation": "fused"}
        about |= {"baseline": base.partition("/")[0], "direction": "fwd+bwd", "dtype": "float32", "shape": shape}
        self.comparisons.append({**about, "case": case, "base_case": base})

    def load(self) -> Run:
        manifest = {"schema_version": 3, "suite": "operators", "command": ["benchsuite", "selftest"]}
        content = json.dumps(manifest | {"cases": self.cases, "comparisons": self.comparisons})
        (self.folder / "manifest.json").write_text(content)
        (self.folder / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in self.records))
        return load(self.folder)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def shape(made: Made, name: str, ours: list[float], eager: list[float], compiled: list[float]) -> None:
    for kind, times in (("fused", ours), ("eager", eager), ("compile", compiled)):
        made.case(f"{kind}/{name}")
        made.times(f"{kind}/{name}", *times, peak_bytes={"fused": 50}.get(kind, 100))
    made.compare(f"fused/{name}", f"eager/{name}", name)
    made.compare(f"fused/{name}", f"compile/{name}", name)


def test_the_summary_is_the_readme_s_table(made: Made) -> None:
    shape(made, "1x1", [1.0] * 3, [4.0] * 3, [2.0] * 3)
    shape(made, "2x2", [1.0] * 3, [1.0] * 3, [3.0] * 3)
    head, row = rivals_page.summary_table(made.load())
    assert rivals_page.as_markdown([head, row]) == (
        "| operator, forward and backward, float32 | shapes | eager's time over ours | best rival's time over ours |"
        " worst of the shapes |\n|---|---|---|---|---|\n"
        "| gelu | 2 | 2.00x [2.00, 2.00] | 1.41x [1.41, 1.41] | 1.00x [1.00, 1.00] |"
    )


def test_ratios_rest_on_rounds(made: Made) -> None:
    shape(made, "1x1", [1.0, 2.0, 4.0], [2.0, 4.0, 8.0], [2.0, 4.4, 7.6])
    [row] = rivals.rows(made.load())
    eager, compiled = row.rivals
    assert (eager.ratio, eager.low, eager.high) == pytest.approx((2, 2, 2))  # within a round, however rounds differ
    assert eager.verdict == "faster"
    assert eager.rounds == 3
    assert compiled.low is not None
    assert compiled.high is not None
    assert compiled.low < 1.9 < 2.1 < compiled.high
    assert eager.memory == 0.5
    assert row.time_s == 2.0


def test_two_rounds_give_no_interval(made: Made) -> None:
    shape(made, "1x1", [1.0] * 2, [2.0] * 2, [3.0] * 2)
    run = made.load()
    assert rivals.rows(run)[0].rivals[0].low is None
    assert rivals_page.summary_table(run)[1][2:] == ["2.00x", "2.00x", "2.00x"]


def test_an_operator_that_failed_a_check_is_named_and_has_no_summary(made: Made) -> None:
    shape(made, "1x1", [1.0] * 3, [4.0] * 3, [2.0] * 3)
    made.case("gelu/check/float16", kind="check")
    made.record("gelu/check/float16", 0, "incorrect", reason="7x33: the error against float64 is 1")
    run = made.load()
    assert rivals.summaries(run) == []
    assert rivals.wrong(run) == ["gelu/check/float16: incorrect, 7x33: the error against float64 is 1"]
    assert rivals.headline(run) == "0 of 1 checks against float64 passed, each of an operator in a type."
    assert "gelu/check/float16: incorrect, 7x33" in rivals_page.markdown(run)


def test_a_rival_that_cannot_run_is_left_out_and_says_why(made: Made) -> None:
    shape(made, "1x1", [1.0] * 3, [4.0] * 3, [2.0] * 3)
    made.case("liger/1x1", unsupported="liger-kernel is not installed")
    made.record("liger/1x1", 0, "unsupported", reason="liger-kernel is not installed")
    made.compare("fused/1x1", "liger/1x1", "1x1")
    run = made.load()
    [row] = rivals.rows(run)
    assert row.rivals[2].verdict == "incomparable"
    assert "liger-kernel is not installed" in (row.rivals[2].reason or "")
    assert rivals_page.shapes_table(run, "fwd+bwd")[0][2:4] == ["eager", "compile"]
    assert rivals.wrong(run) == []
    assert rivals.not_compared(run) == []


def test_where_every_round_was_disturbed_the_page_says_so_once(made: Made) -> None:
    shape(made, "1x1", [1.0] * 3, [4.0] * 3, [2.0] * 3)
    for row in made.records:
        row["result"] |= {"stop": "budget", "monitor": {"disturbed": ["other processes used 1.5 of our cores"]}}
    page = rivals_page.markdown(made.load())
    reason = "every round was disturbed: other processes used 1.5 of our cores at worst"
    assert f"* not compared: gelu/1x1 beside eager and 1 more: {reason}" in page
    assert "## Summary" not in page


def test_peers_are_pairs_with_verdicts(made: Made) -> None:
    for name, times in (("fused", [1.0] * 3), ("nanogpt", [1.5] * 3)):
        made.case(name, kind="peer", variant="step")
        made.times(name, *times)
    made.compare("fused", "nanogpt", "", component="peer", variant="evaluation")
    run = made.load()
    assert rivals_page.pairs_table(run)[1] == [
        *("evaluation", "fused", "nanogpt", "1.50x [1.50, 1.50]", "faster", "1.0 s", "1.5 s")
    ]
    console = Console(record=True, width=200)
    rivals_page.show(run, console)
    assert "1.50x [1.50, 1.50]" in console.export_text()
    assert json.loads(json.dumps(rivals.document(run)))["rows"][0]["rivals"][0]["verdict"] == "faster"
