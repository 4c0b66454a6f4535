"""The findings in plain words, and the names that people use for components and variants."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from benchsuite import format

Fields = dict[str, Any]

COMPONENTS = {
    "activation": "Activation",
    "position": "Position embedding",
    "embedding_norm": "Embedding norm",
    "corpus": "Training corpus",
    "languages": "Languages",
    "objective": "Architecture and objective",
    "adaptation": "Adaptation",
    "multitask": "Multitask finetuning",
    "learning_rule": "Learning rule",
}
RECIPES = ("objective", "adaptation", "multitask")  # trainings that differ in objective: their losses are not alike
# Of what the recipes' names are made: causal, non-causal (prefix), encoder-decoder; full, prefix, masked LM; finetuned.
RECIPE_PARTS = {
    "cd": "causal decoder",
    "nd": "prefix decoder",
    "ed": "encoder-decoder",
    "flm": "with full LM",
    "plm": "with prefix LM",
    "mlm": "with masked LM",
    "to": "→",
    "mtf": "+ finetuning",
}
VARIANTS = {
    ("activation", "gelu"): "GELU",
    ("activation", "geglu"): "GEGLU",
    ("activation", "swiglu"): "SwiGLU",
    ("activation", "relu"): "ReLU",
    ("activation", "relu2"): "Squared ReLU",
    ("position", "none"): "No position embedding",
    ("position", "learned"): "Learned positions",
    ("position", "sinusoidal"): "Sinusoidal positions",
    ("position", "rotary"): "Rotary positions",
    ("position", "alibi"): "ALiBi",
    ("position", "t5"): "T5's relative bias",
    ("embedding_norm", "on"): "Embedding norm",
    ("embedding_norm", "off"): "No embedding norm",
    ("learning_rule", "backprop"): "Backpropagation",
    ("learning_rule", "dfa"): "Direct feedback alignment",
    ("learning_rule", "dfa_micro"): "Direct feedback alignment in half blocks",
    ("learning_rule", "shallow"): "Shallow learning",
    ("languages", "en"): "English",
    ("languages", "eleven"): "Eleven languages",
}
WITHOUT = {  # as the subject of a sentence
    ("position", "none"): "Leaving out the position embedding",
    ("embedding_norm", "off"): "Leaving out the embedding norm",
}
CONTROLS = {
    "a_against_a": "A against A",
    "quarter_tokens": "A quarter of the tokens",
    "half_tokens": "Half of the tokens",
    "same_step": "A step against itself",
}
PLURALS = ("positions", "languages")
SCOPES = {"step": "training step", "layer": "layer", "evaluate": "evaluation"}
OPEN = "has no conclusive effect on "
UNCOMPARED = "could not be compared in "
_PLURAL = {"has": "have", "needs": "need", "reaches": "reach", "it": "they", "reduces": "reduce", "raises": "raise"}
_PLURAL |= {"lowers": "lower", "keeps": "keep", "its": "their"}
# What a row says about speed is the more telling the closer it is to training a model; the first match is the headline.
_SCOPES_BY_WEIGHT = ("step", "layer", "evaluate")
_DIRECTIONS_BY_WEIGHT = ("step", "fwd+bwd", "fwd")
_IMPLEMENTATIONS_BY_WEIGHT = ("fused", "sdpa", "eager", "compile")


def component_name(component: str) -> str:
    return COMPONENTS.get(component, component.replace("_", " ").capitalize())


def variant_name(component: str, variant: str) -> str:
    if component in RECIPES:
        return recipe_name(variant)
    return VARIANTS.get((component, variant), variant)


def names_apart(rows: Sequence[Fields]) -> list[str]:
    """The variants' names, with the matching where one of a run is among them at several."""
    keys = [(row["run"], row["component"], row["variant"]) for row in rows]
    several = {key for key, count in Counter(keys).items() if count > 1}
    names = [variant_name(row["component"], row["variant"]) for row in rows]
    return [
        f"{name} {row['matching']}" if key in several and row["matching"] else name
        for key, name, row in zip(keys, names, rows, strict=True)
    ]


def recipe_name(name: str) -> str:
    """A recipe in words, where its name is made of the companion study's abbreviations.

    >>> recipe_name("nd-mlm-to-cd-flm")
    'Prefix decoder with masked LM → causal decoder with full LM'
    >>> recipe_name("ed-plm+mtf"), recipe_name("mine")
    ('Encoder-decoder with prefix LM + finetuning', 'mine')
    """
    parts = name.replace("+", "-").split("-")
    if not set(parts) <= RECIPE_PARTS.keys():
        return name
    told = " ".join(RECIPE_PARTS[part] for part in parts)
    return told[:1].upper() + told[1:]


def short_name(component: str, variant: str) -> str:
    """The variant's name where room is short: "rotary", "no position"."""
    name = mid_sentence(variant_name(component, variant))
    return name.removesuffix(" positions").removesuffix(" embedding")


def subject(component: str, variant: str) -> str:
    """The variant as the subject of a sentence."""
    if component in RECIPES:
        return recipe_name(variant)
    if (component, variant) in WITHOUT:
        return WITHOUT[component, variant]
    if (component, variant) in VARIANTS:
        return VARIANTS[component, variant]
    prefix = {"corpus": "Training on ", "languages": "Training in "}.get(component, "")
    return f"{prefix}{variant}"


def mid_sentence(name: str) -> str:
    """A name as it stands inside a sentence: "learned positions", but "GELU"."""
    return name[:1].lower() + name[1:] if " " in name and name[1:2].islower() else name


def control_name(name: str) -> str:
    return CONTROLS.get(name, name.replace("_", " ").capitalize())


def speed_of_what(row: Fields) -> str:
    """What the speed of a row is the speed of: "training step, eager"."""
    scope, direction = row["scope"], row["direction"]
    parts = [SCOPES.get(scope, scope) if scope else ""]
    if direction and direction != "step":
        parts.append({"fwd": "forward", "fwd+bwd": "forward + backward"}.get(direction, direction))
    parts += [row["implementation"] or "", row.get("shape") or ""]
    parts += [row["dtype"]] if row.get("dtype") not in (None, "float32") else []
    parts += [row["matching"]] if row.get("matching") == "iso-width" else []  # iso-parameter goes without saying
    return ", ".join(part for part in parts if part)


def headline_rows(rows: list[Fields]) -> list[Fields]:
    """One row for each (run, component, variant, matching): that whose speed is nearest to training a whole model."""
    best: dict[tuple[str, ...], Fields] = {}
    for row in rows:
        key = (row["run"], row["component"], row["variant"], row["matching"] or "")
        if key not in best or _weight(row) < _weight(best[key]):
            best[key] = row
    return list(best.values())


def findings(document: Fields) -> list[Fields]:
    """One sentence for each variant, what it costs and what it brings: [{run, component, variant, sentence, ...}]."""
    return [
        {
            "run": row["run"],
            "component": row["component"],
            "variant": row["variant"],
            "baseline": row["baseline"],
            "matching": row["matching"],
            "sentence": sentence(row),
        }
        for row in headline_rows(document["rows"])
    ]


def sentence(row: Fields) -> str:
    """What a variant costs and what it brings, against its baseline.

    Where the baseline has a learning curve: "ALiBi needs 0.62x [0.55, 0.70] of the tokens and 1.03x [1.01, 1.05] of the
    time per step, so it reaches the baseline's quality in 0.64x [0.56, 0.73] of the training time here, at this budget.
    Zero-shot accuracy at equal tokens: +9.3 [+4.1, +14.5] points." Else "Rotary positions reduce training speed by 12%
    (9 to 15%) and raise zero-shot accuracy by 1.8 points (0.6 to 3.0)."
    """
    name = subject(row["component"], row["variant"])
    many = name.split()[-1] in PLURALS and not name.startswith("Leaving")
    if row["quality"]["tokens"] and row["quality"]["tokens"]["ratio"] is not None:
        return f"{name} {_tokens_clause(row, many)}."
    parts = [part for part in (_speed_clause(row), _quality_clause(row["quality"], row.get("matching") or "")) if part]
    if not parts:
        return f"{name}: not measured."
    opening = next((o for o in (OPEN, UNCOMPARED) if all(part.startswith(o) for part in parts)), None)
    if len(parts) == 2 and opening:
        parts[1] = parts[1].removeprefix(opening)
    told = f" {'or' if opening == OPEN else 'and'} ".join(parts)
    return f"{name} {_plural(told) if many else told}."


def _plural(told: str) -> str:
    """Return clauses whose verbs are for one thing with verbs for several."""
    return re.sub(rf"\b({'|'.join(_PLURAL)})\b", lambda found: _PLURAL[found[0]], told)


def _tokens_clause(row: Fields, many: bool) -> str:
    quality, speed, time = row["quality"], row["speed"], row["time"]
    tokens = quality["tokens"]
    told = f"needs {format.bounded(tokens)} of the tokens"
    open_ = " (unresolved)" if tokens["verdict"] == "unresolved" else ""
    open_ = f" (the same within {format.margin(tokens['margin'])})" if tokens["verdict"] == "same" else open_
    if time["ratio"] is not None:
        cost = format.ratio(1 / speed["ratio"], 1 / speed["high"], 1 / speed["low"])
        unsure = " (unresolved)" if time["verdict"] == "unresolved" else ""
        told += (
            f"{open_} and {cost} of the time per step, so it reaches the baseline's quality in {format.bounded(time)} "
        )
        told += f"of the training time{unsure} here, at this budget"
    else:
        told += f" for the baseline's quality{open_} here, at this budget"
        clause = _speed_clause(row)
        told += f", and {clause}" if clause else ""
    told = _plural(told) if many else told
    if quality["delta"] is not None:
        points = format.points(quality["delta"], quality["low"], quality["high"])
        if quality["trend"] and quality["trend"]["trend"]:
            told += f". Over {quality['trend']['trend']['scales']} scales its token ratio {trend(quality['trend'])}"
        told += f". Zero-shot accuracy at equal tokens: {points} points"
        told += " (unresolved)" if quality["verdict"] == "unresolved" else ""
    return told


def trend(entry: Fields) -> str:
    """Return how a token ratio moves with scale, as "shrinks from 0.50x to 0.71x" or "holds within 6%"."""
    found = entry["trend"]
    first, last = map(format.ratio, found["ends"])
    match found["verdict"]:
        case "holds":
            return f"holds within {format.margin(found['within'])}"
        case "shrinks":
            return f"comes nearer to 1, from {first} to {last}: the difference shrinks"
        case "grows":
            return f"moves away from 1, from {first} to {last}: the difference grows"
        case "turns":
            return f"crosses 1, from {first} to {last}"
        case _:
            return f"has no resolved trend: its change is {ratio_of(found['change'])}"


def ratio_of(found: Fields) -> str:
    """A ratio of `benchsuite.stats.curve`, as the document holds it."""
    return format.ratio(found["value"], found["low"], found["high"])


def _speed_clause(row: Fields) -> str:
    speed = row["speed"]
    ratio, low, high = speed["ratio"], speed["low"], speed["high"]
    of = _of_speed(row)
    match speed["verdict"]:
        case None:
            return ""
        case "slower":
            return f"reduces {of} by {format.share(1 - ratio, 1 - high, 1 - low)}"
        case "faster":
            return f"raises {of} by {format.share(ratio - 1, low - 1, high - 1)}"
        case "same":
            return f"keeps {of} the same (within {format.margin(speed['margin'])})"
        case "unclear" if low is None:
            return f"{OPEN}{of} (too few replicates for an interval)"
        case "unclear":
            return f"{OPEN}{of} ({format.ratio(low)} to {format.ratio(high)})"
        case _:
            return f"{UNCOMPARED}{of} ({speed['reason']})"


def _of_speed(row: Fields) -> str:
    scope, direction = row["scope"], row["direction"]
    equal = " at equal width" if row.get("matching") == "iso-width" else ""
    if scope == "step":
        return f"training speed{equal}"
    if scope == "evaluate":
        return "evaluation speed"
    way = {"fwd": " (forward)", "fwd+bwd": " (forward and backward)"}.get(direction or "", "")
    return f"the speed of its layer{way}{equal}"


def _quality_clause(quality: Fields, matching: str) -> str:
    delta, low, high = quality["delta"], quality["low"], quality["high"]
    of = "zero-shot accuracy" + (f" {matching}" if matching.startswith("in ") else "")
    if quality["verdict"] is None:
        return ""
    if delta is None:
        return f"{UNCOMPARED}quality ({quality['reason']})" if quality["reason"] else ""
    match quality["verdict"]:
        case "better":
            return f"raises {of} by {format.points_in_words(delta, low, high)}"
        case "worse":
            return f"lowers {of} by {format.points_in_words(-delta, -high, -low)}"
        case _ if quality["covers_seeds"] is False:
            return f"{OPEN}{of} (one seed; {format.span(low, high)} points by documents alone)"
        case _:
            return f"{OPEN}{of} ({format.span(low, high)} points)"


def _weight(row: Fields) -> tuple[int, ...]:
    verdict = row["speed"]["verdict"]
    return (
        verdict in (None, "incomparable"),
        _place(row["scope"], _SCOPES_BY_WEIGHT),
        _place(row["direction"], _DIRECTIONS_BY_WEIGHT),
        _place(row["implementation"], _IMPLEMENTATIONS_BY_WEIGHT),
    )


def _place(value: str | None, order: tuple[str, ...]) -> int:
    return order.index(value) if value in order else len(order)
