"""The C4 rules, one by one, and the removal of duplicates."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchsuite.pretrain.corpora import filters
from benchsuite.pretrain.corpora.filters import c4_filter, deduplicate
from benchsuite.pretrain.corpora.text import is_unspaced, sentences, word_spans

GOOD = "The old man walked to the river. He sat down on a stone. The water was cold and clear."


def test_good_document_is_kept_as_it_is() -> None:
    assert c4_filter([GOOD]) == [GOOD]


@pytest.mark.parametrize(
    "line",
    [
        "Home | Shop | About us and the others",
        "Only four words here.",
        "This line trails off into nothing at all...",
        "Please turn on Javascript to read this page.",
        "By going on you accept our Terms of Use.",
        "This site uses cookies to serve you better.",
        "W" * 1001 + " is one of the longest words.",
        "",
    ],
)
def test_bad_line_is_dropped_and_the_rest_kept(line: str) -> None:
    assert c4_filter([f"{line}\n{GOOD}\n{line}"]) == [GOOD]


@pytest.mark.parametrize("ending", ["She said it was late!", 'He called "we are here now."', "Who went there so late?"])
def test_terminal_punctuation_of_every_kind_is_kept(ending: str) -> None:
    assert c4_filter([f"{GOOD}\n{ending}"]) == [f"{GOOD}\n{ending}"]


@pytest.mark.parametrize(
    "document",
    [
        GOOD + "\nfunction f() { return the value of it. }",
        GOOD + "\nLorem Ipsum dolor sit amet and so on.",
        "The old man walked to the river. He sat down there.",
        "",
        "\n\n",
        "\n".join([GOOD] * 4),
    ],
)
def test_bad_document_is_dropped(document: str) -> None:
    assert c4_filter([document]) == []


def test_thresholds_are_parameters() -> None:
    two = "Short but good. It stays here."
    assert c4_filter([two]) == []
    assert c4_filter([two], min_sentences=2) == [two]
    assert c4_filter([GOOD + " {x}."], braces=False) == [GOOD + " {x}."]
    assert c4_filter([GOOD], min_words=100) == []
    assert c4_filter(["\n".join([GOOD] * 4)], max_repeated_lines=1.0) == [GOOD]


def test_citation_marks_are_removed() -> None:
    assert c4_filter([GOOD.replace("river.", "river.[12]")]) == [GOOD]


def test_filtering_twice_changes_nothing() -> None:
    once = c4_filter([GOOD + "\nbad line\n" + GOOD.upper()])
    assert once
    assert c4_filter(once) == once


# ---- duplicates -----------------------------------------------------------------------------------------------------


def test_first_of_exact_duplicates_stays() -> None:
    assert deduplicate([GOOD, "Another text.", GOOD, "Another text."]) == [GOOD, "Another text."]


def test_duplicates_up_to_case_space_punctuation_and_numbers() -> None:
    first = "It has 12 legs. It runs."
    assert deduplicate([first, "it has  7 legs!\nIt runs?", "It has no legs. It runs."]) == [
        first,
        "It has no legs. It runs.",
    ]


def test_three_sentences_seen_before_are_removed() -> None:
    own = "A new thing happened today. Nobody knew why it did. They all went home then. The end was near."
    assert deduplicate([GOOD, own + " " + GOOD]) == [GOOD, own]


def test_two_sentences_seen_before_are_not() -> None:
    shared = " ".join(sentences(GOOD)[:2])
    other = shared + " But this sentence is another."
    assert deduplicate([GOOD, other]) == [GOOD, other]


def test_document_that_is_mostly_copied_is_dropped() -> None:
    assert deduplicate([GOOD, GOOD + " One more sentence."]) == [GOOD]


def test_copy_within_one_document_is_removed() -> None:
    other = "Here comes the middle part. It has two sentences."
    assert deduplicate([f"{GOOD} {other} {GOOD}"]) == [f"{GOOD} {other}"]


TEXTS = st.text(alphabet="ab A.!?\n\0é。1", max_size=40)


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXTS, max_size=12))
def test_deduplicating_never_adds_and_never_fails(docs: list[str]) -> None:
    kept = deduplicate(docs)
    assert len(kept) <= len(docs)
    assert len(set(kept)) == len(kept)
    assert set(deduplicate(docs + docs)) == set(kept)
    for document in kept:
        assert any(set(sentences(document)) <= set(sentences(original)) or document in original for original in docs)


# ---- sentences and words --------------------------------------------------------------------------------------------


def test_sentences_of_several_scripts() -> None:
    assert sentences("One. Two! “Three?” Four") == ["One.", "Two!", "“Three?”", "Four"]
    assert sentences("第一句。第二句！第三") == ["第一句。", "第二句！", "第三"]
    assert sentences("यह एक है। वह दो है।") == ["यह एक है।", "वह दो है।"]
    assert sentences("كيف حالك؟ بخير.") == ["كيف حالك؟", "بخير."]
    assert sentences("3.14 is one sentence") == ["3.14 is one sentence"]
    assert sentences(" \n ") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop-gap it, 3 times.", ["Don't", "stop-gap", "it", "3", "times"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("naïve cafe\u0301", ["naïve", "cafe\u0301"]),
        ("我有3个iPhone。", ["我", "有", "3", "个", "iPhone"]),
        ("ภาษาไทยดี", ["ภ", "า", "ษ", "า", "ไ", "ท", "ย", "ดี"]),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert [text[start:end] for start, end in word_spans(text)] == words


def test_scripts_without_spaces_are_known() -> None:
    assert is_unspaced("这是中文")
    assert is_unspaced("ひらがなとカタカナ")
    assert not is_unspaced("한국어는 띄어쓰기가 있다")
    assert not is_unspaced("English with one 字")


def test_the_example_in_the_documentation_runs() -> None:
    result = doctest.testmod(filters)
    assert result.attempted >= 3
    assert result.failed == 0
