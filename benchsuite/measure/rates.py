"""One learning rate tried: a training of a fraction of the tokens, scored on text that nothing else is scored on.

The text is the end of the training corpus of the model itself, as much as is held out. The search does not read it, nor
copies of it; the trainings that follow do, as any other training text.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchsuite.cache import digest
from benchsuite.measure import quality
from benchsuite.measure.training import WHOLE_PARAMETERS
from benchsuite.model import flops
from benchsuite.model.spec import ModelSpec
from benchsuite.pretrain import corpora
from benchsuite.pretrain.corpora.text import fill, plain
from benchsuite.pretrain.ranks import Ranks
from benchsuite.pretrain.trainer import Diverged, train
from benchsuite.records.params import TrainingParams
from benchsuite.records.results import SEARCH
from benchsuite.zeroshot import evaluate

MOST_OF_TRAINING = 0.5  # of the training text is scored at most


def try_rate(params: dict[str, Any], *, seed: int, workdir: Path, progress: Callable[[float], None]) -> dict[str, Any]:
    """Train the model of `params` at their learning rate and return its bits per byte on text that was set aside; None
    of them where the loss stopped being finite, which is a result here."""
    prepared, case = quality.prepare(params), TrainingParams.read(params)
    sizes = {"train_bytes": case.corpus.train_bytes, "seed": case.corpus.seed}
    corpus = corpora.load(case.corpus.name, heldout_bytes=case.heldout.bytes, **sizes)
    heldout = corpora.load(case.heldout.corpus, heldout_bytes=case.heldout.bytes, **sizes)
    reading, scored = set_aside(corpus, case.heldout.bytes)
    with quality.lock(f"search-{digest(reading.digest, 16)}"):  # several searches read the same
        others = [heldout, *quality.asked_about(case, sizes).values()]
        tokens = quality.packed(reading, prepared.tokenizer, others)
    spec, config = ModelSpec.of_training(case), case.train
    ranks = Ranks.here(case.device)
    started = time.perf_counter()
    model, bits_per_byte = None, None
    with contextlib.suppress(Diverged):
        model, _ = train(
            spec, tokens, config, seed=seed, init_seed=seed + case.init_offset, ranks=ranks,
            parallel="fsdp" if flops.parameters(spec) > WHOLE_PARAMETERS else "ddp", progress=progress,
        )  # fmt: skip
    ranks.leave()
    if not ranks.first:
        return {}
    if model is not None:
        bits, lengths = evaluate.bits_per_byte(model, prepared.tokenizer, scored)
        bits_per_byte = sum(bits) / sum(lengths)
    return {
        SEARCH: {"lr": config.lr, "tokens": config.tokens, "bits_per_byte": bits_per_byte},
        "train_time_s": time.perf_counter() - started,
        "digests": prepared.digests,
        "context": {"threads": torch.get_num_threads(), "torch": torch.__version__},
    }


def set_aside(corpus: corpora.Corpus, size: int) -> tuple[corpora.Corpus, list[str]]:
    """Return `corpus` with a training text that lacks its last documents, of `size` bytes (at most half of the text),
    and copies of them up to case and white space; and these documents, each once."""
    most = round(MOST_OF_TRAINING * sum(len(text.encode()) for text in corpus.train))
    scored = list(fill(reversed(corpus.train), min(size, most)))
    held = {plain(text): text for text in scored}
    parts = {code: [text for text in texts if plain(text) not in held] for code, texts in corpus.parts.items()}
    train = [text for text in corpus.train if plain(text) not in held]
    left = f"{corpus.digest} without its last {size} bytes"
    return replace(corpus, train=train, parts=parts, digest=left), list(held.values())
