"""Output that several commands share: a progress bar on stderr, and a document beside its page."""

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
    """Yield a function that moves a progress bar, which appears with the first call and is gone at the end."""
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


def write(folder: Path, name: str, document: dict[str, Any], markdown: str, junit: str = "") -> None:
    """Write `name`.json, `name`.md and, if there is one, `name`.xml into `folder`, each whole or not at all."""
    from benchsuite import files
    from benchsuite.cache import write_atomically

    texts = {".json": json.dumps(document, indent=1) + "\n", ".md": markdown, **({".xml": junit} if junit else {})}
    for suffix, text in texts.items():
        with write_atomically(files.real(folder) / (name + suffix)) as temporary:
            temporary.write_text(text, encoding="utf-8")
