"""python -m benchsuite.studies.quality.measure [FOLDER] [--draws N]: coverage of the intervals of quality, as a page
(`report.md`) with its data (`data.json`). A thousand draws take some five minutes on a core."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchsuite.studies.quality import deltas, tokens

FOLDER = Path("reports/quality-statistics")
SEEDS = (2, 3, 5)
DELTAS = {
    "equal spreads, normal": deltas.World(),
    "equal spreads, t with 3 degrees of freedom": deltas.World(law="t3"),
    "equal spreads, bimodal seeds": deltas.World(law="bimodal"),
    "spreads from 1.15 to 6.4 points, normal": deltas.World(spreads=deltas.UNEQUAL),
    "spreads from 1.15 to 6.4 points, t3": deltas.World(spreads=deltas.UNEQUAL, law="t3"),
    "spreads from 1.15 to 6.4 points, bimodal": deltas.World(spreads=deltas.UNEQUAL, law="bimodal"),
    "data of a seed (3 points) felt 0 to 2 times": deltas.World(felt=3.0),
    "data of a seed (3 points) felt 0 to 2 times, little else (1 point)": deltas.World(spreads=(1.0,) * 9, felt=3.0),
    "20 to 1000 documents a task": deltas.World(documents=(20, 50, 100, 300, 1000)),
    "30 questions a task asked 10 times, calm seeds (1 point)": deltas.World(spreads=(1.0,) * 9, questions=30),
    "30 questions a task asked 10 times, calm seeds (0.3 points)": deltas.World(spreads=(0.3,) * 9, questions=30),
}
TOKENS = {
    f"{law}{told}": tokens.World(law=law, **change)
    for law in tokens.LAWS
    for told, change in (
        ("", {}),
        (", spreads from 0.3 to 1.7 times", {"unequal": True}),
        (", data of a seed felt 0 to 2 times", {"felt": 0.7}),
        (", seeds twice as far apart (10%)", {"spread": 0.1}),
        (", budgets three times apart", {"budgets": (0.35, 1.0, 3.0)}),
    )
}


def told(hits: np.ndarray) -> dict[str, float]:
    """Return the mean over rows, the worst and the best row of `hits` (draws, rows), in percent."""
    rows = 100 * hits.mean(axis=0)
    return {"mean": float(rows.mean()), "worst": float(rows.min()), "best": float(rows.max())}


def measure(draws: int) -> dict[str, Any]:
    """Return the coverage in every world at every number of seeds, and the half widths of token ratios."""
    found: dict[str, Any] = {"draws": draws, "deltas": {}, "pooled": {}, "tokens": {}, "half_widths": {}}
    for name, world in DELTAS.items():
        for seeds in SEEDS:
            at = replace(world, seeds=seeds)
            rng = np.random.default_rng(seeds)
            hits = np.stack([deltas.covered(at, rng) for _ in range(draws)])
            for row, key in enumerate(("deltas", "pooled")):
                found[key].setdefault(name, {})[str(seeds)] = told(hits[:, row])
    for name, curve in TOKENS.items():
        for seeds in SEEDS if name in tokens.LAWS else (3,):
            at_seeds = replace(curve, seeds=seeds)
            halves: list[float] = []
            rng = np.random.default_rng(seeds)
            hits = np.stack([_placed(at_seeds, halves, rng) for _ in range(draws)])
            found["tokens"].setdefault(name, {})[str(seeds)] = told(hits)
            found["half_widths"].setdefault(name, {})[str(seeds)] = 100 * float(np.median(halves))
    return found


def _placed(world: tokens.World, halves: list[float], rng: np.random.Generator) -> list[bool]:
    """Return for each model whether its interval holds the truth; append half of each width to `halves`."""
    placed = list(tokens.intervals(world, rng))
    halves += [math.log(ratio.high / ratio.low) / 2 for _, ratio in placed]
    return [tokens.holds(truth, ratio) for truth, ratio in placed]


def page(found: dict[str, Any]) -> str:
    """Return the page of what `measure` found."""
    draws = found["draws"]
    error = 100 * math.sqrt(0.95 * 0.05 / draws)
    lines = [
        "# Do the intervals of quality hold what they promise?",
        "",
        "Worlds whose truth is known, drawn again and again: how many of the 95% intervals hold the true value, in",
        "percent: the mean over rows and, in brackets, the worst and the best row. Made by",
        f"`python -m benchsuite.studies.quality.measure --draws {draws}`.",
        f"The standard error of a row is {error:.1f}, so of eight or nine rows the worst lies about 1.5 of it below",
        "the truth by chance alone. Bold: the worst row is below 93.",
        "",
        "## Zero-shot deltas",
        "",
        "Nine models, five tasks of 300 documents, every delta truly 0. The last column is a yardstick: intervals",
        "with one pooled variance for all comparisons.",
        "",
        "| world | 2 seeds | 3 seeds | 5 seeds | one variance, 3 seeds |",
        "|---|---|---|---|---|",
    ]
    for name, row in found["deltas"].items():
        cells = [_cell(row[str(seeds)]) for seeds in SEEDS] + [_cell(found["pooled"][name]["3"])]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", *_cannot(found["deltas"]), "", "## Token ratios", ""]
    lines += [
        "Learning curves of three laws; the baseline on 0.25x, 0.5x, 1x, 2x and 4x of the tokens; seeds differ by 5%",
        "of the tokens. The models are worth 0.5x, 0.7x and 0.85x (the controls), 1x twice (A against A), and 0.4x to",
        "2.5x. Half of the interval's width is in percent, the median over models.",
        "",
        "| curve | 2 seeds | 3 seeds | 5 seeds | half widths, by seeds |",
        "|---|---|---|---|---|",
    ]
    for name, row in found["tokens"].items():
        widths = ", ".join(f"{width:.0f}%" for width in found["half_widths"][name].values())
        cells = [_cell(row[str(seeds)]) if str(seeds) in row else "" for seeds in SEEDS]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {widths} |")
    return "\n".join([*lines, "", *_cannot(found["tokens"]), ""])


def _cell(told: dict[str, float]) -> str:
    text = f"{told['mean']:.1f} ({told['worst']:.1f}, {told['best']:.1f})"
    return f"**{text}**" if told["worst"] < 93 else text


def _cannot(rows: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """Return a sentence for each place where the coverage of a row is below 93 or above 97."""
    low = [f"{name} at {seeds} seeds" for name, row in rows.items() for seeds, t in row.items() if t["worst"] < 93]
    high = [f"{name} at {seeds}" for name, row in rows.items() for seeds, t in row.items() if t["mean"] > 97]
    total = sum(len(row) for row in rows.values())
    return [
        f"Some row is covered below 93% in {len(low)} of {total} cells{': ' + '; '.join(low) if low else ''}.",
        f"In {len(high)} of {total} cells the mean is above 97%: the intervals are wider than they need be there.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    parser.add_argument("--draws", type=int, default=1000)
    arguments = parser.parse_args()
    found = measure(arguments.draws)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    (arguments.folder / "data.json").write_text(json.dumps(found, indent=1) + "\n")
    (arguments.folder / "report.md").write_text(page(found))


if __name__ == "__main__":
    main()
