"""Which scale of quick a machine takes, by measured rates and by estimates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchsuite.errors import UserError
from benchsuite.planning import ladder
from benchsuite.planning.machine import Machine
from benchsuite.planning.plan import plan
from benchsuite.planning.speed_cases import step_of
from benchsuite.suite import source

CPU = Machine(cores=2)
SCALES = ("0.4m", "3m", "12m", "30m", "125m")
H100 = {"case": "*", "gpu": "NVIDIA H100 80GB HBM3", "memory_bytes": 80 * 10**9}


@pytest.fixture(autouse=True)
def _empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHSUITE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    script = tmp_path / "script.yaml"
    script.write_text(json.dumps([H100]))
    monkeypatch.setenv("BENCHSUITE_FAKE_DEVICE", str(script))
    return Machine(cores=16, device="fake")


def measured(scale: str, machine: Machine, tokens_per_s: float) -> None:
    ladder.keep(step_of(ladder.step(source.read("quick", scale=scale), machine)), tokens_per_s)


def chosen(machine: Machine) -> ladder.Choice:
    found = ladder.choose("quick", machine)
    assert found is not None
    return found


def test_each_rung_is_a_model_of_its_name() -> None:
    from benchsuite.model import flops
    from benchsuite.model.spec import ModelSpec

    assert source.ladder("quick") == SCALES
    for scale in SCALES:
        params = step_of(ladder.step(source.read("quick", scale=scale), CPU))
        assert flops.parameters(ModelSpec.of_speed_case(params)) == pytest.approx(float(scale[:-1]) * 1e6, rel=0.15)


def test_two_cores_take_the_smallest_and_an_h100_a_larger_one(gpu: Machine) -> None:
    assert chosen(CPU).scale == "0.4m"
    found = ladder.choose("quick", gpu, dtype="bfloat16")
    assert found is not None
    assert SCALES.index(found.scale) >= 2
    assert found.note.startswith(f"scale {found.scale}: ")
    assert "estimated, since nothing was measured yet" in found.note


def test_what_was_measured_decides(gpu: Machine) -> None:
    measured("0.4m", CPU, 1e6)
    measured("3m", CPU, 1e6)
    measured("12m", CPU, 1e3)
    found = chosen(CPU)
    assert found.scale == "3m"
    assert "2.00M tokens/s (measured here on 20" in found.note
    assert " of the 10 min 00 s that there are; scale 12m would take about " in found.note
    assert found.note.endswith(" (--scale takes another)")
    measured("0.4m", gpu, 10.0)
    assert chosen(gpu).scale == "0.4m", "the smallest, although it takes too long"


def test_small_models_share_a_gpu_as_long_as_it_has_room(gpu: Machine, tmp_path: Path) -> None:
    measured("3m", gpu, 50e3)
    small = ladder.trainings(plan("quick", device="fake", scale="3m"), gpu)
    assert (small.jobs, small.bound) == (16, "as many as there are cores")
    assert small.tokens_per_s == pytest.approx(16 * 50e3)
    large = plan("quick", device="fake", scale="125m")
    measured("125m", gpu, 1e6)
    assert ladder.trainings(large, gpu).jobs == 1, "it keeps the GPU busy by itself"
    measured("125m", gpu, 1e4)
    (tmp_path / "script.yaml").write_text(json.dumps([{**H100, "memory_bytes": 30 * 10**9}]))
    full = ladder.trainings(large, gpu)
    assert full.bound == "as many as its memory holds"
    assert 1 <= full.jobs < 16


def test_the_plan_says_what_was_chosen_and_scale_fixes_it() -> None:
    found = plan("quick", device="cpu")
    assert found.suite.scale == "0.4m"
    assert found.notes[0].startswith("scale 0.4m: ")
    fixed = plan("quick", device="cpu", scale="3m")
    assert fixed.suite.model.width == 192
    assert not any(note.startswith("scale ") for note in fixed.notes)
    assert ladder.choose("nano", CPU) is None
    with pytest.raises(UserError, match="there is no scale '13m'") as caught:
        plan("quick", device="cpu", scale="13m")
    assert "3m" in (caught.value.hint or "")


def test_a_rate_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    measured("0.4m", CPU, 5e5)
    [file] = (tmp_path / "cache" / "rates").iterdir()
    for text in ("", "[]", '{"tokens_per_s": 0}', '{"tokens_per_s": 1, "colour": 2}'):
        file.write_text(text)
        assert ladder.known(step_of(ladder.step(source.read("quick"), CPU))) is None
