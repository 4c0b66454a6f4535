"""Other people's training step and evaluation as subjects, and ours where theirs needs it: cases of the kind `peer`."""

from __future__ import annotations

import copy
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchsuite.measure import speed
from benchsuite.measure.peer_models import loss_function, step_function
from benchsuite.measure.subjects import Subject
from benchsuite.model import flops
from benchsuite.model.gpt import GPT
from benchsuite.model.spec import ModelSpec
from benchsuite.records.case import KINDS
from benchsuite.records.params import EvaluationParams, SpeedParams, TrainConfig

CORPUS_BYTES = 500_000  # of text, for the tokenizer of an evaluation
OURS = "benchsuite"


def measure(params: dict[str, Any], *, first: bool = True, turns: dict[str, Any] | None = None) -> dict[str, Any]:
    """Measure a peer case as `benchsuite.measure.speed.timed` does."""
    case = KINDS["peer"].read(params)
    build: Callable[[], Subject]
    if isinstance(case, EvaluationParams):
        build = functools.partial(_evaluation, case)
    else:
        assert isinstance(case, SpeedParams)
        build = functools.partial(_step, case)
    return speed.timed(case, build, first=first, turns=turns)


def _step(params: SpeedParams) -> Subject:
    """A training step; its loss at the first weights is checked against ours in float64."""
    torch.manual_seed(0)
    spec, batch, device = ModelSpec(**params.shape.sizes), params.shape.batch, params.device
    ours = GPT(spec, "eager").to(device)
    tokens = torch.randint(spec.vocab, (batch, spec.seq + 1), device=device)
    model, loss = loss_function(params.implementation, ours)
    started_from = copy.deepcopy(model.state_dict())
    step = step_function(model.to(device), loss, TrainConfig(tokens=1, lr=1e-4))

    def results() -> list[Tensor]:
        model.load_state_dict(started_from)
        return [loss(tokens).detach()]

    return Subject(
        call=lambda: step(tokens),
        results=results,
        reference=lambda: [copy.deepcopy(ours).double().loss(tokens[:, :-1], tokens[:, 1:]).detach()],
        held=[tokens, *model.parameters(), *model.buffers()],
        clear=lambda: model.zero_grad(set_to_none=True),
        tokens=batch * spec.seq,
        flops=flops.step_flops(spec, batch, spec.seq),
        bytes_moved=None,
    )


def _evaluation(params: EvaluationParams) -> Subject:
    """The log-likelihoods of all choices of the generated world's tasks, from text to answers, by our lm-eval model or
    by lm-eval's HFLM with the same model exported, at the batch size in its name. Both are checked against our model
    in float64. A call's tokens are those of the requests, whatever part of them is computed once for several."""
    from lm_eval.api.instance import Instance

    from benchsuite.pretrain import corpora, tokenizer
    from benchsuite.zeroshot import tasks
    from benchsuite.zeroshot.lm import BenchsuiteLM

    torch.manual_seed(0)
    vocabulary = tokenizer.train(corpora.load("curated", train_bytes=CORPUS_BYTES).train, params.shape.vocab)
    model = GPT(ModelSpec(**params.shape.sizes)).eval().to(params.device)
    texts = [
        (item.context, choice)
        for name in tasks.task_names()
        for item in tasks.items(name, limit=params.documents)
        for choice in item.choices
    ]
    requests = [Instance("loglikelihood", {}, text, index) for index, text in enumerate(texts)]
    ours = BenchsuiteLM(model, vocabulary)
    lm: Any = ours if params.implementation == OURS else _hflm(model, vocabulary, params)
    last: list[Tensor] = []

    def call() -> None:
        last[:] = [_nats(lm, requests)]

    return Subject(
        call=call,
        results=lambda: list(last),
        reference=lambda: [_nats(BenchsuiteLM(copy.deepcopy(model).double(), vocabulary), requests)],
        held=[*model.parameters(), *model.buffers()],
        clear=last.clear,
        tokens=sum(len(ours.tok_encode(context + choice)) for context, choice in texts),
        flops=None,
        bytes_moved=None,
    )


def _nats(lm: Any, requests: list[Any]) -> Tensor:
    return torch.tensor([nats for nats, _ in lm.loglikelihood(requests, disable_tqdm=True)], dtype=torch.float64)


def _hflm(model: GPT, vocabulary: Any, params: EvaluationParams) -> Any:
    from lm_eval.models.huggingface import HFLM

    from benchsuite.model.bridge import export
    from benchsuite.zeroshot.evaluate import quiet

    with quiet(), tempfile.TemporaryDirectory() as folder:
        export(model, vocabulary, Path(folder))
        batch_size = int(params.implementation.partition("-")[2])
        return HFLM(pretrained=folder, device=params.device, batch_size=batch_size)
