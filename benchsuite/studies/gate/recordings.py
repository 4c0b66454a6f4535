"""Record what the machine really does: pairs of the gate and runs of pytest-benchmark over the thirty workloads,
written to files. All tools time the same workloads (thirty.py) on one thread."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchsuite.studies.gate.rules import PEERS, Samples

HERE = Path(__file__).parent
DATA = Path("reports/gate")  # from the root of a checkout
KEPT_SAMPLES = 100  # of a run of pytest-benchmark, for each workload
SHARES = (0.25, 0.5, 1.0)  # of a process's samples
MIX = {0.01: 3, 0.02: 3, 0.03: 3, 0.05: 3, 0.10: 3}  # planted: so many workloads each, the rest unchanged
CONDITIONS = ("quiet", "loaded")


class Neighbour:
    """A process that multiplies matrices for some seconds, rests for some, and so on."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted

    def __enter__(self) -> None:
        self._process = None
        if self._wanted:
            self._process = subprocess.Popen([sys.executable, "-m", "benchsuite.studies.gate.measure", "neighbour"])

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def neighbour() -> None:
    import torch

    torch.set_num_threads(1)
    x = torch.randn(512, 512)
    draw = random.Random(0)
    while True:
        until = time.monotonic() + draw.expovariate(1 / 3)
        while time.monotonic() < until:
            x @ x
        time.sleep(draw.expovariate(1 / 5))


def record(condition: str, into: Path, pairs: int, peer_runs: int, only: str) -> None:
    """`only`: a part of the workloads' names; all where it is empty."""
    with Neighbour(condition == "loaded"), tempfile.TemporaryDirectory() as folder:
        ours = Path(folder) / "calibration"
        words = [f"--only=*{only}*"] if only else []
        benchsuite("calibrate", str(HERE / "gated_thirty.py"), "--pairs", str(pairs), "-o", str(ours), *words)
        runs = [peer_run(Path(folder) / f"{number}.json", only=only) for number in range(peer_runs)]
        ratios = log_ratios(ours)
        by_share = {share: float(np.median(spreads(log_ratios(ours, share)))) for share in SHARES}
        pair_s, servers_s = durations(ours)
    found = {
        "condition": condition,
        "spread_by_share": by_share,
        "pairs": ratios,
        "pair_s": pair_s,
        "servers_s": servers_s,
        "peers": [data for data, _ in runs],
    }
    found["peers_s"] = [seconds for _, seconds in runs]
    (into / f"{condition}.json").write_text(json.dumps(found) + "\n")


def benchsuite(*words: str) -> None:
    """The command line; a gate's verdict is no failure."""
    done = subprocess.run([sys.executable, "-m", "benchsuite", *words], check=False)
    if done.returncode > 1:
        raise SystemExit(done.returncode)


def log_ratios(folder: Path, share: float = 1.0) -> dict[str, list[float]]:
    """log(head / base) of each pair, by workload, from the first `share` of each process's samples."""
    times = []
    for side in ("base", "head"):
        labels = {
            case["id"]: case["label"] for case in json.loads((folder / side / "manifest.json").read_text())["cases"]
        }
        rows = map(json.loads, (folder / side / "records.jsonl").read_text().splitlines())
        times.append(
            {(labels[r["case_id"]], r["replicate"]): early(r["result"], share) for r in rows if r["status"] == "ok"}
        )
    found: dict[str, list[float]] = {}
    for label, pair in sorted(times[0].keys() & times[1].keys()):
        name = label.partition("[")[2].rstrip("]")
        found.setdefault(name, []).append(round(math.log(times[1][label, pair] / times[0][label, pair]), 6))
    return found


def durations(folder: Path) -> tuple[float, float]:
    """Seconds of one pair of processes, and of starting the two servers of the next pair of each case."""
    times: dict[int, list[tuple[float, float]]] = {}
    for side in ("base", "head"):
        for row in map(json.loads, (folder / side / "records.jsonl").read_text().splitlines()):
            started = datetime.fromisoformat(row["started"]).timestamp()
            times.setdefault(row["replicate"], []).append((started, started + row["time_s"]))
    rounds = [
        (min(a for a, _ in found), max(b for _, b in found), len(found) / 2) for _, found in sorted(times.items())
    ]
    pair_s = [(end - begin) / cases for begin, end, cases in rounds]
    between_s = [after[0] - before[1] for before, after in itertools.pairwise(rounds)]
    return float(np.median(pair_s)), float(np.median(between_s))


def early(result: dict[str, Any], share: float) -> float:
    samples = result["samples_s"]
    return float(np.median(samples[: math.ceil(share * len(samples))]))


def spreads(pairs: dict[str, list[float]]) -> list[float]:
    """Of each workload's pairs, as a standard deviation that outliers do not move."""
    return [1.4826 * float(np.median(np.abs(values))) for values in pairs.values()]


def peer_run(path: Path, planted: str = "", only: str = "") -> tuple[Samples, float]:
    """Samples of one pytest-benchmark process with its own settings, thinned evenly, and the seconds it took."""
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", str(HERE / "peer_thirty.py"), "-q", f"--benchmark-json={path}"]
    command += ["-k", only] if only else []
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PLANTED": planted})
    seconds = time.monotonic() - started
    data = {}
    for row in json.loads(path.read_text())["benchmarks"]:
        samples = np.asarray(row["stats"]["data"])
        kept = samples[np.linspace(0, len(samples) - 1, min(KEPT_SAMPLES, len(samples))).astype(int)]
        name = row["name"].partition("[")[2].rstrip("]")
        data[name] = [float(f"{s:.6g}") for s in kept]
    return data, seconds


def planted(condition: str, into: Path, pairs: int, minutes: float) -> None:
    """One gate and one pytest-benchmark comparison with really slower workloads."""
    names = sorted(json.loads((DATA / "quiet.json").read_text())["pairs"])
    random.Random(1).shuffle(names)
    plan: dict[str, float] = {}
    for share, count in MIX.items():
        plan |= {names.pop(): share for _ in range(count)}
    words = ",".join(f"{name}:{share}" for name, share in plan.items())
    with Neighbour(condition == "loaded"), tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "gate"
        benchsuite(
            "gate", str(HERE / "gated_thirty.py"), "--base", ".", "--head", f"env:PLANTED={words}", f"--pairs={pairs}",
            f"--minutes={minutes}", "-o", str(out),
        )  # fmt: skip
        document = json.loads((out / "gate.json").read_text())
        base, base_s = peer_run(Path(folder) / "base.json")
        head, head_s = peer_run(Path(folder) / "head.json", words)
    verdicts = {row["case"].partition("[")[2].rstrip("]"): row["verdict"] for row in document["cases"]}
    rows = [
        {"workload": name, "planted": plan.get(name, 0.0), "gate": verdicts[name]}
        | {rule: bool(alarm(base[name], head[name])) for rule, alarm in PEERS.items()}
        for name in sorted(verdicts)
    ]
    found = {"condition": condition, "gate_s": document["time_s"], "peers_s": base_s + head_s, "rows": rows}
    (into / f"planted-{condition}.json").write_text(json.dumps(found, indent=1) + "\n")
