"""Run this kit: python3 run.py. Needs nothing but Python and what the kit was packed for; writes results.zip.

The stages run in order of worth. Each has a time limit and ends alone, and after each the results so far are packed, so
that a machine that goes away leaves what was done. The wheels and the runs lie in a temporary folder until the end.
This file is copied into a kit as it is and imports nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import BinaryIO

HERE = Path(__file__).resolve().parent
MOST_BYTES = 32 * 2**20  # of a file that is brought back
GRACE_S = 8  # to write what it has, for a command that was told to end
ENDED = 124  # the exit code of a stage that was ended at its limit


def main() -> int:
    kit = json.loads((HERE / "kit.json").read_text())
    names = [stage["name"] for stage in kit["stages"]]
    told = {stage["name"]: f"{stage['about']} (at most {stage['limit_s']} s)" for stage in kit["stages"]}
    parser = argparse.ArgumentParser(
        description="Run the stages of this kit and pack what they find into one archive.",
        epilog="\n".join(f"{name:<10}{about}" for name, about in told.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="only these; default: all, as far as the time goes")
    parser.add_argument(
        "-o", "--output", type=Path, help="a new file; default: results.zip, or results-2.zip and so on"
    )
    parser.add_argument("--device", default=kit["device"], help=f"default: {kit['device']}")
    parser.add_argument("--seconds", type=float, default=kit["total_s"], help=f"in all; default: {kit['total_s']}")
    given = parser.parse_args()
    unknown = [name for name in given.stages if name not in names]
    if unknown:
        parser.error(f"no stage is called {unknown[0]}; there are {', '.join(names)}")
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if here != kit["python"]:
        parser.error(f"this kit is for Python {kit['python']}, and this is {here}: start it with python{kit['python']}")
    if importlib.util.find_spec("torch") is None:
        parser.error(f"{sys.executable} has no torch: start this with the Python that has it")
    for name in kit["wheels"]:
        if not zipfile.is_zipfile(HERE / "wheels" / name):
            parser.error(f"the kit is not whole: wheels/{name} is missing or damaged; carry the kit here again")
    output = given.output or free(Path("results.zip"))
    if output.exists():
        parser.error(f"{output} exists already, and is not written over: name another file with -o")
    try:
        with tempfile.TemporaryFile(dir=output.resolve().parent):
            pass
    except OSError as error:
        parser.error(f"{output} cannot be written: {error.strerror}")
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
            signal.signal(number, signal.default_int_handler)
    # A shell's background job ignores it, and what it starts does too, but stages are told to end by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    work = Path(tempfile.mkdtemp(prefix="benchsuite-kit-"))
    run = Run(kit, given, output.resolve(), work)
    try:
        return run.all()
    except KeyboardInterrupt:
        say("interrupted; " + (f"what was done is in {output}" if output.exists() else "no stage was begun"))
        return 130
    except OSError as error:
        say(f"{work} cannot be written: {error.strerror}; TMPDIR=FOLDER names another place for temporary files")
        return 5
    finally:
        if run.unwritten:
            say(f"{output} cannot be written: {run.unwritten}; what was done is in {run.results}")
        shutil.rmtree(run.site if run.unwritten else work, ignore_errors=True)


class Run:
    """The stages on this machine; `work` is a folder that is removed at the end."""

    def __init__(self, kit: dict, given: argparse.Namespace, output: Path, work: Path) -> None:
        self.began = time.monotonic()
        self.stages = [stage for stage in kit["stages"] if not given.stages or stage["name"] in given.stages]
        self.device, self.seconds, self.output = given.device, given.seconds, output
        self.work, self.results, self.site = work, work / "results", work / "site"
        self.wheels = [HERE / "wheels" / name for name in kit["wheels"]]
        self.unwritten: str | None = None  # why the archive could not be written when it was last tried
        self.summary: dict = {"device": self.device, "python": sys.version.split()[0], "stages": []}
        self.env = {
            **os.environ,
            "PYTHONPATH": str(self.site),
            "PYTHONUNBUFFERED": "1",
            "BENCHSUITE_CACHE": str(work / "cache"),
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }

    def all(self) -> int:
        say(f"unpacking {len(self.wheels)} wheels into {self.site} ...")
        for wheel in self.wheels:
            unpack(wheel, self.site)
        say(f"unpacked in {time.monotonic() - self.began:.0f} s; device {self.device}; {self.seconds:g} s in all")
        self.results.mkdir()
        for stage in self.stages:
            self.one(stage)
        if not self.unwritten:
            size = f"{self.output.stat().st_size / 2**10:.0f} KiB"
            say(f"{self.output}: {size}; bring it back, and read it with `benchsuite report {self.output.name}`")
        return 5 if self.unwritten or any(stage["exit_code"] != 0 for stage in self.summary["stages"]) else 0

    def one(self, stage: dict) -> None:
        """Run a stage, and pack the results whatever becomes of it."""
        folder = self.results / stage["name"]
        folder.mkdir()
        began = time.monotonic()
        limit_s = min(stage["limit_s"], self.seconds - (began - self.began))
        if limit_s > GRACE_S:
            say(f"{stage['name']}: {stage['about']}; at most {limit_s:.0f} s ...")
        code, words = None, "not begun: the time is used up"
        places = {"python": sys.executable, "device": self.device, "results": str(folder), "work": str(self.work)}
        try:
            if limit_s > GRACE_S:
                code, words = self.commands(stage, places, folder / "log.txt", began + limit_s)
        except OSError as error:
            code, words = 1, f"{error.filename or self.work} cannot be written: {error.strerror}"
        except BaseException:
            code, words = 130, "interrupted"
            raise
        finally:
            took_s = round(time.monotonic() - began, 1)
            row = {
                "name": stage["name"],
                "exit_code": code,
                "time_s": took_s,
                "limit_s": stage["limit_s"],
                "said": words,
            }
            self.summary["stages"].append(row)
            self.pack()
            ended = "-" if code is None else f"exit {code}"
            say(f"{stage['name']}: {ended}, {took_s:.0f} s, {words[:150]}")

    def commands(self, stage: dict, places: dict, log: Path, end: float) -> tuple[int, str]:
        """The first exit code that is not 0, and the last line of the log, or what ended the stage."""
        worst, said = 0, ""
        with log.open("ab") as out:
            for command in stage["commands"]:
                words = [word.format(**places) for word in command]
                out.write(f"$ {' '.join(words)}\n".encode())
                out.flush()
                code, said = run(words, self.env, self.work, log, out, end)
                said = said.replace(f"{self.results}/", "")
                if code is None:
                    return ENDED, f"ended at its limit; {said}"
                worst = worst or code
        return worst, said

    def pack(self) -> None:
        """Write the archive again and put it in place in one step, without models and what is too large.

        Where it cannot be written the next stages run all the same, and the last of them may find room.
        """
        left_out = []
        temporary = self.output.with_name(f".{self.output.name}.{os.getpid()}")
        try:
            with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
                for path in sorted(self.results.rglob("*")):
                    name = path.relative_to(self.results).as_posix()
                    if path.is_symlink() or not path.is_file():
                        continue
                    if path.stat().st_size > MOST_BYTES or "models" in path.relative_to(self.results).parts:
                        left_out.append(name)
                        continue
                    archive.write(path, name)
                self.summary["left_out"] = left_out
                archive.writestr("summary.json", json.dumps(self.summary, indent=1) + "\n")
            temporary.replace(self.output)
            self.unwritten = None
        except OSError as error:
            self.unwritten = error.strerror or str(error)
        finally:
            temporary.unlink(missing_ok=True)


def run(command: list[str], env: dict, folder: Path, log: Path, out: BinaryIO, end: float) -> tuple[int | None, str]:
    """The exit code of a command and the last line of its log; None where it was ended at the time `end`, and what it
    started with it, and the last line before that."""
    process = subprocess.Popen(
        command, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
    )
    try:
        return process.wait(max(1.0, end - GRACE_S - time.monotonic())), last_line(log)
    except subprocess.TimeoutExpired:
        return None, last_line(log)
    finally:
        # Told to end first, so that it closes what it writes; then its whole group, also where it has ended by itself.
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free(path: Path) -> Path:
    """`path`, or where that exists the first of its name with a number that does not."""
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(2))
    return next(one for one in itertools.chain([path], numbered) if not one.exists())


def say(text: str) -> None:
    """Print; a terminal that has gone away ends nothing."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "said nothing"


def unpack(wheel: Path, site: Path) -> None:
    """Do what pip install --target does with a wheel, without scripts: unpack the packages, and those in its .data
    folder."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            first, _, rest = name.partition("/")
            if first.endswith(".data"):
                kind, _, rest = rest.partition("/")
                if kind in ("purelib", "platlib") and rest and not rest.endswith("/"):
                    target = site / rest
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(archive.read(name))
            else:
                archive.extract(name, site)


if __name__ == "__main__":
    sys.exit(main())
