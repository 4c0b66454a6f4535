"""The results in records: of a speed case, of a trained model, of a training that was only watched, of a learning rate
that was tried, and of an architecture trained by a rule of learning.

Units are in the names: _s seconds, _bytes, _j joules, _w watts, _c degrees Celsius, _mhz megahertz. What is not known
is null, never 0. Fields that this version does not know are ignored: a later one, or a plug-in, may record more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter, ValidationError

from benchsuite.errors import UserError

QUALITY = ("train", "tasks", "bits_per_byte")  # keys of which a quality result has at least one
STABILITY = "stability"
SEARCH = "search"
RULE = "scores"

T = TypeVar("T")


def checked(adapter: TypeAdapter[T], content: Any, where: str) -> T:
    """Return `content`, from JSON, as the type of `adapter`. Raises UserError with the key that is wrong; `where` says
    in which file."""
    try:
        return adapter.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the top level"
        raise UserError(
            f"{where}: {key}: {first['msg']}", hint="the file was changed, or another tool wrote it"
        ) from error


Context = Annotated[dict[str, Any], Field(description="of the process: threads, versions, limits, the timing method")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Monitored(_Part):
    """The state of the machine while the samples were taken."""

    window_s: float | None = None
    steal_fraction: float | None = Field(default=None, description="of our cores' time that the host gave to others")
    foreign_cores: float | None = Field(default=None, description="cores' worth of other processes on our cores")
    load_1min: float | None = None
    cpu_mhz: float | None = None
    cpu_energy_j: float | None = None
    gpu_unknown: str | None = Field(default=None, description="why the clocks and heat of a GPU are not told")
    gpu_readings: int | None = None
    sm_mhz: float | None = None
    sm_mhz_least: float | None = None
    memory_mhz: float | None = None
    power_w: float | None = None
    temperature_c: float | None = Field(default=None, description="the highest")
    clock_reasons: list[str] = Field(default=[], description="why clocks were below their highest, as NVML says")
    gpu_energy_j: float | None = Field(default=None, description="null for windows under a second")
    disturbed: list[str] = Field(default=[], description="why the figure may not be the code's own")
    throttled: list[str] = Field(default=[], description="how the device slowed itself down")


class Distance(_Part):
    """Fractions of peaks: time needed at peak over time taken."""

    fraction: float | None = Field(default=None, description="null where the figure lies above a peak")
    bound: Literal["compute", "memory"] | None = None
    compute_fraction: float | None = Field(default=None, description="MFU where the peaks are published")
    memory_fraction: float | None = Field(default=None, description="of the bandwidth of `level`")
    peaks: str = ""
    level: str | None = Field(default=None, description="the smallest cache that holds the data, or memory")
    reason: str | None = Field(default=None, description="why there is no fraction: above the measured peak")


class Saved(_Part):
    """Alike tensors that autograd keeps between forward and backward."""

    shape: list[int]
    dtype: str
    made_by: str
    count: int
    bytes: int


class SpeedResult(_Part):
    """One process of one speed case. Rates follow from `time_s`, the median of `samples_s`."""

    time_s: float | None = Field(default=None, description="of one call")
    samples_s: list[float] = Field(default=[], description="seconds a call, one value a block of calls, or a turn")
    calls_per_sample: int | None = None
    tokens: int | None = Field(default=None, description="of one call")
    tokens_per_s: float | None = None
    flops: float | None = Field(default=None, description="of one call, by the model's mathematics")
    tflop_per_s: float | None = None
    bytes_moved: float | None = Field(default=None, description="at least, by one call")
    gb_per_s: float | None = None
    roofline: Distance | None = None
    mfu: float | None = Field(default=None, description="of a training step: the model's FLOPs over the peak's")
    hfu: float | None = Field(default=None, description="the same, what was recomputed included")
    energy_per_token_j: float | None = Field(
        default=None, description="over the samples where these took a second with warm caches, else over a pass apart"
    )
    peak_bytes: float | None = Field(default=None, description="allocated at the worst moment")
    reserved_bytes: float | None = Field(default=None, description="by the device's allocator")
    device_process_bytes: float | None = Field(default=None, description="as the driver counts")
    saved_bytes: float | None = Field(default=None, description="kept by autograd for the backward pass")
    saved_by: list[Saved] = []
    rss_peak_bytes: float | None = None
    error: dict[str, Any] | None = Field(default=None, description="against float64: forward, backward, limit")
    compile_s: float | None = None
    phases_s: dict[str, float] = Field(
        default={}, description="build, first_call, timing, waiting, check, energy, peaks, memory"
    )
    warmup_s: float | None = None
    warmup_stable: bool | None = None
    stop: str | None = Field(default=None, description="why sampling ended: interval, budget or turns")
    drift: float | None = Field(default=None, description="of the second half of the samples against the first")
    fusion: str | None = None
    monitor: Monitored = Monitored()
    context: Context = {}
    given: dict[str, Any] | None = Field(
        default=None, description="of a test: what its fixture was given, which is part of what was measured"
    )


class Stability(_Part):
    """Spikes and divergence of a training (`benchsuite.pretrain.stability`)."""

    steps: int
    diverged_at: int | None = Field(default=None, description="tokens after which the loss was no longer finite")
    start: float | None = Field(default=None, description="the loss of the first step, nats per token")
    last: float | None = Field(default=None, description="the mean loss of the last tenth of the steps")
    loss_spikes: float | None = Field(default=None, description="fraction of the steps")
    norm_spikes: float | None = Field(default=None, description="fraction of the steps")
    norm_median: float | None = Field(default=None, description="of the gradient's norm before clipping")
    norm_p99: float | None = None
    norm_max: float | None = None
    skipped: int = Field(default=0, description="steps that float16's loss scaling left out")


class Training(_Part):
    """One training. `curve` has pairs of tokens and training loss in nats per token."""

    tokens: float | None = None
    text_tokens: float | None = Field(default=None, description="of the corpus; an epoch")
    scored_tokens: float | None = Field(default=None, description="those that the loss is about")
    epochs: float | None = None
    time_s: float | None = None
    tokens_per_s: float | None = None
    mfu: float | None = Field(default=None, description="null where the device has no published peak")
    hfu: float | None = Field(default=None, description="as mfu, recomputed operations counted")
    final_loss: float | None = None
    curve: list[tuple[float, float]] = []
    stability: Stability | None = None


class ByPosition(_Part):
    """Bits and bytes of held-out documents by ranges of token positions; `edges` has one entry more than ranges."""

    edges: list[int]
    bits: list[list[float]]
    bytes: list[list[float]]


class BitsPerByte(_Part):
    """Held-out text: all bits over all bytes, and both by document."""

    value: float | None = None
    bits: list[float] = []
    bytes: list[float] = []


class Graded(_Part):
    """By how much the right answer is preferred, one value a document (`benchsuite.zeroshot.graded`)."""

    probability: list[float]
    bits_per_byte: list[float]
    margin: list[float]


class TaskScore(_Part):
    """One zero-shot task."""

    acc: float
    n: int = Field(description="documents")
    random_acc: float | None = Field(default=None, description="the accuracy of guessing")
    family: str | None = None
    outcomes: str = Field(pattern="^[01]+$", description="for each document, in order: 1 right, 0 wrong")
    graded: Graded | None = None
    questions: list[str] | None = Field(default=None, description="of each document; those that ask the same are one")
    version: str | None = None


class QualityResult(_Part):
    """One model: how it was trained, and what it scores."""

    train: Training = Training()
    stages: list[dict[str, Any]] = Field(default=[], description="of a training in stages: architecture, objective, …")
    parameters: int | None = None
    digests: dict[str, Any] = Field(default={}, description="hashes of corpus, held-out text and tokenizer")
    bits_per_byte: BitsPerByte | None = None
    by_position: ByPosition | None = Field(default=None, description="beyond the training length too")
    tasks: dict[str, TaskScore] = {}
    evaluation_time_s: float | None = None
    context: Context = {}


class StabilityResult(_Part):
    """One training that was watched and not evaluated."""

    stability: Stability
    train_time_s: float | None = None
    digests: dict[str, Any] = {}
    context: Context = {}


class Search(_Part):
    """What a learning rate came to."""

    lr: float
    tokens: float
    bits_per_byte: float | None = Field(
        default=None, description="of text of the training corpus that was not trained on; null where it diverged"
    )


class SearchResult(_Part):
    """One training at a learning rate that was tried."""

    search: Search
    train_time_s: float | None = None
    digests: dict[str, Any] = {}
    context: Context = {}


class Tried(_Part):
    """One training of a search."""

    lr: float
    regularisation: float = Field(description="multiple of the recipe's dropout and weight decay")
    validation: float = Field(description="the best score on validation data")


class Pictures(_Part):
    """A test view and what the model renders, each a PNG file in base64."""

    truth: str = Field(pattern="^[A-Za-z0-9+/=]*$")
    rendered: str = Field(pattern="^[A-Za-z0-9+/=]*$")


class RuleResult(_Part):
    """One architecture trained by one rule of learning: the best of a search, by its score on validation data."""

    scores: dict[str, float] = Field(
        description="on test data, at the step that was best on validation data; metric first"
    )
    validation: float
    lr: float
    best_step: int
    steps: int
    parameters: int | None = None
    curve: list[tuple[float, float]] = Field(default=[], description="pairs of steps and the score on validation data")
    tried: list[Tried] = []
    train_time_s: float | None = Field(default=None, description="of the training that counts, its scoring included")
    search_time_s: float | None = Field(default=None, description="of all trainings of the search")
    diverged_at: int | None = None
    angles: dict[str, float] = Field(
        default={}, description="of dfa, by feedback point: mean cosine with the true gradient, at the last step"
    )
    about: dict[str, float] = Field(
        default={}, description="chance, and ceiling where the best possible score is known"
    )
    pictures: Pictures | None = None
    context: Context = {}


def _tag(result: Any) -> str:
    keys = result if isinstance(result, Mapping) else ()
    if SEARCH in keys:
        return SEARCH
    if RULE in keys:
        return "rule"
    return STABILITY if STABILITY in keys else "quality" if any(key in keys for key in QUALITY) else "speed"


Result = Annotated[
    Annotated[SpeedResult, Tag("speed")]
    | Annotated[QualityResult, Tag("quality")]
    | Annotated[StabilityResult, Tag(STABILITY)]
    | Annotated[SearchResult, Tag(SEARCH)]
    | Annotated[RuleResult, Tag("rule")],
    Discriminator(_tag),
]
RESULT: TypeAdapter[SpeedResult | QualityResult | StabilityResult | SearchResult | RuleResult] = TypeAdapter(Result)
