"""How long a plan takes: rounds of rings and trainings, from the constants that the engine measures by."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.params import speed

from benchsuite.engine import estimate, rings
from benchsuite.engine.estimate import REPORT_S, SERVER_S
from benchsuite.planning import cost
from benchsuite.planning.plan import Machine, Plan, resolve
from benchsuite.records.params import SpeedParams
from benchsuite.stats.speed import FEWEST_ROUNDS
from benchsuite.suite.source import validate
from benchsuite.suite.yaml_tree import parse
from benchsuite.timing.sampler import TURN_S, SamplerConfig
from benchsuite.timing.turns import FEWEST

TEXT = """
name: small
model: {layers: 1, width: 8, heads: 2, vocab: 300, seq: 8}
speed:
  rounds: 5
  most_rounds: 9
  sample_s: 0.2
  cases:
    - {component: activation, variants: [swiglu, relu], shape: {batch: 1}}
quality:
  seeds: 3
  train: {tokens: 60k, batch: 4}
  variants: {position: [none]}
"""
SPEED = TEXT.partition("quality:")[0]


def plan(text: str, **estimates: float) -> Plan:
    """The plan of a suite, every case of a kind with the estimate that is given."""
    resolved = resolve(validate(parse(text.encode(), "small.yaml")), Machine(cores=2))
    cases = tuple(replace(case, estimate_s=estimates[case.kind]) for case in resolved.cases)
    return replace(resolved, cases=cases)


def test_speed_is_rounds_of_all_that_is_compared_and_of_a_fork_server() -> None:
    found = estimate.of(plan(SPEED, speed=1.0), jobs=2)
    round_s = 3 * 1.0 + SERVER_S
    assert found.least_s == pytest.approx(FEWEST_ROUNDS * round_s + REPORT_S)
    assert found.planned_s == pytest.approx(5 * round_s + REPORT_S)
    assert found.most_s == pytest.approx(9 * round_s + REPORT_S)


def test_the_budget_of_a_part_ends_added_rounds_and_no_planned_ones() -> None:
    round_s = 3 * 1.0 + SERVER_S
    within = estimate.of(plan(SPEED + f"  budget_s: {7 * round_s}\n", speed=1.0), jobs=2)
    assert within.most_s == pytest.approx(7 * round_s + REPORT_S)
    short = estimate.of(plan(SPEED + "  budget_s: 1.0\n", speed=1.0), jobs=2)
    assert short.most_s == short.planned_s == pytest.approx(5 * round_s + REPORT_S)


def test_a_case_in_several_rings_counts_in_each(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = estimate.of(plan(SPEED, speed=1.0), jobs=2)
    parts = rings.pack
    monkeypatch.setattr(rings, "pack", lambda edges: parts(edges, lambda _: 2))
    assert estimate.of(plan(SPEED, speed=1.0), jobs=2).planned_s == pytest.approx(whole.planned_s + 5 * 1.0)


def test_trainings_run_side_by_side_and_two_seeds_are_the_least() -> None:
    both = plan(TEXT, speed=0.0, quality=10.0)
    speed_s = 5 * SERVER_S
    of = {jobs: estimate.of(both, jobs) for jobs in (1, 2)}
    assert of[1].planned_s == pytest.approx(speed_s + cost.PREPARE_S + 2 * 3 * 10.0 + REPORT_S)
    assert of[2].planned_s == pytest.approx(speed_s + cost.PREPARE_S + 3 * 10.0 + REPORT_S)
    assert of[2].least_s == pytest.approx(FEWEST_ROUNDS * SERVER_S + cost.PREPARE_S + 2 * 10.0 + REPORT_S)


def test_what_is_done_takes_no_time() -> None:
    both = plan(TEXT, speed=1.0, quality=10.0)
    done = {(case.id, replicate) for case in both.cases for replicate in case.replicates}
    assert estimate.of(both, 2, done).planned_s == REPORT_S
    rest = estimate.of(both, 2, done - {(case.id, 4) for case in both.cases if case.kind == "speed"})
    assert rest.planned_s == pytest.approx(3 * 1.0 + SERVER_S + REPORT_S)
    assert rest.least_s == REPORT_S


def test_what_is_unsupported_takes_no_time() -> None:
    resolved = plan(SPEED, speed=1.0)
    none = replace(resolved, cases=tuple(replace(case, unsupported="no") for case in resolved.cases))
    assert estimate.of(none, 2).planned_s == REPORT_S


def params(sample_s: float = 0.5, **sizes: int) -> SpeedParams:
    shape = {"batch": 1, "seq": 64, "width": 64, "heads": 2, "vocab": 300, "layers": 1, **sizes}
    return SpeedParams.read(speed(direction="fwd", sample_s=sample_s, shape=shape))


def test_a_member_of_a_ring_has_its_share_of_turns_or_the_fewest_however_long_a_call_takes() -> None:
    short, long = params(), params(seq=2048, width=2048)
    call_s = cost.guess_call(long)
    assert cost.guess_call(short) < SamplerConfig().block_s < TURN_S < call_s
    assert cost.guess("speed", short) > short.sample_s
    assert cost.guess("speed", params(sample_s=1.5)) == pytest.approx(cost.guess("speed", short) + 1.0, abs=0.1)
    assert cost.guess("speed", long) > FEWEST * cost.USUAL * call_s
