import numpy as np
import pytest

from benchsuite.stats.layout import PRIOR, Layout, fit


def cells(table):
    return {(f"m{v}", s): float(y) for v, row in enumerate(table) for s, y in enumerate(row)}


def test_residual_variance_is_the_textbook_one():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(6, 3))
    residuals = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    layout = fit(cells(table))
    assert layout.degrees_of_freedom == 10
    assert layout.residual_variance == pytest.approx((residuals**2).sum() / 10)


def test_shifts_of_models_and_of_seeds_leave_no_residual():
    table = np.array([[0.5], [0.6], [0.9]]) + np.array([0.0, 0.1, -0.2])
    assert fit(cells(table)).residual_variance == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize("table", [[], [[0.5], [0.6]], [[0.5, 0.6]]])
def test_one_seed_or_one_model_says_nothing(table):
    assert fit(cells(table)) is None


def test_missing_cells_cost_degrees_of_freedom_but_no_bias():
    rng = np.random.default_rng(1)
    estimates = []
    for _ in range(500):
        table = cells(rng.normal(0, 2.0, (5, 3)) + rng.normal(size=(5, 1)))
        for gone in (("m0", 0), ("m3", 2)):
            del table[gone]
        layout = fit(table)
        assert layout.degrees_of_freedom == 6
        estimates.append(layout.residual_variance)
    assert np.mean(estimates) == pytest.approx(4.0, rel=0.1)


def test_a_cell_of_its_own_model_and_seed_changes_nothing():
    table = cells(np.random.default_rng(2).normal(size=(4, 2)))
    assert fit(table | {("alone", 9): 5.0}).residual_variance == pytest.approx(fit(table).residual_variance)


def test_a_variance_is_the_pairs_own_and_the_pools_by_their_degrees_of_freedom():
    layout = Layout(residual_variance=2.0, degrees_of_freedom=16)
    differences = np.array([1.0, 4.0, 4.0])
    variance, df = layout.of_mean(differences)
    assert variance == pytest.approx((PRIOR * 2 * 2.0 + 2 * 3.0) / (PRIOR + 2) / 3)
    assert df == PRIOR + 2
    assert layout.of_mean(differences, weight=1.5)[0] == pytest.approx((PRIOR * 1.5 * 2.0 + 2 * 3.0) / (PRIOR + 2) / 3)


def test_one_pair_is_not_counted_twice():
    """Of two models the pool is the pair itself: no more is known than its own S - 1 degrees of freedom tell."""
    table = np.random.default_rng(3).normal(size=(2, 3))
    variance, df = fit(cells(table)).of_mean(table[1] - table[0])
    assert variance == pytest.approx((table[1] - table[0]).var(ddof=1) / 3)
    assert df == 2


def test_one_seed_in_common_has_the_pools_variance():
    assert Layout(residual_variance=2.0, degrees_of_freedom=8).of_mean(np.array([5.0])) == (4.0, PRIOR)
