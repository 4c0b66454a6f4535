"""PTX text to kernels: parameters, registers, shared memory, labels and instructions.

Inline assembly opens scopes with registers of their own; they get names of their own here, so that a kernel is one flat
list. What this does not know is an error that names it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field


class PTXSyntaxError(ValueError):
    """PTX that is not understood; the message has the line."""


@dataclass(frozen=True)
class Parameter:
    """A kernel's parameter: its type (`u64`, `f32`, `b8` for a struct), alignment and size in bytes."""

    name: str
    type: str
    size: int


@dataclass(frozen=True)
class Instruction:
    """`guard` is (predicate, whether negated) or None; `op` the opcode and its modifiers; `line` that of the PTX."""

    line: int
    guard: tuple[str, bool] | None
    op: tuple[str, ...]
    operands: tuple[str, ...]

    def __str__(self) -> str:
        return f"{'.'.join(self.op)} {', '.join(self.operands)}"


@dataclass
class Kernel:
    """One .entry. `registers` maps names to classes (`pred`, `b16`, `b32`, `b64`, …), `shared` names to (offset, size);
    `dynamic` names the .extern array, which begins where the static ones end; `max_threads` are those of a block that
    it is compiled for."""

    name: str
    parameters: list[Parameter] = field(default_factory=list)
    registers: dict[str, str] = field(default_factory=dict)
    shared: dict[str, tuple[int, int]] = field(default_factory=dict)
    shared_bytes: int = 0
    dynamic: str | None = None
    max_threads: int = 1024
    labels: dict[str, int] = field(default_factory=dict)
    instructions: list[Instruction] = field(default_factory=list)


SIZES = {"pred": 1} | {f"{kind}{bits}": bits // 8 for kind in "busf" for bits in (8, 16, 32, 64)}
SIZES |= {"f16x2": 4, "bf16": 2, "bf16x2": 4}
_SHARED = re.compile(r"\.shared\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+(\w+)(?:\[(\d*)\])?$")


def parse(text: str) -> dict[str, Kernel]:
    """The kernels of a PTX module by name. Raises PTXSyntaxError."""
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m[0].count("\n"), text, flags=re.S)
    text = re.sub(r"//[^\n]*", "", text)
    outside = re.findall(
        r"^\s*(\.extern\s+|\.weak\s+|\.visible\s+|\.common\s+|)(\.shared[^;]*);", _top_level(text), re.M
    )
    if re.search(r"^\s*(?:\.(?:visible|weak)\s+)?\.func\b", text, re.M):
        raise PTXSyntaxError("functions that are not kernels are not supported: inline them")
    kernels = {}
    for match in re.finditer(r"\.entry\s+([\w$]+)\s*\(", text):
        end = text.index(")", match.end())
        opening = text.index("{", end)
        kernel = Kernel(match[1], [_parameter(p) for p in text[match.end() : end].split(",") if p.strip()])
        if bounds := re.search(r"\.maxntid\s+(\d+)(?:\s*,\s*(\d+))?(?:\s*,\s*(\d+))?", text[end:opening]):
            kernel.max_threads = math.prod(int(n or 1) for n in bounds.groups())
        line = text.count("\n", 0, opening) + 1
        body, inner = _Body(kernel), text[opening + 1 : _closing(text, opening)]
        for linkage, declaration in outside:  # those of template functions are the module's, and of those who name them
            found = _SHARED.match(" ".join(declaration.split()))
            if found is None or not re.search(rf"(?<![\w$]){re.escape(found[3])}(?![\w$])", inner):
                continue
            if linkage.strip() == ".extern":
                kernel.dynamic = found[3]
            else:
                body.shared(" ".join(declaration.split()), line)
        body.read(inner, line)
        kernels[kernel.name] = kernel
    return kernels


def _top_level(text: str) -> str:
    """The text without what stands in braces."""
    depth, kept = 0, []
    for part in re.split(r"([{}])", text):
        depth += {"{": 1, "}": -1}.get(part, 0)
        kept.append(part if depth == 0 and part != "}" else "")
    return "".join(kept)


def _parameter(text: str) -> Parameter:
    words = text.split()
    types = [word[1:] for word in words if word[1:] in SIZES]
    array = re.fullmatch(r"([\w$]+)\[(\d+)\]", words[-1])
    if not types:
        raise PTXSyntaxError(f"a parameter without a type that is known: {text.strip()}")
    if array:
        return Parameter(array[1], types[0], SIZES[types[0]] * int(array[2]))
    return Parameter(words[-1], types[0], SIZES[types[0]])


def _closing(text: str, opening: int) -> int:
    depth = 0
    for at in range(opening, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return at
    raise PTXSyntaxError("a brace is not closed")


class _Body:
    """Read the statements of a kernel's body, with a stack of scopes for registers."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.scopes: list[dict[str, str]] = [{}]
        self.count = 0

    def read(self, text: str, line: int) -> None:
        for number, statement in self._statements(text, line):
            if statement == "{":
                self.scopes.append({})
            elif statement == "}":
                self.scopes.pop()
            else:
                self._statement(" ".join(statement.split()), number)

    def _statements(self, text: str, line: int) -> Iterator[tuple[int, str]]:
        """(line, statement), a scope's braces alone; vector operands keep theirs."""
        held, depth, started = "", 0, line
        for character in text:
            if not held.strip() and character in "{}":
                yield line, character
                held = ""
                continue
            if not held.strip():
                started = line
            if character == "\n":
                line += 1
            depth += {"{": 1, "}": -1}.get(character, 0)
            if character == ";" and depth == 0:
                yield started, held.strip()
                held = ""
            elif character == ":" and depth == 0 and re.fullmatch(r"\s*[$\w]+", held):
                yield started, held.strip() + ":"
                held = ""
            else:
                held += character
        if held.strip():
            raise PTXSyntaxError(f"line {started}: {held.strip()!r} does not end")

    def _statement(self, text: str, line: int) -> None:
        if not text or text.startswith((".pragma", ".loc", ".file")):
            return
        if text.endswith(":"):
            self.kernel.labels[text[:-1]] = len(self.kernel.instructions)
        elif text.startswith(".reg"):
            self._registers(text, line)
        elif text.startswith(".shared"):
            self.shared(text, line)
        elif text.startswith("."):
            raise PTXSyntaxError(f"line {line}: {text} is not supported")
        else:
            self.kernel.instructions.append(self._instruction(text, line))

    def _registers(self, text: str, line: int) -> None:
        match = re.fullmatch(r"\.reg\s+\.(\w+)\s+(.*)", text)
        if match is None or match[1] not in SIZES:
            raise PTXSyntaxError(f"line {line}: {text} is not a declaration that is known")
        for part in match[2].split(","):
            array = re.fullmatch(r"\s*([%$\w]+)<(\d+)>\s*", part)
            names = [f"{array[1]}{i}" for i in range(int(array[2]))] if array else [part.strip()]
            for name in names:
                unique = name
                if len(self.scopes) > 1:
                    self.count += 1
                    unique = f"{name}@{self.count}"
                self.scopes[-1][name] = unique
                self.kernel.registers[unique] = match[1]

    def shared(self, text: str, line: int) -> None:
        match = _SHARED.match(text)
        if match is None:
            raise PTXSyntaxError(f"line {line}: {text} is not supported")
        align, size = int(match[1] or SIZES[match[2]]), SIZES[match[2]] * int(match[4] or 1)
        offset = -(-self.kernel.shared_bytes // align) * align
        self.kernel.shared[match[3]] = offset, size
        self.kernel.shared_bytes = offset + size

    def _instruction(self, text: str, line: int) -> Instruction:
        match = re.fullmatch(r"(?:@(!?)([%$\w]+)\s+)?([a-z][\w.:]*)\s*(.*)", text)
        if match is None:
            raise PTXSyntaxError(f"line {line}: {text!r} is not an instruction")
        guard = (self._renamed(match[2]), bool(match[1])) if match[2] else None
        operands = tuple(
            re.sub(r"[%$A-Za-z_][\w$]*(?:\.[xyz])?", lambda m: self._renamed(m[0]), part)
            for part in _operands(match[4])
        )
        return Instruction(line, guard, tuple(match[3].split(".")), operands)

    def _renamed(self, name: str) -> str:
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        return name


def _operands(text: str) -> Iterator[str]:
    """Operands at the commas outside of braces and brackets; blanks taken out."""
    depth, held = 0, ""
    for character in text:
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(character, 0)
        if character == "," and depth == 0:
            yield held
            held = ""
        elif not character.isspace():
            held += character
    if held:
        yield held
