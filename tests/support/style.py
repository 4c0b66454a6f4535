"""The rules of docs/development/style.md that a program can check: `python tests/support/style.py`.

A rule is a pattern that should not occur, with the message that says what to write instead. Pages are README.md,
CONTRIBUTING.md and docs/, in which docs/reference/commands.md has every `--help`; messages are the texts of UserError.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOFTWARE = "benchsuite|gate|command|run|suite|report|kernel|file|plan|manifest|table|page|fixture|machine|column|case"
PAGE, MESSAGE, DOCSTRING = "page", "message", "docstring"
EVERYWHERE = (PAGE, MESSAGE, DOCSTRING)
# Rooms whose docstrings are not checked: `report`, which is not in this style yet, and the generators of text, whose
# source code is hashed into the identity of what they generate.
UNCHECKED = ("report", "corpora")


@dataclass(frozen=True)
class Rule:
    """A pattern, its message, and the kinds of text that it holds for."""

    pattern: str
    message: str
    kinds: tuple[str, ...] = EVERYWHERE


RULES = (
    Rule(
        r"(?:^|(?<=[.!] ))(?:What|Whether|Which|Who)\b[^.?!]*[.!]",
        "begin with the subject, not with a what-clause",
        (PAGE, MESSAGE),
    ),
    Rule(r"\A(?:What|Whether|Where|Which|Who|Why|How)\b", "begin with a verb: Return, Measure, …", (DOCSTRING,)),
    Rule(
        r"\A(?:Returns|Raises|Reads|Writes|Runs|Makes|Gives|Finds|Prints|Takes|Builds|Checks|Turns|Keeps|Adds|Tells|Says)\b",
        "use the imperative: Return, not Returns",
        (DOCSTRING,),
    ),
    Rule(
        r"\b(?:anew|shall|hence|albeit|lest|thereof|therein|whereof|hither|thither|mend)\b", "archaic: say it as today"
    ),
    Rule(r"\b(?:the like|in the mean|of ours|of theirs)\b", "say it as an engineer would"),
    Rule(r"\b(?:hands?|handed) (?:down|on)\b", "name who gives what to whom"),
    Rule(
        rf"\b(?:{SOFTWARE})s?`? (?:tells?|told|hears?|asks?|knows?)\b",
        "software does not speak: reports, prints, lists",
    ),
    Rule(r"\b(?:is|are|was|were) (?:told|said)\b", "is reported, is printed, is recorded"),
    Rule(
        r"\bof (?:these|those) (?:the )?one\b|\bthat of (?:that|those|these)\b",
        "name the thing, not a chain of pronouns",
    ),
)


def main() -> int:
    """Print every finding as `path:line: message: text`, and return 1 if there is one."""
    findings = sorted(set(found()))
    print(*findings, sep="\n", end="\n" if findings else "")
    return bool(findings)


def found() -> Iterator[str]:
    for kind, path, line, text in texts():
        for message, words in broken(kind, text):
            yield f"{path.relative_to(ROOT)}:{line}: {message}: {words}"


def broken(kind: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield the message and the words of every rule that a text of this kind breaks."""
    for rule in RULES:
        if kind in rule.kinds:
            for match in re.finditer(rule.pattern, text):
                yield rule.message, " ".join(match[0].split())[:70]


def texts() -> Iterator[tuple[str, Path, int, str]]:
    """Yield the kind, file, first line and content of each text."""
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")):
        if path.name != "style.md":  # which quotes what not to write
            yield from ((PAGE, path, line, text) for line, text in paragraphs(path.read_text(encoding="utf-8")))
    for folder in ("benchsuite", "cuda_ext"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not path.is_symlink():
                yield from ((kind, path, line, text) for kind, line, text in of_module(path))


def paragraphs(page: str) -> Iterator[tuple[int, str]]:
    """Yield the first line and the text of each paragraph and table row, without code."""
    page = re.sub(
        r"```.*?```|`[^`\n]*`|<!--.*?-->", lambda match: re.sub(r"[^\n]", "·", match[0]), page, flags=re.DOTALL
    )
    line = 1
    for block in re.split(r"(\n\s*\n|\n(?=[|*#\d-]))", page):
        if block.strip() and not block.startswith("#"):
            yield line, " ".join(block.split()).lstrip("*-|> ")
        line += block.count("\n")


def of_module(path: Path) -> Iterator[tuple[str, int, str]]:
    """Yield the messages of a module, and its docstrings unless its room is UNCHECKED."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    checked = not {*path.parts} & {*UNCHECKED}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "UserError":
            for value in (*node.args, *(keyword.value for keyword in node.keywords)):
                words = [
                    part.value if isinstance(part, ast.Constant) else "·" for part in getattr(value, "values", [value])
                ]
                yield MESSAGE, node.lineno, "".join(word for word in words if isinstance(word, str))
        documented = checked and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if documented and (text := ast.get_docstring(node)):
            yield DOCSTRING, getattr(node, "lineno", 1), text


if __name__ == "__main__":
    sys.exit(main())
