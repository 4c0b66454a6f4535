"""A suite resolved: cases, comparisons, identities, filters and what cannot run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from benchsuite.errors import UserError
from benchsuite.planning.plan import Machine, Plan, resolve
from benchsuite.records.case import SCHEMA_VERSION, Case
from benchsuite.records.schema import MANIFEST
from benchsuite.suite.schema import Suite
from benchsuite.suite.source import from_json, validate
from benchsuite.suite.yaml_tree import parse

TEXT = b"""
name: small
model: {layers: 2, width: 8, heads: 2, vocab: 300, seq: 8}
speed:
  rounds: 3
  cases:
    - {component: activation, variants: [swiglu, relu], implementations: [eager, compile, sdpa], shape: {batch: 1}}
    - {component: [activation, position], variants: macro, scope: step, shape: model}
quality:
  seeds: 2
  train: {tokens: 60k, batch: 4}
  variants: {activation: [swiglu], position: [none, alibi], corpus: [web_raw]}
  controls:
    - {name: a_against_a, set: {init_offset: 1000}, expect: unresolved}
    - {name: fewer, set: {train.tokens: 0.25x}, expect: worse}
"""
MACHINE = Machine(cores=2)


@pytest.fixture
def suite() -> Suite:
    return validate(parse(TEXT, "f"))


@pytest.fixture
def plan(suite: Suite) -> Plan:
    return resolve(suite, MACHINE)


def labels(plan: Plan) -> list[str]:
    return [case.label for case in plan.cases]


def test_cases_are_named_and_unique(plan: Plan) -> None:
    assert labels(plan) == [
        *(f"activation/{variant}/eager/layer/fwd+bwd" for variant in ("gelu", "swiglu", "relu")),
        *(f"activation/{variant}/compile/layer/fwd+bwd" for variant in ("gelu", "swiglu", "relu")),
        *(f"activation/{variant}/sdpa/layer/fwd+bwd" for variant in ("gelu", "swiglu", "relu")),
        *(
            "baseline/eager/step",
            "activation/swiglu/eager/step",
            "position/none/eager/step",
            "position/alibi/eager/step",
            "control/same_step",
        ),
        *("baseline/quality", "activation/swiglu/quality", "position/none/quality", "position/alibi/quality"),
        *("corpus/web_raw/quality", "control/a_against_a", "control/fewer"),
    ]
    assert len({case.id for case in plan.cases}) == len(plan.cases)


def test_the_unchanged_step_is_one_case_for_all_components(plan: Plan) -> None:
    by_label = {case.label: case for case in plan.cases}
    base = by_label["baseline/eager/step"]
    steps = [comparison for comparison in plan.comparisons if comparison.scope == "step"]
    assert {comparison.base_case for comparison in steps} == {base.id}
    assert len(steps) == 3
    assert by_label["position/none/eager/step"].group == base.group
    assert base.params["shape"]["variants"] == {"activation": "gelu", "position": "learned", "embedding_norm": "off"}


def test_comparisons_are_the_manifest_s(plan: Plan) -> None:
    rows = [comparison.to_json() for comparison in plan.comparisons]
    assert Counter(row["kind"] for row in rows) == {
        **{"speed": 9, "implementation": 3, "twin": 1, "quality": 4, "control": 2}
    }
    by_id = {case.id: case.label for case in plan.cases}
    quality = next(row for row in rows if row["kind"] == "quality" and row["variant"] == "alibi")
    assert by_id[quality.pop("case")] == "position/alibi/quality"
    assert by_id[quality.pop("base_case")] == "baseline/quality"
    assert quality == {
        "kind": "quality",
        "component": "position",
        "variant": "alibi",
        "baseline": "learned",
        "matching": "iso-parameter",
        "source": "trained here",
    }
    control = rows[-1]
    assert (control["name"], control["expected"]) == ("fewer", "worse")


def test_manifest_rows_are_read_back(plan: Plan) -> None:
    document = json.loads(json.dumps(plan.to_json()))
    read = MANIFEST.validate_python({"schema_version": SCHEMA_VERSION, **document})
    assert (read.cases, read.comparisons) == (plan.cases, plan.comparisons)
    assert resolve(from_json(document["resolved_suite"]), MACHINE) == plan


def test_what_changes_the_answer_changes_the_identity_and_nothing_else(suite: Suite, plan: Plan) -> None:
    ids = {case.label: case.id for case in plan.cases}
    assert suite.quality is not None
    longer = replace(suite, description="other", quality=replace(suite.quality, timeout_s=5.0, seeds=3))
    assert {case.label: case.id for case in resolve(longer, MACHINE).cases} == ids
    other = {case.label: case.id for case in resolve(suite, Machine(cores=8)).cases}
    assert other["activation/gelu/eager/layer/fwd+bwd"] != ids["activation/gelu/eager/layer/fwd+bwd"]
    assert other["baseline/quality"] == ids["baseline/quality"], "one thread each, whatever the machine has"


def test_quality_cases_share_text_tasks_and_tokenizer(plan: Plan) -> None:
    cases = {case.label: case.params for case in plan.cases if case.kind == "quality"}
    base = cases["baseline/quality"]
    for params in cases.values():
        assert [params[key] for key in ("heldout", "tokenizer", "tasks")] == [
            base[key] for key in ("heldout", "tokenizer", "tasks")
        ]
        assert params["corpus"]["train_bytes"] == base["corpus"]["train_bytes"]
    assert cases["control/fewer"]["train"]["tokens"] == 15_000
    assert cases["control/a_against_a"]["init_offset"] == 1000
    assert cases["corpus/web_raw/quality"]["corpus"]["name"] == "web_raw"


def test_unsupported_cases_say_why(suite: Suite) -> None:
    plan = resolve(suite, Machine(cores=2, compiler=None))
    why = {case.label: case.unsupported for case in plan.cases}
    assert "no implementation 'sdpa'" in (why["activation/relu/sdpa/layer/fwd+bwd"] or "")
    assert "C++ compiler" in (why["activation/relu/compile/layer/fwd+bwd"] or "")
    assert why["activation/relu/eager/layer/fwd+bwd"] is None
    assert all((case.estimate_s is None) == (case.unsupported is not None) for case in plan.cases)


def test_only_keeps_the_baselines_of_what_it_keeps(suite: Suite) -> None:
    plan = resolve(suite, MACHINE, only=["position/none"])
    assert labels(plan) == [
        *("baseline/eager/step", "position/none/eager/step", "baseline/quality", "position/none/quality"),
    ]
    assert len(plan.comparisons) == 2
    assert "a_against_a, fewer" in plan.notes[0]
    assert labels(resolve(suite, MACHINE, only=["control/*"])) == [
        *("baseline/eager/step", "control/same_step", "baseline/quality", "control/a_against_a", "control/fewer")
    ]


def test_the_baseline_s_step_has_a_twin(plan: Plan) -> None:
    [twin] = [c for c in plan.comparisons if c.kind == "twin"]
    cases = {case.id: case for case in plan.cases}
    one, other = cases[twin.case], cases[twin.base_case]
    assert one.id != other.id
    assert one.params == {**other.params, "twin": 1}
    assert (one.group, one.replicates) == (other.group, other.replicates)


def test_the_curve_is_the_baseline_at_other_budgets(suite: Suite) -> None:
    assert suite.quality is not None
    train = replace(suite.quality.train, decay_tokens=60_000)
    with_curve = replace(suite, quality=replace(suite.quality, curve=("0.5x", "1x", "2x"), train=train))
    plan = resolve(with_curve, MACHINE)
    cases = {case.label: case for case in plan.cases}
    base = cases["baseline/quality"]
    points = [c for c in plan.comparisons if c.kind == "curve"]
    assert [c.variant for c in points] == ["0.5x", "2x"]
    assert {c.base_case for c in points} == {base.id}
    for comparison, tokens in zip(points, (30_000, 120_000), strict=True):
        params = next(case.params for case in plan.cases if case.id == comparison.case)
        assert params["train"] == {**base.params["train"], "tokens": tokens, "decay_tokens": 0}
        assert {**params, "train": None} == {**base.params, "train": None}
    assert base.params["corpus"]["train_bytes"] >= 4 * 120_000, "the longest training reads no text twice"


def test_only_keeps_the_curve_of_the_baselines_that_it_keeps(suite: Suite) -> None:
    assert suite.quality is not None
    suite = replace(suite, quality=replace(suite.quality, curve=("0.5x", "2x")))
    kept = labels(resolve(suite, MACHINE, only=["position/alibi/quality"]))
    assert kept == [
        "baseline/quality",
        "position/alibi/quality",
        "baseline/tokens-0.5x/quality",
        "baseline/tokens-2x/quality",
    ]
    assert not any("tokens-" in label for label in labels(resolve(suite, MACHINE, only=["activation/*/eager/layer"])))


def test_only_that_fits_nothing_is_said(suite: Suite) -> None:
    with pytest.raises(UserError, match="positoin/none") as error:
        resolve(suite, MACHINE, only=["positoin/none"])
    assert "did you mean" in error.value.hint


def test_seeds_are_replicates(suite: Suite) -> None:
    plan = resolve(suite, MACHINE, seeds=5)
    assert {case.replicates for case in plan.cases if case.kind == "quality"} == {(0, 1, 2, 3, 4)}
    with pytest.raises(UserError, match="no quality part"):
        resolve(replace(suite, quality=None, speed=None), MACHINE, seeds=5)


def test_a_baseline_is_not_compared_with_itself(suite: Suite) -> None:
    plan = resolve(replace(suite, baseline=replace(suite.baseline, position="alibi")), MACHINE)
    assert "position alibi is the baseline and is not compared with itself" in plan.notes
    assert "position/alibi/quality" not in labels(plan)


def test_a_file_as_corpus_is_told_by_its_content(suite: Suite, tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    book.write_text("Call me Ishmael.")

    def base() -> Case:
        plan = resolve(suite, MACHINE, corpora=[str(book)])
        return next(case for case in plan.cases if case.label == "baseline/quality")

    first = base()
    assert first.params["tasks"]["source"] == "derived"
    assert base().id == first.id
    book.write_text("Call me Ahab.")
    assert base().id != first.id
    with pytest.raises(UserError, match="no such path"):
        resolve(suite, MACHINE, corpora=["nowhere.txt"])


def test_a_comparison_of_files_shows_short_names(suite: Suite, tmp_path: Path) -> None:
    books = [tmp_path / name for name in ("a.txt", "b.txt")]
    for book in books:
        book.write_text("text")
    plan = resolve(suite, MACHINE, corpora=[str(book) for book in books])
    corpus = next(comparison for comparison in plan.comparisons if comparison.component == "corpus")
    assert (corpus.variant, corpus.baseline) == ("b.txt", "a.txt")
    assert "corpus/b.txt/quality" in labels(plan)


@pytest.mark.slow
def test_planning_imports_no_torch() -> None:
    code = "import sys, benchsuite.planning.plan, benchsuite.engine.scheduler, benchsuite.suite.source\n"
    code += "from benchsuite.pretrain import corpora\ncorpora.names()\n"
    code += (
        "heavy = {'torch', 'transformers', 'datasets', 'lm_eval', 'scipy'} & set(sys.modules)\nassert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def small(case: str) -> Suite:
    return validate(parse(TEXT.split(b"speed:")[0] + f"speed:\n  call_limit_s: 30\n  cases: [{case}]\n".encode(), "f"))


def test_implementations_of_a_variant_are_compared_with_the_first() -> None:
    case = "{component: position, variants: [alibi], implementations: [eager, sdpa, fused], shape: {batch: 1}}"
    plan = resolve(small(case), MACHINE)
    label = {case.id: case.label.split("/")[1:3] for case in plan.cases}
    rows = [(*label[c.case], *label[c.base_case], c.baseline) for c in plan.comparisons if c.kind == "implementation"]
    assert rows == [
        (variant, implementation, variant, "eager", "eager")
        for implementation in ("sdpa", "fused")
        for variant in ("learned", "alibi")
    ]
    assert len({case.group for case in plan.cases}) == 1, "what is compared runs side by side"


def test_shapes_are_named_in_labels_and_comparisons_but_not_in_cases() -> None:
    sizes = "{batch: 1, width: 16, name: wide}, {batch: 1, width: 16, seq: 4}"
    plan = resolve(small(f"{{component: activation, variants: [swiglu], shapes: [{sizes}]}}"), MACHINE)
    assert [case.label for case in plan.cases][:2] == [
        f"activation/{variant}/eager/layer/fwd+bwd/wide" for variant in ("gelu", "swiglu")
    ]
    assert [c.shape for c in plan.comparisons] == ["wide", None]
    unnamed = small("{component: activation, variants: [swiglu], shape: {batch: 1, width: 16}}")
    assert resolve(unnamed, MACHINE).cases[0].id == plan.cases[0].id


def test_without_kernels_fused_is_unsupported_and_says_why() -> None:
    case = "{component: activation, variants: [swiglu], implementations: [eager, fused], shape: {batch: 1}}"
    plan = resolve(small(case), replace(MACHINE, no_kernels="no compiler: apt install g++"))
    why = {case.label: case.unsupported for case in plan.cases}
    assert why["activation/swiglu/fused/layer/fwd+bwd"] == "no compiler: apt install g++"
    assert why["activation/swiglu/eager/layer/fwd+bwd"] is None


def test_the_best_implementation_is_the_fused_one_where_every_part_has_a_kernel() -> None:
    text = TEXT.replace(b"batch: 4}", b"batch: 4, implementation: best}").replace(b"[none, alibi]", b"[none, t5]")
    suite = validate(parse(text, "f"))

    def found(machine: Machine) -> dict[str, str]:
        cases = [case for case in resolve(suite, machine).cases if case.kind == "quality"]
        assert {case.unsupported for case in cases} == {None}
        return {case.label: case.params["train"]["implementation"] for case in cases}

    here = found(MACHINE)
    assert here.pop("position/t5/quality") == "sdpa"
    assert set(here.values()) == {"fused"}
    assert set(found(replace(MACHINE, no_kernels="no compiler")).values()) == {"sdpa"}
    text = text.replace(b"implementation: best", b"implementation: best, precision: float16")
    suite = validate(parse(text, "f"))
    assert set(found(MACHINE).values()) == {"sdpa"}


def test_what_would_take_too_long_is_unsupported_and_says_so() -> None:
    case = "{component: activation, variants: [swiglu], shape: {batch: 8, width: 14336, seq: 2048}}"
    [reason] = {case.unsupported for case in resolve(small(case), MACHINE).cases}
    assert "call_limit_s is 30" in (reason or "")
    small_enough = "{component: activation, variants: [swiglu], shape: {batch: 1, width: 16}}"
    assert {case.unsupported for case in resolve(small(small_enough), MACHINE).cases} == {None}


def test_iso_width_can_be_asked_for_by_one_entry() -> None:
    case = "{component: activation, variants: [swiglu], shape: {batch: 1}, matching: iso-width}"
    plan = resolve(small(case), MACHINE)
    assert {case.params["matching"] for case in plan.cases} == {"iso-width"}
    assert plan.comparisons[0].matching == "iso-width"


def test_shape_and_shapes_exclude_each_other() -> None:
    with pytest.raises(UserError, match="either shape or shapes"):
        small("{component: activation, variants: [relu], shape: {batch: 1}, shapes: [{batch: 2}]}")


@pytest.mark.parametrize(
    ("baseline", "variants", "marked"),
    [
        ("position: learned", "position: [alibi], embedding_norm: [on]", {"embedding_norm/on"}),
        ("position: alibi, embedding_norm: on", "position: [rotary, sinusoidal]", {"position/sinusoidal"}),
        ("position: alibi", "position: [learned], embedding_norm: [on]", set()),
    ],
)
def test_cases_say_where_the_embedding_is_normalised_where_it_matters(
    baseline: str, variants: str, marked: set[str]
) -> None:
    """So that what was measured of a norm in another place has another id, and all else keeps its own."""
    text = f"""
name: place
model: {{layers: 1, width: 8, heads: 2, vocab: 300, seq: 8}}
baseline: {{{baseline}}}
speed:
  cases:
    - {{component: [position, embedding_norm], variants: macro, shape: {{batch: 1}}}}
    - {{component: [position, embedding_norm], variants: macro, scope: step, shape: model}}
quality: {{train: {{tokens: 1k, batch: 4}}, variants: {{{variants}}}, stability: {{lr: [1]}}}}
"""
    plan = resolve(validate(parse(text.encode(), "f")), MACHINE)
    assert {case.kind for case in plan.cases} == {"speed", "quality", "stability"}
    found = [c.label for c in plan.cases if "embedding_norm_place" in {**c.params, **c.params.get("model", {})}]
    assert {"/".join(label.split("/")[:2]) for label in found} == marked
    assert len(found) == 3 * len(marked)  # a step, and both kinds of training
