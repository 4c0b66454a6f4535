"""Our lm-eval model beside lm-eval's own HFLM: the same requests, the same answers, requests per second of both."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.models.huggingface import HFLM
from tokenizers import Tokenizer

from benchsuite.model.bridge import export
from benchsuite.model.gpt import GPT
from benchsuite.zeroshot.evaluate import load_tasks, quiet
from benchsuite.zeroshot.lm import BenchsuiteLM

BATCH_SIZES = (16, 64, 256)  # HFLM is run at the best of these
TOLERANCE = 1e-4  # nats; the two must agree this well on every request before a speed is given


@dataclass(frozen=True)
class Comparison:
    """Requests/s in alternating rounds: `ours[i]` and `theirs[i]` ran one right after the other on `requests` requests.

    `batch_size` is HFLM's best, `model_type` the transformers class it ran, `difference_nats` the largest difference
    between the two in any log-likelihood.
    """

    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    requests: int
    batch_size: int
    model_type: str
    difference_nats: float

    @property
    def ratios(self) -> tuple[float, ...]:
        return tuple(ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True))


def compare_with_hflm(
    model: GPT,
    tokenizer: Tokenizer,
    tasks_folder: Path,
    *,
    names: Sequence[str] | None = None,
    limit: int | None = None,
    pairs: int = 5,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    threads: int = 1,
) -> Comparison:
    """Runs the requests of the tasks in `tasks_folder` through both models, `pairs` times in alternating order.

    Timed is `loglikelihood`, from text to answers, on `threads` threads for both; HFLM has the model exported to
    transformers. Raises ArithmeticError where the two disagree by more than 1e-4 nats, UserError as `evaluate` does.
    """
    with quiet(), _threads(threads), tempfile.TemporaryDirectory() as folder:
        requests = requests_of(tasks_folder, names, limit)
        model_type = export(model, tokenizer, folder)
        ours = BenchsuiteLM(model, tokenizer)
        device = str(model.embedding.weight.device)
        theirs = {size: HFLM(pretrained=folder, device=device, batch_size=size) for size in batch_sizes}
        difference = _difference(ours, theirs[batch_sizes[0]], requests)  # also the warm-up of both
        if difference > TOLERANCE:
            raise ArithmeticError(f"HFLM and our model differ by {difference:.2g} nats on the same request")
        best = max(batch_sizes, key=lambda size: _rate(theirs[size], requests))
        rates: dict[LM, list[float]] = {ours: [], theirs[best]: []}
        for pair in range(pairs):
            for lm in list(rates) if pair % 2 == 0 else list(rates)[::-1]:
                rates[lm].append(_rate(lm, requests))
    return Comparison(tuple(rates[ours]), tuple(rates[theirs[best]]), len(requests), best, model_type, difference)


def requests_of(folder: Path, names: Sequence[str] | None = None, limit: int | None = None) -> list[Instance]:
    """Every request that lm-eval makes of the tasks in `folder`."""
    requests: list[Instance] = []
    for task in load_tasks(folder, names).values():
        task.build_all_requests(limit=limit)
        requests.extend(task.instances)
    return requests


def _rate(lm: LM, requests: Sequence[Instance]) -> float:
    started = time.perf_counter()
    lm.loglikelihood(requests, disable_tqdm=True)
    _synchronise(lm)
    return len(requests) / (time.perf_counter() - started)


def _difference(ours: LM, theirs: LM, requests: Sequence[Instance]) -> float:
    answers = zip(ours.loglikelihood(requests), theirs.loglikelihood(requests, disable_tqdm=True), strict=True)
    return max(abs(mine[0] - other[0]) for mine, other in answers)


def _synchronise(lm: LM) -> None:
    if str(lm.device).startswith("cuda"):
        torch.cuda.synchronize(lm.device)


@contextlib.contextmanager
def _threads(threads: int) -> Iterator[None]:
    """Runs the block with so many threads of torch, and the tokenizer parallel only if that is more than one."""
    before, variable = torch.get_num_threads(), os.environ.get("TOKENIZERS_PARALLELISM")
    torch.set_num_threads(threads)
    os.environ["TOKENIZERS_PARALLELISM"] = str(threads > 1).lower()
    try:
        yield
    finally:
        torch.set_num_threads(before)
        if variable is None:
            del os.environ["TOKENIZERS_PARALLELISM"]
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = variable
