"""Extrapolation and stability in a report: what is computed, what it says, and that it stands on the page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.params import training

from benchsuite.report.join import join
from benchsuite.report.render import render
from benchsuite.report.view import main_table

EDGES = [0, 64, 128, 256, 512]
# bits per byte in each range: what cannot go on, what explodes, what improves
MODELS = {
    "baseline": [2.0, 1.8],
    "rotary": [2.0, 1.8, 2.4, 4.0],
    "alibi": [2.0, 1.8, 1.75, 1.7],
}
# final losses at three learning rates; None diverged
LOSSES: dict[str, list[float | None]] = {
    "baseline": [3.0, 3.2, 6.9],
    "alibi": [3.1, 3.0, 3.3],
    "rotary": [3.0, 3.1, None],
}
RATES = (0.003, 0.012, 0.048)


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return join([make(tmp_path_factory.mktemp("trained"))])


def make(folder: Path) -> Path:
    rng = np.random.default_rng(1)
    cases, comparisons, records = [], [], []
    for name, levels in MODELS.items():
        case: dict[str, Any] = {"id": name, "kind": "quality", "label": f"{name}/quality", "replicates": [0, 1]}
        cases.append(case | {"params": training(model={"seq": 128})})
        for seed in (0, 1):
            sizes = [[200, 200, 400, 800][: len(EDGES) - 1] for _ in range(20)]
            bits = [
                [(level + rng.normal(0, 0.05)) * size for level, size in zip(levels, row, strict=False)]
                for row in sizes
            ]
            result = {"by_position": {"edges": EDGES, "bits": bits, "bytes": sizes}, "tasks": {}}
            records.append(row(name, seed, result))
        if name != "baseline":
            comparisons.append(compared("quality", name, "baseline"))
    for name, finals in LOSSES.items():
        for lr, final in zip(RATES, finals, strict=True):
            identity = f"{name}-{lr}"
            case = {"id": identity, "kind": "stability", "label": identity, "replicates": [0, 1]}
            cases.append(case | {"params": training(train={"lr": lr})})
            for seed in (0, 1):
                calm = {"steps": 200, "start": 7.0, "last": final, "loss_spikes": 0.01, "norm_spikes": 0.0,
                        "norm_median": 1.0, "norm_p99": 4.0, "norm_max": 9.0, "skipped": 2,
                        "diverged_at": 5000 if final is None else None}  # fmt: skip
                records.append(row(identity, seed, {"stability": calm}))
            if name != "baseline":
                comparisons.append(compared("stability", identity, f"baseline-{lr}", name))
    manifest = {"schema_version": 1, "suite": "trained", "cases": cases, "comparisons": comparisons}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def row(case: str, replicate: int, result: dict[str, Any]) -> dict[str, Any]:
    return {"schema_version": 1, "case_id": case, "replicate": replicate, "status": "ok", "reason": None,
            "started": "", "time_s": 1.0, "result": result}  # fmt: skip


def compared(kind: str, case: str, base: str, variant: str | None = None) -> dict[str, Any]:
    return {"kind": kind, "component": "position", "variant": variant or case, "baseline": "learned", "case": case,
            "base_case": base, "matching": "iso-parameter"}  # fmt: skip


def beyond(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(entry for entry in document["beyond"] if entry["name"] == name)


def test_what_explodes_holds_to_the_training_length_alone(document: dict[str, Any]) -> None:
    rotary = beyond(document, "rotary")
    assert rotary["holds_to"] == 128
    assert [rise and rise["verdict"] for rise in rotary["rise"]] == [None, None, "worse", "worse"]
    assert rotary["rise"][2]["low"] < 0.6 < rotary["rise"][2]["high"]


def test_what_improves_holds_to_the_end(document: dict[str, Any]) -> None:
    alibi = beyond(document, "alibi")
    assert alibi["holds_to"] == 512
    assert alibi["rise"][3]["verdict"] == "better"
    assert alibi["bits_per_byte"][3] == pytest.approx(1.7, abs=0.05)


def test_what_a_model_cannot_reach_is_unknown(document: dict[str, Any]) -> None:
    learned = beyond(document, "baseline")
    assert learned["bits_per_byte"][2:] == [None, None]
    assert learned["rise"][2:] == [None, None]
    assert learned["holds_to"] == 128


def test_survival_and_sensitivity(document: dict[str, Any]) -> None:
    entries = {entry["name"]: entry for entry in document["stability"]}
    assert entries["baseline"]["survives"] == 0.012, "at 6.9 of 7.0 it has learned nothing"
    assert entries["alibi"]["survives"] == 0.048
    assert entries["rotary"]["survives"] == 0.012, "at 0.048 it diverged"
    assert entries["alibi"]["sensitivity"] == pytest.approx((0.1 + 0 + 0.3) / 3)
    assert entries["rotary"]["sensitivity"] == pytest.approx((0 + 0.1 + 4.0) / 3), "a diverged one counts as its start"
    assert entries["alibi"]["rates"][0]["norm_tail"] == 4.0
    assert entries["alibi"]["rates"][0]["skipped"] == 0.01


def test_the_page_and_the_markdown_show_both(document: dict[str, Any]) -> None:
    page, text = render(document, "html"), render(document, "md")
    for shown in (page, text):
        assert "Beyond the training length" in shown
        assert "2 of 2 diverged" in shown
        assert "ALiBi" in shown
    assert "place in the text, tokens (trained on 128)" in page
    assert re.search(r"\| Rotary positions \| (1\.99|2\.0\d) \| 1\.[78]\d \| 2\.[34]\d, worse \(\+0\.[56]\d+ ", text)
    assert "Stability in float32, 2 seeds each." in text


def test_a_line_names_its_baseline_where_its_group_has_several(tmp_path: Path) -> None:
    folder = make(tmp_path)
    assert {line["against"] for line in main_table(join([folder]))[0]["lines"]} == {""}
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for comparison in manifest["comparisons"]:
        if comparison["case"] == "alibi":
            comparison |= {"baseline": "rotary", "base_case": "rotary"}
    path.write_text(json.dumps(manifest))
    [group] = main_table(join([folder]))
    told = {line["variant"]: line for line in group["lines"]}
    assert told["alibi"]["against"] == "against rotary positions"
    assert told["alibi"]["sentence"].endswith(", against rotary positions.")
    assert told["rotary"]["sentence"].endswith(", against learned positions.")
    assert "against rotary positions, iso-parameter</small>" in render(join([folder]), "html")
