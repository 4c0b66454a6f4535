"""Estimate the spread between seeds for each comparison, shrunk towards that of the whole run.

Two seeds say almost nothing about the spread of one variant, ten models at two seeds say enough together; but models
differ in their spread, so what is known of the pair itself counts as well, and the more so the more seeds there are.

>>> scores = {("gelu", 0): 0.50, ("gelu", 1): 0.52, ("relu", 0): 0.45, ("relu", 1): 0.48}
>>> fit(scores).degrees_of_freedom
1
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

PRIOR = 3.0  # degrees of freedom that the pool counts for beside a comparison's own S - 1


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Variance of one model at one seed about (its model's mean + that seed's shift), with its degrees of freedom."""

    residual_variance: float
    degrees_of_freedom: int

    def of_mean(self, differences: np.ndarray, weight: float = 2.0) -> tuple[float, float]:
        """Return the variance of the mean of paired `differences`, (S,) one a seed, and its degrees of freedom.

        weight  the sum of the squares of what each model counts for in a difference: 2 for variant minus baseline.

        Formula: (d0 weight sigma2 + (S-1) s2) / (d0 + S-1) / S, with s2 the variance of the differences, sigma2 the
        pool's, and d0 = min(`PRIOR`, the pool's degrees of freedom); d0 + S-1 degrees of freedom, but not more than the
        pool has, of which the pair is a part. This is the moderated t (Smyth 2004, "Linear models and empirical Bayes
        methods for assessing differential expression") with d0 fixed: estimated from ten models it is hardly
        better than a guess, and the worst rows cover less. A shift that a seed's data give to all models alike drops
        out of s2, and one that the variant feels more than the baseline (a variant-by-seed term) is in it.
        """
        seeds = len(differences)
        own = float(np.var(differences, ddof=1)) if seeds > 1 else 0.0
        prior = min(PRIOR, self.degrees_of_freedom)
        df = prior + seeds - 1
        variance = (prior * weight * self.residual_variance + (seeds - 1) * own) / df
        return variance / seeds, min(df, self.degrees_of_freedom)


def fit(scores: Mapping[tuple[str, int], float]) -> Layout | None:
    """Return the residual variance of `scores[model, seed]` in a two-way layout without interaction.

    Model: y[v, s] = mu + alpha_v + beta_s + eps (Scheffe 1959, chapter 4). Seeds are blocks: at one seed all models saw
    the same data in the same order, and beta_s takes what that does to all of them. Least squares over the cells that
    exist; sigma2 = residual sum of squares / (cells - rank of the design), that is (V-1)(S-1) degrees of freedom when
    no cell is missing. Where models differ in their spread it is their mean. Models of another budget must stay
    out. Returns None where no degree of freedom is left: one seed, or one model.
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
