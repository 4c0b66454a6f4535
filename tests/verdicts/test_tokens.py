"""Token ratios in reports: what was put into a run comes out, first in its sentence and its table."""

import json
import re

import pytest
from support.make_run import make_run

from benchsuite.report import view, words
from benchsuite.report.join import join
from benchsuite.report.render import render


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("curve") / "run", seeds=3, documents=20, tasks=["cloze"], curve=True)


@pytest.fixture(scope="module")
def document(folder):
    return join([folder])


def row_of(document, variant):
    rows = [row for row in document["rows"] if row["variant"] == variant]
    return next((row for row in rows if row["scope"] == "step"), rows[0])


def test_a_better_variant_needs_less_tokens_and_a_worse_one_more(document):
    """worth(2) is 0.0189 and worth(1.8) 0.0163, so ALiBi's effect of 0.019 is worth 2.0x and needs 0.5x."""
    alibi = row_of(document, "alibi")["quality"]["tokens"]
    assert alibi["low"] < 0.5 < alibi["high"]
    assert alibi["verdict"] == "less"
    none = row_of(document, "none")["quality"]["tokens"]
    assert none["low"] > 1
    assert none["verdict"] == "more"
    assert (alibi["tokens"], alibi["baseline_tokens"]) == (800_000, 800_000)


def test_time_to_quality_is_the_token_ratio_over_the_steps_speed(document):
    row = row_of(document, "alibi")
    assert row["time"]["ratio"] == pytest.approx(row["quality"]["tokens"]["ratio"] / row["speed"]["ratio"])
    assert row["time"]["low"] < row["time"]["ratio"] < row["time"]["high"]
    layer = next(r for r in document["rows"] if r["variant"] == "alibi" and r["scope"] == "layer")
    assert layer["time"]["ratio"] is None
    assert row_of(document, "web_raw")["time"]["reason"] == "no speed with an interval"


def test_the_control_on_half_of_the_tokens_comes_out_at_half(document):
    half = next(c for c in document["controls"] if c["name"] == "half_tokens")
    assert half["passed"] is True
    assert half["tokens"]["low"] <= 0.5 <= half["tokens"]["high"]


def test_a_control_that_comes_out_elsewhere_fails_and_is_warned_of(folder, tmp_path):
    manifest = json.loads((folder / "manifest.json").read_text())
    for comparison in manifest["comparisons"]:
        if comparison.get("name") == "half_tokens":
            comparison["expected"] = "0.9x"
    changed = tmp_path / "run"
    changed.mkdir()
    (changed / "manifest.json").write_text(json.dumps(manifest))
    (changed / "records.jsonl").write_bytes((folder / "records.jsonl").read_bytes())
    document = join([changed])
    assert next(c for c in document["controls"] if c["name"] == "half_tokens")["passed"] is False
    assert any("half_tokens came out 0.4" in t or "half_tokens came out 0.5" in t for t in document["warnings"])


def test_the_sentence_gives_tokens_first_then_time_then_zero_shot(document):
    sentence = words.sentence(row_of(document, "alibi"))
    ratio = r"<?\d\.\d\dx \[<?\d\.\d\d, \d\.\d\d\]"
    points = r"[+-]\d+\.\d \[[+-]\d+\.\d, [+-]\d+\.\d\]"
    pattern = (
        rf"ALiBi needs {ratio} of the tokens and {ratio} of the time per step, so it reaches the baseline's quality in "
        rf"{ratio} of the training time here, at this budget\. "
        rf"Zero-shot accuracy at equal tokens: {points} points( \(unresolved\))?\."
    )
    assert re.fullmatch(pattern, sentence), sentence


def test_all_renderings_have_them(document):
    line = next(line for g in view.main_table(document) for line in g["lines"] if line["variant"] == "alibi")
    for kind in ("md", "html"):
        text = render(document, kind)
        assert line["tokens"] in text.replace("&lt;", "<").replace("&gt;", ">")
        assert line["time"] in text.replace("&lt;", "<").replace("&gt;", ">")
    assert "baseline, 0.5x" in render(document, "md")


def test_a_run_without_a_curve_says_so(quick):
    tokens = row_of(join([quick]), "alibi")["quality"]["tokens"]
    assert (tokens["ratio"], tokens["reason"]) == (None, "the suite measures no learning curve of this baseline")


def test_the_table_is_one_family(document):
    """A verdict stands only where Holm's correction over all rows leaves it."""
    rows = {row["variant"]: row["quality"] for row in document["rows"] if row["quality"]["delta"] is not None}
    for part in [*rows.values(), *(quality["bits_per_byte"] for quality in rows.values())]:
        assert part["p_holm"] >= part["p"]
        assert (part["verdict"] != "unresolved") == (part["p_holm"] < 0.05)
