"""Answer a question of a gate about one of its sides, in that side's own interpreter and folder.

`python -m benchsuite.gating.asked FILE QUESTION` writes {"answer": …} to FILE as JSON or, for an error that the user
can fix, {"error": …, "hint": …, "exit_code": …}. It writes nothing to stdout, because the plug-ins and tests that it
imports may print there. If one of them ends Python, there is no FILE.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchsuite.errors import UserError


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Answer {"what": "fingerprint"}, {"what": "tests", "arguments": […]} or {"what": "suite", "suite": …, "device": …,
    "only": […], "sets": […]}. Raises UserError for an error that the user can fix."""
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
