"""Limits of control groups, laid out as kernels and container engines do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from benchsuite.cli import doctor
from benchsuite.engine.scheduler import available_memory
from benchsuite.hardware import cgroup, fingerprint

MIB = 2**20
V2 = "31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
Lay = Callable[..., None]


@pytest.fixture
def lay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lay:
    """Lays out what a process reads: its groups, the mounts, and files below /sys/fs/cgroup."""
    monkeypatch.setattr(cgroup, "PROC", tmp_path / "proc")
    monkeypatch.setattr(cgroup, "ROOT", tmp_path)

    def lay(own: str, mounts: str, **files: str) -> None:
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc" / "cgroup").write_text(own)
        (tmp_path / "proc" / "mountinfo").write_text("22 1 8:1 / / rw - ext4 /dev/vda rw\n" + mounts)
        for name, text in files.items():
            path = tmp_path / "sys/fs/cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return lay


def test_a_container_of_version_2(lay: Lay) -> None:
    files = {"cpu.max": "150000 100000\n", "memory.max": "4294967296\n", "memory.current": "1073741824\n"}
    lay("0::/\n", V2, **files, **{"memory.stat": "anon 5\ninactive_file 536870912\nactive_file 7\n"})
    assert cgroup.cpu_quota() == 1.5
    assert cgroup.memory_limit() == 4096 * MIB
    assert cgroup.memory_left() == (4096 - 1024 + 512) * MIB


def test_the_groups_around_a_service_count_too(lay: Lay) -> None:
    files = {
        "user.slice/cpu.max": "200000 100000", "user.slice/job.scope/cpu.max": "max 100000", "cpu.max": "max 100000",
        "user.slice/memory.max": "max", "user.slice/job.scope/memory.max": str(300 * MIB),
        "user.slice/job.scope/memory.current": str(100 * MIB),
        "other.slice/cpu.max": "10000 100000", "other.slice/memory.max": "4096",
    }  # fmt: skip
    lay("0::/user.slice/job.scope\n", V2, **files)
    assert cgroup.cpu_quota() == 2.0
    assert cgroup.memory_limit() == 300 * MIB
    assert cgroup.memory_left() == 200 * MIB


def test_version_1_as_docker_shows_it(lay: Lay) -> None:
    """Paths are the host's; the container's own group is mounted as the root."""
    own = "".join(f"{n}:{name}:/docker/4fb7\n" for n, name in ((4, "memory"), (1, "cpu,cpuacct"))) + "0::/\n"
    mounts = "32 31 0:29 /docker/4fb7 /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    mounts += "35 31 0:32 /docker/4fb7 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    files = {
        "cpu,cpuacct/cpu.cfs_quota_us": "50000", "cpu,cpuacct/cpu.cfs_period_us": "100000",
        "memory/memory.limit_in_bytes": str(512 * MIB), "memory/memory.usage_in_bytes": str(200 * MIB),
        "memory/memory.stat": f"inactive_file 1\ntotal_inactive_file {50 * MIB}\n",
    }  # fmt: skip
    lay(own, mounts, **files)
    assert cgroup.cpu_quota() == 0.5
    assert cgroup.memory_limit() == 512 * MIB
    assert cgroup.memory_left() == 362 * MIB


def test_both_versions_side_by_side_and_no_limits(lay: Lay) -> None:
    mounts = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    mounts += "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
    mounts += "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    files = {
        "memory/api/4f/memory.limit_in_bytes": "9223372036854771712", "memory/api/4f/memory.usage_in_bytes": "5",
        "memory/memory.limit_in_bytes": "9223372036854771712", "cpu/cpu.cfs_quota_us": "-1",
        "cpu/cpu.cfs_period_us": "100000", "unified/cgroup.procs": "1",
    }  # fmt: skip
    lay("4:memory:/api/4f\n1:cpu:/\n0::/\n", mounts, **files)
    assert (cgroup.cpu_quota(), cgroup.memory_limit(), cgroup.memory_left()) == (None, None, None)


def test_a_limit_of_version_1_in_a_group_of_its_own(lay: Lay) -> None:
    mounts = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    lay("4:memory:/api/4f\n", mounts, **{"memory/api/4f/memory.limit_in_bytes": str(100 * MIB)})
    assert cgroup.memory_limit() == 100 * MIB
    assert cgroup.memory_left() is None  # what is used cannot be told


def test_a_path_outside_of_what_is_mounted_is_the_mount_s(lay: Lay) -> None:
    for_root = V2.replace(" / /sys", " /kubepods/pod1 /sys")
    lay("0::/../../other\n", for_root, **{"cpu.max": "100000 100000"})
    assert cgroup.cpu_quota() == 1.0


@pytest.mark.parametrize("text", ["", "max", "-5 100000", "100000 0", "a b", "1 2 3", "\x00", "99999999"])
def test_what_makes_no_sense_is_no_limit(lay: Lay, text: str) -> None:
    lay("0::/\nnonsense\n::\n", V2 + "short - cgroup2\n", **{"cpu.max": text, "memory.max": "lots"})
    assert cgroup.cpu_quota() is None
    assert cgroup.memory_limit() is None


def test_without_proc_there_is_no_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "PROC", tmp_path)
    assert (cgroup.cpu_quota(), cgroup.memory_limit(), cgroup.memory_left()) == (None, None, None)


@pytest.mark.slow
def test_the_limits_count(lay: Lay, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In how many cores are used, how much memory jobs have, the fingerprint, and what doctor tells."""
    monkeypatch.setattr(fingerprint.os, "sched_getaffinity", lambda _: set(range(8)))
    lay("0::/\n", V2, **{"cpu.max": "250000 100000", "memory.max": str(64 * MIB), "memory.current": str(16 * MIB)})
    assert fingerprint.usable_cores() == 2
    assert available_memory() == 48 * MIB
    found = fingerprint.fingerprint()
    assert (found["identity"]["cores"], found["identity"]["cpu_quota"]) == (2, 2.5)
    assert found["context"]["memory_limit_bytes"] == 64 * MIB
    assert found["context"]["memory_bytes"] == psutil.virtual_memory().total
    doctor.command(noise=0, host=False, json_=False)
    said = capsys.readouterr().out
    assert "2 cores (8 by affinity, of whose time a CPU quota gives 2.5)" in " ".join(said.split())
    assert "of which 64.0 MiB may be used here" in " ".join(said.split())


@pytest.mark.parametrize(("quota", "cores"), [("50000", 1), ("100000", 1), ("199999", 1), ("200000", 2), ("900000", 8)])
def test_a_share_of_a_core_is_none(lay: Lay, monkeypatch: pytest.MonkeyPatch, quota: str, cores: int) -> None:
    monkeypatch.setattr(fingerprint.os, "sched_getaffinity", lambda _: set(range(8)))
    lay("0::/\n", V2, **{"cpu.max": f"{quota} 100000"})
    assert fingerprint.usable_cores() == cores
    row = next(row for row in doctor._limits({"cpu_quota": int(quota) / 100000}) if row["what"] == "CPU quota")
    assert row["works"] == (quota != "50000")
