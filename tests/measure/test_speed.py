"""Speed cases for real, at sizes of milliseconds: every implementation is right, and a wrong one is caught."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import support.params
import torch

from benchsuite import components, devices
from benchsuite.cache import cache_dir
from benchsuite.devices import cpu
from benchsuite.hardware import fingerprint, measured, roofline
from benchsuite.measure import accuracy, references, speed, subjects
from benchsuite.model import flops, gpt
from benchsuite.model.spec import ModelSpec
from benchsuite.records.case import Incorrect, Throttled, Unsupported
from benchsuite.records.params import SpeedParams
from benchsuite.records.results import SpeedResult
from benchsuite.timing.clock import FakeClock
from benchsuite.timing.monitor import Monitor

pytestmark = pytest.mark.slow

SHAPE: dict[str, int] = support.params.SPEED["shape"]  # type: ignore[assignment]
LAYERS = [component for component in components.COMPONENTS if component not in components.WITHOUT_LAYER]
CASES = [
    (component, variant, "sdpa" if component == "position" else "eager")
    for component in LAYERS
    for variant in components.variants(component)
]
CASES += [
    (component, name, implementation)
    for implementation in ("fused", "folded")
    for component in LAYERS
    for name, variant in components.variants(component).items()
    if implementation in variant.implementations
]


def params(**changes: Any) -> dict[str, Any]:
    return support.params.speed(**changes)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("direction", ["fwd", "fwd+bwd"])
@pytest.mark.parametrize(("component", "variant", "implementation"), CASES)
def test_every_layer_is_right_and_measured(component: str, variant: str, implementation: str, direction: str) -> None:
    result = speed.measure(
        params(component=component, variant=variant, implementation=implementation, direction=direction)
    )
    assert result["tokens"] == 32
    assert result["tokens_per_s"] == pytest.approx(32 / result["time_s"])
    assert result["peak_bytes"] > result["saved_bytes"]
    assert (result["saved_bytes"] > 0) == (direction == "fwd+bwd" and (component, variant) != ("embedding_norm", "off"))
    assert result["error"]["forward"] < 1e-5
    assert (result["error"]["backward"] is None) == (direction == "fwd")
    assert result["compile_s"] is None


@pytest.mark.parametrize("implementation", ["eager", "sdpa", "folded", "fused"])
def test_a_training_step_is_right_and_counts_its_flops(implementation: str) -> None:
    case = params(scope="step", direction="step", component="position", variant="alibi", implementation=implementation)
    result = speed.measure(case)
    spec = ModelSpec(**{k: v for k, v in SHAPE.items() if k != "batch"}, position="alibi")
    assert result["flops"] == flops.step_flops(spec, 2, 16)
    assert result["tflop_per_s"] == pytest.approx(result["flops"] / result["time_s"] / 1e12)
    assert result["error"]["backward"] < 1e-4


@pytest.mark.parametrize("implementation", ["sdpa", "fused"])
def test_a_step_in_mixed_precision_is_held_to_its_limit(implementation: str) -> None:
    result = speed.measure(params(scope="step", direction="step", implementation=implementation, dtype="bfloat16"))
    assert 1e-4 < result["error"]["backward"] < result["error"]["limit"] == 5e-2
    assert result["hfu"] == pytest.approx(result["mfu"]), "nothing is computed twice"


def test_a_step_recomputes_and_adds_up_micro_batches() -> None:
    shape = {**SHAPE, "micro_batch": 1, "recompute": True}
    case = params(scope="step", direction="step", implementation="sdpa", shape=shape)
    subject = subjects.build(SpeedParams.read(case))
    assert subject.executed_flops is not None
    assert subject.flops is not None
    assert subject.executed_flops > subject.flops
    accuracy.check(subject.results(), subject.reference(), "float32")  # type: ignore[misc]
    plain = subjects.build(SpeedParams.read(params(scope="step", direction="step", implementation="sdpa")))
    for a, b in zip(subject.results(), plain.results(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_compiled_layer_reports_its_compile_time_apart() -> None:
    result = speed.measure(params(implementation="compile", direction="fwd"))
    assert result["compile_s"] > 10 * result["time_s"]


def test_sixteen_bit_types_are_held_to_their_own_limit() -> None:
    error = speed.measure(params(dtype="bfloat16"))["error"]
    assert 1e-4 < error["forward"] < error["limit"] == 5e-2


def test_saved_bytes_are_those_of_the_formula() -> None:
    """A GELU block saves its input to the activation and its output: 2 · tokens · d_ff · 4 bytes, x being an input."""
    result = speed.measure(params())
    assert result["saved_bytes"] == 2 * 32 * 4 * 24 * 4


@pytest.mark.parametrize(("variant", "affine"), [("off", 0), ("on", 2 * 24)])
def test_an_embedding_reads_as_many_rows_as_come_out(variant: str, affine: int) -> None:
    shape = {**SHAPE, "vocab": 5000}
    rows, table = 32 * 24, 5000 * 24
    fwd, both = (
        speed.measure(params(component="embedding_norm", variant=variant, direction=direction, shape=shape))
        for direction in ("fwd", "fwd+bwd")
    )
    assert fwd["bytes_moved"] == 8 * 32 + 4 * (2 * rows + affine)
    assert both["bytes_moved"] == fwd["bytes_moved"] + 4 * (rows + table + affine)


def test_a_wrong_output_has_no_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    def off_by_a_little(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return gpt.attend_eager(q, k, v, bias) * 1.001

    monkeypatch.setattr(gpt, "attend_sdpa", off_by_a_little)
    with pytest.raises(Incorrect, match=r"the error against float64 is 0\.001"):
        speed.measure(params(component="position", variant="rotary", implementation="sdpa"))


def test_an_output_that_goes_bad_after_some_calls_has_no_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    right = subjects.FeedForward.forward

    def forward(self: subjects.FeedForward, x: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += x.dtype == torch.float32
        return right(self, x) * (2 if calls > 10 and x.dtype == torch.float32 else 1)

    monkeypatch.setattr(subjects.FeedForward, "forward", forward)
    with pytest.raises(Incorrect, match="the error against float64"):
        speed.measure(params())


def test_a_recompilation_while_timing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = iter([1, 2])
    monkeypatch.setattr(speed, "_compiled_graphs", lambda: next(graphs))
    with pytest.raises(Incorrect, match="compiled again"):
        speed.measure(params())


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps", "xpu"])
def test_a_device_that_is_not_there_is_unsupported(device: str) -> None:
    with pytest.raises(Unsupported, match=device):
        speed.measure(params(device=device))


def test_a_mode_that_the_device_has_not_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="event-cold"):
        speed.measure(params(mode="event-cold"))


def test_the_record_says_how_far_from_the_roofline_it_is_and_what_else_ran() -> None:
    result = speed.measure(params(mode="cold"))
    assert result["roofline"]["fraction"] > 0
    assert result["roofline"]["peaks"].startswith("measured here")
    assert result["monitor"]["window_s"] > 0
    assert result["energy_per_token_j"] is None or result["energy_per_token_j"] > 0
    SpeedResult.model_validate(result)
    assert set(result) <= set(SpeedResult.model_fields), "every field is in the published schema"


def test_a_figure_that_no_cpu_can_reach_is_incorrect(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the clock did not wait: the work of a layer in a microsecond."""

    class Hasty(FakeClock):
        def time_calls(self, call: Callable[[], object], calls: int) -> float:
            call()
            return super().time_calls(lambda: None, calls)

    monkeypatch.setattr(cpu, "CPUClock", lambda: Hasty([1e-6]))
    monkeypatch.setattr(fingerprint, "cpu_flags", lambda: ["avx2"])
    with pytest.raises(Incorrect, match="cannot do more than") as caught:
        speed.measure(params())
    assert caught.value.result is not None


def test_a_device_that_slows_itself_down_is_tried_again_and_then_called_throttled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = iter([["hot"], ["hot"], []])
    monkeypatch.setattr(Monitor, "summary", lambda self: {"throttled": next(seen), "disturbed": []})
    monkeypatch.setattr(speed, "COOL_DOWN_S", (0.0, 0.0))
    assert speed.measure(params())["monitor"]["throttled"] == []
    monkeypatch.setattr(Monitor, "summary", lambda self: {"throttled": ["hot"], "disturbed": []})
    with pytest.raises(Throttled, match="hot") as caught:
        speed.measure(params())
    assert caught.value.result is not None
    assert caught.value.result["time_s"] > 0


def test_a_reference_that_took_long_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    computed = 0
    right = subjects._eager_reference

    def counted(*arguments: Any) -> torch.nn.Module:
        nonlocal computed
        computed += 1
        return right(*arguments)

    monkeypatch.setattr(subjects, "_eager_reference", counted)
    monkeypatch.setattr(references, "WORTH_S", 0.0)
    case = params(variant="geglu", shape={**SHAPE, "seq": 17})
    for implementation in ("eager", "fused", "eager"):
        speed.measure({**case, "implementation": implementation})
    assert computed == 1
    speed.measure({**case, "shape": SHAPE})
    assert computed == 2, "another shape"
    monkeypatch.setattr(references, "_sources", lambda params: "changed")
    speed.measure(case)
    assert computed == 3, "another formula"


def test_a_reference_that_was_torn_is_computed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "WORTH_S", 0.0)
    case = params(variant="geglu", shape={**SHAPE, "seq": 19})
    speed.measure(case)
    newest = max(cache_dir("references").glob("*.safetensors"), key=lambda path: path.stat().st_mtime)
    newest.write_bytes(newest.read_bytes()[:100])
    speed.measure(case)


def test_no_more_references_are_kept_than_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.safetensors").write_bytes(bytes(100))
        os.utime(tmp_path / f"{number}.safetensors", (number, number))
    monkeypatch.setattr(references, "KEPT_BYTES", 250)
    references._prune(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3.safetensors", "4.safetensors"]


LOW = roofline.Peaks(1e-6, 1e-6, "measured here: by hand")
HIGH = roofline.Peaks(1e6, 1e6, "measured here: by hand", (roofline.Level("L1", 2**40, 2e6),))


def test_a_figure_above_the_measured_peaks_measures_them_again_and_is_then_no_figure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(measured, "known", lambda *_: True)
    monkeypatch.setattr(measured, "peaks", lambda *_: LOW)
    monkeypatch.setattr(measured, "may_rise", lambda *_: True)

    def beaten(*given: Any) -> roofline.Peaks:
        asked.append(given)
        return LOW

    monkeypatch.setattr(measured, "beaten", beaten)
    found = speed.measure(params())["roofline"]
    assert asked == [(devices.named("cpu"), "float32", params()["threads"])]
    assert (found["fraction"], found["compute_fraction"], found["memory_fraction"]) == (None, None, None)
    assert found["reason"] == "above the measured peak of arithmetic and of memory"
    monkeypatch.setattr(measured, "beaten", lambda *_: HIGH)
    found = speed.measure(params())["roofline"]
    assert 0 < found["fraction"] <= 1
    assert found["reason"] is None


@pytest.mark.parametrize(("mode", "level"), [("wall", "L1"), ("cold", "memory")])
def test_warm_data_are_held_against_their_cache_and_cold_ones_against_memory(
    monkeypatch: pytest.MonkeyPatch, mode: str, level: str
) -> None:
    monkeypatch.setattr(measured, "known", lambda *_: True)
    monkeypatch.setattr(measured, "peaks", lambda *_: HIGH)
    assert speed.measure(params(mode=mode))["roofline"]["level"] == level
