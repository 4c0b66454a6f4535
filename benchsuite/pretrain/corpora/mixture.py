"""Several languages in one corpus: p_i proportional to n_i^alpha, where n_i is how much text a language has.

At alpha 1 languages come as they are found, at 0 all alike; 0.3 is what the original study took
(bigscience-workshop/bigscience, data/sampling_probs, after Conneau and Lample 2019, arXiv:1901.07291, section 3.1; mC4,
arXiv:2010.11934, uses the same scheme). Shares are of tokens: they hold for what a model is trained on, so that its
tokens of English are known before.

A name is mix:LANGUAGES@ALPHA:TEMPLATE, with {language} in the template: mix:en+eu@0.3:facts-{language}.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchsuite.errors import UserError, did_you_mean
from benchsuite.pretrain.names import MIX, PLACE

ALPHA = 0.3
# Gigabytes of text in OSCAR 2019, deduplicated: github.com/oscar-project/documentation, docs/versions/oscar-2109.md
OSCAR_GB = {
    "ar": 33.0, "bn": 6.0, "ca": 4.0, "de": 155.0, "en": 1294.0, "es": 159.0, "eu": 0.358, "fr": 147.0, "hi": 9.0,
    "id": 16.0, "it": 73.0, "ja": 112.0, "ko": 11.0, "nl": 41.0, "pl": 50.0, "pt": 67.0, "ru": 609.0, "sv": 26.0,
    "sw": 0.008, "tr": 28.0, "uk": 29.0, "ur": 1.0, "vi": 33.0, "zh": 267.0,
}  # fmt: skip
GROUPS = {"eleven": ("ar", "ca", "en", "es", "eu", "fr", "hi", "id", "pt", "vi", "zh")}
FORM = "LANGUAGE+LANGUAGE…, or a name of some (eleven), and @ALPHA if it is not 0.3"


@dataclass(frozen=True)
class Languages:
    """One value of `languages`: codes in order, and the exponent."""

    codes: tuple[str, ...]
    alpha: float = ALPHA

    def shares(self) -> dict[str, float]:
        """The fraction of the tokens that is in each language."""
        weights = {code: OSCAR_GB[code] ** self.alpha for code in self.codes}
        total = sum(weights.values())
        return {code: weight / total for code, weight in weights.items()}

    def corpus(self, template: str) -> str:
        """The name of the corpus in these languages: that of the one language, or of the mixture."""
        if PLACE not in template:
            return template
        if len(self.codes) == 1:
            return template.replace(PLACE, self.codes[0])
        return f"{MIX}{'+'.join(self.codes)}@{self.alpha:g}:{template}"


def parse(text: str) -> Languages:
    """`en`, `ca+es`, `eleven`, `eleven@0.7`. Raises UserError where it is none of these."""
    names, at, number = text.partition("@")
    codes = GROUPS.get(names) or tuple(sorted(set(names.split("+"))))
    for code in codes:
        if code not in OSCAR_GB:
            known = [*GROUPS, *OSCAR_GB]
            raise UserError(f"languages {text!r}: {code!r} is unknown; {did_you_mean(code, known)}", hint=FORM)
    if at and not re.fullmatch(r"\d*\.?\d+", number):
        raise UserError(f"languages {text!r}: the exponent {number!r} should be a number from 0", hint=FORM)
    return Languages(codes, float(number) if at else ALPHA)


def split_name(name: str) -> tuple[Languages, str]:
    """The languages and the template of a mixture's name. Raises UserError for another form."""
    languages, colon, template = name.removeprefix(MIX).partition(":")
    if not (name.startswith(MIX) and colon and PLACE in template):
        raise UserError(f"{name!r} names no mixture", hint=f"the form is {MIX}LANGUAGES@ALPHA:CORPUS-{PLACE}")
    return parse(languages), template


def interleaved(parts: Mapping[str, Sequence[str]]) -> list[str]:
    """All documents, each part spread evenly over the whole."""
    places = [
        ((number + 0.5) / len(documents), code, text)
        for code, documents in parts.items()
        for number, text in enumerate(documents)
    ]
    return [text for _, _, text in sorted(places, key=lambda place: place[:2])]
