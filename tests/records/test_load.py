import contextlib
import json
from pathlib import Path

import pytest

from benchsuite import compare
from benchsuite.cli import export
from benchsuite.errors import UserError
from benchsuite.gating import history
from benchsuite.records import baselines
from benchsuite.records.load import load
from benchsuite.records.store import Store
from benchsuite.report.join import join

PUBLISHED = sorted(path.parent for path in (Path(__file__).parents[2] / "reports").rglob("manifest.json"))


def test_a_run_is_read_whole(quick):
    run = load(quick)
    assert run.name == "quick"
    assert run.statuses()["oom"] == 10
    assert sum(run.statuses().values()) == sum(len(c.replicates) for c in run.manifest.cases)
    assert not run.warnings


def test_a_torn_last_line_is_left_out_and_told(small):
    path = small / "records.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    run = load(small)
    assert run.statuses()["missing"] == 1
    assert "torn" in run.warnings[0]
    path.write_bytes(whole + b'{"schema_version": 1, "case_id"\xff')
    assert load(small).statuses()["missing"] == 0


def test_a_last_line_that_only_lost_its_newline_counts(small):
    path = small / "records.jsonl"
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    run = load(small)
    assert (run.statuses()["missing"], run.warnings) == (0, ())


def test_a_broken_line_in_the_middle_is_refused_with_its_number(small):
    path = small / "records.jsonl"
    lines = path.read_bytes().split(b"\n")
    lines[2] = lines[2][:-7]
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(UserError, match="line 3"):
        load(small)


@pytest.mark.parametrize("file", ["manifest", "records"])
def test_a_newer_schema_is_refused(small, edit, file):
    def newer(content):
        for item in content if isinstance(content, list) else [content]:
            item["schema_version"] = 99

    edit(small, **{file: newer})
    with pytest.raises(UserError, match="newer") as caught:
        load(small)
    assert "upgrade" in caught.value.hint


def test_no_manifest_no_run(tmp_path):
    with pytest.raises(UserError, match="not a run directory"):
        load(tmp_path)
    with pytest.raises(UserError, match="not a run directory"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '"text"', "null", "\x00\x01", '{"schema_version": "one"}'])
def test_a_broken_manifest_is_one_clear_error(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest\.json"):
        load(tmp_path)


def test_an_error_names_the_key(small, edit):
    def damage(rows):
        row = next(r for r in rows if r["result"] and "tasks" in r["result"])
        row["result"]["tasks"]["cloze"]["outcomes"] = "01x"

    edit(small, records=damage)
    with pytest.raises(UserError, match=r"tasks\.cloze\.outcomes"):
        load(small)


def test_no_records_file_is_a_run_that_has_not_begun(small):
    (small / "records.jsonl").unlink()
    run = load(small)
    assert set(run.statuses()) == {"missing"}
    assert run.warnings == ("The run has no records yet.",)


def doubled(lines):
    return [*lines, lines[0]]


def foreign(lines):
    return [*lines, json.dumps({**json.loads(lines[0]), "case_id": "f" * 12})]


def newer(lines):
    return [*lines[:-1], json.dumps({**json.loads(lines[-1]), "schema_version": 99})]


def broken(lines):
    return [lines[0][:-9], *lines[1:]]


def wrong(lines):
    return [json.dumps({**json.loads(lines[0]), "status": "fine"}), *lines[1:]]


READERS = {
    "report": lambda run: join([run]),
    "export": lambda run: export.command([run], csv=run / "table.csv"),
    "history": lambda run: history.read([run]),
    "baseline": lambda run: baselines.save("name", run),
    "compare": lambda run: compare(run, run),
    "resume": lambda run: Store.open(run).close(),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("damage", "said"),
    [(doubled, "there twice"), (newer, "newer"), (broken, "line 1"), (wrong, "line 1: status"), (foreign, None)],
)
def test_all_readers_take_and_refuse_the_same(small, tmp_path, monkeypatch, reader, damage, said):
    monkeypatch.chdir(tmp_path)
    path = small / "records.jsonl"
    path.write_text("\n".join(damage(path.read_text().splitlines())) + "\n")
    with pytest.raises(UserError, match=said) if said else contextlib.nullcontext():
        READERS[reader](small)


@pytest.mark.parametrize("reader", READERS)
def test_all_readers_do_without_a_torn_last_line(small, tmp_path, monkeypatch, reader):
    monkeypatch.chdir(tmp_path)
    path = small / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    READERS[reader](small)


def test_a_record_of_a_case_that_nobody_planned_is_left_out_and_told(small):
    path = small / "records.jsonl"
    path.write_text("\n".join(foreign(path.read_text().splitlines())) + "\n")
    run = load(small)
    assert "f" * 12 not in run.records
    assert run.warnings == ("1 records of cases that are not in the manifest were left out.",)


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda folder: folder.name)
def test_published_runs_can_be_read(folder):
    run = load(folder)
    assert run.statuses()["missing"] == 0
    measured = [record for record in run if record.measured]
    assert len(measured) > len(run.cases) / 2
    kinds = {"speed": "speed", "quality": "quality", "stability": "stability", "search": "search"}
    assert all(getattr(record, kinds[run.cases[record.case_id].kind]) is not None for record in measured)


def test_fields_of_later_versions_are_ignored(small, edit):
    edit(small, manifest=lambda m: {**m, "note": 1}, records=lambda rows: [{**row, "host": "x"} for row in rows])
    assert load(small).statuses()["missing"] == 0
