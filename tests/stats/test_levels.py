"""Change points: planted steps are found where they are, and noise has none."""

from __future__ import annotations

import numpy as np
import pytest

from benchsuite.stats.levels import Piece, change, finds, last_is_off, pieces


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


def test_small_steps_add_up_to_a_change() -> None:
    levels = [Piece(0, 5, 1.0), Piece(5, 10, 1.015), Piece(10, 15, 1.03)]
    assert change(levels, 0.02) == (pytest.approx(1.03), 5)
    assert change(levels, 0.05) is None
    assert change(levels[:1], 0.0) is None
    assert change([Piece(0, 5, 2.0), Piece(5, 10, 1.0), Piece(10, 15, 1.01)], 0.02) == (pytest.approx(0.505), 5)


@pytest.mark.parametrize(("noise", "n"), [(0.002, 8), (0.01, 20), (0.03, 30), (0.1, 60)])
def test_the_least_slowdown_that_is_found_is_found_and_a_smaller_one_is_not(noise: float, n: int) -> None:
    random = np.random.default_rng(7)
    values = np.exp(random.normal(0, noise, n))
    found = pieces(list(values))
    assert len(found) == 1
    least = finds(list(values), found)
    assert least is not None
    found_at = {}
    for size in (1.01, 0.8):
        for way in (1, -1):
            shifted = values.copy()
            shifted[n // 2 :] *= least ** (size * way)
            found_at[size, way] = [piece.start for piece in pieces(list(shifted))]
    assert all(len(found_at[1.01, way]) > 1 for way in (1, -1))
    assert any(n // 2 not in found_at[0.8, way] for way in (1, -1)), "a smaller one is missed in one direction"


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 5.0], [1.0, 1.0, 5.0]])
def test_fewer_than_four_runs_find_nothing(values: list[float]) -> None:
    assert finds(values, pieces(values)) is None


def test_a_series_that_scatters_by_factors_finds_no_small_change() -> None:
    values = [1.0, 5.0, 1.0, 5.0, 5.0, 1.0]
    found = pieces(values)
    least = finds(values, found)
    assert least is None or least > 2


def test_a_last_run_that_is_off_is_known() -> None:
    values = [1.0, 1.001] * 20 + [5.0]
    assert last_is_off(values, pieces(values), 0.02) == pytest.approx(5.0, rel=0.01)
    assert last_is_off(values[:-1], pieces(values[:-1]), 0.02) is None
    assert last_is_off([1.0], pieces([1.0]), 0.02) is None
