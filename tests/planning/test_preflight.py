"""What is refused before the first job: counts, settings without effect, tasks, corpora, memory, disk, time."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.fuzz import refused_at_most

from benchsuite.errors import UserError
from benchsuite.planning import plan, preflight
from benchsuite.planning.plan import Machine, resolve
from benchsuite.pretrain.corpora import hub, world
from benchsuite.suite.source import packaged, read, scales

SUITE = """
name: small
model: {layers: 1, width: 8, heads: 2, vocab: 300, seq: 8}
speed: {rounds: 2, cases: [{component: position, variants: [alibi, rotary], shape: {batch: 1}}]}
quality: {seeds: 1, train: {tokens: 60k, batch: 4}, variants: {position: [none]}, train_bytes: 100k}
"""
MACHINE = Machine(cores=2)


@pytest.fixture
def suite(tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(SUITE)
    return str(path)


def planned(suite: str, *sets: str, corpora: tuple[str, ...] = (), only: tuple[str, ...] = ()) -> plan.Plan:
    found = resolve(read(suite, sets=sets), MACHINE, corpora=corpora, only=only)
    preflight.check(found.cases)
    return found


def refused(suite: str, *sets: str, corpora: tuple[str, ...] = (), only: tuple[str, ...] = ()) -> str:
    with pytest.raises(UserError) as error:
        planned(suite, *sets, corpora=corpora, only=only)
    assert error.value.exit_code == 2
    return str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "speed.rounds=1000000000", "quality.seeds=1000000000", "speed.threads=1500", "speed.threads=99999999999",
        "quality.train.tokens=1e30", "quality.train.tokens=9000000G", "quality.tasks.limit=1001",
        "model.layers=99999999",
        "model.width=2000000", "quality.train.lr=.nan", "quality.train.lr=nan", "quality.train.lr=-1",
        "quality.train.lr=1e999", "quality.train.lr=0", "quality.train.tokens=-1", "quality.train_bytes=1e18",
        "speed.sample_s=200", "speed.sample_s=-1", "speed.timeout_s=1e12", "quality.corpus_seed=99999999999",
        "quality.tasks.names=[last_wrod]", "quality.tasks.names=derived_last_word", "speed.mode=graph-hot",
        "quality.train.tokens=900000G", "quality.train.micro_batch=3", "model.heads=8",
        "quality.variants.corpus=['hub:a']", "speed.cases.0.variants=" + json.dumps(["alibi"] * 300),
    ],
)  # fmt: skip
def test_what_no_job_could_do_is_refused(suite: str, text: str) -> None:
    assert text.partition("=")[0].split(".")[-1] in refused(suite, text) or text.startswith(
        ("quality.train.micro_batch", "model.heads", "quality.train.tokens=900000G")
    )


def test_a_choice_that_no_tokenizer_makes_short_enough_is_refused(suite: str) -> None:
    told = refused(suite, "model.seq=6")
    assert "task paraphrase: its choice" in told
    assert "at least 7 tokens" in told
    assert "no more than 6" in told
    planned(suite, "model.seq=7")
    planned(suite, "model.seq=6", "quality.tasks.names=[recall_near]")
    planned(suite, "model.seq=6", "baseline.position=rotary")


@pytest.mark.parametrize(
    "shape",
    [
        "speed.cases.0.shape.width=65536",
        "speed.cases.0.shape.batch=1000000",
        "speed.cases.0={component: activation, variants: [swiglu], shape: {batch: 1, width: 65536, heads: 2}}",
        "speed.cases.0={component: activation, variants: [swiglu], direction: fwd, shape: {batch: 8, seq: 1000000}}",
        "speed.cases.0={component: embedding_norm, variants: [on], shape: {batch: 1, width: 65536, vocab: 1000000}}",
        "speed.cases.0={component: position, variants: [alibi], scope: step, shape: {batch: 1, width: 8192}}",
    ],
)
def test_a_speed_case_that_no_process_could_hold_is_refused(suite: str, tmp_path: Path, shape: str) -> None:
    cases = [case for case in planned(suite, shape).cases if case.kind == "speed"]
    memory = {"memory_bytes": 1, "cores": 2, "network": False}
    with pytest.raises(UserError, match=r"(layer|step).* needs at least .* of memory; a process that is timed has"):
        preflight.check_machine(cases, tmp_path, alone_bytes=2**26, **memory)
    preflight.check_machine(cases, tmp_path, alone_bytes=2**50, **memory)
    elsewhere = [replace(case, params={**case.params, "device": "cuda"}) for case in cases]
    preflight.check_machine(elsewhere, tmp_path, alone_bytes=1, **memory)


@pytest.mark.parametrize("name", packaged())
def test_every_suite_is_planned_or_refused_at_every_scale(name: str) -> None:
    for scale in (None, *scales()):
        with refused_at_most():
            preflight.check(resolve(read(name, scale=scale), MACHINE).cases)


@pytest.mark.slow
def test_too_many_measurements_are_refused_before_they_are_made(suite: str) -> None:
    """A thousand million replicates took 21 GB in `plan`; a plan that is too large now takes less than a small one."""
    code = (
        "from pathlib import Path\n"
        "from benchsuite.errors import UserError\n"
        "from benchsuite.planning.plan import Machine, resolve\n"
        "from benchsuite.suite.source import read\n"
        "shapes = [{'batch': n} for n in range(1, 201)]\n"
        f"sets = [f'speed.cases.0.shapes={{shapes}}', 'speed.cases.0.shape={{}}', 'speed.rounds=1000']\n"
        "try:\n"
        f"    resolve(read({suite!r}, sets=sets), Machine(cores=2))\n"
        "except UserError as error:\n"
        "    print(error.message)\n"
        "lines = Path('/proc/self/status').read_text().splitlines()\n"
        "print(next(line.split()[1] for line in lines if line.startswith('VmHWM:')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    message, peak_kib = done.stdout.splitlines()
    assert "more than 100,000 measurements" in message
    assert int(peak_kib) < 500_000


@pytest.mark.parametrize(
    ("text", "way_out"),
    [
        ("scale=125m", "--scale"),
        ("include=quick", "suite file"),
        ("quality.train.ramp_batch=8", "ramp_tokens is 0"),
        ("quality.language_tokens=baseline", "no languages"),
        ("baseline.languages=eu", "{language}"),
        ("speed.cases.0.shape.layers=3", "a layer"),
    ],
)
def test_what_has_no_effect_is_refused(suite: str, text: str, way_out: str) -> None:
    told = refused(suite, text)
    assert "no effect" in told
    assert way_out in told


@pytest.mark.parametrize(
    ("only", "meant"),
    [
        ("activaton", "did you mean"),
        ("positon/*", "'position/*'"),
        ("position/alibbi", "'position/alibi/*'"),
        ("xyz", "position"),
    ],
)
def test_a_mistyped_only_gets_a_suggestion(suite: str, only: str, meant: str) -> None:
    told = refused(suite, only=(only,))
    assert meant in told or (only == "activaton" and "choose from" in told)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("short.txt", "A few words.\n", "too small"),
        ("other.jsonl", '{"body": "no field of that name"}\n', 'no field "text"'),
        ("alike.txt", "The same line again.\n\n" * 40_000, "too small"),
        ("words.txt", "\n\n".join(f"{n} {n + 1} {n + 2}" for n in range(60_000)), "needs 50 documents"),
    ],
)
def test_a_corpus_that_the_jobs_would_refuse(suite: str, tmp_path: Path, name: str, text: str, said: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert said in refused(suite, corpora=(str(path),))


def test_a_good_corpus_is_planned(suite: str, tmp_path: Path) -> None:
    path = tmp_path / "good.txt"
    path.write_text("\n\n".join(world.documents("web_filtered", seed=1, n_bytes=600_000)))
    planned(suite, corpora=(str(path),))


def machine(suite: str, *sets: str, memory_bytes: int = 2**32, folder: Path = Path()) -> None:
    preflight.check_machine(planned(suite, *sets).cases, folder, memory_bytes=memory_bytes, cores=2)


def test_memory_disk_and_time_are_looked_at(suite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(suite)
    with pytest.raises(UserError, match=r"needs at least .* (for .* weights|of memory)"):
        machine(suite, "model.width=32768", "model.layers=100")
    with pytest.raises(UserError, match="the text that is held in memory"):
        machine(suite, "quality.train_bytes=900G")
    with pytest.raises(UserError, match=r"takes at least .* on 2 cores"):
        machine(
            suite,
            "quality.train.tokens=20G",
            "quality.train.batch=1000",
            "quality.train_bytes=1M",
            "quality.timeout_s=1",
        )
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match="the trained models take at least"):
        machine(suite)


def test_a_dataset_of_the_hub_is_asked_for_before_the_first_job(suite: str) -> None:
    with pytest.raises(UserError, match=r"the dataset nobody/nothing .* cannot be read"):
        machine(suite, "baseline.corpus='hub:nobody/nothing'")


def test_its_first_row_must_have_the_field(suite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "revision", lambda dataset: "1")
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=lambda *a, **k: [{"body": "text"}]))
    with pytest.raises(UserError, match="no text in column 'text'; columns: body"):
        machine(suite, "baseline.corpus='hub:some/text'")
