"""The machine of each run."""

from __future__ import annotations

from benchsuite import format
from benchsuite.report import effort
from benchsuite.report.blocks import Block, Definitions, Fields, Section, Text, several


def blocks(document: Fields) -> list[Block]:
    found: list[Block] = []
    for run in document["runs"]:
        found += [Text(f"{run['name']}:")] if several(document) else []
        spent = [("timed work", effort.sentence(run["effort"]))] if run["effort"] else []
        lines = hardware_lines(run["hardware"]) + spent
        found.append(Definitions(lines) if lines else Text(format.UNKNOWN))
    return found


def hardware_lines(hardware: Fields, prefix: str = "") -> list[tuple[str, str]]:
    """Return the fingerprint as (name, value); nested names are joined, bytes and unknown values written out."""
    lines: list[tuple[str, str]] = []
    for key, value in hardware.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, dict):
            lines += hardware_lines(value, "" if key in ("identity", "context") else f"{prefix}{key} ")
        elif value is None:
            lines.append((name, format.UNKNOWN))
        elif isinstance(value, bool):
            lines.append((name, "yes" if value else "no"))
        elif key.endswith("_bytes") and isinstance(value, int | float):
            lines.append((name.removesuffix(" bytes"), format.bytes_(value)))
        elif isinstance(value, list):
            items = [", ".join(v for _, v in hardware_lines(i)) if isinstance(i, dict) else str(i) for i in value]
            lines.append((name, "; ".join(items) or "none"))
        else:
            lines.append((name, str(value)))
    return lines


SECTION = Section(key="hardware", title="Hardware and software", blocks=blocks, fold=True)
