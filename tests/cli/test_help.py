"""`--help` of every command, word for word: options, defaults and texts, without the frames that rich draws."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer
from support.golden import FOLDER, Golden
from typer.utils import get_params_from_function

from benchsuite.cli import build_app


def commands(app: typer.Typer, *names: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every command of an application with its full name."""
    for command in app.registered_commands:
        assert command.callback is not None
        yield "-".join((*names, str(command.name or command.callback.__name__.rstrip("_")))), command.callback
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from commands(group.typer_instance, *names, str(group.name))


COMMANDS = dict(commands(build_app()))


def described(function: Callable[..., Any]) -> str:
    """The help of a command: its docstring, and the declaration, type, default and text of each parameter."""
    lines = [inspect.cleandoc(function.__doc__ or ""), ""]
    for name, parameter in get_params_from_function(function).items():
        about = parameter.default  # what typer.Option or typer.Argument says
        kind = getattr(parameter.annotation, "__name__", "") or str(parameter.annotation)
        needed = "required" if about.default is ... else f"[{about.default}]" if about.default else ""
        lines += [" ".join(filter(None, (", ".join(about.param_decls or (name,)), kind, needed)))]
        lines += [f"    {' '.join((about.help or '').split())}"]
    return "\n".join(line.rstrip() for line in lines).strip() + "\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_it_said(name: str, golden: Golden) -> None:
    golden(f"help/{name}.txt", described(COMMANDS[name]))


def test_there_is_no_help_of_a_command_that_is_gone() -> None:
    assert {path.stem for path in (FOLDER / "help").iterdir()} == set(COMMANDS)
