"""The schema of suite files.

The dataclasses here are the schema: pydantic checks a file's values against their types
(`benchsuite.suite.source`), and `benchsuite.suite.check` finds what types cannot show. A suite says nothing
about a machine; a plan does. The schema is one long module because it is one page to its readers.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from benchsuite.errors import did_you_mean
from benchsuite.limits import MOST_ENTRIES, MOST_RATE, MOST_RATES, MOST_RUNGS, MOST_TEXT, MOST_THREADS
from benchsuite.suite.values import (
    Amount,
    AmountOrNone,
    Documents,
    Factor,
    Fraction,
    Label,
    Multiple,
    Name,
    Names,
    Precision,
    Rate,
    Replicates,
    Seconds,
    Seed,
    Size,
    as_expected,
)

# The axes of comparison that are not parts of the model: what is read, and in which languages.
CORPUS = "corpus"
LANGUAGES = "languages"
MARGIN = 0.1  # of a token ratio: what is too small to matter
Mode = Literal["wall", "cold", "event-cold", "event-hot", "graph-hot"]
PLAIN = "cd-flm"  # the baseline among recipes: a causal decoder, full language modelling


def as_shape(value: Any) -> Any:
    """`model` as a shape that takes everything from the model."""
    return Shape() if value == "model" else value


class Section:
    """A part of a suite file: unknown keys and values of another type are refused."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True, kw_only=True)
class Model(Section):
    """The model of the quality cases and of whole steps. `seq` is the training length in tokens."""

    layers: Size
    width: Size
    heads: Size
    vocab: Size
    seq: Size


@dataclass(frozen=True, kw_only=True)
class Baseline(Section):
    """The variants to compare with, one name for each component.

    `languages` are such as benchsuite.pretrain.corpora.mixture reads (`en`, `ca+es`, `eleven@0.3`). They stand for
    {language} in the name of the corpus, and say nothing where it has none.
    """

    activation: Name = "gelu"
    position: Name = "learned"
    embedding_norm: Name = "off"
    learning_rule: Name = "backprop"
    corpus: Name = "curated"
    languages: Name = "en"


@dataclass(frozen=True, kw_only=True)
class Shape(Section):
    """Sizes of a speed case; what is not given is the model's, and the batch that of training. The `name` (`1b3`) is
    for people: it is in labels and reports, and changes no case.

    A step computes `micro_batch` sequences at once and adds up their gradients, and with `recompute` keeps of each
    block its input alone. Both are for steps; an operator and a layer take no notice."""

    name: Label | None = None
    batch: Size | None = None
    seq: Size | None = None
    width: Size | None = None
    heads: Size | None = None
    layers: Size | None = None
    vocab: Size | None = None
    micro_batch: Size | None = None
    recompute: bool = False


@dataclass(frozen=True, kw_only=True)
class SpeedCase(Section):
    """Cases of one or several components: every variant against the baseline, for every implementation.

    `variants` are names, `all` (every registered variant) or `macro` (those of the quality part). `scope` is `layer`
    (the part that the component shapes) or `step` (a whole training step). The direction of a step is `step`, that of
    a layer `fwd` or `fwd+bwd`, the default. Several implementations are also compared with the first of them, and
    several shapes are as many entries. `mode` overrides the mode of the suite for these cases.

    `dtype` is by default that of the device (`auto`); of a step it is the precision of the quality part, where there is
    one. A step in bfloat16 is one in mixed precision, with weights and optimizer in float32. `auto` leaves it to the
    machine (`benchsuite.planning.precision`).
    """

    component: Names
    variants: Names
    implementations: Names = ("eager",)
    scope: Literal["layer", "step"] = "layer"
    direction: Literal["fwd", "fwd+bwd", "step"] | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16", "float64"] | None = None
    mode: Mode | None = None
    shape: Annotated[Shape, BeforeValidator(as_shape)] = Shape()
    shapes: Annotated[tuple[Shape, ...], Field(max_length=MOST_ENTRIES)] = ()
    matching: Literal["iso-parameter", "iso-width"] | None = None  # default: the suite's
    sample_s: Seconds | None = None  # default: the suite's


@dataclass(frozen=True, kw_only=True)
class OperatorCases(Section):
    """Our operators beside their `rivals` (`benchsuite.components.operators`; by default all that compute the same), at
    each of the shapes. An operator works on batch x seq rows of `width` numbers, attention on heads of 64. `dtype` is
    by default float32 on a CPU and bfloat16 elsewhere."""

    operators: Names
    shapes: Annotated[tuple[Shape, ...], Field(min_length=1, max_length=MOST_ENTRIES)]
    rivals: Names | None = None
    direction: Literal["fwd", "fwd+bwd"] = "fwd+bwd"
    dtype: Precision | None = None


@dataclass(frozen=True, kw_only=True)
class OperatorChecks(Section):
    """Our operators against their formula in float64, forward and backward, at each shape in each type, untimed."""

    operators: Names
    shapes: Annotated[tuple[Shape, ...], Field(min_length=1, max_length=MOST_ENTRIES)]
    dtypes: Annotated[tuple[Literal["float64", "float32", "bfloat16", "float16"], ...], Field(min_length=1)] = (
        "float64",
        "float32",
        "bfloat16",
        "float16",
    )


@dataclass(frozen=True, kw_only=True)
class Peers(Section):
    """Our code beside other people's `peers`: the baseline's training step in the implementation `ours`, or the
    evaluation (`task`) of a model of the same shape on so many documents of each task of the generated world."""

    task: Literal["step", "evaluation"]
    peers: Annotated[
        tuple[
            Literal[
                "transformers", "transformers-compile", "nanogpt", "nanogpt-compile", "hflm-16", "hflm-64", "hflm-256"
            ],
            ...,
        ],
        Field(min_length=1),
    ]
    ours: Literal["eager", "sdpa", "fused", "compile"] = "sdpa"
    shape: Shape = Shape()
    documents: Documents = 20


@dataclass(frozen=True, kw_only=True)
class Speed(Section):
    """`rounds` for each comparison, in each of which a case is a process that samples for about `sample_s`; further
    rounds until half of the interval is within `resolve` of the ratio, at most `most_rounds` and until the part has
    taken `budget_s`. `threads` defaults to all cores.

    A case whose one call is expected to take longer than `call_limit_s` on this device is planned as unsupported and
    says so: one suite then serves a laptop and a large GPU. `mode` says how time is taken (the module
    benchsuite.devices tells what there is); without it each device has its own default.
    """

    cases: Annotated[tuple[SpeedCase, ...], Field(max_length=MOST_ENTRIES)] = ()
    checks: Annotated[tuple[OperatorChecks, ...], Field(max_length=MOST_ENTRIES)] = ()
    operators: Annotated[tuple[OperatorCases, ...], Field(max_length=MOST_ENTRIES)] = ()
    peers: Annotated[tuple[Peers, ...], Field(max_length=MOST_ENTRIES)] = ()
    rounds: Replicates = 5
    most_rounds: Replicates = 20
    resolve: Annotated[float, Field(gt=0, lt=1)] = 0.01
    budget_s: Seconds | None = None
    sample_s: Seconds = 1.0
    timeout_s: Seconds = 120.0
    threads: Annotated[int, Field(ge=1, le=MOST_THREADS)] | None = None
    call_limit_s: Seconds | None = None
    mode: Mode | None = None


@dataclass(frozen=True, kw_only=True)
class Train(Section):
    """Mirrors `benchsuite.records.params.TrainConfig`, which explains the fields. The implementation `best` is
    resolved in the plan, for each model and machine, and so is the precision `auto`, for all models alike
    (`benchsuite.planning.precision`)."""

    tokens: Amount
    batch: Size = 32
    lr: Rate = 3e-3
    min_lr: Fraction = 0.1
    warmup: Fraction = 0.05
    weight_decay: Annotated[float, Field(ge=0, le=MOST_RATE)] = 0.1
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.95
    eps: Annotated[float, Field(gt=0, le=1)] = 1e-8
    clip: Annotated[float, Field(gt=0, le=1e9)] = 1.0
    implementation: Literal["best", "eager", "sdpa", "fused"] = "sdpa"
    ramp_tokens: AmountOrNone = 0
    ramp_batch: Size = 32
    ramp_step: Size | None = None
    micro_batch: Size | None = None
    decay_tokens: AmountOrNone = 0
    precision: Precision | Literal["auto"] = "float32"
    recompute: bool = False
    compile: bool = False


@dataclass(frozen=True, kw_only=True)
class Tokenizer(Section):
    """A byte-level BPE of `vocab` entries (default: the model's), trained on equal shares of `corpora` (default: the
    baseline's, in all languages that are compared), `train_bytes` in all (default: those of a corpus, at most 2 MB)."""

    vocab: Size | None = None
    corpora: Names | None = None
    train_bytes: Amount | None = None


@dataclass(frozen=True, kw_only=True)
class Tasks(Section):
    """The zero-shot tasks: the generated world's, one about facts for each language, or such as are derived from
    held-out documents (`auto`: those that the corpus has). `limit` documents each; `names` picks some of them."""

    source: Literal["auto", "world", "facts", "derived"] = "auto"
    limit: Documents = 300
    names: Names | None = None


@dataclass(frozen=True, kw_only=True)
class Control(Section):
    """The baseline with something `set`, whose comparison with the baseline must come out as expected.

    Keys of `set`: `init_offset`, `train.…`, `model.…`, `baseline.…`; a value such as `0.25x` is that multiple of the
    baseline's. `expect` is the verdict on zero-shot accuracy, or the multiple of the baseline's tokens at which the
    baseline's learning curve (`quality.curve`) has the control's quality.
    """

    name: Annotated[str, Field(min_length=1, max_length=100)]
    set: dict[str, Any]
    expect: Annotated[str, BeforeValidator(as_expected), Field(max_length=20)]
    description: Annotated[str, Field(max_length=10 * MOST_TEXT)] = ""


@dataclass(frozen=True, kw_only=True)
class Rung(Section):
    """Another size and budget at which baseline, curve and variants are measured too. Keys of `set` are
    `model.layers`, `model.width`, `model.heads` and `train.…`, with values as a control has them."""

    name: Label
    set: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Stability(Section):
    """The baseline and every variant trained at each of `lr` (multiples of the recipe's) in each of `precisions`, on
    `tokens` (default: the recipe's), at `seeds` seeds, without evaluation: which of them survive, and how calmly."""

    lr: Annotated[tuple[Rate, ...], Field(min_length=1, max_length=MOST_ENTRIES)]
    precisions: Annotated[tuple[Precision, ...], Field(min_length=1, max_length=3)] = ("float32",)
    tokens: Amount | None = None
    seeds: Replicates = 1


@dataclass(frozen=True, kw_only=True)
class Stage(Section):
    """A part of a training: an architecture taught an objective (`benchsuite.pretrain.objectives`) at the suite's
    recipe, but for what is given here; `tokens` and `lr` are multiples of its own, such as `0.1x`. An objective of
    `multitask` trains on questions of `tasks` (facts that no evaluated document asks for)."""

    architecture: Literal["causal", "prefix", "encdec"] = "causal"
    objective: Literal["lm", "prefix-lm", "span-corruption", "multitask"] = "lm"
    tokens: Multiple = "1x"
    batch: Size | None = None
    lr: Multiple = "1x"
    tasks: Names | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe(Section):
    """A training in stages, each of which goes on with the weights of the one before. It is compared with the recipe
    `against`, or with the baseline: a causal decoder taught full language modelling."""

    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=MOST_ENTRIES)]
    against: Name | None = None

    @property
    def component(self) -> str:
        """The axis of comparison that it belongs to."""
        if any(stage.objective == "multitask" for stage in self.stages):
            return "multitask"
        return "objective" if len(self.stages) == 1 else "adaptation"


@dataclass(frozen=True, kw_only=True)
class Quality(Section):
    """Models trained and evaluated at seeds 0 … `seeds` - 1: the baseline, one change at a time, and the controls.

    `matchings` (default: the suite's alone) are those at which variants are compared. With `longest` held-out text is
    also read in windows of so many tokens, beyond the training length. Languages are compared with the baseline at as
    many tokens in all; with `language_tokens: baseline` also with a baseline trained on as many tokens as the variant
    reads of the baseline's languages. Their controls and verdicts are about those languages. `recipes` are trainings of
    the baseline's model by other architectures and objectives, by name.

    `curve` is where the baseline is trained as well, in multiples of `train.tokens`: through these budgets and 1x goes
    its learning curve, on which every variant is placed.

    `learning_rates` (multiples of `train.lr`, three or more, 1x among them) are tried for the baseline and for every
    variant: one seed on `search_tokens` (a multiple of `train.tokens`), scored on text of its training corpus that it
    did not read and that scores nothing else. Every model is then trained at its own best; curve, controls and other
    budgets of the baseline at the baseline's. With `shared_rate` those whose best is another one are also trained at
    `train.lr`.

    With `until: decided`, or `run --until decided`, seeds are added, `most_seeds` at most and whatever `seeds` says,
    until each variant's token ratio excludes 1 or lies within `margin` of it; its intervals allow for a look after
    every seed.

    `ladder` are further sizes and budgets: the report shows each variant's token ratio against scale, with its trend.
    A ratio that changes by less than `margin` over them holds, and one whose interval is
    within `margin` of 1 is the same.
    """

    train: Train
    variants: dict[str, Names] = field(default_factory=dict)
    recipes: Annotated[dict[Label, Recipe], Field(max_length=MOST_ENTRIES)] = field(default_factory=dict)
    curve: Annotated[tuple[Multiple, ...], Field(max_length=MOST_ENTRIES)] = ()
    learning_rates: Annotated[tuple[Multiple, ...], Field(max_length=MOST_RATES)] = ()
    search_tokens: Multiple = "0.3x"  # on 0.15x the best rate of quick's baseline is twice what it is on all tokens
    shared_rate: bool = True
    margin: Annotated[float, Field(gt=0, le=1)] = MARGIN
    ladder: Annotated[tuple[Rung, ...], Field(max_length=MOST_RUNGS)] = ()
    seeds: Replicates = 2
    until: Literal["planned", "decided"] = "planned"
    most_seeds: Replicates = 10
    timeout_s: Seconds = 1200.0
    tokenizer: Tokenizer = Tokenizer()
    tasks: Tasks = Tasks()
    train_bytes: Amount | None = None  # of each corpus; default: 4 for each token
    heldout_bytes: Amount = 60_000
    corpus_seed: Seed = 0
    longest: Size | None = None
    language_tokens: Literal["all", "baseline"] = "all"
    matchings: Annotated[tuple[Literal["iso-parameter", "iso-width"], ...], Field(min_length=1)] | None = None
    stability: Stability | None = None
    controls: Annotated[tuple[Control, ...], Field(max_length=MOST_ENTRIES)] = ()


@dataclass(frozen=True, kw_only=True)
class DomainTask(Section):
    """`architectures` (default: all that do such tasks) on a `task` of `benchsuite.domains`. A real task reads the
    folder `data`, and of it at most `most` impressions, or images scaled to a width of `most` pixels. `steps` replaces
    those of the `size`'s recipe (`benchsuite.domains.recipes`)."""

    task: Name
    architectures: Names | None = None
    data: Name | None = None
    most: Size | None = None
    size: Literal["nano", "published"] = "nano"
    steps: Size | None = None
    regularisation: Annotated[tuple[Factor, ...], Field(min_length=1, max_length=MOST_ENTRIES)] | None = None


@dataclass(frozen=True, kw_only=True)
class Domains(Section):
    """Every architecture trained by backpropagation, direct feedback alignment and the shallow rule, at seeds 0 …
    `seeds` - 1. For each rule and seed every pair of `rates` and `regularisation`, multiples of the recipe's learning
    rate and of its dropout and weight decay, is tried, and the best on validation data counts. With a speed part the
    training steps of the rules are timed beside one another."""

    tasks: Annotated[tuple[DomainTask, ...], Field(min_length=1, max_length=MOST_ENTRIES)]
    seeds: Replicates = 5
    rates: Annotated[tuple[Factor, ...], Field(min_length=1, max_length=MOST_ENTRIES)] = (0.3, 1.0, 3.0)
    regularisation: Annotated[tuple[Factor, ...], Field(min_length=1, max_length=MOST_ENTRIES)] = (1.0,)
    timeout_s: Seconds = 1200.0


@dataclass(frozen=True, kw_only=True)
class Setting(Section):
    """All that tells one trained model from another, but for the seed. `init_offset` is added to the seed of the
    first weights."""

    model: Model
    baseline: Baseline
    train: Train
    init_offset: Seed = 0

    def changed(self, changes: dict[str, Any]) -> Setting:
        """This setting with a control's changes. Raises ValueError with what is wrong."""
        value = asdict(self)
        for key, given in changes.items():
            section, _, name = key.rpartition(".")
            target = value.get(section) if section else value
            if not isinstance(target, dict) or name not in target or isinstance(target[name], dict):
                known = [f"{part}.{leaf}" for part in value if isinstance(value[part], dict) for leaf in value[part]]
                known.append("init_offset")
                raise ValueError(f"set: there is nothing called {key!r}; {did_you_mean(key, known)}")
            factor = re.fullmatch(r"(\d*\.?\d+)x", given) if isinstance(given, str) else None
            if factor and isinstance(target[name], int | float):
                number = float(factor[1]) * target[name]
                target[name] = max(1, round(number)) if isinstance(target[name], int) else number
            else:
                target[name] = given
        try:
            return TypeAdapter(Setting).validate_json(json.dumps(value))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(f"set: {where}: {first['msg']}, not {first['input']!r}") from error


@dataclass(frozen=True, kw_only=True)
class Suite(Section):
    """A suite as its file, its includes, its scale and the command line's overrides give it. `scale` names the file of
    `suites/scales` that it lies on: model, recipe and text of a size. Of `auto` the scales are those that the suite has
    `at`, the smallest first, and a plan takes the largest whose run is done in `ladder_s` on its machine."""

    name: Label
    model: Model
    description: Annotated[str, Field(max_length=10 * MOST_TEXT)] = ""
    baseline: Baseline = Baseline()
    matching: Literal["iso-parameter", "iso-width"] = "iso-parameter"
    scale: Name | None = None
    ladder_s: Seconds | None = None
    speed: Speed | None = None
    quality: Quality | None = None
    domains: Domains | None = None

    def setting(self) -> Setting:
        """The baseline's. Raises ValueError where nothing is trained."""
        if self.quality is None:
            raise ValueError(f"the suite {self.name} has no quality part")
        return Setting(model=self.model, baseline=self.baseline, train=self.quality.train)
