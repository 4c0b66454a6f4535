"""Trainings as jobs of a Slurm cluster, through submitit: one job for each training, which Slurm queues, ends in time
and, where it preempts or runs out of time, starts again from the last snapshot. Records come back into the run's own
folder, which has to lie on a file system that the nodes share.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchsuite import files
from benchsuite.engine.workers import Ended, Event, environment
from benchsuite.errors import UserError
from benchsuite.limits import MOST_JOBS, MOST_S, MOST_SIZE

OPTIONS = ("partition", "account", "qos", "constraint", "gpus_per_node", "cpus_per_task", "mem_gb", "time", "cluster")


class SlurmWorkers:
    """Jobs by submitit, each of `ranks` tasks on as many nodes as they need. `options` are Slurm's (OPTIONS); `time` is
    in hours, and `cluster=local` runs jobs here, without Slurm. Raises UserError where there is no Slurm."""

    def __init__(self, folder: Path, ranks: int = 1, options: Mapping[str, str] | None = None) -> None:
        given = dict(options or {})
        unknown = sorted(given.keys() - set(OPTIONS))
        if unknown:
            raise UserError(f"--slurm {unknown[0]}: no such option", hint=f"choose from: {', '.join(OPTIONS)}")
        if importlib.util.find_spec("submitit") is None:
            raise UserError("--launcher slurm needs the package submitit", hint="pip install submitit")
        cluster = given.pop("cluster", "slurm")
        if cluster == "slurm" and shutil.which("sbatch") is None:
            raise UserError("there is no Slurm here: no sbatch on the PATH", hint="--launcher torchrun, or local")
        import submitit

        self._executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
        self._executor.update_parameters(**_parameters(given, ranks))
        self._jobs: dict[str, Any] = {}

    def warm(self) -> None:
        """Slurm starts a job when it can."""

    def start(self, name: str, file: Path) -> None:
        job = json.loads(file.read_text())
        files.write(file, json.dumps({**job, "parent": None, "progress_fd": None}))
        with _interruptible():
            self._jobs[name] = self._executor.submit(Training(file, environment(network=True)))

    def kill(self, name: str) -> None:
        if name in self._jobs:
            self._jobs[name].cancel(check=False)

    def waiting(self, name: str) -> bool:
        """Return whether the job has not begun."""
        return name in self._jobs and self._jobs[name].state in ("PENDING", "REQUEUED", "UNKNOWN")

    def events(self, timeout_s: float) -> list[Event]:
        """The jobs that have ended, at the latest after `timeout_s`."""
        ended: list[Event] = []
        for name, job in list(self._jobs.items()):
            if job.done():
                del self._jobs[name]
                ended.append(Ended(name, 0 if job.exception() is None else 1))
        if not ended:
            time.sleep(timeout_s)
        return ended

    def close(self) -> None:
        """Cancel what runs."""
        for job in self._jobs.values():
            job.cancel(check=False)
        self._jobs.clear()


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let what is started here be interrupted, which is how submitit cancels a local job: a program that a shell put
    into the background ignores SIGINT, and so would all that it starts."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if before is signal.SIG_IGN:
            signal.signal(signal.SIGINT, before)


def _parameters(options: Mapping[str, str], ranks: int) -> dict[str, Any]:
    """submitit's names for the options: its own have no prefix, those that only Slurm knows have."""
    gpus = int(_number(options, "gpus_per_node", 0, MOST_JOBS))
    per_node = min(ranks, gpus) if gpus else ranks
    found: dict[str, Any] = {"tasks_per_node": per_node, "nodes": math.ceil(ranks / per_node)}
    for key in ("gpus_per_node", "cpus_per_task", "mem_gb"):
        if key in options:
            found[key] = int(_number(options, key, 0, MOST_SIZE))
    found["timeout_min"] = math.ceil(60 * _number(options, "time", 24, MOST_S / 3600))
    found |= {f"slurm_{key}": options[key] for key in ("partition", "account", "qos", "constraint") if key in options}
    return found


def _number(options: Mapping[str, str], key: str, default: float, most: float) -> float:
    """The value of an option that is a number above zero. Raises UserError for any other."""
    if key not in options:
        return default
    try:
        value = float(options[key])
    except ValueError:
        value = math.nan
    if not 0 < value <= most or (key != "time" and not value.is_integer()):
        wanted = "a number of hours" if key == "time" else "a whole number"
        raise UserError(f"--slurm {key}={options[key]}: should be {wanted}, at most {most:g}")
    return value


class Training:
    """Do the work of a job: as one task of several where it has several."""

    def __init__(self, file: Path, variables: Mapping[str, str]) -> None:
        self.file = file
        self.variables = dict(variables)

    def __call__(self) -> int:
        import submitit

        os.environ.update({key: value for key, value in self.variables.items() if not key.startswith("SLURM_")})
        if submitit.JobEnvironment().num_tasks > 1:
            submitit.helpers.TorchDistributedEnvironment().export()
        from benchsuite import worker

        return worker.run(json.loads(self.file.read_text()))

    def checkpoint(self) -> Any:
        """Preempted or out of time: the same again, from the last snapshot."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)
