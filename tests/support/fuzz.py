"""The loop of a fuzzer: a good tree, one to four of its values made hostile, and one thing that may come of it."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from benchsuite.errors import UserError

FEW = settings(
    max_examples=250,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
MANY = settings(FEW, max_examples=10_000)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in a tree."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


def mutated(data: st.DataObject, tree: Any, hostile: Sequence[Any], keys: Sequence[str] = ("x", "")) -> Any:
    """The tree with one to four of its values replaced, removed, doubled or given a strange key."""
    holder = [copy.deepcopy(tree)]
    for _ in range(data.draw(st.integers(1, 4))):
        *above, last = data.draw(st.sampled_from([(0, *place) for place in places(holder[0])]))
        parent: Any = holder
        for part in above:
            parent = parent[part]
        match data.draw(st.sampled_from(["replace", "replace", "replace", "remove", "key", "double"])):
            case "remove" if above:
                del parent[last]
            case "key" if isinstance(parent[last], dict):
                parent[last][data.draw(st.sampled_from(keys))] = 1
            case "double" if isinstance(parent, list) and above:
                parent.append(copy.deepcopy(parent[last]))
            case _:
                strange = st.sampled_from(hostile) | st.integers() | st.floats() | st.text(max_size=8)
                parent[last] = copy.deepcopy(data.draw(strange))
    return holder[0]


@contextlib.contextmanager
def refused_at_most(*codes: int) -> Iterator[None]:
    """Lets one thing pass: a refusal with a message and one of these exit codes, or 2."""
    try:
        yield
    except UserError as error:
        if error.exit_code not in (2, *codes) or not error.message:
            raise
