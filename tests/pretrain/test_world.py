"""The generated world: deterministic, its sources in their relation, its held-out side apart."""

from __future__ import annotations

import subprocess
import sys
import zlib

import pytest

from benchsuite.pretrain.corpora import world
from benchsuite.pretrain.corpora.filters import c4_filter, deduplicate
from benchsuite.pretrain.corpora.world import knowledge, sources
from benchsuite.pretrain.corpora.world.draw import Draw, Split, pairs
from benchsuite.pretrain.corpora.world.lexicon import ANIMALS, COUNTRIES, NAME_OBJECT, NAMES, OBJECT_NAME, OBJECTS

SIZE = 200_000


@pytest.mark.parametrize("source", world.SOURCES)
def test_same_request_same_bytes(source: str) -> None:
    first = world.documents(source, seed=3, n_bytes=SIZE)
    assert first == world.documents(source, seed=3, n_bytes=SIZE)
    assert first != world.documents(source, seed=4, n_bytes=SIZE)
    assert SIZE <= sum(len(doc.encode()) for doc in first) < SIZE + 5000


@pytest.mark.parametrize("source", ["curated", "web_raw"])
def test_more_bytes_only_add_documents(source: str) -> None:
    few, many = (world.documents(source, seed=0, n_bytes=n) for n in (50_000, 100_000))
    assert many[: len(few)] == few


@pytest.mark.slow
@pytest.mark.parametrize("source", world.SOURCES)
def test_nothing_depends_on_the_process(source: str) -> None:
    code = (
        "import zlib; from benchsuite.pretrain.corpora import world; "
        f"print(zlib.crc32(chr(0).join(world.documents({source!r}, seed=1, n_bytes=20_000)).encode()))"
    )
    here = zlib.crc32("\0".join(world.documents(source, seed=1, n_bytes=20_000)).encode())
    for hash_seed in ("1", "2"):
        env = {"PYTHONHASHSEED": hash_seed, "PATH": "", "PYTHONPATH": ":".join(sys.path)}
        answer = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        assert int(answer.stdout) == here


def test_random_numbers_are_those_of_any_python() -> None:
    """`random.Random(int).random()` is guaranteed to stay; these are its values as of Python 3.11."""
    draw = Draw("a", 1)
    assert [draw.below(1000) for _ in range(5)] == list(GOLDEN_A1)
    assert sorted(draw.some(range(9), 9)) == list(range(9))


GOLDEN_A1 = (683, 850, 584, 68, 658)


@pytest.mark.slow
@pytest.mark.parametrize("source", world.SOURCES)
def test_held_out_documents_are_not_in_training(source: str) -> None:
    train = set(world.documents(source, seed=0, n_bytes=2_000_000))
    for seed in (0, 1):
        held_out = world.heldout(source, seed=seed, n_bytes=SIZE)
        assert sum(map(len, held_out)) >= SIZE
        # a page may be all boilerplate; the text that it is about has a side
        about = [doc for doc in held_out if source != "web_raw" or len(doc) > 300]
        assert len(about) > 100
        assert not train & set(about)


def test_a_body_has_one_side() -> None:
    bodies = sources._bodies(Draw("x"), sources.CURATED, True)
    for _ in range(50):
        assert zlib.crc32(next(bodies).encode()) % sources.HELD_OUT_ONE_IN == 0


def test_web_raw_is_noisy_and_filtered_is_what_the_filters_leave() -> None:
    raw = world.documents("web_raw", seed=0, n_bytes=400_000)
    text = "\n".join(raw)
    for sign in ("cookies", " | ", "Click here", "JavaScript", " ...\n"):
        assert sign in text
    assert len(set(raw)) < len(raw)  # exact duplicates
    kept = deduplicate(c4_filter(raw))
    lost = 1 - sum(map(len, kept)) / sum(map(len, raw))
    assert 0.3 < lost < 0.6
    filtered = world.documents("web_filtered", seed=0, n_bytes=100_000)
    assert filtered == kept[: len(filtered)]
    assert "cookies" not in "".join(filtered)


def test_the_filters_leave_curated_text_alone() -> None:
    docs = world.documents("curated", seed=0, n_bytes=SIZE)
    kept = deduplicate(c4_filter(docs))
    assert sum(map(len, kept)) > 0.95 * sum(map(len, docs))


def test_curated_is_balanced() -> None:
    """No kind of text has less than 2 % or more than 40 % of the bytes (notes are long and full of other facts)."""
    draw = Draw("balance")
    size = dict.fromkeys(sources.DOMAIN_SHARES, 0)
    for name, (write, share, _) in sources.DOMAIN_SHARES.items():
        size[name] = int(share * sum(len(write(draw)) for _ in range(200)))
    for name, n in size.items():
        assert 0.02 < n / sum(size.values()) < 0.4, name


def test_text_is_ascii_and_has_few_words() -> None:
    docs = world.documents("curated", seed=0, n_bytes=1_000_000)
    text = " ".join(docs)
    assert text.isascii()
    assert 400 < len({word.strip(".,?") for word in text.split()}) < 600


def test_facts_do_not_contradict_one_another() -> None:
    """Each country has one value of each attribute, each animal one of each property, in all the text."""
    text = " ".join(world.documents("curated", seed=0, n_bytes=1_000_000))
    for (name, country), value in knowledge.FACTS.items():
        for statement in knowledge.ATTRIBUTES[name].statements:
            told = statement.format(country, "|").split("|")[0]
            assert f"{told}{value}" in text  # every fact is told, the asked ones too
            assert text.count(told) == text.count(f"{told}{value}")
    assert len({(a, c) for a, c in knowledge.FACTS}) == 4 * len(COUNTRIES)
    for (frame, animal), value in knowledge.VALUE.items():
        verb = knowledge.FRAMES[frame][0]
        if verb in ("eats", "can"):
            assert text.count(f"The {animal} {verb} ") == text.count(f"The {animal} {verb} {value}")


def test_split_holds_out_the_same_number_everywhere() -> None:
    split = Split("s", NAMES, OBJECTS, 5)
    for name in NAMES:
        held, free = set(split.of(name, True)), set(split.of(name, False))
        assert len(held) == 5
        assert held | free == set(OBJECTS)
        assert not held & free
    for thing in OBJECTS:
        assert len(OBJECT_NAME.of(thing, True)) == 5
        assert all(thing in NAME_OBJECT.of(name, True) for name in OBJECT_NAME.of(thing, True))


def test_pairs_and_their_reverse_are_on_one_side() -> None:
    sides = pairs("p", ANIMALS, 4)
    held = set(sides[True])
    assert held
    assert {(b, a) for a, b in held} == held
    assert not held & set(sides[False])
    assert len(held) + len(sides[False]) == len(ANIMALS) * (len(ANIMALS) - 1)


def test_digest_names_source_and_code() -> None:
    fields = world.digest_fields("curated")
    assert fields["world"] == "curated"
    assert len(str(fields["code"])) == 16
    assert fields != world.digest_fields("web_raw")


def test_an_unknown_source_is_an_error() -> None:
    with pytest.raises(KeyError):
        world.documents("pile", seed=0, n_bytes=10)
