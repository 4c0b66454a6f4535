"""Token ratios on several scores and at several scales: what was put into a run comes out."""

import json

import pytest
from support.make_run import make_run

from benchsuite.records.load import load
from benchsuite.report import words
from benchsuite.report.join import join
from benchsuite.report.render import render
from benchsuite.verdicts.quality import models_of
from benchsuite.verdicts.scales import told
from benchsuite.verdicts.tokens import Placed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run with rungs at widths of 192 and 384, whose models have graded scores that follow their bits per byte."""
    path = make_run(
        tmp_path_factory.mktemp("ladder") / "run", seeds=5, documents=30, tasks=["cloze"], curve=True, ladder=(192, 384)
    )
    rows = [json.loads(line) for line in (path / "records.jsonl").read_text().splitlines()]
    for row in rows:
        if row["result"] and "tasks" in row["result"]:
            score = row["result"]["tasks"]["cloze"]
            right = [0.9 - 0.4 * row["result"]["bits_per_byte"]["value"] + 1e-3 * (i % 7) for i in range(score["n"])]
            score["graded"] = {"probability": right, "bits_per_byte": [1.0] * score["n"], "margin": [0.0] * score["n"]}
    (path / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def document(folder):
    return join([folder])


def test_the_ratios_and_the_trend_are_those_that_were_put_in(folder):
    """worth(2) is 0.0189 and worth(1.11) 0.0031: ALiBi needs 0.5x at first, then 0.9x and 0.9x."""
    models = models_of(load(folder))
    [entry] = told(models, Placed(models))
    assert [rung["name"] for rung in entry["rungs"]] == ["suite", "192", "384"]
    flops = [rung["flops"] for rung in entry["rungs"]]
    assert flops == [6 * 800_000 * 351_000 * by for by in (1, 4, 16)]
    first, *later = (rung["ratio"] for rung in entry["rungs"])
    assert first["low"] < 0.5 < first["high"]
    assert all(ratio["low"] < 0.9 < ratio["high"] for ratio in later)
    factor = entry["trend"]["factor"]  # a line from 0.5 to 0.9 over 16 times the compute, roughly
    assert factor["low"] < (0.9 / 0.5) ** (1 / 1.2) < factor["high"]
    assert 1.2 < factor["value"] < 2.0


def test_the_sentence_says_where_and_how_it_moves(document):
    row = next(r for r in document["rows"] if r["variant"] == "alibi" and r["scope"] == "step")
    assert "here, at this budget. Over 3 scales its token ratio has " in words.sentence(row)
    entry = row["quality"]["trend"]
    for verdict, said in {
        "shrinks": "comes nearer to 1, from 0.50x to 0.90x: the difference shrinks",
        "grows": "moves away from 1, from 0.50x to 0.90x: the difference grows",
        "holds": "holds within 8%",
        "turns": "crosses 1, from 0.50x to 0.90x",
    }.items():
        found = entry["trend"] | {"verdict": verdict, "ends": [0.5, 0.9], "within": 0.08}
        assert words.trend(entry | {"trend": found}) == said
    other = next(r for r in document["rows"] if r["variant"] == "rotary" and r["scope"] == "step")
    assert "scales" not in words.sentence(other)


def test_models_of_another_size_do_not_move_the_intervals_of_this_one(document, tmp_path):
    alone = join([make_run(tmp_path / "run", seeds=5, documents=30, tasks=["cloze"], curve=True)])
    mine, theirs = (
        next(r for r in one["rows"] if r["variant"] == "alibi" and r["scope"] == "step") for one in (document, alone)
    )
    assert mine["quality"]["tokens"] == theirs["quality"]["tokens"]


def test_the_graded_score_has_a_ratio_of_its_own(document):
    quality = next(r for r in document["rows"] if r["variant"] == "alibi" and r["scope"] == "step")["quality"]
    graded = quality["tokens_graded"]
    assert graded["ratio"] == pytest.approx(quality["tokens"]["ratio"], rel=0.02)  # it follows bits per byte here
    assert graded["verdict"] == "less"


def test_without_graded_scores_the_reason_is_told(tmp_path):
    document = join([make_run(tmp_path / "run", seeds=2, documents=10, tasks=["cloze"], curve=True)])
    graded = document["rows"][0]["quality"]["tokens_graded"]
    rows = [row["quality"]["tokens_graded"] for row in document["rows"] if row["quality"]["tokens_graded"]]
    assert graded is None
    assert {row["reason"] for row in rows} == {"graded scores were not measured, or not the same for all"}


def test_the_report_shows_both(document):
    for name in ("md", "html"):
        page = render(document, name)
        for title in ("Token ratios, judged in other ways", "Over scales"):
            assert title in page
        assert "351k parameters" in page
