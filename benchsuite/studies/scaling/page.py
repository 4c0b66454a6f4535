"""From the records of the scaling study to its page: power laws of held-out loss against compute, with intervals."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchsuite.stats.intervals import Interval, student

Record = dict[str, Any]
NAMES = {"backprop": "backpropagation", "dfa": "DFA"}


def read(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def of(records: Sequence[Record], **keys: Any) -> list[Record]:
    """The trainings with these keys."""
    return [record for record in records if "loss" in record and keys.items() <= record.items()]


def best_rate(records: Sequence[Record], layers: int, width: int, rule: str) -> float:
    """The learning rate whose training at seed 0 came to the least held-out loss."""
    found = [r for r in of(records, layers=layers, width=width, rule=rule, seed=0) if r["loss"] is not None]
    return float(min(found, key=lambda record: record["loss"])["lr"])


def best(records: Sequence[Record], layers: int, width: int, rule: str) -> list[Record]:
    """All seeds at the best learning rate."""
    return of(records, layers=layers, width=width, rule=rule, lr=best_rate(records, layers, width, rule))


def whole(records: Sequence[Record], sizes: Sequence[tuple[int, int]], rules: Sequence[str]) -> bool:
    """Return whether every size has been trained by every rule at more than one seed, and the angles are there."""
    trained = all(of(records, layers=a, width=b, rule=rule, seed=1) for a, b in sizes for rule in rules)
    return trained and any("angles" in record for record in records)


def exponent(flops: Sequence[float], losses: Sequence[float]) -> tuple[Interval, float]:
    """The b of loss = a · flops^-b with its 95% interval, and a: a line through the logarithms by least squares, every
    seed a point. What the points lie off the line, seeds and bend alike, is the error."""
    fit = stats.linregress(np.log(flops), np.log(losses))
    return student(-float(fit.slope), float(fit.stderr), len(flops) - 2), math.exp(float(fit.intercept))


def difference(a: Interval, b: Interval) -> Interval:
    """a - b, with Welch's degrees of freedom."""
    assert a.standard_error is not None
    assert b.standard_error is not None
    assert a.degrees_of_freedom is not None
    assert b.degrees_of_freedom is not None
    variances = a.standard_error**2, b.standard_error**2
    freedom = sum(variances) ** 2 / (
        variances[0] ** 2 / a.degrees_of_freedom + variances[1] ** 2 / b.degrees_of_freedom
    )
    return student(a.estimate - b.estimate, sum(variances) ** 0.5, freedom)


def _told(interval: Interval) -> str:
    return f"{interval.estimate:.4f} [{interval.low:.4f}, {interval.high:.4f}]"


def text(records: Sequence[Record]) -> str:
    """The page in Markdown."""
    sizes = sorted({(r["layers"], r["width"]) for r in of(records)}, key=lambda s: s[0] * s[1] ** 2)
    rates = sorted({r["lr"] for r in of(records)})
    rules = [rule for rule in NAMES if of(records, rule=rule)]
    each = max(r["tokens"] / r["weights"] for r in of(records))
    lines = [
        "# Does Direct Feedback Alignment scale like backpropagation?",
        "",
        "`python -m benchsuite.studies.scaling.measure`. Decoders with ALiBi and untied embeddings, trained on the",
        f"generated corpus `curated` by the trainer's recipe, {each:.0f} tokens for each weight of the blocks. Of the",
        f"learning rates {', '.join(f'{lr:g}' for lr in rates)} each model has the one with the least loss at seed 0;",
        "where it is the largest or the least, a rate beyond might be better still. Loss is cross-entropy on held-out",
        "text, in nats. Every training is a line of [records.jsonl](records.jsonl).",
        "",
        "| model | weights in blocks | tokens | compute, FLOPs |"
        + "".join(f" {NAMES[rule]}: learning rate | loss of each seed |" for rule in rules),
        "|---|---|---|---|" + "---|---|" * len(rules),
    ]
    for layers, width in sizes:
        first = of(records, layers=layers, width=width, rule="backprop")[0]
        cells = [f"{layers} x {width}", f"{first['weights']:,}", f"{first['tokens']:,}", f"{first['flops']:.2e}"]
        for rule in rules:
            chosen = best(records, layers, width, rule)
            lr = chosen[0]["lr"]
            edge = " (at the edge)" if lr in (rates[0], rates[-1]) else ""
            losses = ", ".join("diverged" if r["loss"] is None else f"{r['loss']:.3f}" for r in chosen)
            cells += [f"{lr:g}{edge}", losses]
        lines.append(f"| {' | '.join(cells)} |")
    fits = {}
    lines += ["", "loss = a · compute^-b:", "", "| rule | b, 95% interval | a |", "|---|---|---|"]
    for rule in rules:
        points = [r for s in sizes for r in best(records, *s, rule) if r["loss"] is not None]
        fits[rule] = exponent([r["flops"] for r in points], [r["loss"] for r in points])
        lines.append(f"| {NAMES[rule]} | {_told(fits[rule][0])} | {fits[rule][1]:.2f} |")
    apart = difference(fits["backprop"][0], fits["dfa"][0])
    assert apart.low is not None
    assert apart.high is not None
    verdict = "the interval covers zero: this sweep cannot tell the exponents apart"
    if apart.low > 0:
        verdict = "backpropagation gains more from compute"
    elif apart.high < 0:
        verdict = "DFA gains more from compute"
    lines += ["", f"Exponent of backpropagation less that of DFA: {_told(apart)}; {verdict}."]
    lines += ["", *_equal_loss(records, sizes, fits), *_limits(records), *_angles(records)]
    return "\n".join(lines) + "\n"


def _equal_loss(
    records: Sequence[Record], sizes: Sequence[tuple[int, int]], fits: dict[str, tuple[Interval, float]]
) -> list[str]:
    """The compute that backpropagation needs for what DFA reached, by its law, and whether that is an extrapolation."""
    b, a = fits["backprop"][0].estimate, fits["backprop"][1]
    largest = best(records, *sizes[-1], "dfa")
    loss = float(np.mean([r["loss"] for r in largest if r["loss"] is not None]))
    needed, spent = (a / loss) ** (1 / b), largest[0]["flops"]
    least = min(r["flops"] for r in of(records, rule="backprop"))
    where = "" if needed >= least else ", which lies below the smallest training here and is an extrapolation"
    return [
        f"The largest model by DFA has a mean loss of {loss:.3f} after {spent:.2e} FLOPs. Backpropagation's law has it "
        f"at {needed:.2e}: {spent / needed:.1f} times fewer{where}.",
        "",
    ]


def _limits(records: Sequence[Record]) -> list[str]:
    spent = [r["flops"] for r in of(records)]
    return [
        f"Small models, over {max(spent) / min(spent):.0f} times of compute: this is no law for larger ones. The",
        "loss that no model can get below is not fitted; with it an exponent would be larger. Recipe and schedule are",
        "backpropagation's but for the learning rate; DFA wanted others in the original study. FLOPs are those of",
        "the products of both passes and of the projection; that DFA can update blocks in any order is not counted.",
        "",
    ]


def _angles(records: Sequence[Record]) -> list[str]:
    found = next(record for record in records if "angles" in record)
    names = list(found["angles"][0][1])
    lines = [
        f"## Alignment on the way, {found['layers']} x {found['width']}",
        "",
        "Cosine between the gradient that DFA gives a feedback point and the true one, mean over the tokens of a",
        "held-out batch; 1 is backpropagation, 0 chance.",
        "",
        f"| tokens | {' | '.join(f'`{name}`' for name in names)} |",
        "|---|" + "---|" * len(names),
    ]
    lines += [f"| {seen:,} | {' | '.join(f'{at[name]:.3f}' for name in names)} |" for seen, at in found["angles"]]
    return lines
