"""Every trained model, its seeds side by side."""

from __future__ import annotations

from benchsuite import format
from benchsuite.report import view
from benchsuite.report.blocks import Block, Cell, Column, Fields, Section, Table, Text, run_of

NOTE = "Losses of models of different corpora, or taught different objectives, do not compare."
COLUMNS = (
    Column("Model"),
    Column("Corpus"),
    Column("Parameters", numeric=True),
    Column("Tokens", numeric=True),
    Column("Accuracy", "by seed", numeric=True),
    Column("Bits per byte", "by seed", numeric=True),
    Column("Final loss", "by seed", numeric=True),
)


def blocks(document: Fields) -> list[Block]:
    by_case: dict[tuple[str, str], list[Fields]] = {}
    for model in document["training"]:
        by_case.setdefault((model["run"], model["case"]), []).append(model)
    rows = [_row(document, seeds) for seeds in by_case.values()]
    return [Text(NOTE, "note"), Table(COLUMNS, rows, "Trained models", filter=True)] if rows else []


def _row(document: Fields, seeds: list[Fields]) -> tuple[Cell, ...]:
    first = seeds[0]
    return (
        Cell(view.model_name(first), run_of(document, first)),
        Cell(first["corpus"] or "not recorded"),
        Cell(format.si(first["parameters"], ""), sort=first["parameters"]),
        Cell(format.si(first["tokens"], ""), sort=first["tokens"]),
        Cell(", ".join(format.percent(model["acc"]) for model in seeds)),
        Cell(", ".join(format.number(model["bits_per_byte"]) for model in seeds)),
        Cell(", ".join(format.number(model["final_loss"]) for model in seeds)),
    )


SECTION = Section(key="models", title="Trained models", blocks=blocks, absent="trained models", fold=True)
