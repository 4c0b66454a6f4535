"""Results in float64 that took long to compute, kept for the processes that need the same ones again.

A layer of a large model takes its formula in float64 several seconds on a CPU, and every process of every
implementation is checked against it. What is kept is named by all that the values follow from: the case without its
implementation, the source of the formula, torch's version, and some of the numbers of inputs and weights.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchsuite import components, model
from benchsuite.cache import cache_dir, digest, write_atomically
from benchsuite.records.params import TimedParams

WORTH_S = 0.05  # of computing, from which on a result is kept
SAMPLE = 256  # numbers of a tensor, by which it is known
KEPT_BYTES = 4 * 2**30  # together; those that were not used for longest go first

# Of a case's parameters, those that do not change what the formula gives.
_ELSEWHERE = ("implementation", "mode", "threads", "sample_s", "device", "twin")


def kept(
    params: TimedParams, inputs: Iterable[Tensor], compute: Callable[[], list[Tensor]], formula: Callable[..., Any]
) -> list[Tensor]:
    """Return `compute()`, or what it gave earlier with the same source of `formula`. Kept in float32, except for cases
    in float64: some digits more than their limits ask for."""
    path = cache_dir("references") / f"{_key(params, [_some(tensor) for tensor in inputs], formula)}.safetensors"
    with contextlib.suppress(OSError, SafetensorError):
        found = load_file(path)
        path.touch()
        return [found[str(number)].to(params.device) for number in range(len(found))]
    started = time.perf_counter()
    tensors = compute()
    if time.perf_counter() - started > WORTH_S:
        dtype = torch.float64 if params.dtype == "float64" else torch.float32
        with contextlib.suppress(OSError):  # a full disk costs time, not the measurement
            with write_atomically(path) as temporary:
                copies = [tensor.detach().to("cpu", dtype, copy=True).contiguous() for tensor in tensors]
                save_file({str(number): copy for number, copy in enumerate(copies)}, temporary)
            _prune(path.parent)
    return tensors


def _key(params: TimedParams, inputs: list[Any], formula: Callable[..., Any]) -> str:
    same = {key: value for key, value in params.json().items() if key not in _ELSEWHERE}
    return digest([same, inputs, torch.__version__, _sources(formula)], 24)


def _some(tensor: Tensor) -> list[Any]:
    """The tensor's shape and SAMPLE of its numbers, evenly spread: how it was drawn is in the sources, and to read all
    of a large model takes longer than to time it."""
    flat = tensor.detach().reshape(-1)
    return [list(tensor.shape), flat[:: max(1, len(flat) // SAMPLE)].tolist()]


def _sources(formula: Callable[..., Any]) -> str:
    """A hash of the code that draws the inputs and that `formula` may run: the model, the components, the subjects,
    and its own file, such as that of a plug-in's variant."""
    files = [path for package in (components, model) for path in Path(inspect.getfile(package)).parent.glob("*.py")]
    files.append(Path(__file__).with_name("subjects.py"))
    with contextlib.suppress(TypeError):  # built in, without a file
        files.append(Path(inspect.getfile(formula)))
    found = hashlib.sha256()
    for path in sorted(set(files)):
        found.update(path.read_bytes())
    return found.hexdigest()


def _prune(folder: Path) -> None:
    """Delete the files that were not used for longest, until what is left fits."""
    ages = []
    for path in folder.glob("*.safetensors"):
        with contextlib.suppress(FileNotFoundError):  # another process prunes too
            ages.append((path.stat().st_mtime, path.stat().st_size, path))
    total = sum(size for _, size, _ in ages)
    for _, size, path in sorted(ages):
        if total <= KEPT_BYTES:
            return
        path.unlink(missing_ok=True)
        total -= size
