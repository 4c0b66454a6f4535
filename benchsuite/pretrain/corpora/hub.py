"""Documents from a dataset of the Hugging Face Hub, streamed. This is the only corpus that uses the network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchsuite.errors import UserError
from benchsuite.pretrain.corpora.files import cut_long

FORM = "hub:owner/name[:config][:split][:column]"
_PART = re.compile(r"[\w.\-]*\Z")


@dataclass(frozen=True)
class HubName:
    """A parsed `hub:` name. `config` None is the dataset's default; `split` defaults to train and `column` to text."""

    repository: str
    config: str | None
    split: str
    column: str


def parse(name: str) -> HubName:
    """The parts of hub:owner/name[:config][:split][:column]; an empty part means its default. Raises UserError."""
    prefix, _, rest = name.partition(":")
    repository, *parts = rest.split(":")
    owner, _, dataset = repository.partition("/")
    well_formed = prefix == "hub" and owner and dataset and "/" not in dataset and len(parts) <= 3
    if not well_formed or not all(map(_PART.match, [owner, dataset, *parts])):
        raise UserError(f"{name!r} names no dataset of the hub", hint=f"the form is {FORM}; a part may be empty")
    config, split, column = (parts + ["", "", ""])[:3]
    return HubName(repository, config or None, split or "train", column or "text")


def revision(hub: HubName) -> str:
    """The commit of the dataset's newest version. Raises UserError where the hub cannot be asked."""
    from huggingface_hub import HfApi

    try:
        sha = HfApi().dataset_info(hub.repository, timeout=20).sha
    except Exception as error:  # the client raises many unrelated types: HTTP, socket, offline mode, gated, missing
        raise _unreachable(hub, error) from error
    return str(sha)


def unreachable() -> str | None:
    """Return why the hub does not answer; None where it does."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=10)
    except Exception as error:  # as in `revision`
        return " ".join(str(error).split())[:200] or type(error).__name__
    return None


def read_documents(hub: HubName, commit: str) -> Iterator[str]:
    """The dataset's documents in its own order, at one commit.

    Raises UserError for a wrong config, split or column, and where the network fails.
    """
    import datasets

    try:
        rows: Iterator[dict[str, Any]] = iter(
            datasets.load_dataset(hub.repository, hub.config, split=hub.split, revision=commit, streaming=True)
        )
    except Exception as error:  # ValueError for a wrong config or split, and everything `revision` may meet
        raise _unreachable(hub, error) from error
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except Exception as error:
            raise _unreachable(hub, error) from error
        text = row.get(hub.column, 0)
        if text is None:  # as in files
            continue
        if not isinstance(text, str):
            raise UserError(
                f"the dataset {hub.repository} has no text in column {hub.column!r}; columns: {', '.join(row)}",
                hint=f"name the column: {FORM}",
            )
        yield from cut_long(text)


def _unreachable(hub: HubName, error: Exception) -> UserError:
    text = " ".join(str(error).split())[:300] or type(error).__name__
    return UserError(
        f"the dataset {hub.repository} (config {hub.config or 'default'}, split {hub.split}) cannot be read: {text}",
        hint="corpora of the hub need the network and, if gated, a login; the built-in corpora need neither",
    )
