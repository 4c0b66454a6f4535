"""Runs whose seeds are added until they decide: what is left, wider intervals, and what the report says of it."""

import json

import pytest
from support.make_run import make_run

from benchsuite.records.load import load
from benchsuite.report.join import join
from benchsuite.stats.looks import Looks
from benchsuite.verdicts.decided import notes_of, undecided


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("seeds") / "run", seeds=3, documents=20, tasks=["cloze"], curve=True)


def with_suite(folder, tmp_path, **quality):
    """The run with a suite of which this is the quality part."""
    changed = tmp_path / "run"
    changed.mkdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["resolved_suite"] = {"name": "quick", "quality": quality}
    (changed / "manifest.json").write_text(json.dumps(manifest))
    (changed / "records.jsonl").write_bytes((folder / "records.jsonl").read_bytes())
    return changed


def ratio(document, variant):
    return next(row["quality"]["tokens"] for row in document["rows"] if row["variant"] == variant)


def test_intervals_allow_for_all_looks_that_may_come(folder, tmp_path):
    planned = ratio(join([folder]), "alibi")
    looked = ratio(join([with_suite(folder, tmp_path, until="decided", seeds=10)]), "alibi")
    assert looked["ratio"] == planned["ratio"]
    assert looked["low"] < planned["low"]
    assert looked["high"] > planned["high"]


def test_a_comparison_is_undecided_between_a_difference_and_equality(folder, tmp_path):
    decided = {"position/rotary", "position/alibi", "position/none", "corpus/web_raw"}
    narrow = undecided(load(with_suite(folder, tmp_path, until="decided", seeds=10, margin=0.01)))
    assert "embedding_norm/on" in narrow
    assert not decided & set(narrow)


def test_an_interval_within_the_margin_is_the_same(folder, tmp_path):
    run = with_suite(folder, tmp_path, until="decided", seeds=10, margin=1.0)
    assert "embedding_norm/on" not in undecided(load(run))
    norm = ratio(join([run]), "on")
    assert norm["low"] < 1 < norm["high"]
    assert norm["verdict"] == "same"


def test_the_report_says_how_many_looks_there_were(folder, tmp_path):
    run = with_suite(folder, tmp_path, until="decided", seeds=10, margin=0.01)
    [note] = notes_of(load(run))
    assert "3 seeds, 2 looks; undecided: " in note
    assert f"{Looks(2, 10).confidence:.1%}" in note
    assert note in join([run])["runs"][0]["notes"]
    assert notes_of(load(folder)) == []
