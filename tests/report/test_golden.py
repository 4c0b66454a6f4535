"""The pages, word for word, of runs and gates that are made up."""

from __future__ import annotations

from pathlib import Path

from support.golden import Golden
from support.make_run import make_run

import benchsuite
from benchsuite.gating.paired import Finding, Paired
from benchsuite.report import compare, gate_page
from benchsuite.report.join import join
from benchsuite.report.render import render
from benchsuite.stats.decisions import Decision, Rule


def test_a_report(quick: Path, golden: Golden) -> None:
    golden("report.md", render(join([quick]), "md"))


def test_a_comparison(tmp_path: Path, golden: Golden) -> None:
    runs = [make_run(tmp_path / name, seed=seed, documents=10, tasks=["cloze"]) for seed, name in enumerate("ab")]
    golden("compare.md", compare.markdown(benchsuite.compare(*(benchsuite.load(run) for run in runs))))


def test_a_gate(golden: Golden) -> None:
    ratios = {"same": 1.001, "slower": 1.1, "faster": 0.9, "unclear": 1.02}
    decisions = {
        f"activation/{verdict}": Decision(verdict=verdict, ratio=ratio, low=ratio / 1.01, high=ratio * 1.01, pairs=8)
        for verdict, ratio in ratios.items()
    }
    findings = (
        Finding(case="activation/broken", kind="fails", text="error at head: it raised", regression=True),
        Finding(
            case="activation/larger",
            kind="memory",
            text="peak memory grew to 2.50x, from 10.0 MiB to 25.0 MiB",
            regression=True,
        ),
        Finding(case="activation/other", kind="new", text="only at head", regression=False),
    )
    times_s = dict.fromkeys(decisions, (0.002, 0.0022))
    outcome = Paired(logs={}, decisions=decisions, findings=findings, times_s=times_s, pairs=40)
    about = {"suite": "micro", "base": "main", "head": ".", "run": "runs/gate", "verdict": "regression"}
    about |= {"exit_code": 1, "notes": ["a note"], "calibration": None}
    golden("gate.md", gate_page.markdown(gate_page.document(outcome, lambda label: Rule(), Rule(), about)))
