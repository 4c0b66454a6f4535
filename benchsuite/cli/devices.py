"""The device of a command: chosen, and said on stderr before anything else."""

from __future__ import annotations

import os

from benchsuite.errors import UserError


def chosen(asked: str, *, many: bool = True) -> str:
    """Say which device `asked` (`auto` or a name) stands for and why, and return its name. Raises UserError for one
    that is not here, and for several where a command takes one."""
    from rich.console import Console

    from benchsuite import devices

    if "," in asked and not many:
        raise UserError(f"--device {asked}: this command works on one device", hint=f"--device {asked.split(',')[0]}")
    choice = devices.choose(asked, many=many)
    if os.environ.get("RANK", "0") == "0":  # of several processes that train one model
        Console(stderr=True, soft_wrap=True, highlight=False).print(str(choice), markup=False)
    return choice.device


def usable(asked: str) -> str:
    """The same for a command that works on one model in this process. Raises UserError where torch sees no such
    device."""
    from benchsuite import devices

    found = devices.named(chosen(asked, many=False))
    if why_not := f"{found} computes nothing" if found.scripted else found.problem():
        raise UserError(f"--device {found}: {why_not}", hint="`benchsuite doctor` says more")
    return found.name
