"""The quality part of a suite as cases: the baseline, one change at a time, recipes, stability, the baseline's learning
curve, controls."""

from __future__ import annotations

import itertools
from dataclasses import asdict, replace

from benchsuite import components
from benchsuite.model import spec
from benchsuite.planning import precision, stages
from benchsuite.planning.cases import Builder
from benchsuite.records.case import Case
from benchsuite.suite import corpora
from benchsuite.suite.schema import CORPUS, LANGUAGES, PLAIN, Quality, Recipe, Setting, Stability
from benchsuite.zeroshot import taskfiles

BYTES_PER_TOKEN = 4  # of a byte-level BPE with a small vocabulary, rounded up: no token is seen twice for want of text
TOKENIZER_BYTES = 2_000_000
WORDS = {"float32": "float32", "bfloat16": "bfloat16 mixed precision", "float16": "float16 mixed precision"}


def add(builder: Builder, quality: Quality, setting: Setting) -> None:
    """Every model of the part, on the first device, and what each is compared with."""
    builder.device = builder.machine.devices[0]
    asked = setting.train.precision
    found = precision.of_training(asked, builder.device, builder.machine, builder.suite)
    if found != asked:
        builder.notes.append(f"models are trained in {WORDS[found]}, which is the fastest here (train.precision: auto)")
        setting = replace(setting, train=replace(setting.train, precision=found))
    base = _quality_case(builder, quality, "baseline/quality", setting, None)
    shown = corpora.displayed([setting.baseline.corpus, *quality.variants.get(CORPUS, ())])
    matchings = quality.matchings or (builder.suite.matching,)
    pairs = [(component, variant) for component, variants in quality.variants.items() for variant in variants]
    for matching in matchings:
        for component, variant in pairs:
            if component == LANGUAGES:
                continue
            baseline = getattr(setting.baseline, component)
            name = shown.get(variant, variant) if component == CORPUS else variant
            if matching != matchings[0] and not (
                component == "activation" and components.get(component, variant).gated
            ):
                continue  # the same model as at the first matching
            if variant == baseline:
                builder.notes.append(f"{component} {name} is the baseline and is not compared with itself")
                continue
            changed = replace(setting, baseline=replace(setting.baseline, **{component: variant}))
            at = f"/{matching}" if matching != matchings[0] else ""
            case = _quality_case(builder, quality, f"{component}/{name}{at}/quality", changed, base, matching=matching)
            about = {
                "component": component,
                "variant": name,
                "baseline": shown[baseline] if component == CORPUS else baseline,
                "matching": matching,
                "source": "trained here",
            }
            builder.compare("quality", case, base, about)
    for variant in quality.variants.get(LANGUAGES, ()):
        _add_languages(builder, quality, setting, base, variant)
    recipes = {
        name: _quality_case(builder, quality, f"{recipe.component}/{name}/quality", setting, base, recipe=recipe)
        for name, recipe in quality.recipes.items()
    }
    for name, recipe in quality.recipes.items():
        about = {"component": recipe.component, "variant": name, "baseline": recipe.against or PLAIN}
        against = recipes[recipe.against] if recipe.against else base
        builder.compare("quality", recipes[name], against, about | {"source": "trained here"})
    if quality.stability is not None:
        _add_stability(builder, quality, quality.stability, setting)
    for multiple in quality.curve:
        point = _quality_case(builder, quality, f"baseline/tokens-{multiple}/quality", _at(setting, multiple), base)
        if point is not base:
            builder.compare("curve", point, base, {"variant": multiple})
    for control in quality.controls:
        case = _quality_case(builder, quality, f"control/{control.name}", setting.changed(control.set), base)
        about = {"name": control.name, "expected": control.expect, "description": control.description}
        about |= {"tasks": _home_tasks(builder)} if LANGUAGES in quality.variants else {}
        builder.compare("control", case, base, about)


def _at(setting: Setting, multiple: str) -> Setting:
    """The setting at another budget; the lengths of ramp and decay that it states are those of the whole."""
    tokens = max(1, round(float(multiple[:-1]) * setting.train.tokens))
    if tokens == setting.train.tokens:
        return setting
    return replace(setting, train=replace(setting.train, tokens=tokens, decay_tokens=0, ramp_tokens=0))


def _add_languages(builder: Builder, quality: Quality, setting: Setting, base: Case, variant: str) -> None:
    """Training in other languages: what it does to the baseline's, at as many tokens in all and at as many of the
    baseline's, and what it brings over all of them."""
    from babel import Locale

    from benchsuite.pretrain.corpora import mixture

    ours, theirs = mixture.parse(setting.baseline.languages), mixture.parse(variant)
    if ours == theirs:
        builder.notes.append(f"languages {variant} is the baseline and is not compared with itself")
        return
    shares = theirs.shares()
    told = ", ".join(f"{code} {share:.1%}" for code, share in sorted(shares.items(), key=lambda item: -item[1]))
    builder.notes.append(f"languages {variant}: shares of tokens, n^{theirs.alpha:g} of OSCAR's sizes: {told}")
    changed = replace(setting, baseline=replace(setting.baseline, languages=variant))
    case = _quality_case(builder, quality, f"{LANGUAGES}/{variant}/quality", changed, base)
    about = {"component": LANGUAGES, "variant": variant, "baseline": setting.baseline.languages}
    about |= {"source": "trained here"}
    home = " and ".join(str(Locale.parse(code).get_display_name("en")) for code in ours.codes)
    here = {"tasks": _home_tasks(builder)}
    builder.compare("quality", case, base, about | {"matching": f"in {home} at equal tokens"} | here)
    share = sum(shares.get(code, 0.0) for code in ours.codes)
    if quality.language_tokens == "baseline" and share > 0:
        fewer = replace(setting, train=replace(setting.train, tokens=round(share * setting.train.tokens)))
        label = f"{LANGUAGES}/{setting.baseline.languages}/tokens-of-{variant}/quality"
        alone = _quality_case(builder, quality, label, fewer, base)
        builder.compare("quality", case, alone, about | {"matching": f"in {home} at equal tokens of {home}"} | here)
    builder.compare("quality", case, base, about | {"matching": "in all languages at equal tokens"})


def _home_tasks(builder: Builder) -> tuple[str, ...]:
    """Patterns of the tasks in the baseline's languages."""
    from benchsuite.pretrain.corpora import mixture

    return tuple(f"*_{code}" for code in mixture.parse(builder.suite.baseline.languages).codes)


def _add_stability(builder: Builder, quality: Quality, stability: Stability, setting: Setting) -> None:
    """The baseline and the variants of the model at every learning rate and precision, each against the baseline
    at the same."""
    quality = replace(quality, seeds=stability.seeds)
    for kind, times in itertools.product(stability.precisions, stability.lr):
        train = replace(
            setting.train,
            tokens=stability.tokens or setting.train.tokens,
            lr=setting.train.lr * times,
            precision=kind,
        )
        at = f"stability/{kind}/lr-{times:g}x"
        base = _quality_case(builder, quality, f"baseline/{at}", replace(setting, train=train), None, "stability")
        for component, variants in quality.variants.items():
            baseline = getattr(setting.baseline, component)
            for variant in variants if component in components.COMPONENTS else ():
                if variant == baseline:
                    continue
                changed = replace(setting, baseline=replace(setting.baseline, **{component: variant}), train=train)
                label = f"{component}/{variant}/{at}"
                case = _quality_case(builder, quality, label, changed, base, "stability")
                about = {"component": component, "variant": variant, "baseline": baseline}
                builder.compare("stability", case, base, about)


def _quality_case(
    builder: Builder,
    quality: Quality,
    label: str,
    setting: Setting,
    group: Case | None,
    kind: str = "quality",
    matching: str | None = None,
    recipe: Recipe | None = None,
) -> Case:
    # Every model is evaluated on the baseline's text and tasks, whatever it read; where languages are compared, on
    # the tasks of all of them.
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
    if builder.device.scripted:
        unsupported = "a fake device trains no model"
    for stage in recipe.stages if recipe else ():
        unsupported = unsupported or spec.unsupported(stage.architecture, setting.baseline.position)
        rule = variants["learning_rule"]
        unsupported = unsupported or spec.untaught(rule, stage.architecture, stage.objective)
    longest = quality.train.tokens * max([1.0, *(float(multiple[:-1]) for multiple in quality.curve)])
    train_bytes = quality.train_bytes or _round_up(BYTES_PER_TOKEN * round(longest), 100_000)
    source = quality.tasks.source
    if source == "auto":
        source = corpora.has_tasks(ours) or "derived"
    sources = {name: builder.content_of(name) for name in (read, ours)}
    params = {
        "model": {
            **asdict(setting.model),
            **spec.told(variants),
            "matching": matching or builder.suite.matching,
            **spec.norm_place(variants["embedding_norm"], variants["position"]),
        },
        "train": asdict(train),
        "corpus": {
            "name": read,
            "train_bytes": train_bytes,
            "seed": quality.corpus_seed,
            **({"content": sources} if any(sources.values()) else {}),
        },
        "heldout": {"corpus": ours, "bytes": quality.heldout_bytes},
        "tokenizer": {
            "vocab": quality.tokenizer.vocab or setting.model.vocab,
            "corpora": [corpora.equal_shares(name, spoken) for name in vocabulary],
            "train_bytes": quality.tokenizer.train_bytes or min(train_bytes, TOKENIZER_BYTES),
        },
        "tasks": {
            "source": source,
            "limit": quality.tasks.limit,
            "names": list(quality.tasks.names) if quality.tasks.names else None,
            **({"version": taskfiles.VERSION} if source != "derived" else {}),
            **({"corpus": builder.suite.baseline.corpus, "languages": list(spoken)} if spoken else {}),
        },
        "init_offset": setting.init_offset,
        "device": builder.device.name,
        **({"longest": quality.longest} if quality.longest and kind == "quality" else {}),
        **({"stages": stages.params_of(recipe, setting.train)} if recipe else {}),
    }
    if kind == "quality" and train.precision not in ("float32", quality.train.precision):  # what the file does not say
        head, _, tail = label.rpartition("/")
        label = f"{head}/{train.precision}/{tail}"
    return builder.add(kind, label, params, range(quality.seeds), quality.timeout_s, unsupported, group)


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step
