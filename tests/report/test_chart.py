"""Figures: ticks, labels that do not collide, colours of the page, and what counts as dominated."""

import re

import pytest

from benchsuite.report import html
from benchsuite.report.blocks import Figure, Fold, Grid
from benchsuite.report.chart import CHARACTER, Axis, Chart, nice
from benchsuite.report.join import join
from benchsuite.report.sections import SECTIONS, pareto


@pytest.fixture(scope="module")
def document(quick):
    return join([quick])


def figures(blocks):
    for block in blocks:
        if isinstance(block, Figure):
            yield block
        elif isinstance(block, Grid | Fold):
            yield from figures(block.blocks)


@pytest.mark.parametrize("width", [html.WIDE, html.HALF, html.NARROW])
def test_figures_take_all_colours_from_the_page_and_say_what_they_show(document, width):
    found = [figure for section in SECTIONS for figure in figures(section.blocks(document))]
    assert found
    for figure in found:
        drawn = figure.draw(width)
        assert f'viewBox="0 0 {width} ' in drawn
        assert not re.search(r"#[0-9a-fA-F]{3,6}|style=|(fill|stroke)=", drawn)
        assert "nan" not in drawn
        assert len(figure.alt) > 20


@pytest.mark.parametrize(
    ("ends", "kind", "ticks"),
    [
        ((0, 10), "linear", [0, 2, 4, 6, 8, 10]),
        ((0.8, 1.2), "log", [0.8, 0.9, 1.0, 1.1, 1.2]),
        ((150e3, 1.2e6), "log", [150e3, 200e3, 300e3, 500e3, 700e3, 1e6]),
        ((0.2, 20), "log", [0.2, 0.5, 1, 2, 5, 10, 20]),
    ],
)
def test_ticks_are_round(ends, kind, ticks):
    assert nice(*ends, kind, 7) == pytest.approx(ticks)


def test_labels_of_crowded_points_do_not_collide():
    chart = Chart(560, 400, Axis("x", 0, 1), Axis("y", 0, 1))
    named = [((0.5 + 0.004 * n, 0.5 + 0.003 * n), name) for n, name in enumerate(("SwiGLU", "Rotary", "ALiBi", "None"))]
    for at, _ in named:
        chart.point(at, "better")
    chart.labels(named)
    placed = [
        (float(x), float(y), len(name) * CHARACTER)
        for x, y, name in re.findall(r'<text x="([\d.]+)" y="([\d.]+)" class="name">([^<]*)<', chart.svg())
    ]
    assert len(placed) == 4
    for n, (x, y, size) in enumerate(placed):
        for other_x, other_y, other_size in placed[:n]:
            apart = x + size <= other_x or other_x + other_size <= x or abs(y - other_y) >= 11
            assert apart


def test_dominated_is_what_another_beats_on_both_axes_beyond_both_intervals():
    best = ((0.5, 0.45, 0.55), (0.5, 0.45, 0.55), "best")
    beaten = ((0.7, 0.6, 0.8), (0.7, 0.6, 0.8), "beaten")
    touching = ((0.6, 0.5, 0.7), (0.7, 0.6, 0.8), "touching")
    dear = ((2.0, 1.8, 2.2), (0.3, 0.2, 0.4), "dear")
    unknown = ((3.0, None, None), (3.0, None, None), "unknown")
    assert pareto.dominated([best, beaten, touching, dear, unknown]) == {"beaten": "best"}
    worse = ((1.2, 1.1, 1.3), (1.2, 1.1, 1.3), "worse")
    assert pareto.dominated([worse]) == {"worse": "the baseline"}


def test_a_bar_is_empty_without_a_value_and_clipped_beyond_its_scale():
    assert html.bar((None, None, None), 1.0, "difference") == ""
    assert 'cx="116' in html.bar((9.0, None, None), 1.0, "difference")
    assert "M4.0 8H116.0" in html.bar((0.0, -5.0, 5.0), 1.0, "difference")
    assert 'cx="60.0"' in html.bar((1.0, 0.5, 2.0), 1.0, "ratio")
