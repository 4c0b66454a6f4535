"""The options that several commands share, and the values of options as people write them: 4G, 10m, 2%."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from benchsuite.errors import UserError
from benchsuite.limits import MOST_JOBS, MOST_REPLICATES, MOST_S

DEVICES = "auto (all accelerators, else cpu), cpu, cuda, cuda:1, mps, xpu; cuda:0,cuda:1 share the layers out."
Device = Annotated[
    str, typer.Option(help="auto (an accelerator where there is one, else cpu), cpu, cuda, cuda:1, mps, xpu.")
]
Only = Annotated[list[str] | None, typer.Option(help="Keep the cases whose label matches, as 'activation/swiglu*'.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="Override a key: quality.train.tokens=200k.")]
Seeds = Annotated[
    int | None,
    typer.Option(min=1, max=MOST_REPLICATES, help="Seeds of the quality part; the most of them with --until."),
]
Corpora = Annotated[
    list[str] | None, typer.Option("--corpus", help="Train on this text; repeat the option to compare several.")
]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1, max=MOST_JOBS, help="Quality jobs side by side; default: one a core, on a GPU what keeps it busy."
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(help="float32, bfloat16 or float16: of all layers and operators, and the precision of trainings."),
]
Scale = Annotated[
    str | None,
    typer.Option(help="Another size: of an ablation nano, 125m, 350m, 760m, 1b3; of quick 0.4m, 3m, 12m, 30m, 125m."),
]
Until = Annotated[
    str | None,
    typer.Option(
        metavar="decided",
        help="decided: add seeds until each token ratio excludes 1 or is within quality.margin of it, the time is "
        "spent, or there are --seeds (default: quality.most_seeds) of them. Intervals allow for every look.",
    ),
]
LEAST_MEMORY = 64 * 2**20  # Python alone takes as much
MOST_MEMORY = 2**50


def bytes_(text: str) -> int:
    """`4G`, `512M` or a number as bytes, with binary prefixes. Raises UserError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", text.strip(), re.IGNORECASE)
    if match is None or float(match[1]) == 0:
        raise UserError(f"--memory-limit {text}: should be a number of bytes", hint="for instance --memory-limit 4G")
    value = float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " ")
    if not LEAST_MEMORY <= value <= MOST_MEMORY:
        raise UserError(
            f"--memory-limit {text}: a job takes from {LEAST_MEMORY // 2**20} MiB to {MOST_MEMORY // 2**40} TiB",
            hint="for instance --memory-limit 4G",
        )
    return int(value)


def seconds(text: str) -> float:
    """`90s`, `10m` or `2h` as seconds. Raises UserError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", text.strip(), re.IGNORECASE)
    if match is None or float(match[1]) == 0:
        raise UserError(f"--budget {text}: should be a time", hint="for instance --budget 10m, 90s or 2h")
    value = float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2].lower()]
    if value > MOST_S:
        raise UserError(f"--budget {text}: should be at most {MOST_S / 3600:.0f} h")
    return value


def fraction(option: str, text: str) -> float:
    """`2%` or `0.02` as 0.02. Raises UserError."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise UserError(f"{option} {text}: should be a share, as 2%")
    return value
