"""What several commands write alike: a progress bar on stderr, and a document beside its page."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

Say = Callable[[str, float, float], None]  # what is being done, how much of it, of how much


@contextlib.contextmanager
def progress() -> Iterator[Say]:
    """Give what moves a bar with an estimate, which appears with the first call and is gone at the end."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from benchsuite.text import line

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    shown = Progress(*columns, console=Console(stderr=True), transient=True)
    bar = shown.add_task("starting", total=None)

    def say(text: str, done: float, total: float) -> None:
        shown.start()
        shown.update(bar, description=line(text), completed=done, total=total)

    try:
        yield say
    finally:
        shown.stop()


def counted(items: Iterable[T], total: int, text: str) -> Iterator[T]:
    """The items, with a bar."""
    with progress() as say:
        for number, item in enumerate(items):
            say(text, number, total)
            yield item


def write(folder: Path, name: str, document: dict[str, Any], markdown: str) -> None:
    """Writes `name`.json and `name`.md into `folder`, whole or not at all."""
    from benchsuite import files
    from benchsuite.cache import write_atomically

    for suffix, text in ((".json", json.dumps(document, indent=1) + "\n"), (".md", markdown)):
        with write_atomically(files.real(folder) / (name + suffix)) as temporary:
            temporary.write_text(text, encoding="utf-8")
