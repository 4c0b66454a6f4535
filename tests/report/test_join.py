import json
import math

import pytest
from support.make_run import make_run

from benchsuite.errors import UserError
from benchsuite.report.blocks import Table
from benchsuite.report.join import join
from benchsuite.report.render import render
from benchsuite.report.sections import models
from benchsuite.report.training import CURVE_POINTS


def row_of(document, variant, scope=None, implementation=None):
    return next(
        row
        for row in document["rows"]
        if row["variant"] == variant and row["scope"] == scope and implementation in (None, row["implementation"])
    )


@pytest.fixture(scope="module")
def document(quick):
    return join([quick])


def test_the_document_has_what_others_build_on(document):
    assert {"schema_version", "run", "hardware", "rows", "controls", "cases"} <= document.keys()
    row = row_of(document, "rotary", "step")
    assert {"component", "variant", "baseline", "matching", "implementation"} <= row.keys()
    assert {"ratio", "low", "high", "verdict", "tokens_per_s"} <= row["speed"].keys()
    assert {"ratio", "peak_bytes"} <= row["memory"].keys()
    quality = row["quality"]
    assert {"delta", "low", "high", "minimum_detectable", "verdict", "source", "seeds", "tasks"} <= quality.keys()
    assert {"delta", "low", "high"} <= quality["tasks"]["cloze"].keys()
    assert {"delta", "low", "high"} <= quality["bits_per_byte"].keys()
    assert {"name", "expected", "observed", "passed"} <= document["controls"][0].keys()
    assert document["cases"] == {"ok": 285, "oom": 10, "unsupported": 5}
    json.dumps(document, allow_nan=False)


def test_effects_that_were_put_in_come_out(tmp_path):
    document = join([make_run(tmp_path / "run", seeds=8)])
    rotary = row_of(document, "rotary", "step")
    assert rotary["speed"]["low"] < 0.88 < rotary["speed"]["high"]
    assert rotary["speed"]["verdict"] == "slower"
    assert rotary["quality"]["low"] < 0.024 * (0.8 * 13 + 3 * 2) / 15 < rotary["quality"]["high"]
    assert rotary["quality"]["verdict"] == "better"
    assert row_of(document, "web_raw")["quality"]["verdict"] == "worse"
    assert rotary["quality"]["bits_per_byte"]["verdict"] == "better"
    assert rotary["memory"]["ratio"] == pytest.approx(1 / 0.88)


def test_both_controls_pass(document):
    assert [(c["name"], c["observed"], c["passed"]) for c in document["controls"]] == [
        ("a_against_a", "unresolved", True),
        ("quarter_tokens", "worse", True),
    ]


def test_quality_stands_in_every_row_of_its_variant(document):
    rows = [row for row in document["rows"] if row["variant"] == "swiglu"]
    assert len(rows) == 5
    assert all(row["quality"] == rows[0]["quality"] for row in rows)


def test_what_was_not_measured_is_none_not_zero(document):
    corpus = row_of(document, "web_raw")
    assert corpus["speed"]["ratio"] is None
    assert corpus["speed"]["verdict"] is None
    geglu = row_of(document, "geglu", "layer")
    assert geglu["quality"]["delta"] is None
    assert geglu["quality"]["tasks"] == {}


def test_failed_cases_keep_their_rows_and_say_why(document):
    row = row_of(document, "relu2", "layer", "compile")
    assert row["speed"]["verdict"] == "incomparable"
    assert row["speed"]["reason"] == "variant: oom (worker used more than 3 GiB)"
    [unsupported] = [f for f in document["failures"] if f["status"] == "unsupported"]
    assert unsupported["reason"] == "needs a C++ compiler"
    assert unsupported["replicates"] == [0, 1, 2, 3, 4]


def test_the_crippled_control_does_not_widen_the_intervals(quick, small, edit):
    """The control's own seeds may scatter as they like: the pooled variance does not know it."""
    before = join([small])["rows"]

    def scatter(rows):
        manifest = json.loads((small / "manifest.json").read_text())
        [control] = [c["case"] for c in manifest["comparisons"] if c.get("name") == "quarter_tokens"]
        for row in rows:
            if row["case_id"] == control:
                for task in row["result"]["tasks"].values():
                    task["outcomes"] = ("0" if row["replicate"] else "1") * len(task["outcomes"])

    edit(small, records=scatter)
    assert join([small])["rows"] == before


def test_one_seed_resolves_nothing_and_warns(tmp_path):
    document = join([make_run(tmp_path / "one", seeds=1, documents=40)])
    assert {row["quality"]["verdict"] for row in document["rows"]} <= {"unresolved", None}
    assert any("One seed only" in text for text in document["warnings"])
    assert [c["passed"] for c in document["controls"]] == [True, False]
    assert any("control quarter_tokens came out unresolved" in text for text in document["warnings"])
    assert row_of(document, "rotary", "step")["quality"]["low"] is not None


def test_one_replicate_has_a_ratio_but_no_interval(tmp_path):
    document = join([make_run(tmp_path / "one", replicates=1, documents=10, tasks=["cloze"])])
    speed = row_of(document, "rotary", "step")["speed"]
    assert 0.8 < speed["ratio"] < 0.95
    assert (speed["low"], speed["verdict"]) == (None, "unclear")


def test_an_empty_run_and_one_of_failures_only(small, edit):
    def fail(rows):
        return [{**row, "status": "error", "reason": "ImportError", "result": None} for row in rows]

    edit(small, records=fail)
    document = join([small])
    assert {row["speed"]["verdict"] for row in document["rows"]} == {"incomparable", None}
    assert row_of(document, "rotary", "step")["quality"]["reason"].startswith("variant: error (ImportError)")
    assert [c["passed"] for c in document["controls"]] == [None, None]
    edit(small, manifest=lambda m: {**m, "cases": [], "comparisons": []}, records=lambda rows: [{}][:0])
    (small / "records.jsonl").write_text("")
    document = join([small])
    assert (document["rows"], document["cases"], document["findings"]) == ([], {}, [])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, -3.0])
def test_numbers_that_are_none_are_not_counted(small, edit, value):
    def damage(rows):
        for row in rows:
            result = row["result"]
            if result and "tokens_per_s" in result:
                result["tokens_per_s"] = result["time_s"] = value
            if result and "bits_per_byte" in result:
                result["bits_per_byte"]["bits"][3] = value if not math.isfinite(value) else math.nan
                result["train"]["final_loss"] = value
                result["train"]["curve"][5][1] = math.nan

    edit(small, records=damage)
    document = join([small])
    json.dumps(document, allow_nan=False)
    rotary = row_of(document, "rotary", "step")
    assert rotary["speed"]["verdict"] == "incomparable"
    assert rotary["quality"]["bits_per_byte"]["delta"] is None
    assert rotary["quality"]["delta"] is not None


def test_missing_seeds_leave_the_rest_comparable(small, edit):
    manifest = json.loads((small / "manifest.json").read_text())
    [rotary] = [c["case"] for c in manifest["comparisons"] if c["kind"] == "quality" and c["variant"] == "rotary"]
    edit(small, records=lambda rows: [r for r in rows if (r["case_id"], r["replicate"]) != (rotary, 1)])
    document = join([small])
    assert row_of(document, "rotary", "step")["quality"]["seeds"] == 1
    assert row_of(document, "rotary", "step")["quality"]["covers_seeds"] is True
    assert row_of(document, "alibi", "step")["quality"]["seeds"] == 2
    assert any("no record" in text for text in document["warnings"])


def test_models_that_were_asked_other_tasks_are_not_compared(small, edit):
    manifest = json.loads((small / "manifest.json").read_text())
    [rotary] = [c["case"] for c in manifest["comparisons"] if c["kind"] == "quality" and c["variant"] == "rotary"]

    def drop(rows):
        for row in rows:
            if row["case_id"] == rotary:
                del row["result"]["tasks"]["reading"]

    edit(small, records=drop)
    quality = row_of(join([small]), "rotary", "step")["quality"]
    assert (quality["delta"], quality["verdict"]) == (None, "unresolved")
    assert quality["reason"] == "the models were asked different tasks"


def test_flagged_measurements_count_and_are_told(small, edit):
    def flag(rows):
        return [
            {**row, "status": "throttled"} if row["status"] == "ok" and row["replicate"] == 2 else row for row in rows
        ]

    edit(small, records=flag)
    document = join([small])
    assert row_of(document, "rotary", "step")["speed"]["flags"] == {"throttled": 2}
    assert row_of(document, "rotary", "step")["speed"]["replicates"] == 3
    assert any("throttled" in text for text in document["warnings"])


@pytest.mark.parametrize(("quiet", "told"), [(0, False), (1, True)])
def test_a_ratio_of_which_every_pair_was_disturbed_is_none(small, edit, quiet, told):
    """Either side's process spoils a pair; one quiet pair is enough for a ratio, which says how many were not."""
    manifest = json.loads((small / "manifest.json").read_text())
    speeds = [c for c in manifest["comparisons"] if c["kind"] == "speed"]
    [step] = [c for c in speeds if (c["variant"], c["scope"]) == ("rotary", "step")]

    def disturb(rows):
        for row in rows:
            alone = (row["case_id"], row["replicate"]) != (step["base_case"], 2)
            if row["result"] and "time_s" in row["result"] and row["replicate"] >= quiet and alone:
                row["result"]["monitor"] = {"disturbed": [f"other processes used 0.{row['replicate'] + 3} cores"]}

    edit(small, records=disturb, manifest=lambda m: {**m, "schema_version": 2})
    edit(small, records=lambda rows: [{**row, "schema_version": 2} for row in rows])
    document = join([small])
    row = row_of(document, "rotary", "step")
    speed = row["speed"]
    assert (speed["ratio"] is not None) == told
    assert (speed["verdict"] == "incomparable") == (not told)
    if told:
        assert speed["flags"] == {"disturbed": 2}
        assert "2 disturbed" in render(document, "md")
        return
    assert speed["reason"] == "every round was disturbed: other processes used 0.5 cores at worst"
    assert row["memory"]["ratio"] is not None, "what is counted is not disturbed"
    assert speed["tokens_per_s"] > 0
    for name in ("md", "html"):
        assert "every round was disturbed" in render(document, name)
    sentences = [found["sentence"] for found in document["findings"] if found["variant"] == "rotary"]
    assert all("could not be compared in training speed" in sentence for sentence in sentences)


def test_a_model_whose_seeds_disagree_has_the_widest_interval(tmp_path, edit):
    run = make_run(tmp_path / "wild", documents=100)
    manifest = json.loads((run / "manifest.json").read_text())
    [alibi] = [c["case"] for c in manifest["comparisons"] if c["kind"] == "quality" and c["variant"] == "alibi"]

    def spoil(rows):
        for row in rows:
            if (row["case_id"], row["replicate"]) == (alibi, 1):
                for task in row["result"]["tasks"].values():
                    task["outcomes"] = "0" * len(task["outcomes"])

    edit(run, records=spoil)
    judged = {row["variant"]: row["quality"] for row in join([run])["rows"] if row["quality"]["delta"] is not None}
    widths = {variant: quality["high"] - quality["low"] for variant, quality in judged.items()}
    others = [width for variant, width in widths.items() if variant != "alibi"]
    assert widths["alibi"] > 1.2 * max(others)


def test_several_runs_name_their_rows(quick, small):
    document = join([quick, small, quick])
    assert document["run"] == "quick + small + quick (2)"
    assert {row["run"] for row in document["rows"]} == {"quick", "small", "quick (2)"}
    assert len(document["controls"]) == 6
    assert document["cases"]["ok"] == sum(run["cases"]["ok"] for run in document["runs"])


def test_runs_of_different_machines_are_told(quick, small, edit):
    edit(small, manifest=lambda m: {**m, "hardware": {"identity": {"cpu": "another"}}})
    assert any("differ in hardware" in text for text in join([quick, small])["warnings"])


def test_no_run_is_an_error():
    with pytest.raises(UserError, match="no run directory"):
        join([])


@pytest.mark.slow
def test_curves_are_thinned_but_keep_their_ends(small, edit):
    def lengthen(rows):
        for row in rows:
            if row["result"] and "train" in row["result"]:
                row["result"]["train"]["curve"] = [[t, 5 / (t + 1)] for t in range(5000)]

    edit(small, records=lengthen)
    curve = join([small])["training"][0]["curve"]
    assert len(curve) <= CURVE_POINTS
    assert curve[-1][0] > 4950


def test_every_model_says_which_corpus_it_read(small, edit):
    def strange(manifest):
        models = {case["label"]: case["params"] for case in manifest["cases"] if case["kind"] == "quality"}
        models["corpus/web_raw/quality"]["corpus"]["name"] = "/home/me/<b>books.txt"
        models["position/alibi/quality"]["corpus"] = ["no", "name"]

    document = join([edit(small, manifest=strange)])
    corpora = {(model["component"], model["name"]): model["corpus"] for model in document["training"]}
    assert corpora["", "baseline"] == corpora["activation", "swiglu"] == "curated"
    assert corpora["corpus", "web_raw"] == "<b>books.txt"
    assert corpora["position", "alibi"] is None
    told = {row[1].text for block in models.blocks(document) if isinstance(block, Table) for row in block.rows}
    assert told == {"curated", "web_filtered", "<b>books.txt", "not recorded"}
    page = render(document, "md").partition("## Trained models")[2]
    assert "| Model | Corpus | Parameters |" in page
    assert "&lt;b&gt;books.txt" in page
    assert '<th scope="col">Corpus</th>' in render(document, "html")


def test_tasks_at_chance_are_known(document):
    tasks = {task["name"]: task["baselines"]["baseline/quality"] for task in document["tasks"]}
    assert tasks["word_in_context"]["above_chance"] is False
    assert tasks["cloze"]["above_chance"] is True


@pytest.mark.slow
def test_implementations_of_a_variant_stand_in_a_table_of_their_own(small, edit):
    def add(manifest):
        by_label = {case["label"]: case["id"] for case in manifest["cases"]}
        row = next(c for c in manifest["comparisons"] if c["variant"] == "swiglu" and c["implementation"] == "eager")
        case, base = (by_label[f"activation/swiglu/{way}/layer/fwd+bwd"] for way in ("compile", "eager"))
        about = {"kind": "implementation", "implementation": "compile", "baseline": "eager", "shape": "1b3"}
        manifest["comparisons"].append(
            {**row, **about, "scope": "layer", "direction": "fwd+bwd", "case": case, "base_case": base}
        )

    before = join([small])
    document = join([edit(small, manifest=add)])
    assert document["rows"] == before["rows"]
    [row] = document["implementations"]
    assert (row["variant"], row["implementation"], row["against"], row["shape"]) == (
        "swiglu",
        "compile",
        "eager",
        "1b3",
    )
    ratios = [row_of(document, "swiglu", "layer", way)["speed"]["tokens_per_s"] for way in ("compile", "eager")]
    assert row["speed"]["ratio"] == pytest.approx(ratios[0] / ratios[1], rel=0.2)
    for name in ("md", "html"):
        page = render(document, name)
        assert "What fusion brings" in page
        assert "forward + backward, 1b3" in page
    assert "What fusion brings" not in render(before, "md")


@pytest.mark.parametrize(("variant", "passed"), [("baseline", True), ("rotary", False)])
def test_a_step_against_itself_must_come_out_the_same(small, edit, variant, passed):
    """Cases that are the same give a ratio of 1; the step of rotary positions is slower, which a twin must not be."""

    def twin(manifest):
        [row] = [
            c for c in manifest["comparisons"]
            if c["kind"] == "speed" and c["variant"] == "rotary" and c.get("scope") == "step"
        ]  # fmt: skip
        case = row["case"] if variant == "rotary" else row["base_case"]
        told = {"kind": "twin", "name": "same_step", "expected": "same", "case": case, "base_case": row["base_case"]}
        manifest["comparisons"].append(told)

    document = join([edit(small, manifest=twin)])
    [control] = [control for control in document["controls"] if control["name"] == "same_step"]
    assert (control["of"], control["passed"]) == ("speed", passed)
    assert any("distrust the speed verdicts" in text for text in document["warnings"]) is not passed


def test_rounds_in_turns_count_though_all_were_disturbed(small, edit):
    def disturb(rows):
        for row in rows:
            if row["result"] and "time_s" in row["result"]:
                row["result"] |= {"stop": "turns", "monitor": {"disturbed": ["other processes used 0.5 cores"]}}
            row["schema_version"] = 2

    edit(small, records=disturb, manifest=lambda m: {**m, "schema_version": 2})
    speed = row_of(join([small]), "rotary", "step")["speed"]
    assert speed["low"] < 0.88 < speed["high"]
    assert speed["flags"] == {"disturbed": speed["replicates"]}
