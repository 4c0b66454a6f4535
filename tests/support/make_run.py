"""Writes a run directory with the schema and the noise of a real one, in a fraction of a second."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np

from support.params import rule, speed, training

TASKS = {
    "cloze": ("last-word cloze", 0.10), "story_completion": ("story completion", 0.25),
    "physical_choice": ("physical choice", 0.5), "pronouns": ("pronoun resolution", 0.5),
    "entailment": ("entailment", 0.5), "paraphrase": ("paraphrase", 0.5), "reading": ("reading", 0.25),
    "science_facts": ("science facts", 0.25), "closed_book": ("closed-book questions", 0.25),
    "sentiment": ("sentiment", 0.5), "word_in_context": ("word in context", 0.5), "arithmetic": ("arithmetic", 0.25),
    "agreement": ("agreement", 0.5), "recall_near": ("recall", 0.25), "recall_far": ("recall", 0.25),
}  # fmt: skip
# (component, variant, baseline), effect on accuracy, on speed of the step
QUALITY = [
    (("activation", "swiglu", "gelu"), 0.012, 0.93),
    (("position", "none", "learned"), -0.035, 1.02),
    (("position", "rotary", "learned"), 0.024, 0.88),
    (("position", "alibi", "learned"), 0.019, 0.97),
    (("embedding_norm", "on", "off"), -0.004, 0.985),
    (("corpus", "web_raw", "curated"), -0.051, None),
    (("corpus", "web_filtered", "curated"), -0.022, None),
]
LAYERS = [("activation", v, "gelu", r) for v, r in (("geglu", 0.91), ("swiglu", 0.92), ("relu", 1.06), ("relu2", 1.0))]
LAYERS += [
    ("position", v, "learned", r) for v, r in (("none", 1.08), ("sinusoidal", 1.0), ("rotary", 0.84), ("alibi", 0.9))
]
LAYERS += [("embedding_norm", "on", "off", 0.8)]
HARDWARE = {
    "identity": {"cpu": "Example CPU 2.5 GHz", "cores": 2, "memory_bytes": 16 * 2**30, "gpu": None},
    "context": {"os": "Linux 6.1", "python": "3.11.9", "torch": "2.14.1", "threads": 2},
}


def case_id(kind: str, params: dict) -> str:
    text = json.dumps({"measurement_version": 1, "kind": kind, "params": params}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class Builder:
    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.cases: dict[str, dict] = {}
        self.comparisons: list[dict] = []
        self.records: list[dict] = []

    def case(self, kind: str, label: str, params: dict, replicates: int, unsupported: str | None = None) -> str:
        params = {"speed": speed, "quality": training, "rule": rule}[kind](**params)
        key = case_id(kind, params)
        self.cases.setdefault(key, {
            "id": key, "kind": kind, "label": label, "params": params, "replicates": list(range(replicates)),
            "estimate_s": 1.0, "unsupported": unsupported,
        })  # fmt: skip
        return key

    def record(
        self, case: str, replicate: int, result: dict | None, status: str = "ok", reason: str | None = None
    ) -> None:
        self.records.append({
            "schema_version": 1, "case_id": case, "replicate": replicate, "status": status, "reason": reason,
            "started": "2026-01-01T00:00:00+00:00", "time_s": 1.0, "result": result,
        })  # fmt: skip

    # ---- speed

    def speed(self, component, variant, baseline, implementation, scope, direction, ratio, *, replicates, broken=None):
        ids = []
        for name, factor in ((baseline, 1.0), (variant, ratio)):
            params = {"component": component, "variant": name, "implementation": implementation, "scope": scope,
                      "direction": direction, "dtype": "float32", "device": "cpu", "mode": "wall"}  # fmt: skip
            label = f"{component}/{name}/{implementation}/{scope}/{direction}"
            status, reason = broken if broken and name == variant else ("ok", None)
            before = len(self.cases)
            key = self.case("speed", label, params, replicates, reason if status == "unsupported" else None)
            ids.append(key)
            if len(self.cases) == before:
                continue
            for r in range(replicates):
                rate = (
                    2e4 * factor * (1 + 0.02 * r) * np.exp(self.rng.normal(0, 0.008)) * (1 if scope == "step" else 40)
                )
                self.record(
                    key, r, self.speed_result(rate, factor, implementation) if status == "ok" else None, status, reason
                )
        self.comparisons.append({
            "kind": "speed", "component": component, "variant": variant, "baseline": baseline,
            "matching": "iso-parameter", "implementation": implementation, "scope": scope, "direction": direction,
            "case": ids[1], "base_case": ids[0],
        })  # fmt: skip

    def speed_result(self, rate: float, factor: float, implementation: str) -> dict:
        time_s = 1536 / rate
        return {
            "time_s": time_s, "samples_s": [time_s] * 5, "tokens": 1536, "tokens_per_s": rate, "gb_per_s": 3.1 * factor,
            "tflop_per_s": 0.021 * factor, "bytes_moved": 1e7, "flops": 3e9, "peak_bytes": round(3.2e7 / factor),
            "saved_bytes": 8_000_000, "rss_peak_bytes": 5e8,
            "error": {"forward": 1e-7, "backward": 1e-6, "limit": 1e-4}, "compile_s": None, "warmup_s": 0.1,
            "stop": "interval", "fusion": implementation, "context": {},
        }  # fmt: skip

    # ---- quality

    def prepare(self, seeds: int, tasks: list[str], documents: int) -> None:
        self.seeds, self.tasks, self.documents = seeds, tasks, documents
        self.difficulty = self.rng.uniform(-0.25, 0.25, (len(tasks), documents))
        self.shift = self.rng.normal(0, 0.008, seeds)
        self.bytes = self.rng.integers(200, 900, 60).tolist()

    def model(self, label: str, params: dict, effect: float) -> str:
        """A model whose accuracy lies `effect` above the baseline's, and its bits per byte twice as much below."""
        before = len(self.cases)
        key = self.case("quality", label, params, self.seeds)
        if len(self.cases) == before:
            return key
        for seed in range(self.seeds):
            noise = self.rng.normal(0, 0.006)
            tasks = {}
            for k, name in enumerate(self.tasks):
                family, random_acc = TASKS[name]
                learned = 0.0 if name == "word_in_context" else 0.2
                weight = 3.0 if name.startswith("recall") else 0.8
                chance = random_acc + learned + self.shift[seed] + noise + weight * effect + self.rng.normal(0, 0.008)
                right = self.rng.random(self.documents) < np.clip(chance + self.difficulty[k], 0.02, 0.98)
                outcomes = "".join("01"[int(o)] for o in right)
                tasks[name] = {"acc": float(right.mean()), "n": self.documents, "random_acc": random_acc,
                               "family": family, "outcomes": outcomes}  # fmt: skip
            bpb = 1.12 - 2 * effect + 0.3 * noise
            bits = [float(b * (bpb + self.rng.normal(0, 0.05))) for b in self.bytes]
            tokens = np.linspace(2_000, 800_000, 160)
            loss = 1.0 - 1.5 * effect + noise + 3.9 * np.exp(-tokens / 60_000) + 0.5 * np.exp(-tokens / 400_000)
            curve = np.c_[tokens, loss + self.rng.normal(0, 0.015, 160)].tolist()
            self.record(key, seed, {
                "train": {"tokens": params["train"]["tokens"], "time_s": 41.0, "tokens_per_s": 19_500.0,
                          "final_loss": curve[-1][1], "curve": curve},
                "parameters": round(351_000 * (params["model"].get("width", 96) / 96) ** 2), "tasks": tasks,
                "digests": {"corpus": "6c2a9be41f", "tokenizer": "91d04e77aa"},
                "bits_per_byte": {"value": sum(bits) / sum(self.bytes), "bits": bits, "bytes": self.bytes},
            })  # fmt: skip
        return key

    def write(self, folder: Path, suite: str) -> Path:
        folder.mkdir(parents=True)
        manifest = {
            "schema_version": 1, "suite": suite, "description": "A run made up for tests",
            "created": "2026-01-01T00:00:00+00:00", "command": ["benchsuite", "run", suite],
            "benchsuite_version": "0.1.0", "resolved_suite": {"name": suite}, "hardware": HARDWARE,
            "cases": list(self.cases.values()), "comparisons": self.comparisons,
        }  # fmt: skip
        (folder / "manifest.json").write_text(json.dumps(manifest))
        (folder / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in self.records))
        return folder


def worth(multiple: float) -> float:
    """The effect of a multiple of the baseline's tokens."""
    return 0.03 * math.log(multiple) - 0.004 * math.log(multiple) ** 2


def make_run(
    folder: Path,
    *,
    seeds=2,
    replicates=5,
    tasks=None,
    documents=300,
    seed=0,
    suite="quick",
    broken=True,
    curve=False,
    ladder=(),
) -> Path:
    """A run with 10 models, their controls, and about 40 speed cases, some of them failed; with `curve` the baseline
    on four more budgets, where it is worth `worth`. `ladder` are widths of further rungs with a curve each: there ALiBi
    is worth little."""
    b = Builder(seed)
    b.prepare(seeds, list(TASKS) if tasks is None else tasks, documents)
    for component, variant, baseline, ratio in LAYERS:
        for implementation in ("eager", "compile"):
            for direction in ("fwd", "fwd+bwd"):
                fault = None
                if broken and (variant, implementation) == ("relu2", "compile"):
                    fault = ("oom", "worker used more than 3 GiB")
                if broken and (variant, implementation, direction) == ("alibi", "compile", "fwd"):
                    fault = ("unsupported", "needs a C++ compiler")
                b.speed(component, variant, baseline, implementation, "layer", direction, ratio,
                        replicates=replicates, broken=fault)  # fmt: skip
    for (component, variant, baseline), _, ratio in QUALITY:
        if ratio is not None:
            b.speed(component, variant, baseline, "eager", "step", "step", ratio, replicates=replicates)
    shape = {"layers": 3, "width": 96, "heads": 4, "vocab": 1024, "seq": 96}
    corpus = {"name": "curated"}
    standard = {"model": shape, "train": {"tokens": 800_000}, "corpus": corpus, "init_offset": 0}
    base = b.model("baseline/quality", standard, 0.0)
    for (component, variant, baseline), effect, _ in QUALITY:
        params = {**standard, "corpus": {"name": variant}} if component == "corpus" else {
            **standard, "model": {**shape, component: variant}}  # fmt: skip
        key = b.model(f"{component}/{variant}/quality", params, effect)
        b.comparisons.append({
            "kind": "quality", "component": component, "variant": variant, "baseline": baseline,
            "matching": "iso-parameter", "case": key, "base_case": base, "source": "trained here",
        })  # fmt: skip
    for multiple in (0.25, 0.5, 2.0, 4.0) if curve else ():
        train = {"tokens": round(multiple * 800_000)}
        key = b.model(f"baseline/tokens-{multiple:g}x/quality", {**standard, "train": train}, worth(multiple))
        b.comparisons.append({"kind": "curve", "variant": f"{multiple:g}x", "case": key, "base_case": base})
    for width in ladder:
        there = {**standard, "model": {**shape, "width": width}}
        foot = b.model(f"ladder/{width}/baseline", there, 0.1)
        for multiple in (0.25, 0.5, 2.0, 4.0):
            train = {"tokens": round(multiple * 800_000)}
            key = b.model(f"ladder/{width}/tokens-{multiple:g}x", {**there, "train": train}, 0.1 + worth(multiple))
            b.comparisons.append({"kind": "curve", "name": str(width), "case": key, "base_case": foot})
        key = b.model(f"ladder/{width}/alibi", {**there, "model": {**there["model"], "position": "alibi"}}, 0.103)
        b.comparisons.append({
            "kind": "rung", "name": str(width), "component": "position", "variant": "alibi", "baseline": "learned",
            "matching": "iso-parameter", "case": key, "base_case": foot,
        })  # fmt: skip
    twin = b.model("control/a_against_a", {**standard, "init_offset": 1000}, 0.0)
    crippled = b.model("control/quarter_tokens", {**standard, "train": {"tokens": 200_000}}, -0.07)
    half = {**standard, "train": {"tokens": 400_000}, "init_offset": 1000}
    half_key = b.model("control/half_tokens", half, worth(0.5)) if curve else ""
    of_curve = [("half_tokens", "0.5x", half_key, "The baseline on half of the tokens.")] if curve else []
    for name, expected, key, text in (
        *of_curve,
        ("a_against_a", "unresolved", twin, "The baseline again from another initialisation: nothing to find."),
        ("quarter_tokens", "worse", crippled, "The baseline trained on a quarter of the tokens: must be found worse."),
    ):
        b.comparisons.append({"kind": "control", "name": name, "expected": expected, "description": text,
                              "case": key, "base_case": base})  # fmt: skip
    return b.write(folder, suite)


if __name__ == "__main__":
    import sys

    print(make_run(Path(sys.argv[1])))
