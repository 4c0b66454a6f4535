"""Do the intervals of a run hold what they promise, and what do they cost?

    python -m benchsuite.studies.engine.repeat runs     # twenty runs of a part of micro: does each cover the others?
    python -m benchsuite.studies.engine.repeat table    # the page of these runs again, from their data
    python -m benchsuite.studies.engine.repeat peers    # time until a median is known to 2%, beside other tools

Each writes a table and its data beside this file.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.benchmark import Timer

from benchsuite.timing.clock import CPUClock
from benchsuite.timing.sampler import SamplerConfig, median_interval_width, sample

HERE = Path("reports/engine")  # from the root of a checkout
RUNS = 20
ONLY = (
    "activation/swiglu/eager/layer/fwd/125m",
    "activation/swiglu/fused/layer/fwd/125m",
    "position/alibi/eager/layer/fwd/125m",
    "position/alibi/fused/layer/fwd/125m",
)
PRECISION = 0.02
ROUNDS = 9
FIRST_S = 0.01


def runs() -> None:
    found: dict[str, list[tuple[float, float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        for number in range(RUNS):
            out = Path(folder) / str(number)
            only = [f"--only={pattern}" for pattern in ONLY]
            command = [sys.executable, "-m", "benchsuite", "run", "micro", *only, "-o", str(out)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            document = json.loads((out / "report.json").read_text())
            for row in (*document["rows"], *document["implementations"]):
                speed = row["speed"]
                if speed["ratio"] is not None and speed["low"] is not None:
                    what = f"against {row['baseline']}" if "baseline" in row else f"against {row['against']}"
                    name = f"{row['component']}/{row['variant']}/{row['implementation']} {what}"
                    found.setdefault(name, []).append((speed["ratio"], speed["low"], speed["high"]))
        minutes = (time.monotonic() - started) / 60
    (HERE / "runs.json").write_text(json.dumps({"minutes": minutes, "ratios": found}) + "\n")
    table()


def table() -> None:
    """The page of `runs`, from its data."""
    data = json.loads((HERE / "runs.json").read_text())
    lines = [
        "# Twenty runs of the same suite",
        "",
        f"`benchsuite run micro {' '.join(f'--only {p!r}' for p in ONLY)}`,",
        f"{RUNS} times, {data['minutes']:.0f} minutes; made by `python -m benchsuite.studies.engine.repeat runs`.",
        "Each run's",
        "interval is held against the pooled ratio of the other runs: their median, and beside it their geometric",
        "mean, which a run that something disturbed can carry away.",
        "",
        "| ratio | pooled | 95% intervals that cover it | that cover the mean | median half-width | widest |",
        "|---|---|---|---|---|---|",
    ]
    pools: tuple[Callable[..., float], ...] = (np.median, np.mean)
    hits = dict.fromkeys(pools, 0)
    total = 0
    for name, rows in data["ratios"].items():
        logs = np.log([ratio for ratio, _, _ in rows])
        widths = [math.log(high / low) / 2 for _, low, high in rows]
        cells = [f"{math.exp(np.median(logs)):.3f}x"]
        for pooled in pools:
            others = [math.exp(pooled(np.delete(logs, run))) for run in range(len(rows))]
            covers = sum(low <= other <= high for (_, low, high), other in zip(rows, others, strict=True))
            hits[pooled] += covers
            cells.append(f"{covers} of {len(rows)}")
        total += len(rows)
        cells += [f"{100 * np.median(widths):.0f}%", f"{100 * max(widths):.0f}%"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    median, mean = (f"{count} of {total} ({count / total:.1%})" for count in hits.values())
    lines += ["", f"In all {median} intervals cover the median of the others, {mean} the mean.", ""]
    (HERE / "runs.md").write_text("\n".join(lines))


def peers() -> None:
    x, wide = torch.randn(512, 768), torch.randn(4096, 768)
    work: dict[str, Callable[[], object]] = {
        "gelu 512 x 768": lambda: F.gelu(x),
        "layer norm 512 x 768": lambda: F.layer_norm(x, (768,)),
        "product 512 x 768 x 768": lambda: x @ x.T,
        "softmax 4096 x 768": lambda: torch.softmax(wide, -1),
    }
    torch.set_num_threads(1)
    ways = {"benchsuite": ours, "torch.utils.benchmark": torch_timer, "pytest-benchmark's loop": pytest_benchmark}
    found: dict[str, dict[str, list[tuple[float, float]]]] = {name: {way: [] for way in ways} for name in work}
    for _ in range(ROUNDS):
        for name, call in work.items():
            for way, measure in ways.items():
                found[name][way].append(measure(call))
    lines = [
        "# Time until a median is known to 2%",
        "",
        f"Milliseconds, median of {ROUNDS} rounds in one process, all in turn; in brackets the standard deviation of",
        "the medians over the rounds: what the interval of 2% was worth. Made by",
        "`python -m benchsuite.studies.engine.repeat peers`.",
        "",
        "Ours warms up, samples, and stops by itself; all of that is counted. The others do not stop by the interval",
        f"of a median. Each is told how long to run, from {1e3 * FIRST_S:.0f} ms on in doubling steps, and only the",
        "last step, which sufficed, is counted: as if one knew beforehand. Neither warms up. Left to themselves they",
        "run for 200 ms (`blocked_autorange`) and for a second (`--benchmark-max-time`).",
        "",
        "| work | " + " | ".join(ways) + " |",
        "|---|" + "---|" * len(ways),
    ]
    for name, row in found.items():
        cells = []
        for values in row.values():
            times, medians = np.array(values).T
            cells.append(f"{1e3 * np.median(times):.0f} ({100 * np.std(np.log(medians), ddof=1):.1f}%)")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    (HERE / "peers.json").write_text(json.dumps(found) + "\n")
    (HERE / "peers.md").write_text("\n".join([*lines, ""]))


def ours(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds that the sampler takes, and the median that it finds."""
    started = time.perf_counter()
    found = sample(call, CPUClock(), SamplerConfig(precision=PRECISION, budget_s=10, max_samples=10**6))
    return time.perf_counter() - started, found.median_s


def torch_timer(call: Callable[[], object]) -> tuple[float, float]:
    timer = Timer("call()", globals={"call": call})
    return doubling(lambda seconds: list(timer.blocked_autorange(min_run_time=seconds).times))


def pytest_benchmark(call: Callable[[], object]) -> tuple[float, float]:
    """Call in one round until it lasts 50 µs, then rounds until the time is over, five at least."""

    def rounds(seconds: float) -> list[float]:
        calls = 1
        while timed(call, calls) < 50e-6:
            calls *= 2
        until = time.perf_counter() + seconds
        found: list[float] = []
        while time.perf_counter() < until or len(found) < 5:
            found.append(timed(call, calls) / calls)
        return found

    return doubling(rounds)


def timed(call: Callable[[], object], calls: int) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        call()
    return time.perf_counter() - started


def doubling(measure: Callable[[float], list[float]]) -> tuple[float, float]:
    """Seconds of the first measurement that is precise enough, given ever more time, and its median."""
    wanted = FIRST_S
    while True:
        started = time.perf_counter()
        samples = measure(wanted)
        taken = time.perf_counter() - started
        if (len(samples) >= 10 and median_interval_width(samples) < PRECISION) or wanted > 10:
            return taken, float(np.median(samples))
        wanted *= 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("runs", "table", "peers"))
    {"runs": runs, "table": table, "peers": peers}[parser.parse_args().command]()


if __name__ == "__main__":
    main()
