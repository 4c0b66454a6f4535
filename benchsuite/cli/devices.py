"""The device of a command that works on one model by hand."""

from __future__ import annotations

import re


def checked(device: str) -> None:
    """Raises UserError for a name that is none, and for a GPU where torch sees none. Imports torch for a GPU."""
    from benchsuite.errors import UserError

    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise UserError(f"--device {device!r} is unknown", hint="choose from: cpu, cuda, cuda:1, …")
    if device != "cpu":
        import torch

        if not torch.cuda.is_available():
            raise UserError(f"--device {device}: torch sees no GPU", hint="`benchsuite doctor` says why")
