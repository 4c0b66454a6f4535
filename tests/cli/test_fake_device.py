"""The whole command line on a device of paper: known times come out, and every way to fail leaves its record."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support import command

pytestmark = pytest.mark.slow

SUITE = """
name: paper
model: {layers: 1, width: 8, heads: 2, vocab: 300, seq: 8}
speed:
  rounds: 3
  most_rounds: 3
  sample_s: 0.05
  timeout_s: 4
  cases:
    - component: activation
      variants: [%s]
      shapes: [{name: large, batch: 2, width: 64}, {name: small, batch: 2, width: 8}]
"""


class Paper:
    """Runs suites of the activation's variants on a script."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_folder = folder / "run"

    def run(
        self, *variants: str, script: list[dict[str, Any]] | str | None, device: str = "fake"
    ) -> subprocess.CompletedProcess[str]:
        (self.folder / "paper.yaml").write_text(SUITE % ", ".join(variants))
        variables = {"BENCHSUITE_CACHE": str(self.folder / "cache")}
        if script is not None:
            (self.folder / "script.yaml").write_text(script if isinstance(script, str) else json.dumps(script))
            variables["BENCHSUITE_FAKE_DEVICE"] = str(self.folder / "script.yaml")
        words = ["run", self.folder / "paper.yaml", "--device", device, "-o", self.run_folder, "--json"]
        return command.call(*words, folder=self.folder, **variables)

    def records(self) -> dict[str, list[dict[str, Any]]]:
        """By the case's label."""
        manifest = json.loads((self.run_folder / "manifest.json").read_text())
        labels = {case["id"]: case["label"] for case in manifest["cases"]}
        found: dict[str, list[dict[str, Any]]] = {label: [] for label in labels.values()}
        for line in (self.run_folder / "records.jsonl").read_text().splitlines():
            row = json.loads(line)
            found[labels[row["case_id"]]].append(row)
        return found


@pytest.fixture
def paper(tmp_path: Path) -> Paper:
    return Paper(tmp_path)


def test_the_times_of_the_script_come_out_of_the_report(paper: Paper) -> None:
    script = [{"case": "*", "time_s": [0.002], "peak_bytes": 1000}]
    script += [{"case": "activation/swiglu/*", "time_s": [0.0025], "peak_bytes": 3000}]
    script += [{"case": "activation/relu/*", "time_s": [0.01] * 3 + [0.001]}]  # a slow start that warm-up swallows
    done = paper.run("swiglu", "relu", script=script)
    assert done.returncode == 0, done.stderr
    report = json.loads((paper.run_folder / "report.json").read_text())
    ratios = {row["variant"]: row["speed"]["ratio"] for row in report["rows"] if row["shape"] == "small"}
    assert ratios == {"swiglu": pytest.approx(0.8), "relu": pytest.approx(2.0)}
    records = paper.records()
    swiglu = records["activation/swiglu/eager/layer/fwd+bwd/small"]
    assert [row["result"]["time_s"] for row in swiglu] == pytest.approx([0.0025] * 3)
    assert all(row["result"]["stop"] == "turns" for row in swiglu)
    assert swiglu[0]["result"]["peak_bytes"] == 3000


def test_two_devices_share_out_what_is_compared_with_each_other(paper: Paper) -> None:
    script = [{"case": "*", "time_s": [0.002]}, {"case": "activation/swiglu/*", "time_s": [0.0025]}]
    done = paper.run("swiglu", script=script, device="fake:0,fake:1")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((paper.run_folder / "manifest.json").read_text())
    devices = {case["id"]: case["params"]["device"] for case in manifest["cases"]}
    assert sorted(devices.values()) == ["fake:0"] * 2 + ["fake:1"] * 2
    assert all(devices[c["case"]] == devices[c["base_case"]] for c in manifest["comparisons"])
    report = json.loads((paper.run_folder / "report.json").read_text())
    assert [row["speed"]["ratio"] for row in report["rows"]] == pytest.approx([0.8, 0.8])
    script_file = str(paper.folder / "script.yaml")
    again = command.call("run", "--resume", paper.run_folder, BENCHSUITE_FAKE_DEVICE=script_file)
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("fake:0,fake:0", "names a device twice"),
        ("fake,fake:1", "each has a number"),
        ("fake:0,cpu", "each has a number"),
        ("fake:0,", "unknown device ''"),
    ],
)
def test_devices_that_cannot_be_shared_out_are_refused(paper: Paper, device: str, words: str) -> None:
    done = paper.run("swiglu", script=[{"case": "*"}], device=device)
    assert done.returncode == 2
    assert words in done.stderr


def test_every_way_to_fail_leaves_its_record(paper: Paper) -> None:
    """Small shapes come first; what did not fit into memory there is not tried at the large one."""
    ways = {"swiglu": "oom", "geglu": "crash", "relu": "hang", "relu2": "wrong"}
    script = [{"case": f"activation/{variant}/*", "fails": how} for variant, how in ways.items()]
    script += [{"case": "activation/gelu/*", "throttled": ["thermal, by hardware in 9 of 9 readings"]}]
    done = paper.run(*ways, script=script)
    assert done.returncode == 5, done.stderr
    found = {
        label: Counter(row["status"] for row in rows) for label, rows in paper.records().items() if "small" in label
    }
    statuses = {label.split("/")[1]: counts for label, counts in found.items()}
    assert statuses.pop("gelu")["throttled"] >= 3, "once more where the others were tried in smaller rings"
    assert statuses == {
        "swiglu": {"oom": 1, "skipped": 2},
        "geglu": {"error": 1, "skipped": 2},
        "relu": {"timeout": 1, "skipped": 2},
        "relu2": {"incorrect": 1, "skipped": 2},
    }
    large = paper.records()["activation/swiglu/eager/layer/fwd+bwd/large"]
    assert [row["status"] for row in large] == ["skipped"] * 3
    assert "which is smaller, did not fit into memory" in large[0]["reason"]
    crash = paper.records()["activation/geglu/eager/layer/fwd+bwd/large"]
    assert crash[0]["status"] == "error", "a crash at a small shape says nothing of a large one"
    hot = paper.records()["activation/gelu/eager/layer/fwd+bwd/small"][0]
    assert "thermal" in hot["reason"]
    assert hot["result"]["time_s"] > 0, "flagged, not thrown away"


def test_disturbed_measurements_are_told_in_the_report(paper: Paper) -> None:
    script = [{"case": "activation/relu/*", "disturbed": ["other processes used 0.71 cores"]}]
    done = paper.run("relu", script=script)
    assert done.returncode == 0, done.stderr
    text = (paper.run_folder / "report.md").read_text()
    assert "of 12 speed measurements were disturbed" in text
    assert "other processes used 0.71 cores at worst" in text


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (None, "BENCHSUITE_FAKE_DEVICE is not set"),
        ("- {case: x, colour: blue}", "colour"),
        ("- {fails: sometimes}", "fails"),
        ("[", "no script of a fake device"),
    ],
)
def test_a_script_that_is_none_is_refused(paper: Paper, script: str | None, words: str) -> None:
    done = paper.run("relu", script=script)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not paper.run_folder.exists()


def test_quick_takes_the_model_that_fits_a_gpu_and_says_what_went_wrong(tmp_path: Path) -> None:
    """The ladder, several trainings on one GPU, too little memory, and heat, end to end."""
    script: list[dict[str, Any]] = [
        {"case": "*", "gpu": "NVIDIA H100 80GB HBM3", "memory_bytes": 80 * 10**9, "time_s": [0.001]},
        {"case": "*/step/step/*x192", "time_s": [0.002]},
        {"case": "*/step/step/*x320", "time_s": [0.05]},
        {"case": "*/step/step/*x512", "time_s": [0.2]},
        {"case": "*/step/step/*x768", "time_s": [0.5]},
        {"case": "training/*/rotary/*", "worth": 1.5},
        {"case": "position/rotary/*", "throttled": ["thermal, by hardware in 9 of 9 readings"]},
        {"case": "*/swiglu/*", "fails": "oom"},
    ]
    (tmp_path / "script.yaml").write_text(json.dumps(script))
    variables = {"BENCHSUITE_CACHE": str(tmp_path / "cache"), "BENCHSUITE_FAKE_DEVICE": str(tmp_path / "script.yaml")}
    words = ["run", "quick", "--device", "fake", "-o", tmp_path / "run", "--set", "speed.rounds=3"]
    words += ["--set", "speed.most_rounds=3", "--set", "speed.sample_s=0.05"]
    for pattern in (
        "activation/swiglu/eager",
        "activation/swiglu*quality",
        "position/rotary/eager",
        "position/rotary*quality",
    ):
        words += ["--only", pattern]
    done = command.call(*words, folder=tmp_path, **variables)
    assert done.returncode == 5, done.stderr
    said = done.stderr.splitlines()
    assert said[0] == "device: fake, as --device says"
    assert "measuring how fast fake trains at scale 3m" in said
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["resolved_suite"]["scale"] == "3m"
    assert manifest["notes"][0].startswith("scale 3m: ")
    assert "trainings side by side" in manifest["notes"][0]
    labels = {case["id"]: case["label"] for case in manifest["cases"]}
    statuses: dict[str, Counter[str]] = {label: Counter() for label in labels.values()}
    for line in (tmp_path / "run" / "records.jsonl").read_text().splitlines():
        row = json.loads(line)
        statuses[labels[row["case_id"]]][row["status"]] += 1
    assert statuses["baseline/bfloat16/quality"] == {"ok": 2}
    assert statuses["activation/swiglu/bfloat16/quality"] == {"oom": 2}
    assert statuses["position/rotary/bfloat16/quality"] == {"ok": 2}
    assert "throttled" in statuses["position/rotary/eager/layer/fwd+bwd/bfloat16"]
    assert "did not fit beside others" in (tmp_path / "run" / "log.txt").read_text()
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    [rotary] = [row["quality"] for row in report["rows"] if row["variant"] == "rotary" and row["quality"]]
    assert rotary["tokens"]["ratio"] == pytest.approx(1 / 1.5, rel=0.1)
