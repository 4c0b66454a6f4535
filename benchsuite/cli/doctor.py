"""`benchsuite doctor`: what this machine is, what will run on it, what is wrong, and what would change that."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from benchsuite.cli import output as output_
from benchsuite.cli.numbers import finite
from benchsuite.limits import MOST_NOISE_S

Row = dict[str, Any]

NOISE_S = 10.0
QUIET = 0.03  # relative standard deviation of an A/A pair
SLOW_CLOCKS = ("hpet", "acpi_pm", "jiffies", "refined-jiffies")
HOT_C = 85
MARKS = {True: "[green]yes[/green]", False: "[yellow]no [/yellow]", None: "[dim]?  [/dim]"}  # None: not known


def command(
    noise: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=MOST_NOISE_S,
            callback=finite,
            help="Seconds for timing the machine against itself; 0 skips it.",
        ),
    ] = NOISE_S,
    host: Annotated[bool, typer.Option("--host", help="Print the host's name as well.")] = False,
    hub: Annotated[bool, typer.Option("--hub", help="Check whether the model hub can be reached.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Show what this machine is, what will run, what will not and why, and what would spoil a measurement.

    Ten seconds go into timing the machine against itself (A/A): the same work, in pairs.
    """
    from benchsuite import terminal
    from benchsuite.hardware.fingerprint import fingerprint

    found = fingerprint(host=host)
    checks = [*_checks(found), _hub(hub), *_limits(found["identity"]), *_settings(found["context"]), *_gpus()]
    measured = None
    if noise > 0:
        from benchsuite.timing import noise as against_itself

        with output_.progress() as say:
            measured = against_itself.measure(noise, lambda done: say("timing the machine against itself", done, 1.0))
        checks.append(_neighbours(measured))
    if json_:
        import json

        noise_ = measured.to_json() if measured else None
        print(json.dumps({"schema_version": 1, "hardware": found, "checks": checks, "noise": noise_}, indent=2))
        return
    _show(found, checks, terminal.console())


def _show(found: dict[str, Any], checks: list[Row], console: Any) -> None:
    from benchsuite import format
    from benchsuite.hardware.fingerprint import allowed_cores

    identity, context = found["identity"], found["context"]
    cache, quota, limit = context["cache_bytes"], identity["cpu_quota"], context["memory_limit_bytes"]
    cores, memory = f"{identity['cores']} cores", format.bytes_(context["memory_bytes"])
    if quota is not None:
        cores += f" ({allowed_cores()} by affinity, of whose time a CPU quota gives {quota:g})"
    if limit is not None:
        memory += f" of which {format.bytes_(limit)} may be used here"
    about = [f"[bold]{identity['cpu']}[/bold]", cores, memory]
    console.print(", ".join(about + ([f"{format.bytes_(cache)} last-level cache"] if cache else [])))
    for gpu in identity["gpus"]:
        memory = format.bytes_(gpu["memory_bytes"]) if gpu["memory_bytes"] else "memory unknown"
        console.print(f"[bold]{gpu['name']}[/bold], {memory}")
    where = [
        word for word in (context["cloud"], context["container"], "virtual" if context["virtual"] else None) if word
    ]
    if where:
        console.print(", ".join(where), style="dim")
    for row in checks:
        console.print(f"{MARKS[row['works']]}  {row['what']}: {row['why']}")
        if row["fix"]:
            console.print(f"     -> {row['fix']}")


def _row(what: str, works: bool, why: str, fix: str) -> Row:
    # What works may still lack a part, as the kernels may lack CUDA's.
    return {"what": what, "works": works, "why": why, "fix": fix if not works or what == "fused" else ""}


def _checks(found: dict[str, Any]) -> list[Row]:
    """Return a row for each thing that a run may need: does it work, why, and if not, how to fix it."""
    import os
    import shutil

    from benchsuite.cache import cache_dir
    from benchsuite.cuda_ext.library import status
    from benchsuite.hardware.fingerprint import version

    fused, fused_why, fused_fix = status()
    identity = found["identity"]
    torch = version("torch")
    compiler = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")
    free, load = shutil.disk_usage(cache_dir()).free / 2**30, os.getloadavg()[0]
    return [
        _row("eager, sdpa", torch is not None, f"torch {torch}", "pip install torch"),
        _row("compile", compiler is not None, f"C++ compiler: {compiler}", "apt-get install g++"),
        _row("fused", fused, fused_why, fused_fix),
        *_devices(),
        *(_extra(name) for name in ("tables", "quality")),
        _row("cache", free > 1, f"{cache_dir()}, {free:.0f} GiB free", "free some space, or set BENCHSUITE_CACHE"),
        _row(
            "quiet machine",
            load < 0.3 * identity["cores"],
            f"load {load:.1f} on {identity['cores']} cores",
            "stop what else is running, or it will be in the figures",
        ),
    ]


def _devices() -> list[Row]:
    """Return a row for each kind of accelerator that is here or has a problem, and one for the device that commands
    choose by default."""
    from benchsuite import devices

    rows = []
    for kind in devices.accelerators():
        seen = kind.seen()
        models = ", ".join(f"{seen.models.count(model)} x {model}" for model in dict.fromkeys(seen.models))
        why = ", ".join(part for part in (models, seen.why_not, seen.driver) if part)
        if why:
            rows.append(_row(kind.kind, bool(models), why, seen.fix or ""))
    choice = devices.choose()
    return [*rows, _row("--device auto", True, f"{choice.device}, {choice.why}", "")]


def _extra(name: str) -> Row:
    """Return a row for the packages of an extra."""
    from benchsuite import extras

    absent = extras.absent(name)
    return _row(name, not absent, f"{', '.join(absent)} not installed" if absent else "installed", extras.command(name))


def _limits(identity: dict[str, Any]) -> list[Row]:
    """Return a row for the CPU quota of the control group, if there is one."""
    quota = identity["cpu_quota"]
    if quota is None:
        return []
    fix = "a core is stopped for a part of every tenth of a second, which is in the times; ask for whole cores"
    return [_row("CPU quota", quota >= 1, f"time of {quota:g} cores", fix)]


def _hub(ask: bool) -> Row:
    """Return a row for the hub, which is asked only if `ask` is set."""
    from benchsuite import extras

    if extras.absent("quality"):
        return _row("hub corpora", False, "datasets is not installed", extras.command("quality"))
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return _row("hub corpora", False, "HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE")
    if not ask:
        return {"what": "hub corpora", "works": None, "why": "not asked", "fix": "benchsuite doctor --hub asks"}
    from benchsuite.pretrain.corpora import hub

    why_not = hub.unreachable()
    return _row(
        "hub corpora", why_not is None, why_not or f"{constants.ENDPOINT} answers", "see to the network or proxy"
    )


def _settings(context: dict[str, Any]) -> list[Row]:
    """List the settings of the host that are known to spoil times. benchsuite changes none of them."""
    rows = []
    clock, governor = context["clock_source"], context["governor"]
    if clock is not None:
        fix = "boot with clocksource=tsc, if the CPU's is stable: reading this one takes microseconds"
        rows.append(_row("clock", clock not in SLOW_CLOCKS, f"the kernel reads time from {clock}", fix))
    if governor is not None:
        fix = "the clock follows the load; `cpupower frequency-set -g performance` holds it"
        rows.append(_row("CPU clock", governor not in ("powersave", "ondemand", "conservative"), governor, fix))
    return rows


def _gpus() -> list[Row]:
    """List the settings of each GPU that would slow it down or share it."""
    from benchsuite.hardware import nvml

    rows: list[Row] = []
    with nvml.opened() as why_not:
        if why_not:
            return rows
        try:
            for number, gpu in enumerate(nvml.handles()):
                rows += _gpu(f"GPU {number}", nvml.about(gpu), nvml.state(gpu), nvml.other_processes(gpu))
        except nvml.Lost as lost:
            rows.append(_row("GPU", False, str(lost), "reboot"))
    return rows


def _gpu(name: str, about: dict[str, Any], state: Any, others: int | None) -> list[Row]:
    from benchsuite.hardware import nvml

    limit, usual, bits = about["power_limit_w"], about["default_power_limit_w"], state.reasons or 0
    slowed = ", ".join(nvml.reasons(bits & nvml.THROTTLED))
    heat = _or_unknown(state.temperature_c, " °C") + (f", slowed: {slowed}" if slowed else "")
    found = [
        _row(f"{name}: heat", not slowed and (state.temperature_c or 0) < HOT_C, heat, "see to its cooling"),
        _row(f"{name}: alone", not others, f"{_or_unknown(others, '')} other processes compute on it",
             "end them, or choose another GPU with --device cuda:N"),
    ]  # fmt: skip
    if limit is not None and usual is not None:
        fix = "figures of other power limits do not compare; `nvidia-smi -pl` sets it"
        found.append(_row(f"{name}: power", limit >= usual, f"limit {limit:.0f} W, by default {usual:.0f} W", fix))
    if about["persistence"] is not None:
        fix = "the driver loads anew for every process; `nvidia-smi -pm 1` keeps it"
        found.append(_row(f"{name}: persistence", about["persistence"], "on" if about["persistence"] else "off", fix))
    if about["mig"]:
        found.append(_row(f"{name}: whole", False, "MIG is on: clocks and power of a slice cannot be told", ""))
    if about["uncorrected_ecc_errors"]:
        found.append(
            _row(f"{name}: memory", False, f"{about['uncorrected_ecc_errors']} uncorrected errors", "replace it")
        )
    return found


def _or_unknown(value: Any, unit: str) -> str:
    return "unknown" if value is None else f"{value}{unit}"


def _neighbours(noise: Any) -> Row:
    why = f"the same work differs by {noise.spread:.1%} within a pair (standard deviation, {noise.pairs} pairs)"
    if noise.steal_fraction:
        why += f"; the host took away {noise.steal_fraction:.1%}"
    if noise.foreign_cores and noise.foreign_cores > 0.05:
        why += f"; other processes used {noise.foreign_cores:.2f} cores"
    fix = "more rounds (--set speed.most_rounds=40), a quieter hour, or another machine"
    return _row("quiet neighbours", noise.spread <= QUIET, why, fix)
