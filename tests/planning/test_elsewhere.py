"""Plans for GPUs that are not here: predicted from published peaks, and labelled so."""

from __future__ import annotations

import json

import pytest
from support import command

from benchsuite.cli import exit_codes
from benchsuite.devices import Seen
from benchsuite.devices.cuda import CUDA
from benchsuite.engine import estimate
from benchsuite.errors import UserError
from benchsuite.hardware import peaks
from benchsuite.model import flops
from benchsuite.model.spec import ModelSpec
from benchsuite.planning import elsewhere, ladder
from benchsuite.planning.elsewhere import Elsewhere, Need
from benchsuite.planning.plan import Plan, plan
from benchsuite.planning.speed_cases import step_of
from benchsuite.records.case import Case

BASELINE = "baseline/bfloat16/quality"


def planned(suite: str, word: str, dtype: str | None = None) -> tuple[Plan, Elsewhere]:
    there = elsewhere.named(word)
    return there.planned(plan(suite, machine=there.machine(), dtype=dtype)), there


def need(there: Elsewhere, case: Case) -> Need:
    found = there.need(case)
    assert found is not None
    return found


@pytest.mark.parametrize("name", peaks.devices())
def test_every_gpu_is_found_by_its_name(name: str) -> None:
    assert elsewhere.named(name).peak == peaks.devices()[name]


def test_parts_of_a_name_are_enough() -> None:
    assert elsewhere.named("h100").name == "NVIDIA H100 80GB HBM3"
    assert "NVIDIA H100 PCIe" in elsewhere.named("h100").also
    assert elsewhere.named("H100 pcie").name == "NVIDIA H100 PCIe"
    assert elsewhere.named("rtx-4090").name == "NVIDIA GeForce RTX 4090"
    for word in ("", "h1000", "cuda9", "nvidia tpu"):
        with pytest.raises(UserError, match="neither a device here nor a GPU"):
            elsewhere.named(word)


def test_a_call_takes_what_binds_it_at_the_assumed_share_of_the_peak() -> None:
    resolved, there = planned("gpu-layers", "h100")
    labels = {case.label: case for case in resolved.cases}
    case = labels["position/alibi/fused/layer/fwd+bwd/1b3/bfloat16"]
    found, spec = need(there, case), ModelSpec.of_speed_case(step_of(case))
    work = 3 * flops.attention_flops(spec, 4, 2048)
    assert found.bound == "arithmetic"
    assert found.call_s == pytest.approx(work / (0.35 * 989.4e12), rel=1e-3)
    norm = need(there, labels["embedding_norm/on/fused/layer/fwd+bwd/1b3/bfloat16"])
    assert norm.bound == "memory"
    slower, a100 = planned("gpu-layers", "a100 80gb")
    assert a100.peak.gb_per_s < there.peak.gb_per_s
    assert all(need(a100, case).call_s > need(there, case).call_s for case in slower.cases if case.unsupported is None)


def test_scores_in_memory_are_in_the_prediction_of_eager_alone() -> None:
    resolved, there = planned("quick", "h100")
    labels = {case.label: case for case in resolved.cases}
    eager, fused = (need(there, labels[f"position/alibi/{way}/layer/fwd+bwd/bfloat16"]) for way in ("eager", "fused"))
    assert eager.bytes > fused.bytes


def test_the_gpu_decides_what_runs_there_and_not_what_is_installed_here() -> None:
    resolved, _ = planned("gpu-layers", "h100")
    assert {case.unsupported for case in resolved.cases} == {
        None,
        "activation gelu has no implementation 'liger', only eager, compile, fused",
    }
    old, there = planned("quick", "v100", "float32")
    reasons = {case.unsupported for case in old.cases if case.params.get("implementation") == "fused"}
    assert reasons == {f"our kernels are for NVIDIA's sm_80 and later, and {there.name} is sm_70"}
    assert any(case.unsupported is None for case in old.cases)
    amd, _ = planned("quick", "mi300x")
    assert all(case.unsupported is None for case in amd.cases if case.params.get("implementation") == "sdpa")


def test_trainings_are_predicted_and_grow_with_their_tokens() -> None:
    resolved, there = planned("quick", "h100")
    labels = {case.label: case for case in resolved.cases}
    trained = {case.label: need(there, case) for case in resolved.cases if "train" in case.params}
    assert trained["baseline/tokens-3.5x/bfloat16/quality"].call_s > 3 * trained["baseline/bfloat16/quality"].call_s
    # The table and the note are of one rate, and the run takes what the scale was chosen for.
    step, training = (need(there, labels[label]).call_s for label in ("baseline/fused/step/bfloat16", BASELINE))
    params = labels[BASELINE].params["train"]
    tokens_per_s = params["tokens"] / training
    assert tokens_per_s == pytest.approx(params["batch"] * labels[BASELINE].params["model"]["seq"] / step, rel=0.1)
    assert tokens_per_s == pytest.approx(ladder.trainings(resolved, there.machine()).rate.tokens_per_s, rel=0.1)
    assert estimate.of(resolved, ladder.jobs(resolved, there.machine())).planned_s < 1.15 * 600


def test_the_command_says_that_nothing_was_measured() -> None:
    done = command.call("plan", "quick", "--device", "h100")
    assert done.returncode == exit_codes.FINE
    assert "NVIDIA H100 80GB HBM3 (sm_90), which is not here: nothing below was measured." in done.stdout
    assert "35% of the peak arithmetic, 70% of the peak bandwidth" in done.stdout
    document = json.loads(command.call("plan", "quick", "--device", "h100", "--json").stdout)
    assert document["predicted_for"]["device"] == "NVIDIA H100 80GB HBM3"
    assert set(document["predicted"]) <= {case["id"] for case in document["cases"]}
    done = command.call("plan", "quick", "--device", "tpu")
    assert done.returncode == exit_codes.USAGE
    assert "benchsuite list devices" in done.stderr
    assert "NVIDIA H100 PCIe" in command.call("list", "devices").stdout
    assert command.call("run", "quick", "--device", "h100").returncode == exit_codes.USAGE


def test_a_gpu_that_is_not_here_is_planned_for_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CUDA, "seen", classmethod(lambda cls: Seen()))
    done = command.call("plan", "quick", "--device", "cuda")
    assert done.returncode == exit_codes.USAGE
    assert "no GPU is visible here" in done.stderr
    assert "as --device h100 (`benchsuite list devices`)" in done.stderr
