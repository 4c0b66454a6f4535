"""Refuse before the first job what a job would refuse: tasks, corpora, and too little memory, disk or time.

    preflight.check(plan.cases)                                     # on any machine
    preflight.check_machine(plan.cases, folder, memory_bytes=…)     # on this machine

The estimates of memory, disk and time are lower bounds, so that no job is refused that could succeed.
"""

from __future__ import annotations

import collections
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from benchsuite import components, devices
from benchsuite import format as fmt
from benchsuite.cache import cache_dir, digest
from benchsuite.errors import UserError, did_you_mean
from benchsuite.hardware.roofline import FLOPS_A_CYCLE, NO_CPU_CLOCK
from benchsuite.model import flops
from benchsuite.model.spec import ModelSpec
from benchsuite.planning import stages, training_budget
from benchsuite.pretrain import shares
from benchsuite.pretrain.names import MIX, PLACE
from benchsuite.records.case import Case
from benchsuite.records.params import SpeedParams, TasksParams, TrainingParams

MOST_STEPS = 10**8  # of a training; the original study's largest takes 10**5
READ_BYTES = 64_000_000  # of a corpus in files that are read as a training reads them; of a larger one so much
WEIGHT_BYTES = 4
NUMBER_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


def check(cases: Iterable[Case], ranks: int = 1) -> None:
    """Raise UserError for a task, a corpus in files, a shape or a batch that a job of `cases` would refuse."""
    wanted = [case for case in cases if case.unsupported is None]
    for case in wanted:
        if isinstance(case.typed, SpeedParams):
            ModelSpec.of_speed_case(case.typed)
    trained = _trained(wanted)
    for case, params in trained:
        _check_training(case, params, ranks)
        _check_tasks(params.tasks, params.heldout.corpus)
        if case.kind == "quality":
            _check_choices(params)
    seen: set[str] = set()
    for case, params in trained:
        asked = {key: case.params[key] for key in ("corpus", "heldout", "tokenizer", "tasks")}
        if (identity := digest(asked)) not in seen:
            seen.add(identity)
            _check_files(params)


def check_machine(
    cases: Iterable[Case],
    folder: Path,
    *,
    memory_bytes: int,
    alone_bytes: int | None = None,
    cores: int,
    network: bool = True,
) -> None:
    """Raise UserError if this machine cannot hold what `cases` time, or train their models.

    `memory_bytes` is the limit of one training, `alone_bytes` that of a speed case (the same, if it is not given), and
    models are kept in `folder`. With `network`, the first row of every dataset of the hub is fetched.
    """
    wanted = [case for case in cases if case.unsupported is None]
    for case in wanted:
        if case.kind == "speed" and isinstance(case.typed, SpeedParams) and devices.of(case.typed).is_host:
            _check_speed_memory(case, case.typed, memory_bytes if alone_bytes is None else alone_bytes)
    trained = _trained(wanted)
    if not trained:
        return
    from benchsuite.pretrain.corpora import hub

    for case, params in trained:
        if devices.of(params).is_host:
            _check_memory(case, params, memory_bytes)
            _check_time(case, params, cores)
    _check_disk(trained, folder)
    for name in sorted({name for _, params in trained for name in corpora_of(params)}) if network else ():
        if name.startswith("hub:"):
            dataset = hub.parse(name)
            next(hub.read_documents(dataset, hub.revision(dataset)), None)


def _trained(cases: Iterable[Case]) -> list[tuple[Case, TrainingParams]]:
    return [(case, case.training) for case in cases if case.training is not None]


def _check_training(case: Case, params: TrainingParams, ranks: int) -> None:
    for stage in stages.of(params):
        train = stage.train
        shares.check_rule(stage.spec.learning_rule, ranks)
        shares.check(training_budget.batches(train), ranks, train.micro_batch)
        smallest = min(train.batch, train.ramp_batch if train.ramp_tokens else 2**20)
        if train.tokens // (stage.spec.seq * smallest) > MOST_STEPS:
            raise UserError(
                f"{case.label}: {train.tokens:,} tokens are more than {MOST_STEPS:,} steps of {smallest} "
                f"sequences of {stage.spec.seq} tokens",
                hint="fewer tokens, or a larger batch",
            )
        if train.compile and stage.objective != "lm":
            raise UserError(
                f"{case.label}: {stage.objective} has rows of many shapes, which torch.compile would compile one by "
                "one",
                hint="set train.compile: false",
            )


def _check_tasks(told: TasksParams, corpus: str) -> None:
    """Raise UserError for a task that the corpus does not have, and for more documents than a task can have."""
    from benchsuite.zeroshot import derived, fact_tasks, tasks

    source, languages = told.source, told.languages
    match source:
        case "world":
            known, most = tasks.task_names(), tasks.MAX_DOCUMENTS
        case "facts":
            known = [fact_tasks.task_name(code) for code in languages or fact_tasks.LANGUAGES]
            most = fact_tasks.MAX_DOCUMENTS
        case _:
            endings = [f"_{code}" for code in languages] or [""]
            known, most = [name + ending for ending in endings for name in derived.task_names()], told.limit
    for name in told.names or ():
        if name not in known:
            raise UserError(
                f"quality.tasks.names: there is no task {name!r} of {corpus}, whose tasks are of the source {source!r}",
                hint=did_you_mean(name, known),
            )
    if told.limit > most:
        raise UserError(
            f"quality.tasks.limit: {told.limit:,} documents are asked for, and a task of the source {source!r} has "
            f"at most {most:,}",
            hint=f"set quality.tasks.limit={most}",
        )


def _check_choices(params: TrainingParams) -> None:
    """Raise UserError for a task with a choice that no tokenizer makes short enough for the model."""
    from benchsuite.zeroshot import lengths

    told, spec = params.tasks, stages.last(params).spec
    bounded = components.get("position", spec.position).bounded
    if not bounded or spec.seq >= lengths.MOST_WORDS or told.source not in ("world", "facts"):
        return
    choices = lengths.made(told.source, told.languages, told.limit, params.corpus.seed)
    lengths.check(choices, told.names, spec.seq)


def corpora_of(params: TrainingParams) -> dict[str, float]:
    """The corpora that a case reads, mixtures taken apart, each with the largest share of the text that it gives."""
    from benchsuite.pretrain.corpora import mixture

    told = [params.corpus.name, params.heldout.corpus, *params.tokenizer.corpora]
    if (of := params.tasks.corpus) and params.tasks.source == "derived":
        told += [of.replace(PLACE, code) for code in params.tasks.languages]
    found: dict[str, float] = {}
    for name in told:
        parts = {name: 1.0}
        if name.startswith(MIX):
            languages, template = mixture.split_name(name)
            parts = {template.replace(PLACE, code): share for code, share in languages.shares().items()}
        found |= {part: max(share, found.get(part, 0.0)) for part, share in parts.items()}
    return found


def _is_file(name: str) -> bool:
    from benchsuite.pretrain import corpora

    return name not in corpora.names() and not name.startswith("hub:")


def _check_files(params: TrainingParams) -> None:
    """Read the corpora in files as the jobs do, and derive a few tasks from them."""
    from benchsuite.pretrain import corpora
    from benchsuite.pretrain.corpora import files
    from benchsuite.pretrain.corpora.text import fill
    from benchsuite.zeroshot import derived

    train_bytes, heldout_bytes = params.corpus.train_bytes, params.heldout.bytes
    for name, share in corpora_of(params).items():
        if not _is_file(name):
            continue
        if share * (train_bytes + heldout_bytes) > READ_BYTES:
            collections.deque(fill(files.read_documents(Path(name)), READ_BYTES), maxlen=0)
            continue
        sizes = {
            "train_bytes": max(1, round(share * train_bytes)),
            "heldout_bytes": max(1, round(share * heldout_bytes)),
        }
        seed = params.corpus.seed
        text = corpora.load(name, seed=seed, **sizes)
        if name == params.heldout.corpus and params.tasks.source == "derived":
            limit = min(params.tasks.limit, derived.MIN_DOCUMENTS)
            with tempfile.TemporaryDirectory() as scratch:
                derived.write_tasks(Path(scratch), text, limit=limit, seed=seed, names=params.tasks.names)


def _check_memory(case: Case, params: TrainingParams, memory_bytes: int) -> None:
    parameters = max(flops.parameters(stage.spec) for stage in stages.of(params))
    text = params.corpus.train_bytes + params.heldout.bytes
    for needed, what in (
        (
            training_budget.STATE_BYTES * parameters,
            f"{fmt.si(parameters, 'weights')} with their gradients and Adam's moments",
        ),
        (text, "the text that is held in memory"),
    ):
        if needed > memory_bytes:
            raise UserError(
                f"{case.label} needs at least {fmt.bytes_(needed)} of memory for {what}; a job has "
                f"{fmt.bytes_(memory_bytes)}",
                hint="a smaller model or less text (quality.train_bytes), fewer --jobs, or a larger --memory-limit",
            )


def _check_speed_memory(case: Case, params: SpeedParams, memory_bytes: int) -> None:
    """Weights, gradients and, of a whole step, Adam's moments; of a layer, its input and output too."""
    spec = ModelSpec.of_speed_case(params)
    if params.scope == "step":
        needed = float(training_budget.STATE_BYTES * flops.parameters(spec))
    else:
        match params.component:
            case "activation":
                weights = flops.ffn_parameters(spec)
            case "position":
                weights = 4 * spec.width**2
            case _:
                weights = spec.vocab * spec.width
        passes = 1 if params.direction == "fwd" else 2  # what is computed backward has the size of what is forward
        activations = 2 * params.shape.batch * spec.seq * spec.width
        needed = passes * NUMBER_BYTES[params.dtype] * float(weights + activations)
    if needed > memory_bytes:
        raise UserError(
            f"{case.label} needs at least {fmt.bytes_(needed)} of memory; a process that is timed has "
            f"{fmt.bytes_(memory_bytes)}",
            hint="a smaller shape, --only to leave it out, or a larger --memory-limit; speed.call_limit_s leaves out "
            "what is too large for a machine",
        )


def _check_time(case: Case, params: TrainingParams, cores: int) -> None:
    """Raise UserError if a case exceeds its time limit on cores that do FLOPS_A_CYCLE at NO_CPU_CLOCK, the fastest."""
    work = sum(stage.flops for stage in stages.of(params))
    least_s = work / (cores * NO_CPU_CLOCK * max(FLOPS_A_CYCLE.values()))
    if least_s > case.timeout_s:
        raise UserError(
            f"{case.label} takes at least {fmt.seconds(least_s)} on {cores} cores, however fast they are; its time "
            f"limit is {fmt.seconds(case.timeout_s)}",
            hint="fewer tokens, a smaller model, another --device, or a longer quality.timeout_s",
        )


def _check_disk(trained: list[tuple[Case, TrainingParams]], folder: Path) -> None:
    models = sum(
        WEIGHT_BYTES * flops.parameters(stages.last(params).spec) * len(case.replicates)
        for case, params in trained
        if case.kind == "quality"
    )
    text: dict[str, float] = {}  # corpora in files are not kept
    for _, params in trained:
        kept = params.corpus.train_bytes + params.heldout.bytes
        for name, share in corpora_of(params).items():
            text[name] = max(text.get(name, 0), 0 if _is_file(name) else share * kept)
    for place, needed, what in (
        (folder, models, "the trained models"),
        (cache_dir(), sum(text.values()), "the corpora (BENCHSUITE_CACHE says where)"),
    ):
        standing = next(path for path in (place.absolute(), *place.absolute().parents) if path.exists())
        free = shutil.disk_usage(standing).free
        if needed > free:
            raise UserError(
                f"{standing} has {fmt.bytes_(free)} free, and {what} take at least {fmt.bytes_(needed)}",
                hint="make room, or choose another place",
            )
