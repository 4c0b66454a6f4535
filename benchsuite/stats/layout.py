"""How much do models of one recipe differ between seeds? One answer for a whole run, pooled over all its models.

Two seeds say almost nothing about the spread of one variant, but ten models at two seeds say enough together.

>>> scores = {("gelu", 0): 0.50, ("gelu", 1): 0.52, ("relu", 0): 0.45, ("relu", 1): 0.48}
>>> fit(scores).degrees_of_freedom
1
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Variance of one model at one seed about (its model's mean + that seed's shift), with its degrees of freedom."""

    residual_variance: float
    degrees_of_freedom: int


def fit(scores: Mapping[tuple[str, int], float]) -> Layout | None:
    """Residual variance of `scores[model, seed]` in a two-way layout without interaction.

    Model: y[v, s] = mu + alpha_v + beta_s + eps, eps ~ N(0, sigma2) independent (Scheffe 1959, chapter 4). Seeds are
    blocks: at one seed all models saw the same data in the same order, and beta_s takes what that does to all of them.
    Least squares over the cells that exist; sigma2 = residual sum of squares / (cells - rank of the design), that is
    (V-1)(S-1) degrees of freedom when no cell is missing. It assumes one sigma2 for all models: `disagreeing` looks for
    a model that breaks this, and models of another budget (a crippled control) must stay out.
    None where no degree of freedom is left: one seed, or one model.
    """
    if not scores:
        return None
    residuals, rank = _residuals(scores)
    degrees_of_freedom = len(scores) - rank
    if degrees_of_freedom < 1:
        return None
    return Layout(
        residual_variance=float((residuals**2).sum()) / degrees_of_freedom, degrees_of_freedom=degrees_of_freedom
    )


def disagreeing(scores: Mapping[tuple[str, int], float], *, level: float = 0.01) -> list[tuple[str, float]]:
    """The models whose seeds scatter far more than the other models' do: (model, standard deviation over the others').

    For each model the residual variance of the layout with it and without it gives its own part,
    F = ((RSS_all - RSS_without) / (df_all - df_without)) / (RSS_without / df_without), an F statistic under equal
    variances; Bonferroni over the models at `level`, so about 1 run in 100 warns without cause.
    """
    found: list[tuple[str, float]] = []
    models = sorted({model for model, _ in scores})
    whole = fit(scores)
    for model in models:
        rest = fit({cell: y for cell, y in scores.items() if cell[0] != model})
        if whole is None or rest is None or rest.residual_variance <= 0:
            continue
        own_df = whole.degrees_of_freedom - rest.degrees_of_freedom
        if own_df < 1:
            continue
        own = (
            whole.residual_variance * whole.degrees_of_freedom - rest.residual_variance * rest.degrees_of_freedom
        ) / own_df
        f = own / rest.residual_variance
        if stats.f.sf(f, own_df, rest.degrees_of_freedom) < level / len(models):
            found.append((model, float(np.sqrt(f))))
    return found


def _residuals(scores: Mapping[tuple[str, int], float]) -> tuple[np.ndarray, int]:
    """Least-squares residuals of the additive model, (cells,), and the rank of its design matrix."""
    models = sorted({model for model, _ in scores})
    seeds = sorted({seed for _, seed in scores})
    design = np.zeros((len(scores), len(models) + len(seeds)))
    for row, (model, seed) in enumerate(scores):
        design[row, models.index(model)] = 1
        design[row, len(models) + seeds.index(seed)] = 1
    y = np.array(list(scores.values()), dtype=float)
    y = y - y.mean()  # the design spans constants; smaller numbers leave smaller rounding
    solution, _, rank, _ = np.linalg.lstsq(design, y, rcond=None)
    return y - design @ solution, int(rank)
