"""Quality of a variant against its baseline: a delta whose interval covers new seeds and new documents.

An observation is one outcome of one model: seed s, document d of task k. Two things vary if the study is done again:
the seeds (initialisation, data order) and the documents of the tasks. The tasks themselves are fixed. Seeds and
documents are crossed, every seed answers every document, so the variance of a delta has a part for each:

    seeds      that of the seeds' paired differences, shrunk towards the run's (benchsuite.stats.layout)
    documents  (1/K^2) sum_k (var_k - inter_k / S) / n_k

var_k is the variance over documents of the paired difference averaged over seeds; inter_k is the seed-by-document
variance, which is inside both var_k and the seeds' part and must count once. This is the random-effects analysis of
variance of two crossed factors: Var(mean) = (MS_seeds + MS_documents - MS_interaction) / (S n), with the degrees of
freedom of Satterthwaite (1946), the quasi-F that Clark (1973) asked of language studies. Documents that ask the same
question are one observation: `by_question` averages them first.

Why no bootstrap over seeds, then documents: resampling two seeds can yield three different means, so its interval for
the seed part covers the truth about half the time; even at five seeds it is too narrow. What the run's other models say
about the spread between seeds is what makes two seeds usable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr

from benchsuite.stats.intervals import CONFIDENCE, Interval, minimum_detectable, student
from benchsuite.stats.layout import Layout


@dataclass(frozen=True, kw_only=True)
class QualityComparison:
    """Variant minus baseline. `covers_seeds` is False where the interval knows of documents only."""

    delta: Interval
    minimum_detectable: float | None
    verdict: str  # better | worse | unresolved
    seeds: int
    covers_seeds: bool


@dataclass(frozen=True, kw_only=True)
class _Documents:
    """Variance of the delta due to documents; `interaction` is the part that also sits in the seeds' residuals."""

    total: float
    total_df: float
    interaction: float
    interaction_df: float


def compare_quality(
    differences: Sequence[np.ndarray],
    layout: Layout | None,
    *,
    better: str = "higher",
    step: float = 0.0,
    confidence: float = CONFIDENCE,
) -> QualityComparison:
    """Delta of a score that is the mean over K tasks of the mean over n_k documents, from paired differences.

    differences  one array (S, n_k) a task: outcome of the variant minus outcome of the baseline at the same seed on the
             same document, or question. layout  the run's spread between seeds; None (one seed, one model) leaves an
             interval that covers new documents only: the verdict is then `unresolved` whatever the interval.
    better   "higher" (accuracy) or "lower" (bits per byte): which sign of delta is an improvement.
    step     see `variance_of_mean`. confidence  of the interval, another one where seeds are added until they say
             something (`benchsuite.stats.looks`).

    Coverage of the 95% interval, by row and in which worlds: reports/quality-statistics. Minimum detectable delta:
    two-sided 5%, power 80%. Raises ValueError where the arrays are empty or disagree in the number of seeds.
    """
    if not differences or len({array.shape[0] for array in differences}) != 1 or any(a.size == 0 for a in differences):
        raise ValueError("a comparison needs one (seeds, documents) array per task, with as many seeds in each")
    estimate = float(np.mean([array.mean() for array in differences]))
    variance, df = variance_of_mean(differences, layout, step=step)
    delta = student(estimate, variance**0.5, df, confidence)
    return QualityComparison(
        delta=delta,
        minimum_detectable=minimum_detectable(variance**0.5, df, confidence),
        verdict=verdict(delta, better) if layout is not None else "unresolved",
        seeds=differences[0].shape[0],
        covers_seeds=layout is not None,
    )


def variance_of_mean(
    differences: Sequence[np.ndarray], layout: Layout | None, *, weight: float = 2.0, step: float = 0.0
) -> tuple[float, float]:
    """Return the variance of the mean over tasks of `differences`, (S, n_k) each, and its degrees of freedom.

    weight  that of `Layout.of_mean`. Without a layout the variance is that of the documents alone.
    step     the smallest difference that one outcome can make: 1 for outcomes of 0 and 1, 0 for continuous scores.
             var_k is at least that of a task where one document differs at one seed: no difference seen in n
             documents does not mean that none is possible, and without this floor its interval would have no width.

    Formula: V = V_seeds + max(A - B, 0) with A = (1/K^2) sum_k var_k / n_k, B = (1/K^2) sum_k inter_k / (S n_k) and
    V_seeds the larger of the layout's and B; nu = V^2 / (V_seeds^2 / nu_seeds + A^2 / nu_A + B^2 / nu_B). The maximum
    uses what is known: the seeds' part holds the seed-by-document noise, so an unlucky small estimate must not promise
    more than that noise alone allows (without it, three models at two seeds cover 90%).
    """
    documents = _documents(differences, step)
    if layout is None:
        return documents.total, documents.total_df
    a, b = documents.total, documents.interaction
    of_seeds, df_of_seeds = layout.of_mean(np.mean([array.mean(axis=1) for array in differences], axis=0), weight)
    of_seeds = max(of_seeds, b)
    variance = of_seeds + max(a - b, 0.0)
    spread = of_seeds**2 / df_of_seeds + a**2 / documents.total_df + b**2 / documents.interaction_df
    return variance, variance**2 / spread if spread > 0 else df_of_seeds


def by_question(outcomes: np.ndarray, questions: Sequence[str] | None) -> np.ndarray:
    """Return the outcomes (S, n) of documents as those of distinct questions (S, q): the mean over the documents that
    ask the same. Three hundred documents that ask thirty questions are thirty observations. None: each its own."""
    if questions is None:
        return outcomes
    _, place, counts = np.unique(np.asarray(questions), return_inverse=True, return_counts=True)
    return np.stack([np.bincount(place, weights=row) / counts for row in outcomes])


def ratio_parts(bits: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return what each document contributes, (S, n), to a ratio of sums such as bits per byte.

    bits  of each document, (S, n); sizes  its bytes, (n,). The score is R_s = sum bits / sum bytes. The first-order
    expansion of R about its value (Cochran 1977, section 6.4) makes the document d contribute
    R_s + (bits_sd - R_s * bytes_d) / mean(bytes): the mean of these is R_s exactly and their variance over n that of
    the ratio estimator. The parts of a difference are the differences of the parts.
    """
    ratio = bits.sum(axis=1, keepdims=True) / sizes.sum()
    return ratio + (bits - ratio * sizes) / sizes.mean()


def mcnemar(differences: np.ndarray) -> tuple[int, int, float]:
    """Documents that the variant wins and loses, and the exact two-sided p-value of "as many as the other way round".

    differences  (S, n) paired outcomes of one task, each -1, 0 or 1. One seed: McNemar's test (1947), exact by the
    binomial law. Several seeds: a document counts once, with the sign of its sum over the seeds, so the counted
    documents stay independent (a sign test). It speaks about the trained models at hand, not about new seeds.
    """
    signs = np.sign(np.round(differences.sum(axis=0)))
    wins, losses = int((signs > 0).sum()), int((signs < 0).sum())
    if wins + losses == 0:
        return 0, 0, 1.0
    return wins, losses, min(1.0, 2 * float(bdtr(min(wins, losses), wins + losses, 0.5)))


def _documents(differences: Sequence[np.ndarray], step: float) -> _Documents:
    """A and B of `variance_of_mean`, each with Satterthwaite's degrees of freedom. With one seed B is unknown and 0."""
    totals, interactions, total_dfs, interaction_dfs = [], [], [], []
    tasks = len(differences)
    for array in differences:
        seeds, documents = array.shape
        means = array.mean(axis=0)
        variance = float(means.var(ddof=1)) if documents > 1 else 0.0
        variance = max(variance, (step / seeds) ** 2 / documents)
        totals.append(variance / documents / tasks**2)
        total_dfs.append(max(documents - 1, 1))
        if seeds > 1 and documents > 1:
            rest = array - means - array.mean(axis=1, keepdims=True) + array.mean()
            df = (seeds - 1) * (documents - 1)
            interactions.append(float((rest**2).sum()) / df / (seeds * documents) / tasks**2)
            interaction_dfs.append(df)
    total, total_df = _sum_of_variances(totals, total_dfs)
    interaction, interaction_df = _sum_of_variances(interactions, interaction_dfs)
    return _Documents(total=total, total_df=total_df, interaction=interaction, interaction_df=interaction_df)


def _sum_of_variances(variances: Sequence[float], degrees_of_freedom: Sequence[float]) -> tuple[float, float]:
    """Sum of independent variance estimates and its degrees of freedom (Satterthwaite 1946)."""
    total = sum(variances)
    spread = sum(v**2 / df for v, df in zip(variances, degrees_of_freedom, strict=True))
    return total, total**2 / spread if spread > 0 else float(max(sum(degrees_of_freedom), 1))


def verdict(delta: Interval, better: str) -> str:
    """Return `better` or `worse` where the interval excludes zero, `unresolved` otherwise."""
    sign = 1 if better == "higher" else -1
    if delta.low is None or delta.high is None:
        return "unresolved"
    low, high = sorted((sign * delta.low, sign * delta.high))
    if low > 0:
        return "better"
    return "worse" if high < 0 else "unresolved"
