"""Put the parts of a plan together: cases, each made once, their comparisons, what cannot run here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from benchsuite import components
from benchsuite.cache import digest
from benchsuite.components import other_kernels
from benchsuite.devices import Device
from benchsuite.errors import UserError
from benchsuite.limits import MOST_MEASUREMENTS
from benchsuite.planning import cost
from benchsuite.planning.machine import Machine
from benchsuite.records.case import Case, Comparison, ComparisonKind, case_id
from benchsuite.records.params import Params
from benchsuite.suite import corpora
from benchsuite.suite.schema import Suite


@dataclass
class Builder:
    """Collects the cases and comparisons of `suite` for `machine`; `device` is the one that cases are made for."""

    suite: Suite
    machine: Machine
    notes: list[str] = field(default_factory=list)
    cases: dict[str, Case] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    content: dict[str, str | None] = field(default_factory=dict)
    device: Device = field(init=False)
    _asked: int = 0  # cases, those that were there already included
    _measurements: int = 0
    _labels: set[str] = field(default_factory=set)
    _compared: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.device = self.machine.devices[0]

    def add(
        self,
        kind: str,
        label: str,
        params: Params,
        replicates: range,
        timeout_s: float,
        unsupported: str | None,
        group: Case | None,
    ) -> Case:
        """The case of these parameters, made once; it is measured beside the case `group`."""
        told = params.json()
        identity = case_id(kind, told)
        self._asked += 1
        if identity not in self.cases:
            self._measurements += len(replicates)
            if label in self._labels:
                label += f"/{digest(told, 4)}"  # the same name at another shape or type
            self._labels.add(label)
            beside = group.group if group else identity
            estimate = None if unsupported else round(cost.guess(kind, params), 1)
            self.cases[identity] = Case(
                identity, kind, label, told, tuple(replicates), timeout_s, beside, estimate, unsupported
            )
        if max(self._asked, self._measurements) > MOST_MEASUREMENTS:
            raise UserError(
                f"the suite {self.suite.name} asks for more than {MOST_MEASUREMENTS:,} measurements",
                hint="fewer replicates, seeds, variants or shapes; or several suites",
            )
        return self.cases[identity]

    def compare(self, kind: ComparisonKind, case: Case, base: Case, about: dict[str, Any]) -> None:
        comparison = Comparison(kind, case.id, base.id, **about)
        if (identity := digest(comparison.to_json(), 16)) not in self._compared:
            self._compared.add(identity)
            self.comparisons.append(comparison)

    def content_of(self, name: str) -> str | None:
        """A hash of what a corpus is made from, where its name does not say it; None for generated and hub
        corpora."""
        if name not in self.content:
            self.content[name] = corpora.content(name)
        return self.content[name]

    def unsupported_layer(self, implementation: str, component: str, variant: str, dtype: str) -> str | None:
        known = components.get(component, variant).implementations
        if implementation not in known:
            return f"{component} {variant} has no implementation {implementation!r}, only {', '.join(known)}"
        return self.unsupported_here(implementation, dtype)

    def unsupported_step(self, implementation: str, variants: dict[str, str], dtype: str = "float32") -> str | None:
        parts = [components.get(*item) for item in variants.items()]
        lacking = [part for part in parts if implementation not in part.implementations]
        if len(lacking) == len(parts) or (implementation == "fused" and lacking):
            named = ", ".join(f"{part.component} {part.name}" for part in lacking)
            return f"{named}: there is no implementation {implementation!r}"
        return self.unsupported_here(implementation, dtype)

    def unsupported_here(self, implementation: str, dtype: str) -> str | None:
        """Return why an implementation cannot run on this machine, whatever it computes; None where it can."""
        if implementation == "compile" and self.machine.compiler is None:
            return "torch.compile needs a C++ compiler and there is none here (c++, g++ or clang++)"
        if implementation == "fused":
            return self.machine.no_kernels
        installed = True if self.machine.elsewhere else None
        return other_kernels.unavailable_reason(implementation, dtype, on_cpu=self.device.is_host, installed=installed)
