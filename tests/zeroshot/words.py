"""Words that the tokenizer of these tests knows, and sentences of them."""

from __future__ import annotations

import random

WORDS = [
    "cat",
    "dog",
    "house",
    "tree",
    "runs",
    "sleeps",
    "blue",
    "Anna",
    "Ben",
    "the",
    "a",
    "over",
    "12",
    "don't",
    "x=3;",
]


def sentence(rng: random.Random, words: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(words))
