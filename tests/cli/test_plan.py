"""`benchsuite plan`: tables and JSON, nothing run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from benchsuite.cli import plan

SUITE = """
name: small
model: {layers: 1, width: 8, heads: 2, vocab: 300, seq: 8}
speed:
  cases:
    - {component: activation, variants: [swiglu], implementations: [eager, sdpa], shape: {batch: 1}}
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "small.yaml"
    file.write_text(SUITE)
    return str(file)


def invoke(*arguments: str) -> str:
    app = typer.Typer()
    app.command()(plan.command)
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False, env={"COLUMNS": "160"})
    assert result.exit_code == 0
    return result.stdout


def test_the_table_names_cases_totals_and_what_is_unsupported(path: str) -> None:
    out = invoke(path)
    assert "activation/swiglu/eager/layer/fwd+bwd" in out
    assert "4 cases, 20 measurements, 2 comparisons" in out
    assert "activation gelu has no implementation 'sdpa'" in out
    assert "where comparisons need more" in out
    assert "A valid answer takes at least about" in out


def test_json_holds_the_cases(path: str) -> None:
    document = json.loads(invoke(path, "--json", "--only", "*/eager/*"))
    assert [case["label"] for case in document["cases"]] == [
        "activation/gelu/eager/layer/fwd+bwd",
        "activation/swiglu/eager/layer/fwd+bwd",
    ]
    assert 0 < document["estimate_least_s"] < document["estimate_s"] < document["estimate_most_s"]
