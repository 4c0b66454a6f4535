"""Components, their variants, and one registry for both.

A component is an axis of choice (`activation`, `position`, …); a variant is one value of it. Each
component has one file here, and each variant is one decorated factory in it:

    from benchsuite.components import variant

    @variant("activation", "mish", summary="x tanh(softplus(x))", source="arXiv:1908.08681", gated=False)
    def mish():
        from torch.nn.functional import mish
        return mish

Other packages add variants in the same way and name their module under the entry point group `benchsuite.components`.
The factories import torch inside, so that listing and planning never wait for it.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from benchsuite.errors import UserError, did_you_mean

ENTRY_POINTS = "benchsuite.components"

# How a variant can be computed. Variants are compared with one another at the same implementation only.
IMPLEMENTATION_SUMMARIES: dict[str, str] = {
    "eager": "torch operators one by one; attention scores exist as a tensor",
    "compile": "the same under torch.compile; a whole training step with sdpa inside",
    "sdpa": "eager, with torch's scaled_dot_product_attention",
    "fused": "benchsuite's own kernels, one pass over memory where the mathematics allows",
    "folded": "sdpa, with ALiBi as one more dimension of each head instead of a bias",
    "flex": "torch's FlexAttention, compiled; on CUDA",
    "flash_attn": "the package flash-attn, where it is installed; on CUDA, in 16 bits",
    "xformers": "the package xformers, where it is installed; on CUDA",
    "liger": "the package liger-kernel, where it is installed; on CUDA",
}
# What every variant of a component has, since it needs nothing but the variant's eager formula.
IMPLEMENTATIONS: dict[str, tuple[str, ...]] = {
    "activation": ("eager", "compile"),
    "position": ("eager", "compile", "sdpa", "folded", "flex", "flash_attn", "xformers"),
    "embedding_norm": ("eager", "compile"),
    "learning_rule": tuple(IMPLEMENTATION_SUMMARIES),
}
WITHOUT_BIAS = ("folded", "flex", "flash_attn", "xformers")  # attention that takes no bias as a tensor
LIGER = ("swiglu", "geglu")  # what Liger Kernel has of the activations
COMPONENTS: dict[str, str] = {
    "activation": "the nonlinearity of the feed-forward block",
    "position": "how the model knows the order of its tokens",
    "embedding_norm": "a LayerNorm right after the token embedding",
    "learning_rule": "how the weights get their gradients",
}
WITHOUT_LAYER = ("learning_rule",)  # components that no layer can be timed for: they shape a whole training step

Factory = TypeVar("Factory", bound=Callable[..., Any])


@dataclass(frozen=True)
class Variant:
    """One value of a component.

    `build` makes the part of the model; its arguments and result are the component's own, given in its file.
    `gated` (activations) says that the first projection is doubled and one half gates the other. `kernel` is the name
    of the variant in benchsuite's own kernels, or None: then it has no `fused`. `bounded` (position schemes) says that
    a model takes no more tokens than its training length.
    """

    component: str
    name: str
    build: Callable[..., Any]
    summary: str
    source: str
    gated: bool
    kernel: str | None
    implementations: tuple[str, ...]
    bounded: bool


_registry: dict[tuple[str, str], Variant] = {}


def variant(
    component: str,
    name: str,
    *,
    summary: str,
    source: str,
    gated: bool = False,
    kernel: str | None = None,
    biased: bool = False,
    bounded: bool = False,
) -> Callable[[Factory], Factory]:
    """Register the decorated factory or class as variant `name` of `component`.

    A `kernel` gives it the implementation `fused`; `biased` (position schemes) says that attention needs its bias as a
    tensor, which takes the implementations WITHOUT_BIAS from it; `bounded` (position schemes), that a model takes no
    more tokens than its training length. Raises UserError for an unknown component and for a
    name that is taken.
    """
    if component not in COMPONENTS:
        raise UserError(f"variant {name!r} names an unknown component {component!r}", hint=_choices(component))

    def register(build: Factory) -> Factory:
        taken = _registry.get((component, name))
        if taken is not None and taken.build.__module__ != build.__module__:
            raise UserError(
                f"{component} {name!r} is registered twice: by {taken.build.__module__} and by {build.__module__}",
                hint="give one of them another name",
            )
        ways = tuple(way for way in IMPLEMENTATIONS[component] if not (biased and way in WITHOUT_BIAS))
        ways += ("fused",) if kernel else ()
        ways += ("liger",) if kernel in LIGER else ()
        _registry[component, name] = Variant(component, name, build, summary, source, gated, kernel, ways, bounded)
        return build

    return register


def variants(component: str) -> dict[str, Variant]:
    """All variants of `component` by name, built-in ones first. Raises UserError for an unknown component."""
    _load()
    if component not in COMPONENTS:
        raise UserError(f"unknown component {component!r}", hint=_choices(component))
    return {name: entry for (owner, name), entry in _registry.items() if owner == component}


def get(component: str, name: str) -> Variant:
    """The variant `name` of `component`. Raises UserError, naming the choices, where there is none."""
    choices = variants(component)
    if name not in choices:
        hint = did_you_mean(name, list(choices))
        missing = "; ".join(error.message for error in _load().values())
        raise UserError(f"unknown {component} {name!r}", hint=f"{hint} ({missing})" if missing else hint)
    return choices[name]


def _choices(component: str) -> str:
    return did_you_mean(component, list(COMPONENTS))


@cache
def _load() -> dict[str, UserError]:
    """Import the built-in component files, then every plug-in; return what is wrong with plug-ins, by name.

    A plug-in that does not load is reported on stderr and leaves nothing behind; all others are there. What a
    plug-in prints goes to stderr: stdout may hold a document.
    """
    for component in COMPONENTS:
        importlib.import_module(f"benchsuite.components.{component}")
    broken: dict[str, UserError] = {}
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        before = dict(_registry)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                entry.load()
        except (Exception, SystemExit) as error:
            _registry.clear()
            _registry.update(before)
            said = error.message if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            broken[entry.name] = UserError(
                f"the plug-in {entry.name!r} ({entry.value}) does not load: {said}",
                hint=f"fix or uninstall {entry.dist.name if entry.dist else entry.value}",
            )
            print(f"benchsuite: {broken[entry.name].message}\n  -> {broken[entry.name].hint}", file=sys.stderr)
    return broken
