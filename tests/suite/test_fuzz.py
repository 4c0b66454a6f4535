"""Hostile suites and overrides: each is read and planned, or refused with one message; nothing else ever happens."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.fuzz import FEW, MANY, mutated, places, refused_at_most

from benchsuite.planning import plan, preflight
from benchsuite.suite.schema import Suite
from benchsuite.suite.source import read, validate
from benchsuite.suite.yaml_tree import parse

SUITE: dict[str, Any] = {
    "name": "small",
    "model": {"layers": 1, "width": 8, "heads": 2, "vocab": 300, "seq": 8},
    "baseline": {"activation": "gelu", "position": "learned", "corpus": "curated", "languages": "en"},
    "speed": {
        "rounds": 3,
        "sample_s": 0.1,
        "timeout_s": 60,
        "threads": 1,
        "call_limit_s": 1.0,
        "cases": [
            {"component": "activation", "variants": ["swiglu"], "implementations": ["eager"], "shape": {"batch": 1}},
            {"component": ["position"], "variants": "macro", "scope": "step", "shape": "model"},
            {"component": "position", "variants": "all", "shapes": [{"name": "a", "batch": 1}, {"seq": 16}]},
        ],
    },
    "quality": {
        "seeds": 2,
        "timeout_s": 100,
        "train": {"tokens": "60k", "batch": 4, "lr": 0.003, "ramp_tokens": 0, "decay_tokens": 0, "warmup": 0.1},
        "tokenizer": {"vocab": 290, "corpora": ["curated"], "train_bytes": 1000},
        "tasks": {"source": "world", "limit": 10, "names": ["last_word"]},
        "variants": {"position": ["none", "alibi"], "embedding_norm": "on", "corpus": ["web_raw"]},
        "recipes": {"masked": {"stages": [{"architecture": "prefix", "objective": "prefix-lm", "tokens": "0.5x"}]}},
        "stability": {"lr": [1, 4], "precisions": ["float32"], "tokens": 1000, "seeds": 1},
        "controls": [{"name": "fewer", "set": {"train.tokens": "0.25x"}, "expect": "worse"}],
        "matchings": ["iso-parameter"],
        "heldout_bytes": 6000,
        "longest": 16,
    },
}
HOSTILE: list[Any] = [
    *(0, -1, 1, 2, 7, 10**9, 10**15, 10**30, 2**63, -(2**63), 1e308, -1e308, 5e-324, float("inf"), float("nan"), 0.5),
    *(
        True,
        False,
        None,
        "",
        " ",
        "off",
        "on",
        "nan",
        ".inf",
        "-1",
        "1k",
        "1e400k",
        "infM",
        "nanG",
        "-5k",
        "0x",
        "0.25x",
    ),
    *(
        "9" * 50 + "x",
        "9" * 400 + "x",
        "1e5x",
        "\u202e",
        "é" * 60,
        "a" * 300,
        "a" * 5000,
        "../..",
        "/dev/zero",
        "/dev/null",
    ),
    *(
        "/",
        ".",
        "~nobody-of-that-name",
        "hub:",
        "hub:a",
        "hub:a/b:c:d:e:f",
        "hub:a/b@c#d",
        "mix:",
        "mix:en",
        "mix:en+eu@1:x",
    ),
    *("mix:en+eu@1:facts-{language}", "{language}", "{", "facts-", "facts-xx", "facts-{language}", "eleven@9", "en+en"),
    *(
        "eleven@" + "9" * 400,
        "all",
        "macro",
        "swiglu",
        "rotary",
        "[bold]",
        "step",
        "fwd",
        "float16",
        "compile",
        "fused",
    ),
    *(
        "multitask",
        "encdec",
        "span-corruption",
        "derived",
        "facts",
        "graph-hot",
        [],
        {},
        [[]],
        [None],
        [0],
        ["all", "all"],
    ),
    *(["gelu"] * 300, {"a": {"b": {}}}, {"": ""}, [{}] * 3, {"set": {"train.lr": "9" * 400 + "x"}}, {"model.width": 7}),
    *({"train": 3}, {"init_offset": 10**40}, {"train.lr": "nan"}, {"model.layers": "99999999x"}),
]
MACHINE = plan.Machine(cores=2)
KEYS = ("x", "tokens", "set", "name", "include", "scale", "at", "0")


def planned(suite: Suite) -> None:
    """Plans the suite, looks at what its jobs would refuse, and writes the plan down."""
    resolved = plan.resolve(suite, MACHINE)
    preflight.check(resolved.cases)
    preflight.check_machine(resolved.cases, Path(), memory_bytes=2**30, cores=2, network=False)
    json.dumps(resolved.to_json(), allow_nan=False).encode()


def attack_a_file(data: st.DataObject) -> None:
    text = yaml.safe_dump(mutated(data, SUITE, HOSTILE, KEYS), allow_unicode=True)
    with refused_at_most():
        planned(validate(parse(text.encode("utf-8", "surrogatepass"), "suite.yaml")))


def attack_by_set(data: st.DataObject, path: Path) -> None:
    keys = [".".join(map(str, place)) for place in places(SUITE)]
    key = st.sampled_from(keys) | st.sampled_from(
        ["scale", "include", "at", "name.x", "speed.cases.9", "quality..x", "a"]
    )
    value = st.sampled_from([str(value) for value in HOSTILE]) | st.text(max_size=12)
    sets = data.draw(st.lists(st.builds("{}={}".format, key, value) | st.text(max_size=12), min_size=1, max_size=3))
    with refused_at_most():
        planned(read(str(path), sets=[os.fsdecode(text.encode("utf-8", "surrogatepass")) for text in sets]))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("suites") / "small.yaml"
    file.write_text(yaml.safe_dump(SUITE))
    return file


def test_the_suite_that_is_attacked_is_a_good_one(path: Path) -> None:
    planned(read(str(path)))


@pytest.mark.slow
@FEW
@given(data=st.data())
def test_a_hostile_suite_is_planned_or_refused(data: st.DataObject) -> None:
    attack_a_file(data)


@pytest.mark.slow
@FEW
@given(data=st.data())
def test_a_hostile_override_is_planned_or_refused(data: st.DataObject, path: Path) -> None:
    attack_by_set(data, path)


@pytest.mark.long
@MANY
@given(data=st.data())
def test_ten_thousand_suites(data: st.DataObject) -> None:
    attack_a_file(data)


@pytest.mark.long
@MANY
@given(data=st.data())
def test_ten_thousand_overrides(data: st.DataObject, path: Path) -> None:
    attack_by_set(data, path)
