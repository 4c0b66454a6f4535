"""What a gate asks one of its sides, in that side's own interpreter and folder.

`python -m benchsuite.gating.asked FILE QUESTION` writes the answer into FILE as JSON, {"answer": …}, or, where the user
can mend what is wrong, {"error": …, "hint": …, "exit_code": …}. Nothing is said on stdout, which belongs to whatever is
imported on the way: plug-ins and tests may print, and where one ends Python there is no FILE.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchsuite.errors import UserError


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """The answer to {"what": "fingerprint"}, {"what": "tests", "arguments": […]} or {"what": "suite", "suite": …,
    "device": …, "only": […], "sets": […]}. Raises UserError where the user can mend what is wrong."""
    match question["what"]:
        case "fingerprint":
            from benchsuite.hardware.fingerprint import fingerprint

            return fingerprint()
        case "tests":
            from benchsuite.measure import pytest_cases

            return pytest_cases.plan(question["arguments"])
        case _:
            from benchsuite.planning import plan
            from benchsuite.suite import source

            machine = plan.Machine.here(question["device"])
            read = source.read(question["suite"], sets=question["sets"])
            return plan.resolve(read, machine, only=question["only"]).to_json()


def main() -> None:
    file, question = sys.argv[1:]
    try:
        found: dict[str, Any] = {"answer": answer(json.loads(question))}
    except UserError as error:
        found = {"error": error.message, "hint": error.hint, "exit_code": error.exit_code}
    Path(file).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
