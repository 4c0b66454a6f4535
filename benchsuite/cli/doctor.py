"""`benchsuite doctor`: what this machine is, what will run on it, what will not, and what would change that."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def command(
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Show what this machine is, what will run, and what will not and why."""
    from benchsuite.hardware.fingerprint import fingerprint

    found = fingerprint()
    checks = _checks(found)
    if json_:
        import json

        print(json.dumps({"hardware": found, "checks": checks}, indent=2))
        return
    from rich.console import Console

    from benchsuite import format

    console = Console(highlight=False)
    identity, context = found["identity"], found["context"]
    cache = context["cache_bytes"]
    about = [
        f"[bold]{identity['cpu']}[/bold]",
        f"{identity['cores']} cores",
        f"{format.bytes_(context['memory_bytes'])}",
    ]
    console.print(", ".join(about + ([f"{format.bytes_(cache)} last-level cache"] if cache else [])))
    for gpu in identity["gpus"]:
        console.print(f"[bold]{gpu['name']}[/bold], {format.bytes_(gpu['memory_bytes'])}")
    for row in checks:
        console.print(
            f"{'[green]yes[/green]' if row['works'] else '[yellow]no [/yellow]'}  {row['what']}: {row['why']}"
        )
        if row["fix"]:
            console.print(f"     -> {row['fix']}")


def _checks(found: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for each thing that a run may need: does it work, why, and if not, what would mend it."""
    import os
    import shutil

    from benchsuite.cache import cache_dir
    from benchsuite.cuda_ext.library import status
    from benchsuite.hardware.fingerprint import version

    fused, fused_why, fused_fix = status()
    identity = found["identity"]
    torch = version("torch")
    compiler = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")
    offline = os.environ.get("HF_HUB_OFFLINE") == "1"
    free, load = shutil.disk_usage(cache_dir()).free / 2**30, os.getloadavg()[0]
    gpus = f"{len(identity['gpus'])} found, but this version measures on the CPU only"
    rows = [
        ("eager, sdpa", torch is not None, f"torch {torch}", "pip install torch"),
        ("compile", compiler is not None, f"C++ compiler: {compiler}", "apt-get install g++"),
        ("fused", fused, fused_why, fused_fix),
        ("cuda", False, gpus if identity["gpus"] else "no NVIDIA driver, or no GPU", ""),
        ("hub corpora", not offline, f"HF_HUB_OFFLINE is {'1' if offline else 'not set'}", "unset HF_HUB_OFFLINE"),
        ("cache", free > 1, f"{cache_dir()}, {free:.0f} GiB free", "free some space, or set BENCHSUITE_CACHE"),
        ("quiet machine", load < 0.3 * identity["cores"], f"load {load:.1f} on {identity['cores']} cores",
         "stop what else is running, or it will be in the figures"),
    ]  # fmt: skip
    return [
        # What works may still lack a part, as the kernels may lack CUDA's.
        {"what": what, "works": ok, "why": why, "fix": fix if not ok or what == "fused" else ""}
        for what, ok, why, fix in rows
    ]
