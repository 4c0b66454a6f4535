"""A model trained through the stages of its case. What an earlier stage left is shared with the cases of the run that
begin alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from benchsuite import files
from benchsuite.cache import cache_dir, digest, write_atomically
from benchsuite.model import checkpoint, flops
from benchsuite.model.gpt import GPT
from benchsuite.planning import stages
from benchsuite.pretrain import corpora
from benchsuite.pretrain.corpora.text import fill
from benchsuite.pretrain.objectives import Answers
from benchsuite.pretrain.ranks import Ranks
from benchsuite.pretrain.snapshots import Snapshots
from benchsuite.pretrain.trainer import TrainLog, train
from benchsuite.records.case import SNAPSHOTS
from benchsuite.records.params import TrainingParams
from benchsuite.zeroshot import derived, tasks
from benchsuite.zeroshot.encoding import encode_pairs, splits_at_spaces
from benchsuite.zeroshot.lm import END_OF_TEXT

SNAPSHOT_STEPS = 2000  # a training that is longer can be interrupted and goes on
WHOLE_PARAMETERS = 500_000_000  # a larger model is sharded over its processes
SHARED, LOG = "stages", "log.json"  # beside the folders of jobs
QUESTIONS = 5000  # at most, of a task; training goes over them again
DERIVED_BYTES = 20_000_000  # of training text, to make questions of


def trained(
    params: TrainingParams,
    tokens: NDArray[np.unsignedinteger],
    vocabulary: Tokenizer,
    *,
    seed: int,
    workdir: Path,
    ranks: Ranks,
    progress: Callable[[float], None],
) -> tuple[GPT, list[TrainLog]]:
    """The model that the stages of `params` lead to at `seed`, in evaluation mode, and the log of each stage.

    A stage that another case of the run has left in `workdir`'s neighbour is loaded, not trained again: its weights are
    the same. Raises UserError and Diverged as `train` does.
    """
    plan = stages.of(params)
    whole = sum(stage.flops for stage in plan)
    model: GPT | None = None
    logs: list[TrainLog] = []
    done = 0.0
    for stage in plan:
        folder = workdir.parent / SHARED / f"{stage.identity}-{seed}"
        before, share = done, stage.flops / whole
        if ranks.agree(folder.is_dir()):
            model, _ = checkpoint.load(folder, device=ranks.device, implementation=stage.train.implementation)
            logs.append(_read_log(folder))
        else:
            config = stage.train
            long = config.steps(stage.spec.seq) > SNAPSHOT_STEPS
            place = workdir / SNAPSHOTS / (str(stage.number) if stage.number else "")
            model, log = train(
                stage.spec,
                tokens,
                config,
                seed=seed + stages.SEEDS_APART * stage.number,
                init_seed=seed + params.init_offset,
                ranks=ranks,
                parallel="fsdp" if flops.parameters(stage.spec) > WHOLE_PARAMETERS else "ddp",
                snapshots=Snapshots(place, SNAPSHOT_STEPS, begin_again=True) if long else None,
                progress=lambda part, before=before, share=share: progress(before + part * share),  # type: ignore[misc]
                objective=stage.objective,
                answers=_answers(params, stage, vocabulary) if stage.tasks else None,
                start=model,
            )
            logs.append(log)
            if stage is not plan[-1] and ranks.first:
                _leave(folder, model, vocabulary, log)
            ranks.wait()
        done += share
        progress(done)
    assert model is not None
    return model, logs


def _leave(folder: Path, model: GPT, vocabulary: Tokenizer, log: TrainLog) -> None:
    """Leave a stage for others, whole or not at all."""
    partial = folder.with_name(f"{folder.name}.{id(model)}.partial")
    checkpoint.save(model, partial, vocabulary)
    with write_atomically(partial / LOG) as temporary:
        temporary.write_text(json.dumps(asdict(log)))
    if folder.exists():  # another was quicker
        files.remove_tree(partial)
    else:
        files.move(partial, folder)


def _read_log(folder: Path) -> TrainLog:
    told = json.loads((folder / LOG).read_text())
    return TrainLog(**{**told, "curve": tuple(map(tuple, told["curve"]))})


def _answers(params: TrainingParams, stage: stages.Stage, vocabulary: Tokenizer) -> Answers:
    """The questions of the stage's tasks with their right answers: of the generated world such as training may ask, of
    other text such as are made from its training documents. Every task has as many."""
    sizes, seq = stage.train.sizes(stage.spec.seq), stage.spec.seq
    each = min(QUESTIONS, -(-sum(sizes) // len(stage.tasks)))
    if params.tasks.source == "world":
        found = [item for name in stage.tasks for item in tasks.training_items(name, limit=each)]
        texts = [(item.context, item.choices[item.gold]) for item in found]
    else:
        texts = _derived(params, stage.tasks, each, vocabulary, seq)
    end = vocabulary.token_to_id(END_OF_TEXT)
    assert end is not None
    return Answers(encode_pairs(vocabulary, texts, prefix=end, apart=splits_at_spaces(vocabulary)), seq)


def _derived(
    params: TrainingParams, names: tuple[str, ...], each: int, vocabulary: Tokenizer, seq: int
) -> list[tuple[str, str]]:
    corpus = corpora.load(
        params.heldout.corpus, train_bytes=params.corpus.train_bytes,
        heldout_bytes=params.heldout.bytes, seed=params.corpus.seed,
    )  # fmt: skip
    read = replace(corpus, train=[], heldout=list(fill(iter(corpus.train), DERIVED_BYTES)))
    folder = cache_dir("questions") / digest([corpus.digest, names, each, vocabulary.to_str(), seq], 24)
    derived.write_tasks(folder, read, limit=each, tokenizer=vocabulary, max_tokens=seq, names=names)
    rows = [json.loads(line) for name in names for line in (folder / f"{name}.jsonl").read_text().splitlines()]
    return [(row["context"], row["choices"][row["gold"]]) for row in rows]
