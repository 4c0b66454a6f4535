"""Find what is wrong with a suite beyond the types of its values: names of nothing, numbers that do not fit
together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from benchsuite import components, domains
from benchsuite.components import operators
from benchsuite.errors import UserError, did_you_mean
from benchsuite.limits import FIRST_LOOK, LEAST_RATE, MOST_LOOKS, MOST_RATE
from benchsuite.pretrain.gaps import marks
from benchsuite.pretrain.names import MIX, PLACE, path_of
from benchsuite.suite.schema import (
    CORPUS,
    LANGUAGES,
    Domains,
    OperatorCases,
    OperatorChecks,
    Quality,
    Shape,
    Speed,
    Suite,
)
from benchsuite.suite.yaml_tree import KeyPath

TIMED = ("cases", "checks", "operators", "peers")  # the lists of a speed part
SIZES = ("model.layers", "model.width", "model.heads")  # what a rung may change of the model
BYTE_VOCAB = 257  # every byte and <|endoftext|>


def problems(suite: Suite) -> Iterator[tuple[KeyPath, str]]:
    """Yield what is wrong with `suite` beyond the types of its values: key paths and messages."""
    if suite.speed is None and suite.quality is None and suite.domains is None:
        yield (), "nothing to measure: give a speed, a quality or a domains part"
    yield from _uneven(("model", "heads"), suite.model.width, suite.model.heads)
    for field in fields(suite.baseline):
        yield from _unknown(("baseline", field.name), field.name, getattr(suite.baseline, field.name))
    if suite.speed is not None:
        yield from _speed_problems(suite, suite.speed)
        yield from _operator_problems(suite, suite.speed)
    if suite.quality is not None:
        yield from _quality_problems(suite, suite.quality)
    if suite.domains is not None:
        yield from _domain_problems(suite.domains)


def without_effect(suite: Suite, path: KeyPath) -> str | None:
    """Return why the value at `path` decides nothing in `suite`; None where it may."""
    match path:
        case ("quality", "train", "ramp_batch" | "ramp_step") if suite.quality and not suite.quality.train.ramp_tokens:
            return "quality.train.ramp_tokens is 0, so the batch does not grow"
        case ("quality", "search_tokens" | "shared_rate") if suite.quality and not suite.quality.learning_rates:
            return "the suite tries no learning rates (quality.learning_rates)"
        case ("quality", "most_seeds") if suite.quality and suite.quality.until != "decided":
            return "only quality.until: decided adds seeds"
        case ("quality", "language_tokens") if suite.quality and LANGUAGES not in suite.quality.variants:
            return "the suite compares no languages"
        case ("baseline", "languages") if PLACE not in suite.baseline.corpus:
            return f"the name of the corpus {suite.baseline.corpus} has no {PLACE}"
        case ("speed", "cases", int(number), "shape", "layers") if suite.speed:
            return "a layer is measured alone" if suite.speed.cases[number].scope == "layer" else None
        case ("speed", str(key), *_) if suite.speed and key not in TIMED:
            timed = suite.domains is not None or any(getattr(suite.speed, name) for name in TIMED)
            return None if timed else "the speed part has no cases"
    return None


def _speed_problems(suite: Suite, speed: Speed) -> Iterator[tuple[KeyPath, str]]:
    if speed.sample_s >= speed.timeout_s:
        key: KeyPath = ("speed", "sample_s")
        yield key, f"{speed.sample_s:g} s of samples do not fit into the timeout_s of {speed.timeout_s:g} s"
    known = sorted(components.IMPLEMENTATION_SUMMARIES)
    for index, case in enumerate(speed.cases):
        path: KeyPath = ("speed", "cases", index)
        for component in case.component:
            if component not in components.COMPONENTS:
                yield (*path, "component"), _no_such("component", component, list(components.COMPONENTS))
                continue
            if component in components.WITHOUT_LAYER and case.scope == "layer":
                yield (*path, "component"), f"{component} shapes no layer that could be timed; say scope: step"
            if case.variants == ("macro",):
                if suite.quality is None:
                    yield (*path, "variants"), "'macro' means the quality part's variants; there is no quality part"
            elif case.variants != ("all",):
                for variant in case.variants:
                    yield from _unknown((*path, "variants"), component, variant)
        for name in case.implementations:
            if name not in known:
                yield (*path, "implementations"), _no_such("implementation", name, known)
        if (case.direction == "step") != (case.scope == "step") and case.direction is not None:
            yield (*path, "direction"), f"{case.direction!r} is not a direction of the scope {case.scope!r}"
        if case.scope == "step" and case.dtype in ("float16", "float64"):
            yield (*path, "dtype"), f"training steps are measured in float32, bfloat16 or auto, not in {case.dtype}"
        if case.shapes and case.shape != Shape():
            yield (*path, "shapes"), "give either shape or shapes"
        for place, shape in [("shape", case.shape)] if not case.shapes else [("shapes", s) for s in case.shapes]:
            if case.scope != "step" and (shape.micro_batch or shape.recompute):
                yield (*path, place), "micro_batch and recompute are those of a step, which this is not"
            if shape.width or shape.heads:
                yield from _uneven((*path, place), shape.width or suite.model.width, shape.heads or suite.model.heads)
            if shape.batch is None and suite.quality is None:
                yield (*path, place), "batch is missing, and there is no quality part to take it from"


def _operator_problems(suite: Suite, speed: Speed) -> Iterator[tuple[KeyPath, str]]:
    known = list(operators.RIVALS)
    entries: list[tuple[KeyPath, OperatorCases | OperatorChecks]] = [
        *((("speed", "checks", index), entry) for index, entry in enumerate(speed.checks)),
        *((("speed", "operators", index), entry) for index, entry in enumerate(speed.operators)),
    ]
    for path, entry in entries:
        for name in entry.operators:
            if name not in known:
                yield (*path, "operators"), _no_such("operator", name, known)
                continue
            for rival in entry.rivals or () if isinstance(entry, OperatorCases) else ():
                if rival not in operators.RIVALS[name]:
                    yield (*path, "rivals"), _no_such(f"rival of {name}", rival, list(operators.RIVALS[name]))
            for shape in entry.shapes if name in operators.WITH_HEADS else ():
                width, heads = shape.width or suite.model.width, shape.heads or suite.model.heads
                if width != (needed := heads * operators.HEAD_DIM):
                    yield (*path, "shapes"), f"{name}: {heads} heads of {operators.HEAD_DIM} are {needed}, not {width}"


def _quality_problems(suite: Suite, quality: Quality) -> Iterator[tuple[KeyPath, str]]:
    axes = [*components.COMPONENTS, CORPUS, LANGUAGES]
    for component, variants in quality.variants.items():
        path: KeyPath = ("quality", "variants", component)
        if component not in axes:
            yield path, _no_such("component", component, axes)
            continue
        if component == LANGUAGES and PLACE not in suite.baseline.corpus:
            yield path, f"languages are compared where the baseline's corpus has {PLACE} in its name"
        for variant in variants:
            yield from _unknown(path, component, variant)
    if (quality.tokenizer.vocab or suite.model.vocab) < BYTE_VOCAB:
        path = ("quality", "tokenizer", "vocab") if quality.tokenizer.vocab else ("model", "vocab")
        yield path, f"a byte-level tokenizer has at least {BYTE_VOCAB} entries"
    if quality.tokenizer.vocab is not None and quality.tokenizer.vocab > suite.model.vocab:
        yield ("quality", "tokenizer", "vocab"), f"larger than the model's vocabulary of {suite.model.vocab}"
    if quality.longest is not None and quality.longest <= suite.model.seq:
        yield (
            ("quality", "longest"),
            f"{quality.longest} tokens are not beyond the training length of {suite.model.seq}",
        )
    for corpus in quality.tokenizer.corpora or ():
        yield from _unknown(("quality", "tokenizer", "corpora"), CORPUS, corpus)
    yield from _recipe_problems(suite, quality)
    budgets = [float(multiple[:-1]) for multiple in quality.curve]
    if quality.curve and len({*budgets, 1.0}) < 3:
        yield ("quality", "curve"), "a learning curve needs two budgets or more beside 1x, such as [0.5x, 2x]"
    if quality.until == "decided" and not quality.curve:
        yield (
            ("quality", "until"),
            "what decides is the token ratio, read from the baseline's curve; give quality.curve",
        )
    if quality.until == "decided" and not FIRST_LOOK <= quality.most_seeds <= MOST_LOOKS:
        yield ("quality", "most_seeds"), f"should be from {FIRST_LOOK} to {MOST_LOOKS} where looks decide"
    yield from _rate_problems(quality)
    yield from _ladder_problems(suite, quality)
    for index, control in enumerate(quality.controls):
        if control.expect.endswith("x") and not quality.curve:
            path = ("quality", "controls", index, "expect")
            yield path, "a multiple of the tokens is read from the baseline's learning curve; give quality.curve"
    seen: set[str] = set()
    for index, control in enumerate(quality.controls):
        if control.name in seen:
            yield ("quality", "controls", index, "name"), f"there are two controls named {control.name!r}"
        seen.add(control.name)
        path = ("quality", "controls", index)
        try:
            setting = suite.setting().changed(control.set)
        except ValueError as error:
            yield path, str(error)
            continue
        if setting == suite.setting():
            yield path, "the control changes nothing"
        if setting.model != suite.model:
            yield from _uneven((*path, "set"), setting.model.width, setting.model.heads)
        for field in fields(setting.baseline):
            yield from _unknown((*path, "set"), field.name, getattr(setting.baseline, field.name))


def _rate_problems(quality: Quality) -> Iterator[tuple[KeyPath, str]]:
    path: KeyPath = ("quality", "learning_rates")
    rates = [float(multiple[:-1]) for multiple in quality.learning_rates]
    if not rates:
        return
    if len(set(rates)) < max(3, len(rates)) or 1.0 not in rates:
        yield path, "should be three or more different multiples of train.lr, 1x among them, such as [0.5x, 1x, 2x]"
    if quality.train.lr * max(rates) > MOST_RATE or quality.train.lr * min(rates) < LEAST_RATE:
        yield path, f"multiples of {quality.train.lr:g} should lie from {LEAST_RATE:g} to {MOST_RATE:g}"
    if float(quality.search_tokens[:-1]) > 1:
        yield ("quality", "search_tokens"), "a search takes at most as many tokens as the training that it is for: 1x"
    if quality.recipes:
        yield path, "no learning rates are tried for recipes, whose stages have their own; leave it out"


def _ladder_problems(suite: Suite, quality: Quality) -> Iterator[tuple[KeyPath, str]]:
    if quality.ladder and not quality.curve:
        yield ("quality", "ladder"), "token ratios are read from the baseline's learning curve; give quality.curve"
    names = [rung.name for rung in quality.ladder]
    for index, rung in enumerate(quality.ladder):
        path: KeyPath = ("quality", "ladder", index)
        if rung.name in names[:index]:
            yield (*path, "name"), f"there are two rungs named {rung.name!r}"
        for key in rung.set:
            if not key.startswith("train.") and key not in SIZES:
                yield (*path, "set"), f"a rung changes {', '.join(SIZES)} and train.…, not {key!r}"
        try:
            setting = suite.setting().changed(rung.set)
        except ValueError as error:
            yield path, str(error)
            continue
        if setting == suite.setting():
            yield path, "the rung changes nothing"
        yield from _uneven((*path, "set"), setting.model.width, setting.model.heads)


def _recipe_problems(suite: Suite, quality: Quality) -> Iterator[tuple[KeyPath, str]]:
    from benchsuite.zeroshot import derived, tasks

    for name, recipe in quality.recipes.items():
        path: KeyPath = ("quality", "recipes", name)
        if recipe.against is not None and (recipe.against == name or recipe.against not in quality.recipes):
            yield (*path, "against"), _no_such("other recipe", recipe.against, [*quality.recipes])
        if len({stage.architecture == "encdec" for stage in recipe.stages}) > 1:
            yield (*path, "stages"), "an encoder-decoder and a decoder have no weights to take from one another"
        for number, stage in enumerate(recipe.stages):
            here = (*path, "stages", number)
            if stage.objective == "lm" and stage.architecture != "causal":
                yield here, "full language modelling gives nothing to see: only a causal decoder learns it"
            if (stage.tasks is None) == (stage.objective == "multitask"):
                yield (*here, "tasks"), "tasks are what an objective of 'multitask' trains on, and no other does"
            for task in stage.tasks or ():
                if task not in (known := [*tasks.task_names(), *derived.task_names()]):
                    yield (*here, "tasks"), _no_such("task", task, known)
            evaluated = set(quality.tasks.names or ()) & set(stage.tasks or ())
            if stage.tasks and (evaluated or quality.tasks.names is None):
                shown = ", ".join(sorted(evaluated)) or "all tasks"
                yield (*here, "tasks"), f"trained on and evaluated: {shown}; choose others in quality.tasks.names"
            spare = suite.model.vocab - (quality.tokenizer.vocab or suite.model.vocab)
            if stage.objective == "span-corruption" and spare < (needed := marks(suite.model.seq)):
                message = f"span corruption marks gaps with {needed} token ids behind the tokenizer's, not {spare}"
                yield here, f"{message}; set quality.tokenizer.vocab: {suite.model.vocab - needed} or less"


def _domain_problems(told: Domains) -> Iterator[tuple[KeyPath, str]]:
    if not all(told.rates):
        yield ("domains", "rates"), "a learning rate of 0 learns nothing"
    for index, entry in enumerate(told.tasks):
        path: KeyPath = ("domains", "tasks", index)
        task = domains.TASKS.get(entry.task)
        if task is None:
            yield (*path, "task"), _no_such("task", entry.task, list(domains.TASKS))
            continue
        fit = [name for name, one in domains.ARCHITECTURES.items() if task.domain in one.domains]
        for name in entry.architectures or ():
            if name not in fit:
                yield (*path, "architectures"), _no_such(f"architecture for {entry.task}", name, fit)
        if task.generated and (entry.data is not None or entry.most is not None):
            yield path, f"{entry.task} is generated and reads no data; its real tasks are {', '.join(task.stands_for)}"
        if not task.generated and entry.data is None:
            yield path, f"{entry.task} needs data: a folder with {task.files}"


def _uneven(path: KeyPath, width: int, heads: int) -> Iterator[tuple[KeyPath, str]]:
    if width % heads:
        yield path, f"a width of {width} cannot be shared by {heads} heads"


def _unknown(path: KeyPath, component: str, name: str) -> Iterator[tuple[KeyPath, str]]:
    """A problem where `component` has no variant `name`."""
    if component == LANGUAGES:
        from benchsuite.pretrain.corpora import mixture

        try:
            mixture.parse(name)
        except UserError as error:
            yield path, f"{error.message} ({error.hint})"
    elif component == CORPUS:
        from benchsuite.pretrain import corpora

        known = list(corpora.names())
        try:
            if name.startswith("hub:"):
                corpora.hub.parse(name.replace(PLACE, "en"))
            elif name.startswith(MIX):
                corpora.mixture.split_name(name)
        except UserError as error:
            yield path, f"{error.message} ({error.hint})"
            return
        if PLACE in name or name.startswith(("hub:", MIX)):
            return  # what it stands for is looked for when it is known
        if name not in known and not path_of(name).exists():
            yield path, f"{_no_such(CORPUS, name, known)} (or a file, a folder, or hub:OWNER/NAME)"
    elif name not in (known := list(components.variants(component))):
        yield path, _no_such(f"{component} variant", name, known)


def _no_such(what: str, name: str, known: list[str]) -> str:
    return f"there is no {what} {name!r}; {did_you_mean(name, known)}"
