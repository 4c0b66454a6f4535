"""The scaling study's page: laws that are known come out, and what is told follows from them."""

from __future__ import annotations

import numpy as np
import pytest

from benchsuite.studies.scaling import page
from benchsuite.studies.scaling.measure import RATES, RULES, SEEDS, SIZES, wanted


def records(exponents: dict[str, float], noise: float = 0.002) -> list[page.Record]:
    """Trainings whose best learning rate is the middle one, after loss = 20 · flops^-b."""
    rng = np.random.default_rng(0)
    curve = [[0, {"blocks.0": 0.0}], [512, {"blocks.0": 0.25}]]
    found: list[page.Record] = [{"angles": curve, "layers": 3, "width": 64}]
    for number, (layers, width) in enumerate(SIZES):
        for rule, b in exponents.items():
            for lr, seed in [(lr, 0) for lr in RATES] + [(RATES[1], seed) for seed in range(1, SEEDS)]:
                flops = 1e11 * 8.0**number
                loss = 20 * flops**-b * np.exp(rng.normal(0, noise)) + (lr != RATES[1])
                found.append({"layers": layers, "width": width, "rule": rule, "lr": lr, "seed": seed, "weights": 1,
                              "tokens": 1, "flops": flops, "loss": loss})  # fmt: skip
    return found


def test_the_exponent_of_a_law_lies_in_its_interval() -> None:
    flops = np.repeat(np.geomspace(1e11, 1e14, 4), 3)
    covered = 0
    for draw in range(200):
        noise = np.exp(np.random.default_rng(draw).normal(0, 0.02, len(flops)))
        found, _ = page.exponent(flops.tolist(), (20 * flops**-0.08 * noise).tolist())
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.08 <= found.high
    assert covered == pytest.approx(190, abs=9)


@pytest.mark.parametrize(
    ("dfa", "said"), [(0.05, "backpropagation gains more"), (0.08, "cannot tell"), (0.11, "DFA gains more")]
)
def test_the_page_says_which_law_is_steeper(dfa: float, said: str) -> None:
    told = page.text(records({"backprop": 0.08, "dfa": dfa}))
    assert said in told
    assert "| 2 x 24 |" in told
    assert "edge" not in told


def test_a_diverged_training_and_one_at_the_edge_are_told() -> None:
    found = records({"backprop": 0.08, "dfa": 0.05})
    for record in found:
        if record.get("rule") == "dfa" and record["width"] == 24:
            swapped = {RATES[1]: RATES[-1], RATES[-1]: RATES[1]}
            record["lr"] = swapped.get(record["lr"], record["lr"])
            record["loss"] = None if record["seed"] == 2 else record["loss"]
    told = page.text(found)
    assert f"{RATES[-1]:g} (at the edge)" in told
    assert "diverged" in told


def test_what_is_there_is_not_wanted_again_and_the_best_rate_goes_on() -> None:
    jobs = list(wanted(records({"backprop": 0.08, "dfa": 0.05}), RULES))
    assert len(jobs) == len(SIZES) * len(RULES) * (len(RATES) + SEEDS - 1)
    assert {job[3] for job in jobs if job[4] > 0} == {RATES[1]}
