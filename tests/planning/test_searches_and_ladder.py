"""Plans whose models have learning rates to choose from, rungs of a ladder, and seeds that are added."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from benchsuite.engine import estimate
from benchsuite.errors import UserError
from benchsuite.planning.plan import Machine, Plan, resolve
from benchsuite.records import rates
from benchsuite.suite.source import validate
from benchsuite.suite.yaml_tree import parse

TEXT = b"""
name: small
model: {layers: 2, width: 8, heads: 2, vocab: 300, seq: 8}
quality:
  seeds: 2
  train: {tokens: 60k, batch: 4, lr: 0.004}
  curve: [0.5x, 2x]
  variants: {position: [none, alibi]}
  controls: [{name: fewer, set: {train.tokens: 0.7x}, expect: 0.7x}]
"""
MACHINE = Machine(cores=2)
RATES = ["0.5x", "1x", "2x"]


def planned(only: tuple[str, ...] = (), until: str | None = None, seeds: int | None = None, **changes: Any) -> Plan:
    """The plan of the suite with changes of its quality part."""
    tree = yaml.safe_load(TEXT)
    tree["quality"] |= changes
    return resolve(validate(parse(yaml.safe_dump(tree).encode(), "f")), MACHINE, only=only, until=until, seeds=seeds)


def test_every_variant_is_tried_at_every_rate_on_a_part_of_the_tokens() -> None:
    plan = planned(learning_rates=RATES, search_tokens="0.25x")
    cases = {case.id: case for case in plan.cases}
    by_label = {case.label: case for case in plan.cases}
    searches = [case for case in plan.cases if case.kind == "search"]
    assert len(searches) == 3 * 3
    assert all(case.replicates == (rates.SEED,) and case.params["train"]["tokens"] == 15_000 for case in searches)
    alibi = by_label["position/alibi/quality"]
    tried = {multiple: cases[case].params for multiple, case in rates.tried(alibi.typed).items()}
    assert {multiple: params["train"]["lr"] for multiple, params in tried.items()} == {0.5: 0.002, 1: 0.004, 2: 0.008}
    assert {params["model"]["position"] for params in tried.values()} == {"alibi"}


def test_curve_and_controls_take_the_baseline_s_rate() -> None:
    by_label = {case.label: case for case in planned(learning_rates=RATES).cases}
    own = by_label["baseline/quality"].params["learning_rate"]
    for label in ("baseline/tokens-0.5x/quality", "baseline/tokens-2x/quality", "control/fewer"):
        assert by_label[label].params["learning_rate"] == own
    assert by_label["position/none/quality"].params["learning_rate"] != own


def test_at_the_shared_rate_cases_are_those_of_a_suite_without_a_search() -> None:
    without = {case.id for case in planned().cases if not case.label.startswith("control")}
    plan = planned(learning_rates=RATES)
    assert without <= {case.id for case in plan.cases}
    assert sum(c.kind == "shared" for c in plan.comparisons) == 2
    assert not any("shared-rate" in case.label for case in planned(learning_rates=RATES, shared_rate=False).cases)


def test_models_at_the_shared_rate_may_be_needless_and_count_at_most() -> None:
    with_them, without = planned(learning_rates=RATES), planned(learning_rates=RATES, shared_rate=False)
    assert estimate.of(with_them, 2).planned_s == pytest.approx(estimate.of(without, 2).planned_s)
    assert estimate.of(with_them, 2).most_s > 1.3 * estimate.of(without, 2).most_s


def test_only_keeps_the_searches_of_what_it_keeps() -> None:
    kept = {case.label for case in planned(only=("position/alibi",), learning_rates=RATES).cases}
    assert {f"baseline/search/lr-{rate}" for rate in RATES} <= kept
    assert {f"position/alibi/search/lr-{rate}" for rate in RATES} <= kept
    assert not any("position/none" in label or "control" in label for label in kept)


def test_a_rung_has_a_baseline_a_curve_and_all_variants_of_its_own() -> None:
    plan = planned(ladder=[{"name": "wide", "set": {"model.width": 16, "train.tokens": "2x"}}])
    cases = {case.id: case for case in plan.cases}
    rungs = [c for c in plan.comparisons if c.kind == "rung"]
    assert [(c.name, c.variant) for c in rungs] == [("wide", "none"), ("wide", "alibi")]
    [base] = {c.base_case for c in rungs}
    assert cases[base].params["model"]["width"] == 16
    assert cases[base].params["train"]["tokens"] == 120_000
    points = [
        cases[c.case].params["train"]["tokens"] for c in plan.comparisons if c.base_case == base and c.kind == "curve"
    ]
    assert points == [60_000, 240_000]
    texts = {case.params["corpus"]["train_bytes"] for case in plan.cases}
    assert len(texts) == 1
    assert texts.pop() >= 4 * 240_000, "the longest training of the largest rung reads no text twice"


def test_seeds_that_are_added_are_planned_up_to_the_most_and_stay_so_when_resumed() -> None:
    plan = planned(until="decided", seeds=7)
    assert plan.suite.quality is not None
    assert {case.replicates for case in plan.cases} == {tuple(range(7))}
    again = resolve(plan.suite, MACHINE)
    assert again.cases == plan.cases
    assert (plan.suite.quality.until, plan.suite.quality.seeds) == ("decided", 7)
    assert len(planned(until="decided", most_seeds=4).cases[0].replicates) == 4
    assert estimate.of(plan, 2).planned_s < estimate.of(plan, 2).most_s / 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"until": "never"}, "--until never: is not known"),
        ({"until": "decided", "seeds": 1}, "it should be from 2 to 50"),
        ({"until": "decided", "seeds": 51}, "it should be from 2 to 50"),
        ({"until": "decided", "curve": [], "controls": []}, "the suite measures no learning curve"),
    ],
)
def test_what_until_decided_cannot_do_is_said(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        planned(**options)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"learning_rates": ["0.5x", "1x"]}, "three or more different multiples"),
        ({"learning_rates": ["0.5x", "2x", "4x"]}, "1x among them"),
        ({"learning_rates": ["0.5x", "1x", "1.0x"]}, "three or more different multiples"),
        ({"learning_rates": ["0.5x", "1x", "1000000x"]}, "should lie from"),
        ({"learning_rates": RATES, "search_tokens": "2x"}, "at most as many tokens"),
        ({"learning_rates": RATES, "recipes": {"a": {"stages": [{}]}}}, "no learning rates are tried for recipes"),
        ({"ladder": [{"name": "a", "set": {"model.vocab": 400}}]}, "a rung changes model.layers"),
        ({"ladder": [{"name": "a", "set": {"model.width": 8}}]}, "the rung changes nothing"),
        ({"ladder": [{"name": "a", "set": {"model.width": 9}}]}, "cannot be shared by 2 heads"),
        ({"ladder": [{"name": "a", "set": {"train.token": 9}}]}, "did you mean 'train.tokens'"),
        ({"ladder": 2 * [{"name": "a", "set": {"model.width": 16}}]}, "two rungs named 'a'"),
        ({"ladder": [{"name": "a", "set": {"model.width": 16}}], "curve": [], "controls": []}, "give quality.curve"),
        ({"until": "decided", "most_seeds": 1}, "should be from 2 to 50"),
        ({"until": "decided", "curve": [], "controls": []}, "give quality.curve"),
        ({"margin": 0}, "quality.margin"),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        planned(**changes)
