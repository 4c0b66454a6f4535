"""Decide how often to call and when to stop: warm-up until stable, then samples until their interval is narrow.

One process is one replicate: the samples of a process say how steady it was, never how sure a comparison is
(`benchsuite.stats.speed` takes its intervals across processes).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchsuite.timing.clock import Clock
from benchsuite.timing.turns import TakesTurns

TURN_S = 0.02  # filled with samples: long beside what it costs to hand a turn on
FEWEST_SAMPLES = 3
# A call that takes less is made once untimed at the begin of each turn, for the others have emptied the caches and this
# process's threads have slept (a training step of 25 ms took 30 to 100 ms then), and timed three times at least.
REFILL_S, FEWEST_BLOCKS = 0.25, 3
# A neighbour only ever adds time, so the sample of a turn is the lower quartile of its blocks. Between four equal
# processes with training steps of 28 ms on a virtual core whose host is shared, ten cycles of turns gave ratios that
# scattered by 2.3% with the quartile, 3.6% with the median and 5.4% with the mean.
QUANTILE = 0.25
TURNS_WARMUP_S = 0.1  # at most, before turns: the others keep the device warm


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """Seconds and fractions that end warm-up and sampling.

    A sample is a block of calls that lasts at least `block_s`. Warm-up ends when the medians of two successive windows
    of `window` samples differ by less than `stable` (a trend is over), or after `warmup_budget_s`. The second of
    the two windows gives the first samples. Sampling ends when the 95% interval of the median is narrower than
    `precision` of it, or after `budget_s`.
    """

    block_s: float = 0.002
    window: int = 6  # even, so that a clock that alternates has one median
    stable: float = 0.02
    warmup_budget_s: float = 1.0
    precision: float = 0.02
    min_samples: int = 10
    max_samples: int = 400
    budget_s: float = 0.5


@dataclass(frozen=True)
class Samples:
    """Seconds per call, one value a block, or one a turn (the lower quartile of its blocks) where the process took
    turns with others; why sampling stopped (`interval`, `budget`, `turns`); how warm-up ended; `calls`, all that were
    made, warm-up included; `drift`, the median of the second half over that of the first, less 1: a device that steps
    or heats up while it is sampled."""

    samples_s: tuple[float, ...]
    calls_per_sample: int
    stop: str
    warmup_s: float
    warmup_stable: bool
    calls: int

    @property
    def drift(self) -> float:
        half = len(self.samples_s) // 2
        return float(np.median(self.samples_s[half:]) / np.median(self.samples_s[:half]) - 1)

    @property
    def median_s(self) -> float:
        return float(np.median(self.samples_s))


def sample(
    call: Callable[[], object], clock: Clock, config: SamplerConfig | None = None, turns: TakesTurns | None = None
) -> Samples:
    """Warm `call` up and sample its time per call. What only a first call does should have been done before.

    With `turns`, of which the first has been taken and is for warming up, each further one gives a sample, the lower
    quartile of its blocks. Where the others have left before there were three, sampling goes on without them.
    """
    config = config or SamplerConfig()
    started = clock.now()
    calls = _calls_per_block(call, clock, config)
    warm: list[float] = []
    stable = False
    while not stable and clock.now() - started < config.warmup_budget_s:
        warm.append(clock.time_calls(call, calls) / calls)
        stable = _settled(warm, config)
    warmup_s = clock.now() - started
    made = 2 * calls - 1 + len(warm) * calls

    if turns:
        samples, more = _in_turns(call, clock, calls, turns)
        made += more
        if len(samples) >= FEWEST_SAMPLES:
            return Samples(tuple(samples), calls, "turns", warmup_s, stable, made)
    samples = warm[len(warm) - config.window :] if stable else []
    made -= len(samples) * calls
    started, stop = clock.now(), ""
    while not stop:
        if len(samples) >= config.min_samples and median_interval_width(samples) < config.precision:
            stop = "interval"
        elif len(samples) >= FEWEST_SAMPLES and (
            clock.now() - started >= config.budget_s or len(samples) >= config.max_samples
        ):
            stop = "budget"
        else:
            samples.append(clock.time_calls(call, calls) / calls)
    return Samples(tuple(samples), calls, stop, warmup_s, stable, made + len(samples) * calls)


def _in_turns(call: Callable[[], object], clock: Clock, calls: int, turns: TakesTurns) -> tuple[list[float], int]:
    """Return the lower quartile of the blocks of each turn, which lasts for `TURN_S`, and the number of calls that were
    made."""
    samples: list[float] = []
    made, last_s = 0, 0.0
    while turns.take():
        short = last_s < REFILL_S
        if short:
            last_s = clock.time_calls(call, 1)
            made += 1
        until = clock.now() + TURN_S
        blocks: list[float] = []
        while len(blocks) < (FEWEST_BLOCKS if short else 1) or clock.now() < until:
            blocks.append(clock.time_calls(call, calls) / calls)
        made += len(blocks) * calls
        samples.append(float(np.quantile(blocks, QUANTILE)))
    return samples, made


def median_interval_width(samples: list[float]) -> float:
    """Width of the 95% interval of the median over the median, by order statistics (ranks n/2 ± 0.98 √n).

    The ranks come from the normal approximation of the binomial (Conover, Practical Nonparametric Statistics, 3.2).
    """
    ordered = np.sort(samples)
    n = len(ordered)
    half = 0.98 * np.sqrt(n)
    low, high = ordered[max(0, int(np.floor(n / 2 - half)))], ordered[min(n - 1, int(np.ceil(n / 2 + half)))]
    return float((high - low) / np.median(ordered))


def _calls_per_block(call: Callable[[], object], clock: Clock, config: SamplerConfig) -> int:
    """Double the block until it lasts `block_s`."""
    calls = 1
    while clock.time_calls(call, calls) < config.block_s and calls < 1 << 20:
        calls *= 2
    return calls


def _settled(warm: list[float], config: SamplerConfig) -> bool:
    if len(warm) < 2 * config.window:
        return False
    before, after = np.median(warm[-2 * config.window : -config.window]), np.median(warm[-config.window :])
    return bool(abs(after / before - 1) < config.stable)
