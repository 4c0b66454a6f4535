"""The figures of the original study (Launay et al., arXiv:2006.12878), to stand beside those measured here.

`verified` figures were read in the code of the study, `recalled` ones are from memory of the paper and not confirmed.
The tables of the graph networks were not found, and are not quoted.
"""

from __future__ import annotations

from dataclasses import dataclass

_RECOMMENDERS = "recommender-systems/reproduce_*.sh of github.com/lightonai/dfa-scales-to-modern-deep-learning"


@dataclass(frozen=True)
class Published:
    """Scores by each rule; None where there is none."""

    metric: str
    backprop: float
    dfa: float
    shallow: float | None
    verified: bool
    source: str


PUBLISHED: dict[tuple[str, str], Published] = {
    ("deepfm", "criteo"): Published("AUC", 0.79536, 0.79558, 0.79202, True, _RECOMMENDERS),
    ("dcn", "criteo"): Published("AUC", 0.81036, 0.80090, 0.73240, True, _RECOMMENDERS),
    ("autoint", "criteo"): Published("AUC", 0.79367, 0.79055, 0.78603, True, _RECOMMENDERS),
    ("afn", "criteo"): Published("AUC", 0.79331, 0.79240, 0.78593, True, _RECOMMENDERS),
    ("nerf", "nerf-synthetic"): Published("PSNR", 31.01, 25.41, None, False, "arXiv:2006.12878"),
    ("nerf", "llff"): Published("PSNR", 26.50, 20.77, None, False, "arXiv:2006.12878"),
}
