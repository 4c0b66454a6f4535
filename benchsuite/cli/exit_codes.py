"""The exit codes of all commands."""

from __future__ import annotations

FINE = 0
REGRESSION = 1  # something is slower or worse
USAGE = 2  # or configuration
UNCLEAR = 3  # with --strict
INCOMPARABLE = 4  # or there is no baseline
FAILED = 5  # cases failed
FAULT = 70  # of benchsuite itself or of what it has loaded: EX_SOFTWARE of sysexits.h
INTERRUPTED = 130
UNREAD = 141  # nobody reads the output: as a shell tells of SIGPIPE
