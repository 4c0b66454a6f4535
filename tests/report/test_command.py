import json
import re
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from benchsuite.cli.report import command
from benchsuite.errors import UserError

app = typer.Typer()
app.command()(command)
runner = CliRunner()


def test_without_options_it_writes_into_the_run_and_prints(small):
    result = runner.invoke(app, [str(small)])
    assert result.exit_code == 0
    assert "Rotary positions reduce training speed" in result.output
    assert {"report.html", "report.md", "report.json"} <= {path.name for path in small.iterdir()}


@pytest.mark.parametrize("options", [["--format", "json"], ["--json"]])
def test_json_alone_is_on_stdout(small, options):
    result = runner.invoke(app, [str(small), *options])
    assert json.loads(result.stdout)["run"] == "small"
    assert not (small / "report.html").exists()


def test_several_runs_into_a_file_whose_ending_chooses(small, quick, tmp_path):
    result = runner.invoke(app, [str(small), str(quick), "-o", str(tmp_path / "both.md")])
    assert result.exit_code == 0
    assert (tmp_path / "both.md").read_text().startswith("# ")


def test_several_runs_without_a_file_are_printed_side_by_side(small, quick):
    before = {path.name for path in small.iterdir()}
    result = runner.invoke(app, [str(small), str(quick)])
    assert result.exit_code == 0
    assert re.search(r"small +quick", result.output)
    assert re.search(r"Position embedding +(use|keep) ", result.output)
    assert "-o report.html" in result.output
    assert {path.name for path in small.iterdir()} == before, "nothing is written without a place"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "report.pdf"], "the ending names no format"),
        (["--json", "--format", "md"], "contradict"),
    ],
)
def test_wrong_use_is_a_user_error(small, options, message):
    result = runner.invoke(app, [str(small), *options])
    assert isinstance(result.exception, UserError)
    assert message in result.exception.message


@pytest.mark.slow
def test_nothing_heavy_is_imported_before_it_is_needed():
    heavy = "{'scipy', 'numpy', 'jinja2', 'torch'}"
    code = f"import sys, benchsuite.cli.report; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
