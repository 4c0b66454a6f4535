"""The comment on a pull request, from a gate.json that the pull request's own code may have written.

`python -P -m benchsuite.report.gate_comment gate.json` prints the page of `benchsuite.report.gate_page`. Only fields of
the types that a gate writes are read, and every text is shown and does nothing, so that a document made up by others
can say something wrong of its own change and nothing else. Exits with 2 where it is no such document.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchsuite import files
from benchsuite.errors import UserError
from benchsuite.report import gate_page
from benchsuite.text import tree

MOST_BYTES = 10_000_000
MOST_CHARACTERS = 60_000  # GitHub takes 65,536
CUT = "\n… and more, which this comment has no room for.\n"

Text = Annotated[str, Field(max_length=10_000)]
Word = Annotated[str, Field(pattern=r"^[a-z]{1,20}$")]
Count = Annotated[int, Field(ge=0, le=10**9)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


class _Rule(_Part):
    false_alarm: float
    margin: float
    catch: float
    miss: float


class _Case(_Part):
    case: Text
    verdict: Literal["slower", "unclear", "faster", "same"]
    ratio: float | None
    low: float | None
    high: float | None
    pairs: Count
    catch: float
    catches_here: float | None
    base_time_s: float | None
    head_time_s: float | None


class _Finding(_Part):
    case: Text
    kind: Word
    text: Text
    regression: bool


class _Calibration(_Part):
    low: float
    high: float
    pairs: Count


class _Document(_Part):
    suite: Text
    base: Text
    head: Text
    verdict: Literal["fine", "regression", "unclear"]
    pairs: Count
    time_s: float
    stopped: Text | None
    notes: list[Text]
    rule: _Rule
    cases: list[_Case]
    findings: list[_Finding]
    calibration: _Calibration | None


def read(path: Path) -> dict[str, Any]:
    """Return what a gate.json says, its texts harmless. Raises UserError where it is none."""
    try:
        data = files.read(path)
        if len(data) > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
        found = _Document.model_validate_json(json.dumps(tree(json.loads(data))))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path} is no document of a gate: {where}: {first['msg']}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is no document of a gate: {error}") from error
    return found.model_dump()


def comment(document: dict[str, Any]) -> str:
    """Return the page, cut after a whole line where it is longer than a comment may be."""
    page = gate_page.markdown(document)
    if len(page) <= MOST_CHARACTERS:
        return page
    return page[:MOST_CHARACTERS].rpartition("\n")[0] + CUT


def main(arguments: list[str]) -> int:
    try:
        print(comment(read(Path(arguments[0]))), end="")
    except UserError as error:
        print(f"benchsuite: {error.message}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
