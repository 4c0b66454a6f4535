"""By how much a model prefers the right answer: scores that move before accuracy does.

At small scales the probability of the right answer resolves several times smaller differences than accuracy, which
counts a document only where the order of the choices changes (arXiv:2508.13144, arXiv:2504.11393).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from lm_eval.api.task import ConfigurableTask
from scipy.special import softmax


@dataclass(frozen=True)
class Graded:
    """One value for each document, in order.

    probability    of the right answer among the choices: p(right) / sum of p(choice), from 0 to 1
    bits_per_byte  -log2 p(right answer | context) over the bytes of its text
    margin         log2 p(right) - log2 p(likeliest of the others), in bits: above 0 where the answer is right
    """

    probability: list[float]
    bits_per_byte: list[float]
    margin: list[float]


def graded(task: ConfigurableTask, samples: Sequence[Mapping[str, Any]]) -> Graded | None:
    """The scores of lm-eval's `samples` of a multiple-choice task; None where a document has not exactly one right
    choice, which is given by its index."""
    found = Graded([], [], [])
    for sample in samples:
        choices, gold = task.doc_to_choice(sample["doc"]), task.doc_to_target(sample["doc"])
        if not isinstance(gold, int) or not 0 <= gold < len(choices) or len(choices) < 2:
            return None
        # Beyond the choices there may be likelihoods without a context, for another metric.
        nats = np.array([value for value, _ in sample["filtered_resps"][: len(choices)]])
        found.probability.append(round(float(softmax(nats)[gold]), 4))
        found.bits_per_byte.append(round(float(-nats[gold]) / math.log(2) / len(choices[gold].encode()), 4))
        found.margin.append(round(float(nats[gold] - np.delete(nats, gold).max()) / math.log(2), 3))
    return found
