"""What a history says: no change found is not no change, and nothing of another's text acts."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from support.hostile import HOSTILE_TEXT, LINKED, Tags, rendered

from benchsuite.gating.history import Point, Series
from benchsuite.report import history_page as pages
from benchsuite.stats.levels import pieces


def series(case: str, times: list[float], run: str = "run", commit: str | None = "c" * 40) -> Series:
    points = tuple(Point(f"{run}{n}", f"2026-01-{n + 1:02d}", commit) for n in range(len(times)))
    return Series(case, points, tuple(times), tuple(pieces(times)))


NOISE = list(np.exp(np.random.default_rng(3).normal(0, 0.3, 12)))


@pytest.mark.parametrize(
    ("times", "verdict", "said"),
    [
        ([1.0], "unclear", "a change shows in 4 runs at least, and there is 1"),
        ([1.0, 5.0, 1.0], "unclear", "a change shows in 4 runs at least, and there are 3"),
        ([1.0, 1.0, 1.0, 5.0], "unclear", "the last run took 5.00x of the level"),
        ([1.0, 1.001] * 20 + [5.0], "unclear", "the last run took 5.0"),
        (NOISE, "unclear", "only a change by "),
        ([1.0, 5.0] * 6, "unclear", "would have been found"),
        ([1.0, 1.001, 0.999] * 4, "steady", "no change; a change by 0."),
        ([1.0] * 4, "steady", "no change; a change by 0."),
        ([1.0] * 6 + [5.0] * 6, "slower", "slower 5.000x since run6, commit cccccccccccc"),
        ([1.0] * 6 + [0.5] * 6, "faster", "faster 0.500x since run6"),
    ],
)
def test_what_is_said_of_a_case(times: list[float], verdict: str, said: str) -> None:
    document = pages.document([series("a", times)], 0.02, [])
    (row,) = document["cases"]
    assert row["verdict"] == verdict
    assert said in pages.page(document)
    told = pages.markdown(document)
    assert "hold their level" not in told
    assert ("Of 1 nothing can be said." in told) == (verdict == "unclear")
    assert ("1 did not: a change by 2%" in told) == (verdict == "steady")
    assert told.count(f"{int(verdict in ('slower', 'faster'))} of 1 case changed by more than 2%.") == 1


@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(HOSTILE_TEXT, HOSTILE_TEXT, HOSTILE_TEXT)
def test_no_text_of_others_acts(one: str, two: str, three: str) -> None:
    found = [series(one, [1.0] * 4 + [2.0] * 4, run=two, commit=three), series(two, [1.0])]
    document = pages.document(found, 0.02, [three])
    shown = rendered(pages.markdown(document))
    assert set(shown.tags) <= {"h1", "p", "table", "thead", "tbody", "tr", "th", "td"}
    assert shown.tags.count("table") == 2
    assert shown.comments == []
    assert not LINKED.search(shown.data)
    page = pages.page(document)
    page.encode("utf-8")
    assert not {"script", "img", "a", "b"} & set(Tags(page).tags)
    assert page.count("<figure class") == 2
    for part in page.split("<figure class")[1:]:
        svg = part[part.index("<svg") : part.index("</svg>")] + "</svg>"
        ElementTree.fromstring(svg.replace("href", "data-href"))
