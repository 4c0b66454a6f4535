"""`benchsuite selftest`: right operators pass, a wrong one is named, not timed, and exits 5."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from benchsuite.cli import build_app
from benchsuite.measure import operators, selftest

pytestmark = pytest.mark.slow


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(build_app(), ["selftest", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds of microseconds, no change to this process's allocator, and one small shape."""
    monkeypatch.setattr(selftest, "ROUND_S", 1e-4)
    monkeypatch.setattr(selftest, "pin_allocator", lambda: "left alone by the test")
    monkeypatch.setattr(selftest, "measure", lambda **_: selftest.Measured(10.0, 100.0, 1, 1))
    monkeypatch.setattr(operators, "for_timing", lambda quick: iter([operators.attended(1, 40), operators.norm(4, 8)]))


def test_every_operator_is_right(fast: None) -> None:
    code, out = run("--check-only", "--json")
    document = json.loads(out)
    assert code == 0
    assert {row["status"] for row in document["checks"]} == {"ok"}
    assert {row["dtype"] for row in document["checks"]} == {"float64", "float32", "bfloat16", "float16"}
    families = {row["name"].split("/")[0] for row in document["checks"]}
    assert {"gelu", "swiglu", "layer_norm", "embedding_layer_norm", "rotary", "alibi_softmax"} <= families
    assert {"attention", "attention, alibi", "attention, rotary", "linear_cross_entropy"} <= families
    assert document["timings"] == []


@pytest.mark.parametrize("operator", [operators.activation("gelu", 64, 128), operators.norm(64, 128)])
def test_peaks_count_inputs_output_and_gradients_whoever_comes_first(fast: None, operator: operators.Operator) -> None:
    found = selftest.timing(dataclasses.replace(operator, compiled=False), selftest.Measured(10.0, 100.0, 1, 1))
    for name, peak in found.peak_bytes.items():
        assert peak is not None, name
        assert peak >= found.needed_bytes + 4 * 64 * 128, name


def test_timings_have_ratios_fractions_and_a_page(fast: None, tmp_path: Path) -> None:
    code, _ = run("--quick", "--only", "attention, alibi", "-o", str(tmp_path))
    assert code == 0
    document = json.loads((tmp_path / "selftest.json").read_text())
    [row] = document["timings"]
    assert set(row["times_s"]) == {"fused", "eager", "sdpa and mask", "folded", "sdpa plain"}
    for name, (ratio, low, high) in row["speedup"].items():
        assert 0 < low <= ratio <= high, name
    assert row["product_fraction"] > 0
    # q, k and v of 40 places, and their gradients: what every implementation holds, and more.
    assert row["needed_bytes"] == 2 * 4 * 40 * 3 * 512
    assert all(row["needed_bytes"] < peak for peak in row["peak_bytes"].values())
    assert "beyond inputs and gradients" in (tmp_path / "selftest.md").read_text()
    page = (tmp_path / "selftest.md").read_text()
    assert "benchsuite selftest --device cpu --quick --only 'attention, alibi'" in page
    assert "| attention, alibi/1x40 |" in page


def test_a_wrong_operator_is_named_not_timed_and_exits_5(fast: None, monkeypatch: pytest.MonkeyPatch) -> None:
    right = operators.layer_norm
    monkeypatch.setattr(operators, "layer_norm", lambda x, w, b: right(x, w, b) * 1.001)
    code, out = run("--only", "layer_norm*", "--json")
    document = json.loads(out)
    assert code == 5
    wrong = {row["dtype"] for row in document["checks"] if row["status"] == "incorrect"}
    assert {"float64", "float32"} <= wrong
    assert document["timings"] == []
    assert "incorrect, the error against float64 is" in run("--only", "layer_norm*")[1]


def test_an_operator_that_raises_is_an_error_and_the_others_go_on(fast: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(x: torch.Tensor, kind: str) -> torch.Tensor:
        raise RuntimeError("act: out of luck")

    monkeypatch.setattr(operators, "act", broken)
    code, out = run("--check-only", "--json")
    checks = json.loads(out)["checks"]
    assert code == 5
    assert {row["reason"] for row in checks if row["status"] == "error"} == {"act: out of luck"}
    assert sum(row["status"] == "ok" for row in checks) > 100


def test_ctrl_c_keeps_what_was_measured(fast: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(selftest, "timing", interrupted)
    code, _ = run("-o", str(tmp_path))
    document = json.loads((tmp_path / "selftest.json").read_text())
    assert code == 130
    assert document["interrupted"]
    assert len(document["checks"]) > 100
    assert "Interrupted" in (tmp_path / "selftest.md").read_text()


def test_what_cannot_be_is_said() -> None:
    from benchsuite.errors import UserError

    with pytest.raises(UserError, match="no operator has such a name"):
        run("--only", "swiglew")
    with pytest.raises(UserError, match="unknown device"):
        run("--device", "tpu")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="no NVIDIA GPU"):
            run("--device", "cuda")


def test_the_machine_s_own_peaks_are_measured() -> None:
    from benchsuite.hardware import measured

    found = measured.measure(moments=1)
    assert 0.1 < found.copy_gb_per_s < 10_000
    assert 0.1 < found.product_gflop_per_s < 1e6
    assert found.threads == torch.get_num_threads()


@pytest.mark.parametrize(("code", "said"), [(0, "clean"), (9, "exit code 9: 1 error / of this kind")])
def test_compute_sanitizer_runs_with_every_tool_where_it_is(
    code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "compute-sanitizer"
    tool.write_text(f"#!/bin/sh\necho $@ >> {tmp_path}/calls\necho 1 error\necho of this kind\nexit {code}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert selftest.sanitize(("swiglu",)) == dict.fromkeys(selftest.SANITIZERS, said)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call.split()[1] for call in calls] == list(selftest.SANITIZERS)
    assert all(call.endswith("selftest --device cuda --check-only --only swiglu") for call in calls)


def test_without_compute_sanitizer_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert set(selftest.sanitize(()).values()) == {"not run: compute-sanitizer is not on PATH"}


def test_a_ratio_of_few_rounds_has_no_interval() -> None:
    assert selftest._ratio([2.0, 3.0, 2.0], [1.0, 1.0, 1.0]) == (2.0, None, None)
    value, low, high = selftest._ratio([2.0] * 15, [1.0] * 15)
    assert (value, low, high) == (2.0, 2.0, 2.0)
