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


@pytest.mark.slow
def test_listing_does_not_import_torch() -> None:
    code = (
        "import sys; from benchsuite import components; components.variants('position'); print('torch' in sys.modules)"
    )
    assert python(code, dict(os.environ)).stdout.strip() == "False"


@pytest.mark.slow
def test_a_plugin_from_outside_is_trained_like_a_built_in_variant(tmp_path: Path) -> None:
    code = (
        "import torch; from benchsuite.model.gpt import GPT; from benchsuite.model.spec import ModelSpec\n"
        "spec = ModelSpec(layers=1, width=8, heads=2, vocab=16, seq=4, activation='mish')\n"
        "model = GPT(spec); x = torch.zeros(1, 4, dtype=torch.int64); model.loss(x, x).backward()\n"
        "print(model.blocks[0].ffn.act.__name__, model.blocks[0].ffn.up.weight.grad.abs().sum() > 0)"
    )
    done = python(code, install(tmp_path, MISH))
    assert done.stdout.split() == ["mish", "tensor(True)"], done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1 / 0", "ZeroDivisionError"),
        (MISH + "1 / 0", "ZeroDivisionError"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        (MISH.replace('"mish"', '"gelu"'), "registered twice"),
        (MISH.replace('"activation"', '"activations"'), "unknown component 'activations'"),
    ],
)
def test_a_bad_plugin_is_named_and_left_out(tmp_path: Path, source: str, message: str) -> None:
    code = "from benchsuite import components; print(*components.variants('activation'))"
    done = python(code, install(tmp_path, source))
    assert done.returncode == 0
    assert done.stdout.split() == ["gelu", "geglu", "swiglu", "relu", "relu2"]
    assert done.stderr.startswith("benchsuite: the plug-in 'mish' (mish_plugin) does not load: ")
    assert message in done.stderr
    assert "fix or uninstall mish-plugin" in done.stderr


@pytest.mark.slow
def test_what_a_broken_plugin_would_have_brought_is_told(tmp_path: Path) -> None:
    code = "from benchsuite import components; components.get('activation', 'mish')"
    done = python(code, install(tmp_path, MISH + "1 / 0\n"))
    assert "unknown activation 'mish'" in done.stderr.splitlines()[-2]
    assert "the plug-in 'mish' (mish_plugin) does not load: ZeroDivisionError" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_what_a_plugin_prints_is_no_part_of_a_document(tmp_path: Path) -> None:
    code = "from benchsuite import components; print(components.get('activation', 'mish').name)"
    assert python(code, install(tmp_path, "print('hello')" + MISH)).stdout == "mish\n"


@pytest.mark.slow
def test_the_plugin_of_the_contributors_page_loads(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/development/add-a-variant.md").read_text()
    [source] = [block for block in page.split("```python\n") if block.startswith("# my_package/mish.py")]
    code = "from benchsuite import components; print(components.get('activation', 'mish').build().__name__)"
    done = python(code, install(tmp_path, source.partition("```")[0]))
    assert done.stdout == "mish\n", done.stderr
