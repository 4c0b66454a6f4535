"""How far from the roofline the report says that a measurement is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from support.params import speed as speed_params

from benchsuite import format
from benchsuite.records.params import SpeedParams
from benchsuite.records.results import Distance, Monitored, SpeedResult
from benchsuite.report import speed
from benchsuite.report.sections import measurements, steps

ABOVE = {"reason": "above the measured peak of L2", "level": "L2"}


def told(*distances: dict[str, Any]) -> dict[str, Any]:
    """The row of one case with these distances, and how it is printed."""
    records = {
        number: SimpleNamespace(speed=SpeedResult(time_s=1.0, roofline=Distance(**one), monitor=Monitored()))
        for number, one in enumerate(distances)
    }
    case = SimpleNamespace(id="a", label="a case", typed=SpeedParams.read(speed_params()))
    run: Any = SimpleNamespace(name="run", manifest=SimpleNamespace(cases=[case]), records={"a": records})
    (row,) = speed.measurements(run)
    printed = measurements.row({"runs": [run]}, row)[4]
    return {**row, "printed": printed.text, "note": printed.small}


def test_a_figure_below_the_peak_is_told_with_the_level_that_it_was_held_against() -> None:
    row = told({"fraction": 0.5, "bound": "memory", "level": "L2"})
    assert (row["roofline"], row["printed"], row["note"]) == (0.5, "50.0%", "memory (L2)")
    row = told({"fraction": 0.5, "bound": "memory", "level": "memory"})
    assert row["note"] == "memory"
    assert told({"fraction": 0.5, "bound": "compute", "level": "L2"})["note"] == "compute"


def test_a_figure_above_a_peak_is_a_note() -> None:
    row = told(ABOVE, ABOVE)
    assert row["roofline"] is None
    assert row["note"] == "above the measured peak of L2"
    assert "%" not in row["printed"]


@pytest.mark.parametrize(("fraction", "printed"), [(1.02, "100.0%"), (1.33, "-"), (2.6, "-")])
def test_no_earlier_record_is_told_above_100_per_cent(fraction: float, printed: str) -> None:
    row = told({"fraction": fraction, "bound": "compute"})
    assert row["printed"].replace(format.UNKNOWN, "-") == printed
    assert (row["note"] == "above the measured peak") == (printed == "-")


def test_processes_above_the_peak_count_as_above_the_others() -> None:
    low, high = {"fraction": 0.5, "bound": "memory"}, {"fraction": 0.9, "bound": "memory"}
    assert told(low, ABOVE, high)["roofline"] == 0.9
    assert told(low, ABOVE, ABOVE)["roofline"] is None


def test_a_training_step_tells_its_share_of_the_peak_and_both_kinds_of_memory() -> None:
    result = SpeedResult(
        time_s=1.0, tokens_per_s=2e4, mfu=0.25, hfu=0.3125, peak_bytes=3e9, reserved_bytes=4e9, energy_per_token_j=0.01
    )
    params = SpeedParams.read(speed_params(scope="step"))
    case = SimpleNamespace(id="a", label="baseline/fused/step/125m/bfloat16", typed=params)
    other = SimpleNamespace(id="b", label="a layer", typed=SpeedParams.read(speed_params()))
    records = {name: {0: SimpleNamespace(speed=result)} for name in "ab"}
    run: Any = SimpleNamespace(name="run", manifest=SimpleNamespace(cases=[case, other]), records=records)
    document = {"runs": [run], "measurements": speed.measurements(run)}
    (row,) = steps.blocks(document)[1].rows  # type: ignore[union-attr]
    assert [cell.text for cell in row] == [case.label, "20.0k", "25.0%", "31.2%", "2.79 GiB", "0.0100 J"]
    assert row[4].small == "3.73 GiB"
    assert steps.blocks({**document, "measurements": []}) == []
