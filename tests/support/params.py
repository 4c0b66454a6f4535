"""Complete parameters of cases as canonical JSON, for tests to which only a few of them matter."""

from __future__ import annotations

from typing import Any

PROCESS = {"device": "cpu", "threads": 1, "sample_s": 0.01, "dtype": "float32", "mode": "wall"}
SPEED = PROCESS | {
    "component": "activation", "variant": "gelu", "implementation": "eager", "scope": "layer", "direction": "fwd+bwd",
    "shape": {"batch": 2, "seq": 16, "width": 24, "heads": 3, "layers": 2, "vocab": 50}, "matching": "iso-parameter",
}  # fmt: skip
OPERATOR = PROCESS | {
    "component": "operator", "variant": "gelu", "implementation": "fused", "scope": "operator", "direction": "fwd+bwd",
    "shape": {"batch": 3, "seq": 10, "width": 24},
}  # fmt: skip
TRAINING = {
    "model": {
        "layers": 1, "width": 16, "heads": 2, "vocab": 300, "seq": 16, "activation": "gelu", "position": "learned",
        "embedding_norm": "off", "matching": "iso-parameter",
    },
    "train": {"tokens": 1000},
    "corpus": {"name": "curated", "train_bytes": 10_000, "seed": 0},
    "heldout": {"corpus": "curated", "bytes": 1000},
    "tokenizer": {"vocab": 300, "corpora": ["curated"], "train_bytes": 10_000},
    "tasks": {"source": "world", "limit": 10, "names": None},
    "init_offset": 0,
    "device": "cpu",
}  # fmt: skip
RULE = {
    "task": "clicks", "architecture": "deepfm", "rule": "backprop", "data": None, "most": None, "recipe": {"steps": 4},
    "rates": [1.0], "regularisation": [1.0], "device": "cpu", "threads": 1,
}  # fmt: skip


def speed(**changes: Any) -> dict[str, Any]:
    return SPEED | changes


def operator(**changes: Any) -> dict[str, Any]:
    return OPERATOR | changes


def check(**changes: Any) -> dict[str, Any]:
    return {"shapes": [changes.get("shape", OPERATOR["shape"])], **OPERATOR, "scope": "check", **changes}


def training(**changes: Any) -> dict[str, Any]:
    """Changes of a part, such as `train`, are changes of its keys."""
    parts = {key: {**TRAINING.get(key, {}), **value} for key, value in changes.items() if isinstance(value, dict)}
    return TRAINING | changes | parts


def rule(**changes: Any) -> dict[str, Any]:
    return RULE | changes
