import copy

import pytest

from benchsuite.report import words
from benchsuite.report.speed import not_measured
from benchsuite.verdicts.quality import empty
from benchsuite.verdicts.tokens import time, unplaced


def row(speed=None, quality=None, **fields):
    measured, memory = not_measured()
    base = {
        "run": "r",
        "component": "position",
        "variant": "rotary",
        "baseline": "learned",
        "matching": "iso-parameter",
    }
    base |= {"implementation": "eager", "scope": "step", "direction": "step", "memory": memory}
    base |= {"speed": measured | (speed or {}), "quality": empty() | (quality or {})}
    return base | {"time": time(base["quality"]["tokens"], base["speed"])} | fields


SLOWER = {"ratio": 0.88, "low": 0.85, "high": 0.91, "verdict": "slower", "margin": 0.02}
BETTER = {"delta": 0.018, "low": 0.006, "high": 0.030, "verdict": "better", "covers_seeds": True}


def test_the_sentence_of_the_manual():
    assert words.sentence(row(SLOWER, BETTER)) == (
        "Rotary positions reduce training speed by 12% (9 to 15%) and raise zero-shot accuracy by 1.8 points (0.6 to "
        "3.0)."
    )


LESS = unplaced(None) | {"ratio": 0.62, "low": 0.55, "high": 0.70, "bound": "", "verdict": "less"}
LESS |= {"low_open": False, "high_open": False}


@pytest.mark.parametrize(
    ("speed", "tokens", "quality", "sentence"),
    [
        (
            {"ratio": 0.97, "low": 0.96, "high": 0.98},
            {},
            {"delta": 0.093, "low": 0.041, "high": 0.145, "verdict": "better"},
            "Rotary positions need 0.62x [0.55, 0.70] of the tokens and 1.03x [1.02, 1.04] of the time per step, so "
            "they reach the baseline's quality in 0.64x [0.57, 0.72] of the training time here, at this budget. "
            "Zero-shot "
            "accuracy at equal tokens: +9.3 [+4.1, +14.5] points.",
        ),
        (
            {},
            {"low": 0.55, "high": 1.2, "verdict": "unresolved"},
            {"delta": 0.01, "low": -0.04, "high": 0.05, "verdict": "unresolved"},
            "Rotary positions need 0.62x [0.55, 1.20] of the tokens for the baseline's quality (unresolved) here, at "
            "this "
            "budget. Zero-shot accuracy at equal tokens: +1.0 [-4.0, +5.0] points (unresolved).",
        ),
        (
            {"verdict": "incomparable", "reason": "every round was disturbed"},
            {},
            {},
            "Rotary positions need 0.62x [0.55, 0.70] of the tokens for the baseline's quality here, at this budget, "
            "and "
            "could not be compared in training speed (every round was disturbed).",
        ),
        (
            {},
            {"ratio": 0.25, "low": 0.25, "high": 0.31, "bound": "<", "low_open": True},
            {},
            "Rotary positions need <0.25x [<0.25, 0.31] of the tokens for the baseline's quality here, at this budget.",
        ),
    ],
)
def test_tokens_come_first_where_they_are_known(speed, tokens, quality, sentence):
    assert words.sentence(row(speed, {"tokens": LESS | tokens} | quality)) == sentence


@pytest.mark.parametrize(
    ("speed", "quality", "sentence"),
    [
        ({}, {}, "Rotary positions: not measured."),
        (
            {"ratio": 1.052, "low": 1.03, "high": 1.07, "verdict": "faster"},
            {"delta": -0.021, "low": -0.032, "high": -0.010, "verdict": "worse"},
            "Rotary positions raise training speed by 5.2% (3.0 to 7.0%) and lower zero-shot accuracy by 2.1 points "
            "(1.0 "
            "to 3.2).",
        ),
        (
            {"ratio": 1.0, "low": 0.99, "high": 1.01, "verdict": "same", "margin": 0.02},
            {"delta": 0.004, "low": -0.005, "high": 0.013, "verdict": "unresolved", "covers_seeds": True},
            "Rotary positions keep training speed the same (within 2%) and have no conclusive effect on zero-shot "
            "accuracy (-0.5 to +1.3 points).",
        ),
        (
            {"ratio": 0.9, "verdict": "unclear"},
            {"delta": 0.02, "low": 0.01, "high": 0.03, "verdict": "unresolved", "covers_seeds": False},
            "Rotary positions have no conclusive effect on training speed (too few replicates for an interval) or "
            "zero-shot accuracy (one seed; +1.0 to +3.0 points by documents alone).",
        ),
        (
            {"verdict": "incomparable", "reason": "variant: oom"},
            {"verdict": "unresolved", "reason": "variant: timeout"},
            "Rotary positions could not be compared in training speed (variant: oom) and quality (variant: timeout).",
        ),
    ],
)
def test_sentences(speed, quality, sentence):
    assert words.sentence(row(speed, quality)) == sentence


def test_a_layer_is_not_called_training():
    layer = row(SLOWER, scope="layer", direction="fwd+bwd")
    assert "reduce the speed of their layer (forward and backward) by" in words.sentence(layer)


def test_the_headline_is_the_training_step_in_eager():
    rows = [
        row(SLOWER, scope="layer", direction="fwd+bwd"),
        row(SLOWER, implementation="compile"),
        row(SLOWER),
        row(SLOWER, scope="layer", direction="fwd"),
    ]
    assert words.headline_rows(rows) == [rows[2]]


def test_a_measured_layer_goes_before_a_failed_step():
    failed = row({"verdict": "incomparable", "reason": "variant: oom"})
    layer = row(SLOWER, scope="layer", direction="fwd")
    assert words.headline_rows([failed, layer]) == [layer]


def test_matchings_are_told_apart():
    wide = copy.deepcopy(row(SLOWER)) | {"matching": "iso-width"}
    assert len(words.headline_rows([row(SLOWER), wide])) == 2


def test_names_of_plugins_are_shown_as_they_are():
    assert words.variant_name("activation", "mish") == "mish"
    assert words.component_name("my_axis") == "My axis"
    assert words.mid_sentence("GELU") == "GELU"
    assert words.mid_sentence("Learned positions") == "learned positions"
    assert words.mid_sentence("") == ""


def test_equal_width_is_said_and_equal_parameters_go_without_saying():
    wide = row(SLOWER, matching="iso-width", component="activation", variant="swiglu")
    assert words.sentence(wide) == "SwiGLU reduces training speed at equal width by 12% (9 to 15%)."
    assert words.speed_of_what(wide).endswith(", iso-width")
    assert "equal" not in words.sentence(row(SLOWER))
    assert "iso" not in words.speed_of_what(row(SLOWER))


def test_recipes_are_named_in_words_where_their_names_are_the_study_s():
    assert words.variant_name("adaptation", "nd-mlm-to-cd-flm") == (
        "Prefix decoder with masked LM → causal decoder with full LM"
    )
    assert words.subject("multitask", "ed-plm+mtf") == "Encoder-decoder with prefix LM + finetuning"
    assert words.variant_name("objective", "mine") == "mine"
