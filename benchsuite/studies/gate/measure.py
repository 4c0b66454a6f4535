"""The gate beside the rules of other tools: false alarms, power and time, from what this machine really does.

    python -m benchsuite.studies.gate.measure record quiet       # A against A: pairs of the gate, runs of
    pytest-benchmark python -m benchsuite.studies.gate.measure record loaded      # the same beside a neighbour that
    comes and goes python -m benchsuite.studies.gate.measure planted quiet      # really slower workloads, a mix of
    shares, gated once python -m benchsuite.studies.gate.measure report             # tables, curves and data from what
    was recorded python -m benchsuite.studies.gate.measure bets               # the power of other grids of bets

All tools time the same thirty workloads (thirty.py) on one thread. Slowdowns in the tables are the recorded noise of
equal programs times a factor; suites are drawn from it again and again. `planted` checks that with real ones.
`--pairs`, `--runs` and `--only` make a recording smaller, and `--into` puts it elsewhere: to try the script.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchsuite.studies.gate import page, recordings, simulation

PAIRS, PLANTED_PAIRS, PEER_RUNS = 24, page.SHOWN[-1], 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("record", "planted"):
        command = commands.add_parser(name)
        command.add_argument("condition", choices=recordings.CONDITIONS)
        command.add_argument("--pairs", type=int, default=PAIRS if name == "record" else PLANTED_PAIRS)
        if name == "record":
            command.add_argument("--runs", type=int, default=PEER_RUNS)
            command.add_argument("--only", default="")
        else:
            command.add_argument("--minutes", type=float, default=12.0)
        command.add_argument("--into", type=Path, default=recordings.DATA)
    commands.add_parser("report").add_argument("--into", type=Path, default=recordings.DATA)
    commands.add_parser("bets")
    commands.add_parser("neighbour")
    arguments = parser.parse_args()
    match arguments.command:
        case "record":
            recordings.record(arguments.condition, arguments.into, arguments.pairs, arguments.runs, arguments.only)
        case "planted":
            recordings.planted(arguments.condition, arguments.into, arguments.pairs, arguments.minutes)
        case "report":
            page.report(arguments.into)
        case "bets":
            simulation.bets()
        case _:
            recordings.neighbour()


if __name__ == "__main__":
    main()
