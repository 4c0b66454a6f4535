"""Numbers on the command line: each has a least and a most, and is a number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer
from typer.testing import CliRunner

from benchsuite.cli import build_app
from benchsuite.engine import slurm
from benchsuite.errors import UserError
from benchsuite.gating import sides


def numbers(app: typer.Typer, path: tuple[str, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every option of every command that takes a number: its name and the command's, the command as an application of
    its own, which is quickly built, and what typer knows of the option."""
    for group in app.registered_groups:
        yield from numbers(group.typer_instance, (*path, str(group.name)))
    for command in app.registered_commands:
        alone = typer.Typer()
        alone.command()(command.callback)
        for name, hint in get_type_hints(command.callback, include_extras=True).items():
            value, *about = get_args(hint) or (hint,)
            kinds = {value, *get_args(value)}
            if kinds & {int, float} and about:
                option = next(iter(about[0].param_decls), None) or f"--{name.replace('_', '-')}"
                yield " ".join((*path, str(command.name), option)), (option, alone, about[0])


NUMBERS: dict[str, Any] = dict(numbers(build_app()))


def test_there_are_numbers_of_both_types() -> None:
    wanted = {"doctor --noise", "gate --minutes", "calibrate --minutes", "pretrain --lr", "plan --mfu", "run --seeds"}
    assert wanted <= {*NUMBERS}


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_has_a_least_and_a_most_and_nan_is_none(name: str) -> None:
    option, command, about = NUMBERS[name]
    assert about.min is not None
    assert about.max is not None
    for hostile in ("nan", "9" * 400, "x"):
        result = CliRunner().invoke(command, [f"{option}={hostile}"], env={"COLUMNS": "300"})
        assert result.exit_code == 2, (hostile, result.output)
        assert f"'{option}'" in result.output, (hostile, result.output)


@pytest.mark.parametrize(
    "told", ["gpus_per_node=x", "gpus_per_node=0", "mem_gb=-1", "time=nan", "time=1e9", "mem_gb=.5"]
)
def test_slurm_s_numbers_too(told: str) -> None:
    key, _, value = told.partition("=")
    with pytest.raises(UserError, match=f"--slurm {told}"):
        slurm._parameters({key: value}, ranks=1)


def test_a_home_of_nobody_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no path"):
        sides.parse(["python:~no-such-user/bin/python"], print)
