import json

import pytest

from benchsuite.errors import UserError
from benchsuite.records.load import load


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


def test_doubled_and_foreign_records_are_told(small):
    path = small / "records.jsonl"
    first = path.read_text().splitlines()[0]
    foreign = json.dumps({**json.loads(first), "case_id": "f" * 12})
    path.write_text(path.read_text() + first + "\n" + foreign + "\n")
    run = load(small)
    assert any("two records" in text for text in run.warnings)
    assert any("not in the manifest" in text for text in run.warnings)


def test_fields_of_later_versions_are_ignored(small, edit):
    edit(small, manifest=lambda m: {**m, "note": 1}, records=lambda rows: [{**row, "host": "x"} for row in rows])
    assert load(small).statuses()["missing"] == 0
