"""A suite resolved for this machine: every case, what it is compared with, its estimate, and what cannot run here and
why.

Nothing is measured and torch is not imported. The parameters of a case hold all that changes its answer:

* speed: component, variant, implementation, scope, direction, shape {batch, seq, width, heads, layers, vocab, and for
  steps the `variants` of all components}, dtype, device, mode, threads, matching, sample_s;
* quality, stability: model (the fields of ModelSpec), train (those of TrainConfig), corpus, heldout, tokenizer, tasks,
  init_offset, device, longest, and where the training is another than full language modelling with a causal decoder,
  its stages (`benchsuite.runs.stages`). The seed is the replicate.
"""

from __future__ import annotations

import fnmatch
import itertools
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchsuite import components, cuda_ext
from benchsuite.cache import digest
from benchsuite.components import other_kernels
from benchsuite.errors import UserError, did_you_mean
from benchsuite.hardware import fingerprint
from benchsuite.model import spec
from benchsuite.runs import corpus_names, cost, stages
from benchsuite.runs.case import Case, Comparison, case_id
from benchsuite.runs.suite import (
    CORPUS,
    LANGUAGES,
    PLAIN,
    Quality,
    Recipe,
    Setting,
    Speed,
    SpeedCase,
    Stability,
    Suite,
    has_tasks,
)
from benchsuite.timing import accelerator, fake

# cuda is also what torch calls an AMD GPU; cuda:1 is the second. fake is a script (benchsuite.timing.fake).
DEVICES = ("cpu", "cuda", "mps", "xpu", fake.DEVICE)
NUMBERED = ("cuda", "xpu", fake.DEVICE)
BYTES_PER_TOKEN = 4  # of a byte-level BPE with a small vocabulary, rounded up: no token is seen twice for want of text
TOKENIZER_BYTES = 2_000_000


def _cuda_here() -> bool:
    """Whether a driver shows a GPU: NVIDIA's library, or AMD's device file."""
    return bool(fingerprint.gpus()) or Path("/dev/kfd").exists()


@dataclass(frozen=True)
class Machine:
    """What of this machine decides what can run: usable `cores`, the `device` to measure (or several with commas
    between), a C++ `compiler`'s name, and why there are no kernels of ours (None where there are)."""

    cores: int
    device: str = "cpu"
    compiler: str | None = "c++"
    no_kernels: str | None = None

    @classmethod
    def here(cls, device: str = "cpu") -> Machine:
        """This machine. Raises UserError for a device that is not there."""
        names = device.split(",")
        for name in names:
            kind, numbered, number = name.partition(":")
            if kind not in DEVICES or (numbered and not (kind in NUMBERED and number.isdecimal())):
                raise UserError(f"unknown device {name!r}", hint=f"choose from: {', '.join(DEVICES)}")
            if len(names) > 1 and not numbered:
                raise UserError(
                    f"--device {device}: of several devices each has a number", hint="--device cuda:0,cuda:1"
                )
            if kind == "cuda" and not _cuda_here():
                raise UserError("no GPU is visible here", hint="use --device cpu; `benchsuite doctor` says more")
            if kind == fake.DEVICE:
                fake.entries()
        if len(set(names)) < len(names):
            raise UserError(f"--device {device} names a device twice")
        compiler = next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)
        return cls(fingerprint.usable_cores(), device, compiler, cuda_ext.unavailable_reason())

    @property
    def devices(self) -> list[str]:
        return self.device.split(",")


@dataclass(frozen=True)
class Plan:
    """Cases in the order of their first replicate, comparisons, and notes for the reader."""

    suite: Suite
    device: str
    only: tuple[str, ...]
    cases: tuple[Case, ...]
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...] = ()

    def total_s(self, jobs: int) -> float:
        """Estimated seconds: speed replicates one after the other on each device, then quality replicates `jobs` at a
        time."""
        todo = [case for case in self.cases if case.unsupported is None]
        speeds: dict[str, float] = {"": 0.0}  # by device, for these work at the same time
        for case in todo:
            if case.kind == "speed":
                name = case.params["device"]
                speeds[name] = speeds.get(name, 0.0) + (case.estimate_s or 0) * len(case.replicates)
        quality = [case.estimate_s or 0 for case in todo if case.kind != "speed" for _ in case.replicates]
        return max(speeds.values()) + (cost.PREPARE_S + cost.makespan(quality, jobs) if quality else 0)

    def to_json(self) -> dict[str, Any]:
        """The part of a manifest that says what is measured, JSON-ready."""
        return {
            "suite": self.suite.name,
            "description": self.suite.description,
            "resolved_suite": asdict(self.suite),
            "device": self.device,
            "only": list(self.only),
            "notes": list(self.notes),
            "cases": [case.to_json() for case in self.cases],
            "comparisons": [comparison.to_json() for comparison in self.comparisons],
        }


def resolve(
    suite: Suite, machine: Machine, *, only: Sequence[str] = (), seeds: int | None = None, corpora: Sequence[str] = ()
) -> Plan:
    """Resolves `suite` for `machine`. Raises UserError where a filter or an override fits nothing.

    `only` are glob patterns on labels, `seeds` and `corpora` override those of the quality part.
    """
    if (seeds is not None or corpora) and suite.quality is None:
        option = "--seeds" if seeds is not None else "--corpus"
        raise UserError(f"{option}: the suite {suite.name} has no quality part")
    if seeds is not None and suite.quality is not None:
        suite = replace(suite, quality=replace(suite.quality, seeds=seeds))
    suite, notes = suite.with_corpora(tuple(corpora))
    suite = corpus_names.located(suite)
    builder = _Builder(suite, machine, notes=list(notes))
    if suite.speed is not None:
        builder.add_speed(suite.speed)
    if suite.quality is not None:
        builder.add_quality(suite.quality, suite.setting())
    cases, comparisons = _filtered(builder, tuple(only))
    return Plan(suite, machine.device, tuple(only), cases, comparisons, tuple(dict.fromkeys(builder.notes)))


@dataclass
class _Builder:
    suite: Suite
    machine: Machine
    notes: list[str] = field(default_factory=list)
    cases: dict[str, Case] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    content: dict[str, str | None] = field(default_factory=dict)
    device: str = ""

    def __post_init__(self) -> None:
        self.device = self.machine.devices[0]

    def add_speed(self, speed: Speed) -> None:
        """What is compared is measured on one device: layers by turns on all, whole steps, which share the baseline's,
        on the first."""
        turns = itertools.cycle(self.machine.devices)
        for entry in speed.cases:
            for shape in entry.shapes or (entry.shape,):
                for component in entry.component:
                    self.device = self.machine.devices[0] if entry.scope == "step" else next(turns)
                    self._add_speed_group(speed, replace(entry, shape=shape, shapes=()), component)

    def _add_speed_group(self, speed: Speed, entry: SpeedCase, component: str) -> None:
        """The baseline of `component` and its variants in all implementations, measured side by side.

        Each variant is compared with the baseline in the same implementation, and each implementation of a variant
        with the first one.
        """
        baseline = getattr(self.suite.baseline, component)
        first, *others = entry.implementations
        group = None
        for implementation in entry.implementations:
            base = self._speed_case(speed, entry, implementation, component, baseline, group)
            group = group or base
            for variant in self._variants(entry, component):
                if variant == baseline:
                    self.notes.append(f"{component} {variant} is the baseline and is not compared with itself")
                    continue
                case = self._speed_case(speed, entry, implementation, component, variant, group)
                about = self._about(entry, component, variant, implementation, case)
                self._compare("speed", case, base, about | {"baseline": baseline})
        for implementation in others:
            for variant in (baseline, *self._variants(entry, component)):
                base = self._speed_case(speed, entry, first, component, variant, group)
                case = self._speed_case(speed, entry, implementation, component, variant, group)
                if entry.scope == "step" or implementation in components.get(component, variant).implementations:
                    about = self._about(entry, component, variant, implementation, case)
                    self._compare("implementation", case, base, about | {"baseline": first})

    def _about(self, entry: SpeedCase, component: str, variant: str, implementation: str, case: Case) -> dict[str, Any]:
        return {
            "component": component,
            "variant": variant,
            "matching": case.params["matching"],
            "implementation": implementation,
            "scope": entry.scope,
            "direction": case.params["direction"],
            "dtype": entry.dtype,
            **({"shape": entry.shape.name} if entry.shape.name else {}),
        }

    def _variants(self, entry: SpeedCase, component: str) -> tuple[str, ...]:
        if entry.variants == ("all",):
            return tuple(components.variants(component))
        if entry.variants == ("macro",):
            return self.suite.quality.variants.get(component, ()) if self.suite.quality else ()
        return entry.variants

    def _speed_case(
        self, speed: Speed, entry: SpeedCase, implementation: str, component: str, variant: str, group: Case | None
    ) -> Case:
        model, given = self.suite.model, entry.shape
        batch = given.batch or (self.suite.quality.train.batch if self.suite.quality else None)
        shape: dict[str, Any] = {"batch": batch, "seq": given.seq or model.seq, "width": given.width or model.width}
        shape |= {"heads": given.heads or model.heads, "vocab": given.vocab or model.vocab}
        shape["layers"] = (given.layers or model.layers) if entry.scope == "step" else 1
        label = f"{component}/{variant}/{implementation}/{entry.scope}"
        if entry.scope == "step":
            # The whole model's variants name it; an unchanged model is one case, whichever component asks for it.
            baseline = {name: getattr(self.suite.baseline, name) for name in components.COMPONENTS}
            shape["variants"] = {**baseline, component: variant}
            if shape["variants"] == baseline:
                component = next(iter(components.COMPONENTS))
                variant, label = baseline[component], f"baseline/{implementation}/{entry.scope}"
            unsupported = self._unsupported_step(implementation, shape["variants"], entry.dtype)
        else:
            label += f"/{entry.direction or 'fwd+bwd'}"
            unsupported = self._unsupported_layer(implementation, component, variant, entry.dtype)
        if given.name:
            label += f"/{given.name}"
        params = {
            "component": component,
            "variant": variant,
            "implementation": implementation,
            "scope": entry.scope,
            "direction": "step" if entry.scope == "step" else entry.direction or "fwd+bwd",
            "shape": shape,
            "dtype": entry.dtype,
            "device": self.device,
            "mode": speed.mode or self._mode(entry.scope),
            "threads": speed.threads or max(1, self.machine.cores // len(self.machine.devices)),
            "matching": entry.matching or self.suite.matching,
            "sample_s": speed.sample_s,
        }
        if unsupported is None and speed.call_limit_s is not None:
            unsupported = _too_long(params, speed.call_limit_s)
        return self._add("speed", label, params, range(speed.replicates), speed.timeout_s, unsupported, group)

    def _mode(self, scope: str) -> str:
        """A step takes what the host waits for; a layer is timed as the device can best."""
        return "wall" if scope == "step" else accelerator.modes(self.device.partition(":")[0])[0]

    def _unsupported_layer(self, implementation: str, component: str, variant: str, dtype: str) -> str | None:
        known = components.get(component, variant).implementations
        if implementation not in known:
            return f"{component} {variant} has no implementation {implementation!r}, only {', '.join(known)}"
        return self._unsupported_here(implementation, dtype)

    def _unsupported_step(self, implementation: str, variants: dict[str, str], dtype: str = "float32") -> str | None:
        parts = [components.get(*item) for item in variants.items()]
        lacking = [part for part in parts if implementation not in part.implementations]
        if len(lacking) == len(parts) or (implementation == "fused" and lacking):
            named = ", ".join(f"{part.component} {part.name}" for part in lacking)
            return f"{named}: there is no implementation {implementation!r}"
        return self._unsupported_here(implementation, dtype)

    def _unsupported_here(self, implementation: str, dtype: str) -> str | None:
        if implementation == "compile" and self.machine.compiler is None:
            return "torch.compile needs a C++ compiler and there is none here (c++, g++ or clang++)"
        if implementation == "fused":
            return self.machine.no_kernels
        return other_kernels.unavailable_reason(implementation, self.device, dtype)

    def add_quality(self, quality: Quality, setting: Setting) -> None:
        self.device = self.machine.devices[0]
        base = self._quality_case(quality, "baseline/quality", setting, None)
        shown = corpus_names.displayed([setting.baseline.corpus, *quality.variants.get(CORPUS, ())])
        matchings = quality.matchings or (self.suite.matching,)
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
                    self.notes.append(f"{component} {name} is the baseline and is not compared with itself")
                    continue
                changed = replace(setting, baseline=replace(setting.baseline, **{component: variant}))
                at = f"/{matching}" if matching != matchings[0] else ""
                case = self._quality_case(quality, f"{component}/{name}{at}/quality", changed, base, matching=matching)
                about = {
                    "component": component,
                    "variant": name,
                    "baseline": shown[baseline] if component == CORPUS else baseline,
                    "matching": matching,
                    "source": "trained here",
                }
                self._compare("quality", case, base, about)
        for variant in quality.variants.get(LANGUAGES, ()):
            self._add_languages(quality, setting, base, variant)
        recipes = {
            name: self._quality_case(quality, f"{recipe.component}/{name}/quality", setting, base, recipe=recipe)
            for name, recipe in quality.recipes.items()
        }
        for name, recipe in quality.recipes.items():
            about = {"component": recipe.component, "variant": name, "baseline": recipe.against or PLAIN}
            against = recipes[recipe.against] if recipe.against else base
            self._compare("quality", recipes[name], against, about | {"source": "trained here"})
        if quality.stability is not None:
            self._add_stability(quality, quality.stability, setting)
        for control in quality.controls:
            case = self._quality_case(quality, f"control/{control.name}", setting.changed(control.set), base)
            about = {"name": control.name, "expected": control.expect, "description": control.description}
            about |= {"tasks": self._home_tasks()} if LANGUAGES in quality.variants else {}
            self._compare("control", case, base, about)

    def _add_languages(self, quality: Quality, setting: Setting, base: Case, variant: str) -> None:
        """Training in other languages: what it does to the baseline's, at as many tokens in all and at as many of the
        baseline's, and what it brings over all of them."""
        from benchsuite.pretrain.corpora import mixture

        ours, theirs = mixture.parse(setting.baseline.languages), mixture.parse(variant)
        if ours == theirs:
            self.notes.append(f"languages {variant} is the baseline and is not compared with itself")
            return
        shares = theirs.shares()
        told = ", ".join(f"{code} {share:.1%}" for code, share in sorted(shares.items(), key=lambda item: -item[1]))
        self.notes.append(f"languages {variant}: shares of tokens, n^{theirs.alpha:g} of OSCAR's sizes: {told}")
        changed = replace(setting, baseline=replace(setting.baseline, languages=variant))
        case = self._quality_case(quality, f"{LANGUAGES}/{variant}/quality", changed, base)
        about = {"component": LANGUAGES, "variant": variant, "baseline": setting.baseline.languages}
        about |= {"source": "trained here"}
        home = "+".join(ours.codes)
        here = {"tasks": self._home_tasks()}
        self._compare("quality", case, base, about | {"matching": f"in {home} at equal tokens"} | here)
        share = sum(shares.get(code, 0.0) for code in ours.codes)
        if quality.language_tokens == "baseline" and share > 0:
            fewer = replace(setting, train=replace(setting.train, tokens=round(share * setting.train.tokens)))
            label = f"{LANGUAGES}/{setting.baseline.languages}/tokens-of-{variant}/quality"
            alone = self._quality_case(quality, label, fewer, base)
            self._compare("quality", case, alone, about | {"matching": f"in {home} at equal tokens of {home}"} | here)
        self._compare("quality", case, base, about | {"matching": "in all languages at equal tokens"})

    def _home_tasks(self) -> list[str]:
        """Patterns of the tasks in the baseline's languages."""
        from benchsuite.pretrain.corpora import mixture

        return [f"*_{code}" for code in mixture.parse(self.suite.baseline.languages).codes]

    def _add_stability(self, quality: Quality, stability: Stability, setting: Setting) -> None:
        """The baseline and the variants of the model at every learning rate and precision, each against the baseline
        at the same."""
        quality = replace(quality, seeds=stability.seeds)
        for precision, times in itertools.product(stability.precisions, stability.lr):
            train = replace(
                setting.train,
                tokens=stability.tokens or setting.train.tokens,
                lr=setting.train.lr * times,
                precision=precision,
            )
            at = f"stability/{precision}/lr-{times:g}x"
            base = self._quality_case(quality, f"baseline/{at}", replace(setting, train=train), None, "stability")
            for component, variants in quality.variants.items():
                baseline = getattr(setting.baseline, component)
                for variant in variants if component in components.COMPONENTS else ():
                    if variant == baseline:
                        continue
                    changed = replace(setting, baseline=replace(setting.baseline, **{component: variant}), train=train)
                    label = f"{component}/{variant}/{at}"
                    case = self._quality_case(quality, label, changed, base, "stability")
                    about = {"component": component, "variant": variant, "baseline": baseline}
                    self._compare("stability", case, base, about)

    def _quality_case(
        self,
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
        ours = corpus_names.in_languages(self.suite.baseline.corpus, self.suite.baseline.languages)
        read = corpus_names.in_languages(setting.baseline.corpus, setting.baseline.languages)
        spoken = corpus_names.spoken(self.suite)
        vocabulary = quality.tokenizer.corpora or (self.suite.baseline.corpus,)
        variants = {name: getattr(setting.baseline, name) for name in components.COMPONENTS}
        train, no_fused = setting.train, self._unsupported_step("fused", variants)
        if train.implementation == "best":
            # They differ in speed and rounding alone, but in float16: there the fused loss is float32 (GPT.loss), and
            # how far float16 carries is what is asked.
            plain = no_fused or train.precision == "float16"
            train = replace(train, implementation="sdpa" if plain else "fused")
        unsupported = no_fused if train.implementation == "fused" else None
        if fake.is_fake(self.device):
            unsupported = "a fake device trains no model"
        for stage in recipe.stages if recipe else ():
            unsupported = unsupported or spec.unsupported(stage.architecture, setting.baseline.position)
        train_bytes = quality.train_bytes or _round_up(BYTES_PER_TOKEN * quality.train.tokens, 100_000)
        source = quality.tasks.source
        if source == "auto":
            source = has_tasks(ours) or "derived"
        sources = {name: self._content(name) for name in (read, ours)}
        params = {
            "model": {**asdict(setting.model), **variants, "matching": matching or self.suite.matching},
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
                "corpora": [corpus_names.equal_shares(name, spoken) for name in vocabulary],
                "train_bytes": quality.tokenizer.train_bytes or min(train_bytes, TOKENIZER_BYTES),
            },
            "tasks": {
                "source": source,
                "limit": quality.tasks.limit,
                "names": list(quality.tasks.names) if quality.tasks.names else None,
                **({"corpus": self.suite.baseline.corpus, "languages": list(spoken)} if spoken else {}),
            },
            "init_offset": setting.init_offset,
            "device": self.device,
            **({"longest": quality.longest} if quality.longest and kind == "quality" else {}),
            **({"stages": stages.params_of(recipe, setting.train)} if recipe else {}),
        }
        return self._add(kind, label, params, range(quality.seeds), quality.timeout_s, unsupported, group)

    def _add(
        self,
        kind: str,
        label: str,
        params: dict[str, Any],
        replicates: range,
        timeout_s: float,
        unsupported: str | None,
        group: Case | None,
    ) -> Case:
        """The case of these parameters, made once; it is measured beside the case `group`."""
        identity = case_id(kind, params)
        if identity not in self.cases:
            if any(case.label == label for case in self.cases.values()):
                label += f"/{digest(params, 4)}"  # the same name at another shape or type
            beside = group.group if group else identity
            estimate = None if unsupported else round(cost.guess(kind, params), 1)
            self.cases[identity] = Case(
                identity, kind, label, params, tuple(replicates), timeout_s, beside, estimate, unsupported
            )
        return self.cases[identity]

    def _compare(self, kind: str, case: Case, base: Case, about: dict[str, Any]) -> None:
        comparison = Comparison(kind, case.id, base.id, about)
        if comparison not in self.comparisons:
            self.comparisons.append(comparison)

    def _content(self, name: str) -> str | None:
        """A hash of what a corpus is made from, where its name does not say it; None for generated and hub
        corpora."""
        if name not in self.content:
            self.content[name] = corpus_names.content(name)
        return self.content[name]


def _filtered(builder: _Builder, only: tuple[str, ...]) -> tuple[tuple[Case, ...], tuple[Comparison, ...]]:
    """The comparisons whose case matches one of the patterns, with their baselines; all without a pattern."""
    if not only:
        return tuple(builder.cases.values()), tuple(builder.comparisons)
    labels = {case.id: case.label for case in builder.cases.values()}
    chosen = {identity for identity, label in labels.items() if _matches(label, only)}
    for pattern in only:
        if not any(_matches(label, (pattern,)) for label in labels.values()):
            near = did_you_mean(pattern, list(labels.values()))
            raise UserError(f"--only {pattern}: no case has such a label", hint=near)
    comparisons = tuple(comparison for comparison in builder.comparisons if comparison.case in chosen)
    needed = chosen | {comparison.base_case for comparison in comparisons}
    left = [comparison.about["name"] for comparison in builder.comparisons if comparison.kind == "control"]
    left = [name for name in left if name not in {c.about.get("name") for c in comparisons}]
    if left and any(comparison.kind == "quality" for comparison in comparisons):
        builder.notes.append(f"--only leaves out the controls {', '.join(left)}; add --only 'control/*' to keep them")
    return tuple(case for case in builder.cases.values() if case.id in needed), comparisons


def _matches(label: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(label, p) or fnmatch.fnmatchcase(label, f"{p.rstrip('/')}/*") for p in patterns)


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step


def _too_long(params: dict[str, Any], limit_s: float) -> str | None:
    """Why a case is too large for this device, by a rough estimate of one call."""
    call_s = cost.guess_call(params)
    if call_s <= limit_s:
        return None
    return (
        f"one call would take about {call_s:.2g} s on this {params['device']}; the suite's call_limit_s is {limit_s:g}"
    )
