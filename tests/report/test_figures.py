import re

import pytest

from benchsuite.report import figures, svg
from benchsuite.report.join import join


@pytest.fixture(scope="module")
def document(quick):
    return join([quick])


@pytest.mark.parametrize("draw", [figures.tradeoff, figures.curves])
@pytest.mark.parametrize("width", [figures.WIDE, figures.NARROW])
def test_figures_take_all_colours_from_the_page(document, draw, width):
    drawn = draw(document, width)
    assert drawn.startswith("<svg viewBox=")
    assert not re.findall(r"#[0-9a-fA-F]{6}", drawn)
    assert set(re.findall(r"var\((--\w+)\)", drawn)) <= {
        "--sans",
        *(variable[4:-1] for variable in (svg.PAGE_COLOURS | svg.SERIES).values()),
    }
    assert "<style" not in drawn
    assert "metadata" not in drawn


def test_every_variant_with_both_sides_is_named(document):
    drawn = figures.tradeoff(document)
    for name in ("SwiGLU", "Rotary positions", "ALiBi", "Embedding norm", "No position embedding"):
        assert f">{name}</text>" in drawn
    assert "web_raw" not in drawn


def labels(drawn, names):
    """Boxes of the text with these names: a generous width for each character, in pixels of the figure."""
    found = re.findall(r'<text style="([^"]*)" x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]*)<', drawn)
    boxes = {}
    for style, x, y, text in found:
        if text in names:
            width = 5.2 * len(text)
            left = float(x) - (width if "end" in style else 0)
            boxes[text] = (left, float(y) - 7.5, left + width, float(y) + 1)
    return boxes


@pytest.mark.parametrize("width", [figures.WIDE, figures.NARROW])
def test_labels_of_crowded_points_do_not_collide(document, width):
    """All variants at nearly the same place."""
    rows = [row for row in document["rows"] if row["scope"] == "step"]
    crowd = []
    for index, row in enumerate(rows):
        speed = row["speed"] | {"ratio": 0.95 + 0.002 * index, "low": 0.94, "high": 0.96}
        quality = row["quality"] | {"delta": 0.01 + 0.0005 * index, "low": 0.0, "high": 0.02}
        crowd.append(row | {"speed": speed, "quality": quality})
    names = {"SwiGLU", "Rotary positions", "ALiBi", "Embedding norm", "No position embedding"}
    names |= {"rotary", "embedding norm", "no position"}
    boxes = list(labels(figures.tradeoff(document | {"rows": crowd}, width), names).values())
    assert len(boxes) == 5
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert figures._overlap(a, b) < 15


def test_a_very_noisy_run_has_readable_ticks(document):
    rows = [row for row in document["rows"] if row["scope"] == "step"]
    noisy = [row | {"speed": row["speed"] | {"ratio": 2.4, "low": 0.21, "high": 28.0}} for row in rows]
    ticks = re.findall(r">([\d.]+)x</text>", figures.tradeoff(document | {"rows": noisy}))
    assert ticks == ["0.2", "0.5", "1", "2", "5", "10", "20"]


def test_no_points_no_figure(document):
    assert figures.tradeoff(document | {"rows": []}) is None
    assert figures.curves(document | {"training": []}) is None


def test_a_bar_is_empty_without_a_value_and_clipped_beyond_its_scale():
    assert figures.bar((None, None, None), 1.0, 0.0, False) == ""
    assert 'cx="116.0"' in figures.bar((9.0, None, None), 1.0, 0.0, False)
    assert "M4.0 8H116.0" in figures.bar((0.0, -5.0, 5.0), 1.0, 0.0, False)
    assert 'cx="60.0"' in figures.bar((1.0, 0.5, 2.0), 1.0, 1.0, True)
