"""A model on disk: a folder with `model.safetensors`, `spec.json` and `tokenizer.json`. Nothing in it is executed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from benchsuite import files
from benchsuite.cache import write_atomically
from benchsuite.errors import UserError
from benchsuite.model.encoder_decoder import build
from benchsuite.model.gpt import GPT
from benchsuite.model.spec import ModelSpec

WEIGHTS, SPEC, TOKENIZER = "model.safetensors", "spec.json", "tokenizer.json"
SCHEMA_VERSION = 1
MISMATCH = f"do {WEIGHTS} and {SPEC} belong together?"


def save(model: GPT, folder: Path | str, tokenizer: Tokenizer, about: Mapping[str, Any] | None = None) -> None:
    """Write `model` and `tokenizer` into `folder`, which is made if need be; the weights are stored on the CPU.

    `about` says in spec.json what the model learned from: `corpus`, `tasks` ("world" or "facts" where the corpus brings
    such, null where none), `tokens`, `seed`.
    `spec.json` comes last, so that an interrupted save leaves a folder that does not load rather than a half one.
    `folder` leads through no link (`benchsuite.files`). Raises UserError where it cannot be written.
    """
    folder = Path(folder)
    try:
        files.make(folder)
        files.remove(folder / SPEC)
        with write_atomically(folder / WEIGHTS) as path:
            save_file(weights_of(model), path)
        with write_atomically(folder / TOKENIZER) as path:
            path.write_text(tokenizer.to_str(), encoding="utf-8")
        with write_atomically(folder / SPEC) as path:
            document = {"schema_version": SCHEMA_VERSION, "spec": model.spec.to_json()}
            document |= {"about": dict(about)} if about else {}
            path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"the model cannot be saved in {folder}: {error.strerror or error}",
            hint="choose a folder that can be written and has space",
        ) from error


def load(
    folder: Path | str, *, device: str | torch.device = "cpu", implementation: str = "sdpa"
) -> tuple[GPT, Tokenizer]:
    """Read what `save` wrote: the model in evaluation mode on `device`, and its tokenizer.

    Raises UserError for a folder without a model, a file that is damaged, and weights that do not fit the spec.
    """
    folder = Path(folder)
    spec = read_spec(folder)
    model = build(spec, implementation)
    weights = _read(folder / WEIGHTS, load_file)
    expected = weights_of(model)
    for name in sorted(expected.keys() ^ weights.keys()):
        where = "missing from" if name in expected else "unexpected in"
        raise UserError(f"weight {name!r} is {where} {folder / WEIGHTS}", hint=MISMATCH)
    for name, weight in weights.items():
        if weight.shape != expected[name].shape:
            raise UserError(
                f"weight {name!r} in {folder / WEIGHTS} has shape {tuple(weight.shape)}; "
                f"{SPEC} asks for {tuple(expected[name].shape)}",
                hint=MISMATCH,
            )
    model.load_state_dict(weights, strict=False)  # a tied head is stored once; the names were checked above
    tokenizer: Tokenizer = _read(folder / TOKENIZER, lambda path: Tokenizer.from_str(path.read_text(encoding="utf-8")))
    return model.to(device).eval(), tokenizer


def read_spec(folder: Path) -> ModelSpec:
    """The spec of the model saved in `folder`. Raises UserError where there is none, where it is not one, and for a
    model that this version would compute otherwise than the one that trained it."""
    path = Path(folder) / SPEC
    document = _read(path, lambda path: json.loads(path.read_text(encoding="utf-8")))
    if not isinstance(document, dict) or not isinstance(document.get("spec"), dict):
        raise UserError(f"{path} is no model specification", hint="it should hold `schema_version` and `spec`")
    if document.get("schema_version") != SCHEMA_VERSION:
        raise UserError(
            f"{path} has schema version {document.get('schema_version')!r}; this benchsuite reads {SCHEMA_VERSION}",
            hint="load it with the version of benchsuite that saved it",
        )
    try:
        return ModelSpec.from_json(document["spec"])
    except TypeError as error:
        raise UserError(f"{path} does not describe a model: {error}", hint="save the model again") from error


def read_about(folder: Path | str) -> dict[str, Any] | None:
    """Return what the model saved in `folder` learned from, as `save` recorded it; None if it did not. Raises UserError
    where there is no model."""
    read_spec(Path(folder))
    about = json.loads((Path(folder) / SPEC).read_text(encoding="utf-8")).get("about")
    return about if isinstance(about, dict) else None


def weights_of(model: GPT) -> dict[str, torch.Tensor]:
    """The state of `model` by name, contiguous and on the CPU; a tied head appears once, as the embedding."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    if model.spec.tied:
        del state["unembedding.weight"]
    return state


def _read(path: Path, read: Any) -> Any:
    """read(path), with every way in which it can fail turned into a UserError."""
    try:
        return read(path)
    except FileNotFoundError as error:
        raise UserError(
            f"no model in {path.parent}: {path.name} is missing",
            hint=f"a saved model is a folder with {WEIGHTS}, {SPEC} and {TOKENIZER}",
        ) from error
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}", hint="the file is damaged; save the model again") from error
    except Exception as error:  # the tokenizers library raises bare Exception
        if type(error) is not Exception:
            raise
        raise UserError(f"{path} cannot be read: {error}", hint="the file is damaged; save the model again") from error
