"""One quality case at one seed: make the data ready, train, evaluate zero-shot and on held-out text, save the model.

Everything that several cases share (corpus, tokenizer, packed tokens, task files) is made once and cached by content.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from benchsuite import components, devices, files
from benchsuite.cache import cache_dir, digest, write_atomically
from benchsuite.hardware import roofline
from benchsuite.measure.training import trained
from benchsuite.model import checkpoint, flops
from benchsuite.model.spec import ModelSpec
from benchsuite.planning import stages
from benchsuite.pretrain import corpora, tokenizer
from benchsuite.pretrain.corpora import facts, mixture, world
from benchsuite.pretrain.corpora.text import plain
from benchsuite.pretrain.names import PLACE
from benchsuite.pretrain.ranks import Ranks
from benchsuite.pretrain.trainer import Diverged, TrainLog, train
from benchsuite.records.case import SNAPSHOTS
from benchsuite.records.params import TrainConfig, TrainingParams
from benchsuite.zeroshot import derived, evaluate, extrapolation, fact_tasks, lengths, passages, taskfiles, tasks

EVALUATION_SHARE = 0.2  # of the time of a job, for its progress bar


@dataclass(frozen=True)
class Prepared:
    """The data of a quality case: packed training tokens, tokenizer, held-out documents, task
    folder.
    """

    tokens: NDArray[np.unsignedinteger]
    tokenizer: Tokenizer
    heldout: list[str]
    tasks: Path
    digests: dict[str, str]


def ready(params: dict[str, Any]) -> Prepared | None:
    """Make the data of the quality case `params` ready; None for a device that reads none."""
    return None if devices.of(TrainingParams.read(params)).scripted else prepare(params)


def prepare(params: dict[str, Any]) -> Prepared:
    """Load or make the data of the quality case `params`. Of several processes one makes it and the others wait."""
    case = TrainingParams.read(params)
    with lock("prepare-" + digest({key: params[key] for key in ("corpus", "tokenizer", "tasks", "heldout")}, 16)):
        sizes = {"train_bytes": case.corpus.train_bytes, "seed": case.corpus.seed}
        corpus = corpora.load(case.corpus.name, heldout_bytes=case.heldout.bytes, **sizes)
        asked = asked_about(case, sizes)
        heldout = corpora.load(case.heldout.corpus, heldout_bytes=case.heldout.bytes, **sizes)
        vocabulary = tokenizer.train(_tokenizer_text(case, sizes), case.tokenizer.vocab)
        digests = {"corpus": corpus.digest, "heldout": heldout.digest}
        digests["tokenizer"] = digest(vocabulary.to_str(), 16)
        tokens = packed(corpus, vocabulary, [heldout, *asked.values()])
        folder = _task_folder(case, heldout, asked, vocabulary)
    return Prepared(tokens, vocabulary, heldout.heldout, folder, digests)


def train_and_evaluate(
    params: dict[str, Any], *, seed: int, workdir: Path, progress: Callable[[float], None]
) -> dict[str, Any]:
    """Train the model of `params` at `seed`, evaluate it, save it in `workdir`/model, and return its result."""
    case = TrainingParams.read(params)
    device = devices.of(case).for_case(case)
    return device.trained(case, seed, lambda: _train_and_evaluate(case, prepare(params), seed, workdir, progress))


def _train_and_evaluate(
    params: TrainingParams, prepared: Prepared, seed: int, workdir: Path, progress: Callable[[float], None]
) -> dict[str, Any]:
    spec = stages.last(params).spec
    if components.get("position", spec.position).bounded:
        lengths.check(lengths.written(prepared.tasks), params.tasks.names, spec.seq, prepared.tokenizer)
    ranks = Ranks.here(params.device)
    model, logs = trained(
        params,
        prepared.tokens,
        prepared.tokenizer,
        seed=seed,
        workdir=workdir,
        ranks=ranks,
        progress=lambda done: progress((1 - EVALUATION_SHARE) * done),
    )
    ranks.leave()
    if not ranks.first:
        return {}
    files.remove_tree(workdir / SNAPSHOTS)
    started = time.perf_counter()
    infos = {info.name: info for info in taskfiles.read_tasks(prepared.tasks)}
    results = evaluate.evaluate(
        model,
        prepared.tokenizer,
        prepared.tasks,
        names=params.tasks.names,
        progress=lambda done: progress(1 - EVALUATION_SHARE * (1 - done)),
    )
    beyond = None
    if params.longest:
        beyond = extrapolation.by_position(model, prepared.tokenizer, prepared.heldout, params.longest)
    bits = None  # a model that fills gaps predicts no running text
    if not model.spec.fills:
        bits = evaluate.bits_per_byte(model, prepared.tokenizer, prepared.heldout)
    source = params.tasks.source
    about = {
        "corpus": params.corpus.name,
        "tasks": source if source in ("world", "facts") else None,
        "languages": list(params.tasks.languages),
        "objective": stages.last(params).objective,
        "tokens": sum(log.tokens for log in logs),
        "seed": seed,
    }
    checkpoint.save(model, workdir / "model", prepared.tokenizer, about)
    return {
        "train": _whole(params, logs, prepared, ranks),
        **({"stages": _stages(params, logs, prepared, ranks)} if params.stages else {}),
        "evaluation_time_s": time.perf_counter() - started,
        "parameters": sum(p.numel() for p in model.parameters()),
        "bits_per_byte": None
        if bits is None
        else {
            "value": sum(bits[0]) / sum(bits[1]),
            "bits": [round(b, 3) for b in bits[0]],
            "bytes": bits[1],
        },
        "tasks": {
            name: {
                "acc": result.acc,
                "n": result.n,
                "random_acc": result.random_acc,
                "family": infos[name].family,
                "outcomes": result.outcomes,
                "graded": result.graded and asdict(result.graded),
                "questions": result.questions,
                "version": result.version,
            }
            for name, result in results.items()
        },
        "by_position": None if beyond is None else asdict(beyond),
        "digests": prepared.digests,
        "context": {"threads": torch.get_num_threads(), "torch": torch.__version__},
    }


def _told(
    params: TrainingParams, stage: stages.Stage, log: TrainLog, prepared: Prepared, ranks: Ranks
) -> dict[str, Any]:
    used: dict[str, float | None] = {"mfu": None, "hfu": None}  # their formulas are those of running text
    if stage.objective == "lm" and stage.spec.architecture == "causal":
        peaks = devices.of(params).published(stage.train.precision)
        used = utilisation(stage.spec, stage.train, log.tokens_per_s / ranks.size, peaks)
    return {
        "tokens": log.tokens,
        "text_tokens": log.text_tokens,
        "scored_tokens": log.scored_tokens,
        "epochs": round(log.text_tokens / len(prepared.tokens), 3),
        "time_s": log.time_s,
        "tokens_per_s": log.tokens_per_s,
        **used,
        "final_loss": log.final_loss,
        "curve": log.curve,
        "stability": log.stability,
    }


def _whole(params: TrainingParams, logs: list[TrainLog], prepared: Prepared, ranks: Ranks) -> dict[str, Any]:
    """The last stage, whose loss tells what the model came to, with the tokens and the time of all."""
    parts = [_told(params, *part, prepared, ranks) for part in zip(stages.of(params), logs, strict=True)]
    sums = {key: sum(part[key] for part in parts) for key in ("tokens", "text_tokens", "scored_tokens", "time_s")}
    return parts[-1] | sums


def _stages(params: TrainingParams, logs: list[TrainLog], prepared: Prepared, ranks: Ranks) -> list[dict[str, Any]]:
    """Return what each stage was and what became of it; `epochs` is null for questions, which are no text of the
    corpus."""
    told = []
    for stage, log in zip(stages.of(params), logs, strict=True):
        about = {"architecture": stage.spec.architecture, "objective": stage.objective, "flops": stage.flops}
        epochs = {"epochs": None} if stage.tasks else {}
        told.append(about | _told(params, stage, log, prepared, ranks) | epochs)
    return told


def train_only(
    params: dict[str, Any], *, seed: int, workdir: Path, progress: Callable[[float], None]
) -> dict[str, Any]:
    """Train the model of `params` at `seed` and return how calmly it learned; a loss that stops being finite is a
    result here, not a failure."""
    prepared, case = prepare(params), TrainingParams.read(params)
    started = time.perf_counter()
    try:
        _, log = train(
            ModelSpec.of_training(case), prepared.tokens, case.train, seed=seed, init_seed=seed + case.init_offset,
            ranks=Ranks.here(case.device), progress=progress,
        )  # fmt: skip
        stability = log.stability
    except Diverged as error:
        stability = error.stability
    return {
        "train_time_s": time.perf_counter() - started,
        "stability": stability,
        "digests": prepared.digests,
        "context": {"threads": torch.get_num_threads(), "torch": torch.__version__},
    }


def asked_about(params: TrainingParams, sizes: dict[str, int]) -> dict[str, corpora.Corpus]:
    """The corpora whose held-out text is asked about, by language, where there are several."""
    of, held = params.tasks.corpus, params.heldout.bytes
    if params.tasks.source != "derived" or of is None:
        return {}
    names = {code: of.replace(PLACE, code) for code in params.tasks.languages}
    return {code: corpora.load(name, heldout_bytes=held, **sizes) for code, name in names.items()}


def _without(corpus: corpora.Corpus, asked: list[corpora.Corpus]) -> corpora.Corpus:
    """A mixture without what is held out from its languages alone: a smaller share of a stream is split elsewhere."""
    held = {plain(text) for other in asked for text in other.heldout}
    parts = {code: [text for text in texts if plain(text) not in held] for code, texts in corpus.parts.items()}
    return replace(corpus, parts=parts, train=mixture.interleaved(parts))


def _tokenizer_text(params: TrainingParams, sizes: dict[str, int]) -> list[str]:
    """Equal shares of the corpora that the tokenizer is trained on."""
    names, budget = params.tokenizer.corpora, params.tokenizer.train_bytes
    documents: list[str] = []
    for name in names:
        taken = 0
        for document in corpora.load(name, heldout_bytes=params.heldout.bytes, **sizes).train:
            if taken >= budget // len(names):
                break
            documents.append(document)
            taken += len(document.encode())
    return documents


def packed(corpus: corpora.Corpus, vocabulary: Tokenizer, asked: list[corpora.Corpus]) -> NDArray[np.unsignedinteger]:
    """The training tokens of `corpus`, without the text that is held out in `asked` where it is a mixture. The name of
    the file holds all that they follow from."""
    others = [other.digest for other in asked] if corpus.parts else []
    key = [tokenizer.VERSION, corpus.digest, vocabulary.to_str(), others]
    path = cache_dir("tokens") / f"{digest(key, 24)}.npy"
    if not path.exists():
        text = _without(corpus, asked) if corpus.parts else corpus
        with write_atomically(path) as temporary, open(temporary, "wb") as file:
            np.save(file, tokenizer.encode_corpus(vocabulary, text))
    return np.load(path, mmap_mode="r")


def _task_folder(
    params: TrainingParams, heldout: corpora.Corpus, asked: dict[str, corpora.Corpus], vocabulary: Tokenizer
) -> Path:
    """The folder of task files: those that the text brings with it, else derived ones, of each language apart where
    there are several.

    Derived documents fit the training length, so that a model with a table of positions sees them whole.
    """
    source, seq, languages = params.tasks.source, params.model.seq, params.tasks.languages
    if source == "auto":
        source = heldout.tasks or "derived"
    options: dict[str, Any] = {"limit": params.tasks.limit, "seed": params.corpus.seed}
    modules = (tasks, fact_tasks, taskfiles, derived, passages, corpora.text)
    made_by = [Path(module.__file__ or "").read_text() for module in modules]
    text: Any = [heldout.digest, vocabulary.to_str(), seq, {code: other.digest for code, other in asked.items()}]
    if source == "world":
        text = world.digest_fields("curated")
    elif source == "facts":
        text = [facts.digest_fields(code) for code in languages or facts.LANGUAGES]
    folder = cache_dir("tasks") / digest([source, options, digest(made_by), text], 24)
    complete = folder / ".complete"  # the task files name each other by absolute path, so the folder cannot be renamed
    with lock(f"tasks-{folder.name}"):  # cases of other text may need the same tasks
        if complete.exists():
            return folder
        files.remove_tree(folder)
        files.make(folder)
        if source == "world":
            tasks.write_tasks(folder, **options)
        elif source == "facts":
            fact_tasks.write_tasks(folder, languages or tuple(facts.LANGUAGES), **options)
        elif asked:
            for code, other in asked.items():
                fit: dict[str, Any] = {"tokenizer": vocabulary, "max_tokens": seq, "suffix": f"_{code}"}
                derived.write_tasks(folder, other, **options, **fit)
        else:
            derived.write_tasks(folder, heldout, **options, tokenizer=vocabulary, max_tokens=seq)
        complete.touch()
    return folder


def utilisation(
    spec: ModelSpec, config: TrainConfig, tokens_per_s: float, peaks: roofline.Peaks | None
) -> dict[str, float | None]:
    """MFU and HFU of a training at so many tokens a second and device, whole optimizer steps and all pauses between
    them counted; None where the maker publishes no peak of the device."""
    token_s = 1 / tokens_per_s
    model = flops.step_flops(spec, 1, spec.seq) / spec.seq
    executed = flops.executed_flops(spec, 1, spec.seq, recompute=config.recompute) / spec.seq
    return {
        "mfu": roofline.utilisation(model, token_s, peaks),
        "hfu": roofline.utilisation(executed, token_s, peaks),
    }


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    with open(files.open_(cache_dir("locks") / name, os.O_WRONLY | os.O_CREAT), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
