"""Ids of cases of every kind, as the first version with typed parameters found them: a case that means the same keeps
its id, and with it its place in `compare`, baselines and runs that are resumed."""

from __future__ import annotations

from typing import Any

import pytest

from benchsuite.planning.machine import Machine
from benchsuite.planning.plan import plan

IDS: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    ("operators", {}, {
        "gelu/check/float64": "01af33c1c4b1", "gelu/2048x1376/fwd+bwd/float32/fused": "de570319efa0",
    }),
    ("peers", {}, {"baseline/nanogpt/step": "2ed1ee0f33bf", "evaluation/benchsuite": "f77b0c5350a3"}),
    ("dfa", {}, {"nerf/scene/backprop": "11923db3cdb4", "nerf/scene/backprop/step": "b4ec3fcd13b7"}),
    ("steps", {}, {
        "baseline/eager/step/125m": "771bbe6c4201", "embedding_norm/on/sdpa/step/125m": "444ee333f85e",
    }),
    ("ablation-embedding-norm", {}, {"embedding_norm/on/stability/float32/lr-1x": "52c95b29c724"}),
    ("ablation-position", {"scale": "1b3"}, {"baseline/quality": "de9df7328caa"}),
    ("ablation-activation", {"scale": "125m"}, {
        "activation/gelu/eager/layer/fwd+bwd": "c1bb12d644c5", "control/same_step/bfloat16": "bdc38d18230c",
        "baseline/search/lr-0.5x": "432564ce07e1",
    }),
]  # fmt: skip


@pytest.mark.parametrize(("suite", "options", "ids"), IDS, ids=[suite for suite, _, _ in IDS])
def test_a_case_that_means_the_same_keeps_its_id(suite: str, options: dict[str, Any], ids: dict[str, str]) -> None:
    found = {case.label: case.id for case in plan(suite, machine=Machine(cores=2), **options).cases}
    assert {label: found.get(label) for label in ids} == ids
