"""The name of the `speed` fixture, and which tests use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

FIXTURE = "speed"
PLUGIN = "benchsuite.pytest_plugin"  # the module that defines it


def uses_fixture(item: pytest.Item) -> bool:
    """Return whether a test uses the fixture of the plug-in, and not one of its own by the same name."""
    found: Any = getattr(item, "_fixtureinfo", None)
    definitions: Any = found.name2fixturedefs.get(FIXTURE) if found is not None else None
    return bool(definitions) and definitions[-1].func.__module__ == PLUGIN
