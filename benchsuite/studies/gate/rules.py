"""The rules of other tools, as they are, and the statistics that they decide by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import stats

Samples = dict[str, list[float]]
Values = Sequence[float] | np.ndarray


def pytest_benchmark_mean(base: Values, head: Values) -> bool:
    """--benchmark-compare-fail=mean:5%"""
    return bool(np.mean(head) > 1.05 * np.mean(base))


def pytest_benchmark_min(base: Values, head: Values) -> bool:
    """--benchmark-compare-fail=min:5%"""
    return bool(np.min(head) > 1.05 * np.min(base))


def asv(base: Values, head: Values) -> bool:
    """asv continuous --factor 1.05: a two-sided U-test at 0.002 and a ratio of medians beyond the factor."""
    beyond = np.median(head) > 1.05 * np.median(base)
    return bool(beyond and stats.mannwhitneyu(base, head).pvalue < 0.002)


def action_benchmark(base: Values, head: Values) -> bool:
    """github-action-benchmark at its own threshold of 200%, of the mean rate."""
    return bool(np.mean(head) > 2.0 * np.mean(base))


def u_test(base: Values, head: Values) -> bool:
    """A one-sided U-test at 0.01 on the samples of one process a side."""
    return bool(stats.mannwhitneyu(head, base, alternative="greater").pvalue < 0.01)


PEERS = {
    "pytest-benchmark mean:5%": pytest_benchmark_mean,
    "pytest-benchmark min:5%": pytest_benchmark_min,
    "asv, factor 1.05": asv,
    "github-action-benchmark 200%": action_benchmark,
    "U-test, p < 0.01": u_test,
}
# What those rules compare with a threshold; larger is slower.
STATISTICS: dict[str, Callable[[Values, Values], Any]] = {
    "mean of head / base (pytest-benchmark, github-action-benchmark)": lambda base, head: np.mean(head) / np.mean(base),
    "least of head / base (pytest-benchmark)": lambda base, head: np.min(head) / np.min(base),
    "median of head / base (asv)": lambda base, head: np.median(head) / np.median(base),
    "U of the U-test": lambda base, head: stats.mannwhitneyu(head, base).statistic / (len(base) * len(head)),
}
