"""`benchsuite open`: the path of the report, the latest one by default, and a browser where there is a screen."""

from __future__ import annotations

import os
import webbrowser
from pathlib import Path

import pytest
from support.command import call


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    addresses: list[str] = []
    monkeypatch.setattr(webbrowser, "open", addresses.append)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    return addresses


def page(folder: Path, age_s: int) -> Path:
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("<p>")
    os.utime(folder / "report.html", (1e9 - age_s, 1e9 - age_s))
    return folder / "report.html"


def test_the_latest_report_is_opened(tmp_path: Path, opened: list[str]) -> None:
    page(tmp_path / "runs" / "z", 100)
    newest = page(tmp_path / "runs" / "a", 0)
    assert call("open", folder=tmp_path).stdout == "runs/a/report.html\n"
    assert opened == []
    assert call("open", folder=tmp_path, DISPLAY=":0").returncode == 0
    assert opened == [newest.resolve().as_uri()]
    assert call("open", "runs/z", folder=tmp_path).stdout == "runs/z/report.html\n"


def test_what_has_no_report_is_refused_with_the_way_out(tmp_path: Path, opened: list[str]) -> None:
    (tmp_path / "empty").mkdir()
    for words, hint in (
        (("open",), "benchsuite open DIR"),
        (("open", "empty"), "benchsuite report empty"),
        (("open", "no"), "run quick"),
    ):
        done = call(*words, folder=tmp_path)
        assert done.returncode == 2
        assert hint in done.stderr
