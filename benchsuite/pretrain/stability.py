"""Measure how calm a training was: spikes of loss and gradient norm, the tail of the norm, and whether it diverged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

WINDOW, SIGMAS = 128, 7.0
END = 0.1  # the last tenth of the steps


def summary(losses: Sequence[float], norms: Sequence[float], tokens_per_step: int) -> dict[str, Any]:
    """Return what `losses` (nats) and gradient `norms` (before clipping) of all steps say, JSON-ready.

    `start` is the first step's loss, `last` the mean of the last tenth of the steps; `skipped` counts the steps
    whose gradient was not finite, which float16's loss scaling leaves out. A training whose loss stopped being finite
    has `diverged_at` in tokens, and a `last` of None.
    """
    finite = np.isfinite(losses)
    diverged = None if finite.all() else int(np.argmin(finite))
    sound = np.asarray([norm for norm in norms[:diverged] if math.isfinite(norm)])
    tenth = max(1, round(END * len(losses)))
    return {
        "steps": len(losses),
        "diverged_at": None if diverged is None else diverged * tokens_per_step,
        "start": losses[0] if finite[0] else None,
        "last": float(np.mean(losses[-tenth:])) if diverged is None else None,
        "loss_spikes": spikes(losses[:diverged]),
        "norm_spikes": spikes(list(sound)),
        "norm_median": float(np.median(sound)) if len(sound) else None,
        "norm_p99": float(np.quantile(sound, 0.99)) if len(sound) else None,
        "norm_max": float(sound.max()) if len(sound) else None,
        "skipped": sum(not math.isfinite(norm) for norm in norms[:diverged]),
    }


def spikes(values: Sequence[float]) -> float | None:
    """The share of `values` that lie at least seven standard deviations above the mean of the `WINDOW` values before
    them: the spike score of OLMo 2 (arXiv:2501.00656, section 3.1), there over 1000 values. None for too few."""
    if len(values) <= WINDOW:
        return None
    series = np.asarray(values, dtype=np.float64)
    before = np.lib.stride_tricks.sliding_window_view(series, WINDOW)[:-1]
    return float(np.mean(series[WINDOW:] > before.mean(axis=1) + SIGMAS * before.std(axis=1)))
