"""The largest values of a suite and of options. Beyond them a number is mistyped."""

from __future__ import annotations

MOST_REPLICATES = 1000  # processes of a case, seeds of a model, pairs
PAIRS = 400  # of a gate; only undecided cases come so far: reports/gate/report.md has what fewer find
MOST_PAIRS = 1000
MOST_MEASUREMENTS = 100_000  # of one plan: a process each
MOST_JOBS = 10_000  # side by side
MOST_RANKS = 100_000  # processes that train one model
MOST_THREADS = 4096
MOST_SIZE = 2**20  # a dimension of a model or a batch
MOST_AMOUNT = 10**15  # tokens or bytes of text
MOST_DOCUMENTS = 10**6  # of a task
MOST_S = 1e8  # three years
MOST_NOISE_S = 3600.0  # of timing a machine against itself
MOST_RATE = 1e3  # a learning rate
FIRST_LOOK = 2  # seeds: with one there is no interval
MOST_LOOKS = 50  # at seeds that are added until they decide
MOST_RUNGS = 20  # of a ladder
MOST_RATES = 20  # that are tried for one model
LEAST_RATE = 1e-30
MOST_ENTRIES = 200  # of a list
MOST_TEXT = 1000  # characters of a name or a corpus; a description has ten times as many
MOST_SEED = 2**31 - 1
