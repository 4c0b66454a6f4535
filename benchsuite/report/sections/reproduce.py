"""The command, the version and the digests that lead to the same cases and data."""

from __future__ import annotations

from benchsuite import format
from benchsuite.report.blocks import Block, Definitions, Fields, Section, Text, Verbatim, several


def blocks(document: Fields) -> list[Block]:
    found: list[Block] = []
    for run in document["runs"]:
        how = run["how_to_reproduce"]
        found += [Text(f"{run['name']}:")] if several(document) else []
        found.append(Verbatim(how["command"] or "no command recorded"))
        about = [
            ("benchsuite", how["benchsuite_version"] or format.UNKNOWN),
            ("started", run["created"] or format.UNKNOWN),
            ("digest of the cases", how["cases_digest"]),
        ]
        found.append(Definitions(about + data_digests(run), code=True))
    return found


def data_digests(run: Fields) -> list[tuple[str, str]]:
    """Return (name, digest) of the texts, tokenizers and tasks behind a run's models, each once."""
    found: dict[tuple[str, str], None] = {}
    for digests in run["how_to_reproduce"]["data_digests"].values():
        for name, digest in digests.items():
            found[name.replace("_", " "), str(digest)] = None
    return list(found)


SECTION = Section(key="reproduce", title="How to reproduce", blocks=blocks, fold=True)
