"""The device of a command that works on one model by hand."""

from __future__ import annotations


def checked(device: str) -> None:
    """Raise UserError for a name that is none, and for a device that torch does not see."""
    from benchsuite import devices
    from benchsuite.errors import UserError

    found = devices.named(device)
    if why_not := found.problem() if not found.scripted else f"{device} computes nothing":
        raise UserError(f"--device {device}: {why_not}", hint="`benchsuite doctor` says why")
