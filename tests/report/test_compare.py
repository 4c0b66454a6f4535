"""Finished runs beside each other: ratios, verdicts in the row, and what cannot be compared."""

import json

import pytest
from support.make_run import make_run

import benchsuite
from benchsuite.cli import build_app
from benchsuite.errors import UserError
from benchsuite.report.compare import markdown, table


@pytest.fixture
def two(tmp_path):
    """The same suite measured twice, with other noise."""
    return [make_run(tmp_path / name, seed=seed, documents=10, tasks=["cloze"]) for seed, name in enumerate("ab")]


def faster(rows):
    """Every process takes half of the time."""
    for row in rows:
        if row["result"] and "time_s" in row["result"]:
            row["result"]["time_s"] /= 2


def test_equal_runs_are_never_called_different(two):
    found = benchsuite.compare(*two)
    assert found.columns == ("a", "b")
    ratios = [one.ratio for row in found.rows for one in row.comparisons if one.ratio is not None]
    assert len(ratios) > 10
    assert all(0.9 < ratio < 1.1 for ratio in ratios)
    verdicts = {one.verdict for row in found.rows for one in row.comparisons}
    assert not verdicts & {"faster", "slower"}


def test_a_faster_run_says_so_in_each_row(two, edit):
    edit(two[1], records=faster)
    found = benchsuite.compare(*two)
    measured = [row for row in found.rows if row.comparisons[0].ratio is not None]
    assert {row.comparisons[0].verdict for row in measured} == {"faster"}
    assert all(row.comparisons[0].low < 2 < row.comparisons[0].high for row in measured) or len(measured) > 20
    head, *rows = table(found)
    assert head == ["case", "a", "b", "speed over a", "verdict"]
    assert any(row[-1] == "not measured" for row in rows), "what failed is a row too"
    assert "different times" in markdown(found)


def test_three_runs_are_compared_with_the_first(two):
    a, b = (benchsuite.load(run) for run in two)
    found = benchsuite.compare(a, b, a)
    assert found.columns == ("a", "b", "a (3)")
    assert all(len(row.cells) == 3 and len(row.comparisons) == 2 for row in found.rows)


def test_another_machine_is_refused_unless_that_is_the_question(two, edit):
    def other(content):
        content["hardware"]["identity"]["cpu"] = "another"

    edit(two[1], manifest=other)
    runs = [benchsuite.load(run) for run in two]
    with pytest.raises(UserError, match="another machine than a: cpu differ") as caught:
        benchsuite.compare(*runs)
    assert caught.value.exit_code == 4
    assert benchsuite.compare(*runs, by="machine").columns[1] == "another"


def test_runs_without_a_common_case_are_refused(two, edit):
    def others(content):
        content["cases"] = [case | {"kind": "quality"} for case in content["cases"]]
        content["comparisons"] = []

    edit(two[1], manifest=others, records=lambda rows: [row for row in rows if row["status"] == "none"] or rows[:0])
    edit(two[1], records=lambda rows: rows)
    (two[1] / "records.jsonl").write_text("")
    with pytest.raises(UserError, match="no speed case in common") as caught:
        benchsuite.compare(*two)
    assert caught.value.exit_code == 4


def test_implementations_of_one_run_are_columns(two):
    found = benchsuite.compare(two[0], by="implementation")
    assert len(found.columns) > 1
    assert found.columns[0] == "eager"
    assert all("eager" not in row.label.split("/") for row in found.rows)
    with pytest.raises(UserError, match="within one run"):
        benchsuite.compare(*two, by="implementation")
    with pytest.raises(UserError, match="nothing to be compared with"):
        benchsuite.compare(two[0])


def test_the_command_prints_one_json_document(two, capsys):
    app = build_app()
    with pytest.raises(SystemExit) as ended:
        app(["compare", *map(str, two), "--json"])
    assert not ended.value.code
    document = json.loads(capsys.readouterr().out)
    assert document["columns"] == ["a", "b"]
    assert {"label", "cells", "comparisons"} <= document["rows"][0].keys()
