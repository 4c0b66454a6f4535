"""Corpora by name: the split, the cache, files of every kind, and what is said about bad ones."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchsuite.errors import UserError
from benchsuite.pretrain import corpora
from benchsuite.pretrain.corpora import Corpus, files, hub, load, names, split
from benchsuite.pretrain.corpora.files import cut, read_documents
from benchsuite.pretrain.corpora.filters import c4_filter
from benchsuite.pretrain.corpora.text import sentences

PARAGRAPH = "Paragraph {0} tells of thing {0}. It goes on for a while about {0}, and then it ends.\n\n"


def book(paragraphs: int) -> str:
    return "".join(PARAGRAPH.format(number) for number in range(paragraphs))


def plain(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("BENCHSUITE_CACHE", str(folder))
    return folder


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


# ---- built-in -------------------------------------------------------------------------------------------------------


def test_names_are_the_built_in_corpora() -> None:
    facts = [f"facts-{code}" for code in ("ar", "ca", "en", "es", "eu", "fr", "hi", "id", "pt", "vi", "zh")]
    installed = ["installed-raw", "installed-filtered", "installed"]
    assert list(names()) == ["web_raw", "web_filtered", "curated", *facts, *installed]
    assert all(names().values())


@pytest.mark.parametrize("name", ["web_raw", "web_filtered", "curated"])
def test_world(name: str, cache: Path) -> None:
    corpus = load(name, train_bytes=60_000, heldout_bytes=10_000, seed=3)
    assert corpus.tasks == "world"
    assert sum(len(document.encode()) for document in corpus.train) > 50_000
    assert sum(len(document.encode()) for document in corpus.heldout) >= 10_000
    assert not set(corpus.train) & set(corpus.heldout)
    assert load(name, train_bytes=60_000, heldout_bytes=10_000, seed=3) == corpus
    assert load(name, train_bytes=60_000, heldout_bytes=10_000, seed=4).digest != corpus.digest


@pytest.mark.slow
def test_listing_names_loads_nothing_heavy() -> None:
    code = (
        "import sys; from benchsuite.pretrain.corpora import names; names(); "
        "print([m for m in ('torch', 'pyarrow', 'datasets', 'tokenizers') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# ---- split ----------------------------------------------------------------------------------------------------------

DOCUMENTS = [f"Document {number} has a text of its own." for number in range(400)]


def test_split_fills_both_parts_and_shares_nothing() -> None:
    train, heldout = split("x", iter(DOCUMENTS), train_bytes=5000, heldout_bytes=1000, seed=0)
    assert not set(train) & set(heldout)
    assert 5000 <= sum(map(len, train)) < 5000 + 50
    assert 1000 <= sum(map(len, heldout)) < 1000 + 50
    assert train == [text for text in DOCUMENTS if text in set(train)]


def test_split_is_deterministic_and_follows_the_seed() -> None:
    def heldout(seed: int) -> list[str]:
        return split("x", iter(DOCUMENTS), train_bytes=5000, heldout_bytes=1000, seed=seed)[1]

    assert heldout(0) == heldout(0)
    assert set(heldout(0)) != set(heldout(1))
    assert heldout(-1)


def test_copies_never_straddle() -> None:
    stream = [text for document in DOCUMENTS for text in (document, document.upper(), document.replace(" ", "  "))]
    train, heldout = split("x", iter(stream), train_bytes=20_000, heldout_bytes=2000, seed=0)
    trained = {plain(text).casefold() for text in train}
    held = [plain(text).casefold() for text in heldout]
    assert not trained & set(held)
    assert len(held) == len(set(held))
    assert len(trained) < len(train)  # training keeps its own duplicates


def test_split_reads_no_more_than_it_needs() -> None:
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield f"Document {read} of a stream without an end."

    train, heldout = split("x", endless(), train_bytes=5000, heldout_bytes=1000, seed=0)
    assert read <= len(train) + len(heldout) + 1


def test_small_corpus_trains_on_what_is_left() -> None:
    train, heldout = split("x", iter(DOCUMENTS), train_bytes=10**9, heldout_bytes=1000, seed=0)
    assert sorted(train + heldout) == sorted(DOCUMENTS)


def test_too_small_corpus_is_refused_with_the_minimum() -> None:
    with pytest.raises(UserError, match=r"small: 33 bytes.* minimum is 2,000") as caught:
        split("x", iter(DOCUMENTS[:1]), train_bytes=5000, heldout_bytes=1000, seed=0)
    assert caught.value.exit_code == 2
    with pytest.raises(UserError, match="left to train on"):
        split("x", iter([DOCUMENTS[0]] * 500), train_bytes=5000, heldout_bytes=1000, seed=0)


@pytest.mark.parametrize("sizes", [(0, 10), (10, 0), (-1, 10)])
def test_sizes_must_be_positive(sizes: tuple[int, int]) -> None:
    with pytest.raises(UserError, match="positive"):
        load("curated", train_bytes=sizes[0], heldout_bytes=sizes[1])


# ---- text files -----------------------------------------------------------------------------------------------------


def test_book(tmp_path: Path) -> None:
    path = write(tmp_path, "book.txt", book(800))
    corpus = load(str(path), train_bytes=40_000, heldout_bytes=8_000)
    assert corpus.tasks is None
    assert all(len(document) <= 4000 for document in corpus.train + corpus.heldout)
    assert all(document.startswith("Paragraph") and document.endswith("ends.") for document in corpus.train)
    moved = tmp_path / "other.txt"
    path.rename(moved)
    again = load(str(moved), train_bytes=40_000, heldout_bytes=8_000)
    assert (again.digest, again.train) == (corpus.digest, corpus.train)
    moved.write_text(book(800).replace("thing 7.", "thing x."))
    assert load(str(moved), train_bytes=40_000, heldout_bytes=8_000).digest != corpus.digest


def test_cut_loses_nothing_and_keeps_its_limits() -> None:
    text = book(500)
    documents = list(cut(iter([text])))
    assert "\n\n".join(documents) == text.strip()
    assert all(2000 <= len(document.encode()) <= 4000 for document in documents[:-1])


@pytest.mark.parametrize("separator", ["\n", ". ", "。", " ", ""])
def test_cut_finds_the_best_break_there_is(separator: str) -> None:
    text = ("word" * 5 + separator) * 2000
    documents = list(cut(iter([text])))
    assert "".join("".join(documents).split()) == "".join(text.split())
    assert all(len(document.encode()) <= 4000 for document in documents)
    if separator:
        # no word is cut, though a word is often in the way of the next break
        assert all(len(document.translate({ord(c): None for c in separator})) % 20 == 0 for document in documents)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab é猫.\n", max_size=300), st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_cut_does_not_depend_on_the_blocks(text: str, sizes: list[int]) -> None:
    blocks = []
    rest = text
    for size in sizes * 300:
        blocks.append(rest[:size])
        rest = rest[size:]
    whole = list(cut(iter([text]), (20, 40)))
    assert list(cut(iter([*blocks, rest]), (20, 40))) == whole
    assert all(document.strip() == document and 0 < len(document.encode()) <= 40 for document in whole)
    assert "".join("".join(whole).split()) == "".join(text.split())


@pytest.mark.parametrize("block", [3, 4, 7, 1 << 20])
def test_text_in_any_script_mark_and_line_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(files, "_BLOCK", block)
    path = write(tmp_path, "a.txt", "\ufeffΓειά σου\r\nkötü\r猫\n\U0001f600\r".encode())
    assert list(read_documents(path)) == ["Γειά σου\nkötü\n猫\n\U0001f600"]


@pytest.mark.parametrize("block", [2, 1 << 20])
def test_wrong_encoding_is_refused_with_the_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(files, "_BLOCK", block)
    path = write(tmp_path, "latin.txt", b"\xc3\xa9a caf\xe9 au lait")
    with pytest.raises(UserError, match=r"latin\.txt: not UTF-8 at byte 7") as caught:
        list(read_documents(path))
    assert "iconv" in caught.value.hint


def test_cut_off_character_at_the_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not UTF-8 at byte 2"):
        list(read_documents(write(tmp_path, "a.txt", b"ab\xe7\x8c")))


@pytest.mark.parametrize("content", [b"text\0more", b"\x7fELF\x02\x01\x01\0\0\0"])
def test_binary_file_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UserError, match=r"a\.txt: a binary file"):
        list(read_documents(write(tmp_path, "a.txt", content)))


def test_utf16_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="UTF-16"):
        list(read_documents(write(tmp_path, "a.txt", "text".encode("utf-16"))))


def test_large_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", book(40_000).encode() + b"\xff")  # 3 MB before the byte that is wrong
    assert load(str(path), train_bytes=20_000, heldout_bytes=5_000).train
    with pytest.raises(UserError, match="not UTF-8"):
        load(str(path), train_bytes=10**9, heldout_bytes=5_000)


# ---- jsonl and parquet ----------------------------------------------------------------------------------------------


def test_jsonl(tmp_path: Path) -> None:
    rows = [{"text": f" row {number} \n"} for number in range(3)] + [{"text": ""}, {"text": book(400), "id": 1}]
    path = write(tmp_path, "a.jsonl", "\ufeff" + "\n\n".join(json.dumps(row) for row in rows))
    documents = list(read_documents(path))
    assert documents[:3] == ["row 0", "row 1", "row 2"]
    assert plain(" ".join(documents[3:])) == plain(book(400))
    assert len(documents) > 10  # a book in a row is cut


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "expected a JSON object, got list"),
        ('{"body": "x", "id": 1}', 'no field "text"; the fields are: body, id'),
        ('{"text": 3}', "no string but int"),
        ('{"text": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deep"),
        ('{"text": "a\\ud800b"}', "surrogate"),
    ],
)
def test_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path, "a.jsonl", f'{{"text": "fine"}}\n\n{line}\n')
    with pytest.raises(UserError, match=r"a\.jsonl, line 3: ") as caught:
        list(read_documents(path))
    assert message in caught.value.message


def test_jsonl_that_is_not_utf8(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", b'{"text": "ok"}\n{"text": "\xe9"}\n')
    with pytest.raises(UserError, match="not UTF-8 at byte 25: line 2"):
        list(read_documents(path))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
@pytest.mark.parametrize("column", ["text", "body"])
def test_parquet(tmp_path: Path, kind: pa.DataType, column: str) -> None:
    table = pa.table({"id": [1, 2, 3], column: pa.array(["one", None, "three"]).cast(kind)})
    pq.write_table(table, tmp_path / "a.parquet")
    assert list(read_documents(tmp_path / "a.parquet")) == ["one", "three"]


def test_parquet_prefers_the_column_named_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"url": ["u"], "text": ["t"]}), tmp_path / "a.parquet")
    assert list(read_documents(tmp_path / "a.parquet")) == ["t"]


@pytest.mark.parametrize(("columns", "message"), [({"a": ["x"], "b": ["y"]}, "several"), ({"a": [1]}, "no string")])
def test_parquet_without_a_clear_column_names_them(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=message) as caught:
        list(read_documents(tmp_path / "a.parquet"))
    assert "a (" in caught.value.message


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet at all" * 10])
def test_torn_parquet(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UserError, match=r"a\.parquet: not a readable parquet file"):
        list(read_documents(write(tmp_path, "a.parquet", content)))


# ---- what has no end or no text -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".txt", ".jsonl", ".parquet"])
def test_a_pipe_and_a_device_are_refused_unread(tmp_path: Path, suffix: str) -> None:
    os.mkfifo(tmp_path / f"pipe{suffix}")
    (tmp_path / f"device{suffix}").symlink_to("/dev/zero")
    for name in ("pipe", "device"):
        for refuse in (files.check, lambda path: list(read_documents(path))):
            with pytest.raises(UserError, match="not a regular file"):
                refuse(tmp_path / f"{name}{suffix}")


@pytest.mark.parametrize("suffix", [".txt", ".jsonl"])
def test_a_file_with_a_hole_is_refused_unread(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path, f"a{suffix}", '{"text": "fine"}\n')
    os.truncate(path, 2**40)
    with pytest.raises(UserError, match="it has a hole at byte"):
        files.check(path)


def test_a_line_without_end_is_refused_in_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LONGEST_ROW", 1000)
    path = write(tmp_path, "a.jsonl", '{"text": "fine"}\n' + json.dumps({"text": "a" * 1000}))
    with pytest.raises(UserError, match=r"a\.jsonl, line 2: longer than 1,000 bytes"):
        list(read_documents(path))


def test_a_folder_with_too_much_in_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        write(tmp_path, f"{number}.log", "")
    write(tmp_path, "a.txt", "text")
    assert list(read_documents(tmp_path)) == ["text"]
    monkeypatch.setattr(files, "MOST_ENTRIES", 10)
    with pytest.raises(UserError, match="more than 10 entries"):
        list(read_documents(tmp_path))


def test_a_row_without_text_is_no_document_in_any_format(tmp_path: Path) -> None:
    texts = ["one", None, "", "two"]
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet")
    write(tmp_path, "a.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in texts))
    for name in ("a.parquet", "a.jsonl"):
        assert list(read_documents(tmp_path / name)) == ["one", "two"]


def test_parquet_with_a_point_in_the_name_of_its_column(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a.b": ["one", "two"], "id": [1, 2]}), tmp_path / "a.parquet")
    assert list(read_documents(tmp_path / "a.parquet")) == ["one", "two"]


def test_parquet_with_odd_columns_is_refused(tmp_path: Path) -> None:
    for odd in (
        pa.table([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]),
        pa.table({"text": pa.array([["a"]])}),
        pa.table({"text": pa.array([{"text": "a"}])}),
        pa.table({"text": pa.array([b"a"])}),
        pa.table({"text": pa.array([None], pa.null())}),
    ):
        pq.write_table(odd, tmp_path / "a.parquet")
        with pytest.raises(UserError, match="columns: text"):
            list(read_documents(tmp_path / "a.parquet"))


@pytest.mark.slow
def test_a_damaged_corpus_is_read_or_refused(tmp_path: Path) -> None:
    """Bytes changed, cut off and put in, in every format: documents or one message."""
    pq.write_table(
        pa.table({"text": ["one two three" * 20, None, "four"] * 9, "id": [1, 2, 3] * 9}), tmp_path / "a.parquet"
    )
    write(tmp_path, "a.jsonl", json.dumps({"text": "a\u00e9 b", "id": [1, {"a": None}]}) + "\n" + '{"text": null}\n')
    write(tmp_path, "a.txt", "Text with é and 猫.\n\nMore of it.\n")
    draw = random.Random(0)
    for name in ("a.parquet", "a.jsonl", "a.txt"):
        whole = (tmp_path / name).read_bytes()
        for _ in range(300):
            damaged = bytearray(whole)
            for _ in range(draw.randint(1, 4)):
                place = draw.randrange(len(damaged))
                damaged[place : place + draw.choice([0, 1, 1, 1, 9])] = draw.randbytes(draw.choice([0, 1, 1, 1, 4]))
            write(tmp_path, name, bytes(damaged))
            with contextlib.suppress(UserError):
                assert all(isinstance(text, str) and text for text in read_documents(tmp_path / name))


def test_long_rows_of_marks_are_cut_in_time_that_grows_with_them() -> None:
    """A row of n marks took n^2 steps: a minute for what takes a hundredth of a second."""
    marks = "." * 200_000 + "x"
    assert sentences(marks) == [marks]
    assert c4_filter([f"{marks} It is a line of words.", marks]) == []
    assert "".join(files.cut(iter((marks,)))) == marks


# ---- folders and names ----------------------------------------------------------------------------------------------


def test_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub", "b.txt", "from b")
    write(tmp_path, "a.jsonl", '{"text": "from a"}\n')
    write(tmp_path, "C.TXT", "from C")
    write(tmp_path, "d.bin", b"\0")
    assert list(read_documents(tmp_path)) == ["from C", "from a", "from b"]


def test_files_of_a_folder_take_turns(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write(tmp_path, f"{name}.jsonl", "".join(f'{{"text": "{name}{number}"}}\n' for number in range(100)))
    documents = list(read_documents(tmp_path))
    assert {text[0] for text in documents[:12]} == {"a", "b", "c"}
    assert len(set(documents)) == 300


def test_folder_of_more_files_than_are_open_at_once(tmp_path: Path) -> None:
    for number in range(150):
        write(tmp_path, f"{number:03}.txt", f"file {number}")
    assert sorted(read_documents(tmp_path)) == sorted(f"file {number}" for number in range(150))


def test_empty_folder_and_empty_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no corpus file") as caught:
        load(str(tmp_path), train_bytes=100)
    assert ".jsonl" in caught.value.hint
    write(tmp_path, "a.txt", "")
    with pytest.raises(UserError, match="too small: 0 bytes"):
        load(str(tmp_path), train_bytes=100)


def test_unsupported_suffix(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ends in \.txt, \.jsonl, \.parquet, not \.docx"):
        load(str(write(tmp_path, "a.docx", "text")), train_bytes=100)


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "a.txt", "text")

    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(UserError, match=r"a\.txt cannot be read: Permission denied"):
        list(read_documents(path))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("instaled", "did you mean 'installed'"),
        ("web", "curated"),
        ("no/such/file.txt", "no corpus file or folder"),
        ("book.txt", "no corpus file or folder"),
        ("", "installed"),
    ],
)
def test_unknown_name(name: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        load(name, train_bytes=100)
    assert said in str(caught.value)
    assert "installed-raw" in caught.value.hint


# ---- cache ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, cache: Path) -> list[str]:
    """Each time the `installed` corpus is collected, its name is added."""
    collected: list[str] = []

    def collect(kind: str, *, train_bytes: int, heldout_bytes: int, seed: int) -> tuple[list[str], list[str]]:
        collected.append(kind)
        return DOCUMENTS[: train_bytes // 35], DOCUMENTS[-heldout_bytes // 35 :]

    monkeypatch.setattr(corpora.installed, "load", collect)
    return collected


def small() -> Corpus:
    return load("installed", train_bytes=5000, heldout_bytes=1000)


def test_cache_is_used(counted: list[str], cache: Path) -> None:
    assert small() == small()
    assert counted == ["installed"]
    load("installed", train_bytes=5001, heldout_bytes=1000)
    load("installed-raw", train_bytes=5000, heldout_bytes=1000)
    assert counted == ["installed", "installed", "installed-raw"]
    assert len(list((cache / "corpora").iterdir())) == 3


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["half", "empty", "garbage", "changed"])
def test_torn_cache_is_made_again(counted: list[str], cache: Path, damage: str) -> None:
    corpus = small()
    (path,) = (cache / "corpora").iterdir()
    whole = path.read_bytes()
    damaged = {
        "half": whole[: len(whole) // 2],
        "empty": b"",
        "garbage": b"\xff\n{",
        "changed": whole.replace(b"Document 3", b"Document 4"),
    }
    path.write_bytes(damaged[damage])
    assert small() == corpus
    assert counted == ["installed"] * 2
    assert path.read_bytes() == whole


def test_new_package_versions_are_another_corpus(counted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = small().digest
    monkeypatch.setattr(corpora.installed, "versions", lambda: {"python": "9.9"})
    assert small().digest != before
    assert len(counted) == 2


def test_changed_code_makes_the_text_anew(counted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = small()
    monkeypatch.setattr(corpora.installed, "code", lambda: "other")
    assert small() == before
    assert len(counted) == 2


@pytest.mark.slow
def test_two_processes_at_once(tmp_path: Path) -> None:
    code = (
        "from benchsuite.pretrain.corpora import load; "
        "print(load('curated', train_bytes=200_000, heldout_bytes=20_000).digest)"
    )
    environment = os.environ | {"BENCHSUITE_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", code]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(3)]
    answers = {process.communicate(timeout=60)[0] for process in processes}
    assert len(answers) == 1
    assert all(process.returncode == 0 for process in processes)
    assert len(list((tmp_path / "corpora").iterdir())) == 1  # and no temporary file


# ---- hub ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("hub:a/b", ("a/b", None, "train", "text")),
        ("hub:a/b:en", ("a/b", "en", "train", "text")),
        ("hub:a/b:en:test:body", ("a/b", "en", "test", "body")),
        ("hub:a/b:::body", ("a/b", None, "train", "body")),
    ],
)
def test_hub_name(name: str, parts: tuple[str | None, ...]) -> None:
    parsed = hub.parse(name)
    assert (parsed.repository, parsed.config, parsed.split, parsed.column) == parts


@pytest.mark.parametrize("name", ["hub:", "hub:a", "hub:/b", "hub:a/", "hub:a/b/c", "hub:a/b:c:d:e:f", "hub:a/b:c d"])
def test_wrong_hub_name(name: str) -> None:
    with pytest.raises(UserError) as caught:
        load(name, train_bytes=100)
    assert hub.FORM in caught.value.hint


def test_hub_without_network() -> None:
    with pytest.raises(UserError, match=r"the dataset a/b .* cannot be read") as caught:  # the tests run offline
        load("hub:a/b", train_bytes=100)
    assert "network" in caught.value.hint


@pytest.fixture
def fake_hub(monkeypatch: pytest.MonkeyPatch, cache: Path) -> list[dict[str, Any]]:
    asked: list[dict[str, Any]] = []

    def load_dataset(repository: str, config: str | None, **options: Any) -> Iterator[dict[str, str]]:
        asked.append({"repository": repository, "config": config, **options})
        return ({"body": text, "id": "1"} for text in DOCUMENTS)

    import datasets
    import huggingface_hub

    class Api:
        def dataset_info(self, repository: str, timeout: float) -> SimpleNamespace:
            return SimpleNamespace(sha="c0ffee")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    return asked


def test_hub_dataset_is_streamed_at_one_commit_and_cached(fake_hub: list[dict[str, Any]]) -> None:
    name = "hub:a/b:en:train:body"
    corpus = load(name, train_bytes=5000, heldout_bytes=1000)
    assert set(corpus.train + corpus.heldout) <= set(DOCUMENTS)
    assert corpus.tasks is None
    assert load(name, train_bytes=5000, heldout_bytes=1000) == corpus
    assert fake_hub == [
        {"repository": "a/b", "config": "en", "split": "train", "revision": "c0ffee", "streaming": True}
    ]


def test_hub_column_that_is_not_there(fake_hub: list[dict[str, Any]]) -> None:
    with pytest.raises(UserError, match="no text in column 'text'; columns: body, id"):
        load("hub:a/b", train_bytes=5000)
