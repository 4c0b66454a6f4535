"""Change points: planted steps are found where they are, and noise has none."""

from __future__ import annotations

import numpy as np
import pytest

from benchsuite.stats.history import pieces


def test_a_step_is_found_where_it_is() -> None:
    random = np.random.default_rng(0)
    values = np.concatenate([np.full(20, 1.0), np.full(10, 1.08)]) * np.exp(random.normal(0, 0.01, 30))
    found = pieces(list(values))
    assert [(piece.start, piece.end) for piece in found] == [(0, 20), (20, 30)]
    assert found[1].level / found[0].level == pytest.approx(1.08, rel=0.02)


def test_noise_alone_has_no_step() -> None:
    random = np.random.default_rng(1)
    steps = sum(len(pieces(list(np.exp(random.normal(0, 0.03, 30))))) > 1 for _ in range(100))
    assert steps <= 5


def test_heavy_tails_have_no_step() -> None:
    random = np.random.default_rng(2)
    steps = sum(len(pieces(list(np.exp(0.02 * random.standard_t(2, 30))))) > 1 for _ in range(100))
    assert steps <= 10


def test_one_slow_run_is_no_step_and_two_are() -> None:
    steady = [1.0, 1.001, 0.999, 1.0, 1.002, 0.998, 1.0, 1.001]
    assert len(pieces([*steady, 1.3])) == 1
    assert [piece.start for piece in pieces([*steady, 1.3, 1.301])] == [0, 8]


def test_up_and_down_again() -> None:
    values = [1.0] * 8 + [1.2] * 6 + [0.9] * 8
    assert [(piece.start, piece.level) for piece in pieces(values)] == [
        (0, pytest.approx(1.0)),
        (8, pytest.approx(1.2)),
        (14, pytest.approx(0.9)),
    ]


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0], [1.0, 1.0, 1.0]])
def test_short_and_constant_series(values: list[float]) -> None:
    found = pieces(values)
    assert len(found) == min(1, len(values))


def test_long_series_are_cut_to_their_youngest() -> None:
    found = pieces([5.0] * 100 + [1.0] * 300)
    assert [(piece.start, piece.end, piece.level) for piece in found] == [(100, 400, pytest.approx(1.0))]


def test_times_must_be_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        pieces([1.0, 0.0])
