"""Build the kernels' library: every source in parallel, each object kept by the hash of what went into it.

    library = build()      # at once where nothing has changed

Objects and libraries lie in kernels/ in the cache folder. Of several processes that want the same library one builds
it, and the others wait.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchsuite import files
from benchsuite.cache import write_atomically
from benchsuite.cuda_ext import toolchain
from benchsuite.cuda_ext.build_plan import Plan, Unit, kernels_dir, plan, selected, source_hash
from benchsuite.cuda_ext.toolchain import Compiler, Missing
from benchsuite.errors import UserError

NAME = "libbenchsuite.so"
MANIFEST = "manifest.json"
AGAIN = "`benchsuite kernels build` tries again; BENCHSUITE_KERNELS=cpu leaves the CUDA part out"


def build(*, cpu_only: bool = False, portable: bool = False, again: bool = False) -> Path:
    """The library of the sources as they are, for this machine or `portable`, for any of its kind, built where the
    cache has none; progress goes to stderr.

    Sources that failed to compile are not tried a second time unless `again`. Raises UserError with the compiler's
    first errors and the path of the whole log.
    """
    todo = plan(cpu_only=cpu_only, portable=portable)
    library = todo.folder / NAME
    if library.is_file():
        return library
    failure = None if again else failure_of(todo)
    if failure:
        raise UserError(failure, hint=f"these sources have failed before; {AGAIN}")
    try:
        with _lock(todo.folder.with_suffix(".lock")):
            if not library.is_file():
                _compile([unit for unit in todo.units if not unit.object.is_file()], todo)
                _install(todo)
    except OSError as error:
        raise UserError(f"the kernels cannot be put into {kernels_dir()}: {error.strerror}") from error
    return library


def failure_of(todo: Plan) -> str | None:
    """Return what the compiler said where a build of these very sources has failed before."""
    return next((unit.failure.read_text() for unit in todo.units if unit.failure.is_file()), None)


def manifest(todo: Plan) -> dict[str, Any]:
    """Return what is in the library, written beside it."""
    return {
        "sources": source_hash(),
        "families": selected() or "all",
        "machine": platform.machine(),
        "isas": list(todo.isas),
        "archs": list(todo.archs),
        "cxx": f"GCC {todo.cxx.version}",
        "nvcc": todo.nvcc.version if isinstance(todo.nvcc, Compiler) else None,
        "no_cuda_because": todo.nvcc.why if isinstance(todo.nvcc, Missing) else None,
        "torch": todo.torch.version,
        "built": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _compile(units: list[Unit], todo: Plan) -> None:
    if not units:
        return
    expected = _expected(units)
    first = sorted(units, key=lambda unit: -expected[unit.name])  # the longest first: no core waits for it at the end
    from benchsuite.cuda_ext.progress import progress

    with progress(expected, todo) as estimate, ThreadPoolExecutor(toolchain.cores()) as pool:
        running = {pool.submit(_compile_one, unit): unit for unit in first}
        took = {}
        try:
            for future in as_completed(running):
                name = running[future].name
                took[name] = future.result()
                estimate.ready(name, took[name])
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    with write_atomically(_times_file()) as temporary:
        temporary.write_text(json.dumps({**_times(), **took}))


def _compile_one(unit: Unit) -> float:
    """Compile one object into the cache; return the seconds it took."""
    start = time.monotonic()
    with write_atomically(unit.object) as temporary:
        done = subprocess.run([*unit.command, "-o", str(temporary)], capture_output=True, text=True, check=False)
        files.write(unit.log, " ".join(unit.command) + "\n" + done.stdout + done.stderr)
        if unit.changed():
            raise UserError(f"{unit.source.name} or a header of it was changed while it was compiled", hint="try again")
        if done.returncode != 0:
            message = f"{unit.source.name} does not compile ({unit.name}):\n{_first(done.stderr, unit.log)}"
            # Only what the compiler itself rejects will fail again; a full disk or a killed compiler may not.
            if "error:" in done.stderr and done.returncode in (1, 2) and "No space left" not in done.stderr:
                files.write(unit.failure, message)
            raise UserError(message, hint=AGAIN)
    files.remove(unit.failure)
    return time.monotonic() - start


def _install(todo: Plan) -> None:
    """Link, and move the library with its manifest into place in one step."""
    temporary = Path(tempfile.mkdtemp(prefix=".link.", dir=todo.folder.parent))
    try:
        objects = [str(unit.object) for unit in todo.units]
        command = [todo.cxx.path, *objects, *todo.link, "-o", str(temporary / NAME)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            log = todo.folder.with_suffix(".log")
            files.write(log, " ".join(command) + "\n" + done.stderr)
            raise UserError(f"the kernels do not link:\n{_first(done.stderr, log)}", hint=AGAIN)
        files.write(temporary / MANIFEST, json.dumps(manifest(todo), indent=2) + "\n")
        temporary.chmod(0o755)
        files.move(temporary, todo.folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _first(text: str, log: Path, most: int = 5) -> str:
    """The first errors in a compiler's output, and where all of it is."""
    signs = ("error", "undefined reference", "multiple definition")
    lines = [line for line in text.splitlines() if any(sign in line for sign in signs)]
    return "\n".join([f"  {line}" for line in (lines or text.splitlines())[:most]] + [f"  whole output: {log}"])


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    handle = files.open_(path, os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("kernels: another process builds them; waiting", file=sys.stderr)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _expected(units: list[Unit]) -> dict[str, float]:
    """Seconds for each unit: what it took the last time, or a guess by its kind."""
    known, guesses = _times(), {"ops": 8.0, "cuda": 15.0}
    return {unit.name: known.get(unit.name, guesses.get(unit.name.split()[-1], 3.0)) for unit in units}


def _times_file() -> Path:
    return kernels_dir() / "seconds.json"


def _times() -> dict[str, float]:
    try:
        return {str(k): float(v) for k, v in json.loads(_times_file().read_text()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
