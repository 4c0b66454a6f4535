"""The quality part of a suite as cases: the baseline, one change at a time, recipes, stability, the baseline's learning
curve, the rungs of the ladder, controls."""

from __future__ import annotations

import itertools
from dataclasses import replace

from benchsuite import components, format
from benchsuite.planning import precision
from benchsuite.planning.cases import Builder
from benchsuite.planning.trained_models import Models, at_budget
from benchsuite.records.case import Case
from benchsuite.suite import corpora
from benchsuite.suite.schema import CORPUS, LANGUAGES, PLAIN, Quality, Setting, Stability

WORDS = {"float32": "float32", "bfloat16": "bfloat16 mixed precision", "float16": "float16 mixed precision"}


def add(builder: Builder, quality: Quality, setting: Setting) -> None:
    """Every model of the part, on the first device, and what each is compared with."""
    builder.device = builder.machine.devices[0]
    asked = setting.train.precision
    found = precision.of_training(asked, builder.device, builder.machine, builder.suite)
    if found != asked:
        builder.notes.append(f"models are trained in {WORDS[found]}, which is the fastest here (train.precision: auto)")
        setting = replace(setting, train=replace(setting.train, precision=found))
    models = Models(builder, quality)
    base = models.case("baseline/quality", setting, None)
    _add_variants(models, setting, base)
    for variant in quality.variants.get(LANGUAGES, ()):
        _add_languages(models, setting, base, variant)
    recipes = {
        name: models.case(f"{recipe.component}/{name}/quality", setting, base, recipe=recipe)
        for name, recipe in quality.recipes.items()
    }
    for name, recipe in quality.recipes.items():
        about = {"component": recipe.component, "variant": name, "baseline": recipe.against or PLAIN}
        against = recipes[recipe.against] if recipe.against else base
        builder.compare("quality", recipes[name], against, about | {"source": "trained here"})
    if quality.stability is not None:
        _add_stability(models, quality.stability, setting)
    for multiple in quality.curve:
        label = f"baseline/tokens-{multiple}/quality"
        point = models.case(label, at_budget(setting, multiple), base, like=base)
        if point is not base:
            models.compare("curve", point, base, {"variant": multiple})
    for rung in quality.ladder:
        _add_rung(models, rung.name, setting.changed(rung.set))
    for control in quality.controls:
        case = models.case(f"control/{control.name}", setting.changed(control.set), base, like=base)
        home = {"tasks": _home_tasks(builder)} if LANGUAGES in quality.variants else {}
        told = {"name": control.name, "expected": control.expect, "description": control.description}
        builder.compare("control", case, base, told | home)
    if searches := [case for case in builder.cases.values() if case.kind == "search"]:
        seconds = format.seconds(sum(case.estimate_s or 0.0 for case in searches))
        rates = ", ".join(quality.learning_rates)
        told_cost = f"{len(searches)} trainings of {quality.search_tokens} of the tokens each, about {seconds} in all"
        builder.notes.append(f"learning rates {rates} are tried first, by {told_cost}")


def _add_variants(models: Models, setting: Setting, base: Case, rung: str = "") -> None:
    """Every variant but languages against `base`, the baseline of `setting`."""
    builder, quality = models.builder, models.quality
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
            label = f"{f'ladder/{rung}/' if rung else ''}{component}/{name}{at}/quality"
            case = models.case(label, changed, base, matching=matching)
            about = {
                "component": component,
                "variant": name,
                "baseline": shown[baseline] if component == CORPUS else baseline,
                "matching": matching,
                "source": "trained here",
            }
            if rung:
                builder.compare("rung", case, base, about | {"name": rung})
            else:
                models.compare("quality", case, base, about)


def _add_rung(models: Models, name: str, setting: Setting) -> None:
    """The baseline, its curve and every variant at another size and budget."""
    base = models.case(f"ladder/{name}/baseline/quality", setting, None)
    _add_variants(models, setting, base, name)
    for multiple in models.quality.curve:
        label = f"ladder/{name}/baseline/tokens-{multiple}/quality"
        point = models.case(label, at_budget(setting, multiple), base, like=base)
        if point is not base:
            models.builder.compare("curve", point, base, {"variant": multiple, "name": name})


def _add_languages(models: Models, setting: Setting, base: Case, variant: str) -> None:
    """Training in other languages: what it does to the baseline's, at as many tokens in all and at as many of the
    baseline's, and what it brings over all of them."""
    from babel import Locale

    from benchsuite.pretrain.corpora import mixture

    builder, quality = models.builder, models.quality
    ours, theirs = mixture.parse(setting.baseline.languages), mixture.parse(variant)
    if ours == theirs:
        builder.notes.append(f"languages {variant} is the baseline and is not compared with itself")
        return
    shares = theirs.shares()
    told = ", ".join(f"{code} {share:.1%}" for code, share in sorted(shares.items(), key=lambda item: -item[1]))
    builder.notes.append(f"languages {variant}: shares of tokens, n^{theirs.alpha:g} of OSCAR's sizes: {told}")
    changed = replace(setting, baseline=replace(setting.baseline, languages=variant))
    case = models.case(f"{LANGUAGES}/{variant}/quality", changed, base)
    about = {"component": LANGUAGES, "variant": variant, "baseline": setting.baseline.languages}
    about |= {"source": "trained here"}
    home = " and ".join(str(Locale.parse(code).get_display_name("en")) for code in ours.codes)
    here = {"tasks": _home_tasks(builder)}
    models.compare("quality", case, base, about | {"matching": f"in {home} at equal tokens"} | here)
    share = sum(shares.get(code, 0.0) for code in ours.codes)
    if quality.language_tokens == "baseline" and share > 0:
        fewer = replace(setting, train=replace(setting.train, tokens=round(share * setting.train.tokens)))
        label = f"{LANGUAGES}/{setting.baseline.languages}/tokens-of-{variant}/quality"
        alone = models.case(label, fewer, base, like=base)
        models.compare("quality", case, alone, about | {"matching": f"in {home} at equal tokens of {home}"} | here)
    models.compare("quality", case, base, about | {"matching": "in all languages at equal tokens"})


def _home_tasks(builder: Builder) -> tuple[str, ...]:
    """Patterns of the tasks in the baseline's languages."""
    from benchsuite.pretrain.corpora import mixture

    return tuple(f"*_{code}" for code in mixture.parse(builder.suite.baseline.languages).codes)


def _add_stability(models: Models, stability: Stability, setting: Setting) -> None:
    """The baseline and the variants of the model at every learning rate and precision, each against the baseline
    at the same."""
    for kind, times in itertools.product(stability.precisions, stability.lr):
        train = replace(
            setting.train,
            tokens=stability.tokens or setting.train.tokens,
            lr=setting.train.lr * times,
            precision=kind,
        )
        at = f"stability/{kind}/lr-{times:g}x"
        base = models.stability(f"baseline/{at}", replace(setting, train=train), None, stability.seeds)
        for component, variants in models.quality.variants.items():
            baseline = getattr(setting.baseline, component)
            for variant in variants if component in components.COMPONENTS else ():
                if variant == baseline:
                    continue
                changed = replace(setting, baseline=replace(setting.baseline, **{component: variant}), train=train)
                label = f"{component}/{variant}/{at}"
                case = models.stability(label, changed, base, stability.seeds)
                about = {"component": component, "variant": variant, "baseline": baseline}
                models.builder.compare("stability", case, base, about)
