"""The table of tasks as strings; see `benchsuite.report.view`."""

from __future__ import annotations

from typing import Any

from benchsuite import format
from benchsuite.verdicts import task_index

Fields = dict[str, Any]


def tables(document: Fields) -> list[Fields]:
    """One table for each run with tasks: a line for each task, and one for the index."""
    found = []
    for run in dict.fromkeys(entry["run"] for entry in document["task_index"]):
        entries = [entry for entry in document["task_index"] if entry["run"] == run]
        whole = task_index.summary(entries)
        left_out = [f"{entry['name']} ({entry['state']})" for entry in entries if entry["state"]]
        ratios = [entry["signal_to_noise"]["equal_models"] for entry in entries]
        note = f"The index is the mean over {whole['tasks']} of {whole['of']} tasks"
        note += f"; left out: {', '.join(left_out)}." if left_out and whole["tasks"] < whole["of"] else "."
        if left_out and whole["tasks"] == whole["of"]:
            note += f" The rule leaves none of them: {', '.join(left_out)}."
        if ratios and ratios[0] is not None:
            note += f" Models without a difference would show a signal to noise of {format.number(ratios[0])}."
        lines = [_line(entry, entry["name"], entry["state"] or "in the index") for entry in entries]
        found.append({"run": run, "note": note, "lines": lines, "index": _line(whole, "index", "")})
    return found


def _line(entry: Fields, name: str, state: str) -> Fields:
    ratio = entry.get("signal_to_noise", {"acc": None, "probability": None})
    return {
        "name": name,
        "questions": f"{entry['questions']} of {entry['documents']}" if "questions" in entry else "",
        "chance": format.percent(entry["chance"]),
        "ceiling": format.percent(entry["ceiling"], 0),
        "acc": format.percent(entry["acc"]),
        "probability": format.percent(entry["probability"]),
        "bits_per_byte": format.number(entry["bits_per_byte"]),
        "margin": format.number(entry["margin"]),
        "acc_ratio": format.number(ratio["acc"]) if "questions" in entry else "",
        "probability_ratio": format.number(ratio["probability"]) if "questions" in entry else "",
        "state": state,
    }
