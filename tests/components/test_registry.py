"""The registry: what is in it, how it refuses, and a variant added from outside the package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchsuite import components
from benchsuite.errors import UserError

MISH = """
from benchsuite.components import variant

@variant("activation", "mish", summary="x tanh(softplus(x))", source="arXiv:1908.08681")
def mish():
    from torch.nn.functional import mish
    return mish
"""


def install(folder: Path, source: str) -> dict[str, str]:
    """Lays a package with one plug-in module into `folder`, as pip would, and returns the environment that sees it."""
    (folder / "mish_plugin.py").write_text(source)
    info = folder / "mish_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mish-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[benchsuite.components]\nmish = mish_plugin\n")
    return {**os.environ, "PYTHONPATH": str(folder)}


def python(code: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)


def test_the_variants_of_the_original_study_are_there() -> None:
    assert list(components.variants("activation")) == ["gelu", "geglu", "swiglu", "relu", "relu2"]
    assert list(components.variants("position")) == ["none", "learned", "sinusoidal", "rotary", "alibi", "t5"]
    assert list(components.variants("embedding_norm")) == ["off", "on"]


def test_every_variant_names_its_source() -> None:
    for component in components.COMPONENTS:
        for entry in components.variants(component).values():
            assert entry.summary
            assert entry.source


def test_an_unknown_name_gets_the_near_one() -> None:
    with pytest.raises(UserError, match="did you mean 'swiglu'"):
        components.get("activation", "swigluu")
    with pytest.raises(UserError, match="unknown component 'activations'"):
        components.variants("activations")


def test_listing_does_not_import_torch() -> None:
    code = (
        "import sys; from benchsuite import components; components.variants('position'); print('torch' in sys.modules)"
    )
    assert python(code, dict(os.environ)).stdout.strip() == "False"


def test_a_plugin_from_outside_is_trained_like_a_built_in_variant(tmp_path: Path) -> None:
    code = (
        "import torch; from benchsuite.model.gpt import GPT; from benchsuite.model.spec import ModelSpec\n"
        "spec = ModelSpec(layers=1, width=8, heads=2, vocab=16, seq=4, activation='mish')\n"
        "model = GPT(spec); x = torch.zeros(1, 4, dtype=torch.int64); model.loss(x, x).backward()\n"
        "print(model.blocks[0].ffn.act.__name__, model.blocks[0].ffn.up.weight.grad.abs().sum() > 0)"
    )
    done = python(code, install(tmp_path, MISH))
    assert done.stdout.split() == ["mish", "tensor(True)"], done.stderr


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1 / 0", "the plug-in 'mish' (mish_plugin) does not load: ZeroDivisionError"),
        ("import sys; sys.exit(0)", "the plug-in 'mish' (mish_plugin) does not load: SystemExit: 0"),
        (MISH.replace('"mish"', '"gelu"'), "registered twice"),
        (MISH.replace('"activation"', '"activations"'), "unknown component 'activations'"),
    ],
)
def test_a_bad_plugin_is_named(tmp_path: Path, source: str, message: str) -> None:
    code = "from benchsuite import components; components.variants('activation')"
    done = python(code, install(tmp_path, source))
    assert done.returncode != 0
    assert message in done.stderr


def test_what_a_plugin_prints_when_it_is_imported_is_not_on_stdout(tmp_path: Path) -> None:
    code = "from benchsuite import components; components.variants('activation'); print('{}')"
    done = python(code, install(tmp_path, f"print('hello')\n{MISH}"))
    assert (done.stdout, done.stderr) == ("{}\n", "hello\n")
