"""The cases of trained models: their parameters, the learning rates that are tried for them, and their twins at the
shared rate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from benchsuite import components
from benchsuite.model import spec
from benchsuite.planning import stages
from benchsuite.planning.cases import Builder
from benchsuite.records import rates
from benchsuite.records.case import Case, ComparisonKind
from benchsuite.records.params import (
    CorpusParams,
    HeldoutParams,
    ModelParams,
    TasksParams,
    TokenizerParams,
    TrainConfig,
    TrainingParams,
)
from benchsuite.suite import corpora
from benchsuite.suite.schema import Quality, Recipe, Setting
from benchsuite.zeroshot import taskfiles

BYTES_PER_TOKEN = 4  # of a byte-level BPE with a small vocabulary, rounded up: no token is seen twice for want of text
TOKENIZER_BYTES = 2_000_000


@dataclass
class Models:
    """The cases of a quality part. With `quality.learning_rates` each has a search before it."""

    builder: Builder
    quality: Quality

    def case(
        self,
        label: str,
        setting: Setting,
        group: Case | None,
        *,
        like: Case | None = None,
        matching: str | None = None,
        recipe: Recipe | None = None,
    ) -> Case:
        """The case of a model that is trained and evaluated. It takes the learning rate that is best for `like`, where
        one is given, else its own best."""
        params, unsupported = self._params(setting, matching, recipe)
        if self.quality.longest:
            params = replace(params, longest=self.quality.longest)
        if self.quality.learning_rates:
            tried = _of(like).learning_rate if like else self._search(label, setting, group, matching)
            params = replace(params, learning_rate=tried)
        told = params.train.precision
        if told not in ("float32", self.quality.train.precision):  # what the file does not say
            head, _, tail = label.rpartition("/")
            label = f"{head}/{told}/{tail}"
        return self._add("quality", label, params, range(self.quality.seeds), unsupported, group)

    def stability(self, label: str, setting: Setting, group: Case | None, seeds: int) -> Case:
        """The case of a training that is only watched."""
        params, unsupported = self._params(setting)
        if self.builder.device.scripted:
            unsupported = "a fake device trains no model"
        return self._add("stability", label, params, range(seeds), unsupported, group)

    def compare(self, kind: ComparisonKind, case: Case, base: Case, about: dict[str, Any]) -> None:
        """Compare two models at the rates that are best for them and, with `quality.shared_rate`, at the shared one."""
        self.builder.compare(kind, case, base, about)
        if self.quality.shared_rate and _of(case).learning_rate:
            shared: ComparisonKind = "shared" if kind == "quality" else kind
            about = about | ({"name": "shared rate"} if kind == "curve" else {})
            self.builder.compare(shared, self._at_shared_rate(case), self._at_shared_rate(base), about)

    def _at_shared_rate(self, case: Case) -> Case:
        label = f"{case.label.removesuffix('/quality')}/shared-rate/quality"
        params = rates.plain(_of(case))
        return self._add("quality", label, params, range(len(case.replicates)), case.unsupported, case)

    def _search(self, label: str, setting: Setting, group: Case | None, matching: str | None) -> dict[str, str]:
        """The cases that try the rates for a model, by multiple."""
        shorter = at_budget(setting, self.quality.search_tokens)
        found = {}
        for multiple in self.quality.learning_rates:
            train = replace(shorter.train, lr=float(multiple[:-1]) * shorter.train.lr)
            params, unsupported = self._params(replace(shorter, train=train), matching)
            name = f"{label.removesuffix('/quality')}/search/lr-{multiple}"
            found[multiple] = self._add(
                "search", name, params, range(rates.SEED, rates.SEED + 1), unsupported, group
            ).id
        return found

    def _add(
        self, kind: str, label: str, params: TrainingParams, seeds: range, unsupported: str | None, group: Case | None
    ) -> Case:
        return self.builder.add(kind, label, params, seeds, self.quality.timeout_s, unsupported, group)

    def _params(
        self, setting: Setting, matching: str | None = None, recipe: Recipe | None = None
    ) -> tuple[TrainingParams, str | None]:
        """The parameters of a training, and why it cannot run here."""
        # Every model is evaluated on the baseline's text and tasks, whatever it read; where languages are compared, on
        # the tasks of all of them.
        builder, quality = self.builder, self.quality
        ours = corpora.in_languages(builder.suite.baseline.corpus, builder.suite.baseline.languages)
        read = corpora.in_languages(setting.baseline.corpus, setting.baseline.languages)
        spoken = corpora.spoken(builder.suite)
        vocabulary = quality.tokenizer.corpora or (builder.suite.baseline.corpus,)
        variants = {name: getattr(setting.baseline, name) for name in components.COMPONENTS}
        train, no_fused = setting.train, builder.unsupported_step("fused", variants)
        if train.implementation == "best":
            # They differ in speed and rounding alone, but in float16: there the fused loss is float32 (GPT.loss), and
            # how far float16 carries is what is asked.
            plain = no_fused or train.precision == "float16"
            train = replace(train, implementation="sdpa" if plain else "fused")
        unsupported = no_fused if train.implementation == "fused" else None
        for stage in recipe.stages if recipe else ():
            unsupported = unsupported or spec.unsupported(stage.architecture, setting.baseline.position)
            rule = variants["learning_rule"]
            unsupported = unsupported or spec.untaught(rule, stage.architecture, stage.objective)
        train_bytes = quality.train_bytes or _round_up(BYTES_PER_TOKEN * max(self._budgets()), 100_000)
        source = quality.tasks.source
        if source == "auto":
            source = corpora.has_tasks(ours) or "derived"
        sources = {name: builder.content_of(name) for name in (read, ours)}
        place = spec.norm_place(variants["embedding_norm"], variants["position"])
        params = TrainingParams(
            model=ModelParams(
                **asdict(setting.model),
                **variants,
                matching=matching or builder.suite.matching,
                embedding_norm_place=place.get("embedding_norm_place"),
            ),
            train=TrainConfig(**asdict(train)),
            corpus=CorpusParams(
                name=read,
                train_bytes=train_bytes,
                seed=quality.corpus_seed,
                content=sources if any(sources.values()) else {},
            ),
            heldout=HeldoutParams(corpus=ours, bytes=quality.heldout_bytes),
            tokenizer=TokenizerParams(
                vocab=quality.tokenizer.vocab or setting.model.vocab,
                corpora=tuple(corpora.equal_shares(name, spoken) for name in vocabulary),
                train_bytes=quality.tokenizer.train_bytes or min(train_bytes, TOKENIZER_BYTES),
            ),
            tasks=TasksParams(
                source=source,
                limit=quality.tasks.limit,
                names=tuple(quality.tasks.names) if quality.tasks.names else None,
                version=taskfiles.VERSION if source != "derived" else None,
                corpus=builder.suite.baseline.corpus if spoken else None,
                languages=tuple(spoken),
            ),
            init_offset=setting.init_offset,
            device=builder.device.name,
            stages=stages.params_of(recipe, setting.train) if recipe else (),
        )
        return params, unsupported

    def _budgets(self) -> Iterator[int]:
        """The tokens of the longest trainings of the part."""
        most = max([1.0, *(float(multiple[:-1]) for multiple in self.quality.curve)])
        yield round(most * self.quality.train.tokens)
        for rung in self.quality.ladder:
            yield round(most * self.builder.suite.setting().changed(rung.set).train.tokens)


def _of(case: Case) -> TrainingParams:
    assert isinstance(case.typed, TrainingParams)
    return case.typed


def at_budget(setting: Setting, multiple: str) -> Setting:
    """The setting at another budget; the lengths of ramp and decay that it states are those of the whole."""
    tokens = max(1, round(float(multiple[:-1]) * setting.train.tokens))
    if tokens == setting.train.tokens:
        return setting
    return replace(setting, train=replace(setting.train, tokens=tokens, decay_tokens=0, ramp_tokens=0))


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step
