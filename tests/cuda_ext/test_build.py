"""The builder: what it compiles again, what it does not, and what it says when the compiler refuses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchsuite.cuda_ext import build as builder
from benchsuite.cuda_ext import build_plan, library, progress, toolchain
from benchsuite.errors import UserError

pytestmark = pytest.mark.slow

OBJECTS = {"library ops", "twice ops", "twice cpu_v4", "twice cpu_v3", "twice cpu_v1"}


def compiled(calls: Path) -> list[str]:
    """The sources that were compiled, and "link", in order; then the list begins anew."""
    lines = [line.split() for line in calls.read_text().splitlines()]
    calls.write_text("")
    return [Path(line[line.index("-c") + 1]).name if "-c" in line else "link" for line in lines]


def test_headers_are_found_through_other_headers_and_through_the_family_macro(csrc: Path) -> None:
    names = {str(path.relative_to(csrc)) for path in build_plan.headers(csrc / "ops" / "twice.cpp")}
    assert names == {"tensor.h", "types.h", "cpu/dispatch.h", "cpu/twice.h"}


def test_each_source_is_one_object_and_the_cpu_part_three(csrc: Path) -> None:
    assert {unit.name for unit in build_plan.plan().units} == OBJECTS


@pytest.mark.parametrize(
    ("asked", "built"),
    [("all", ("cpu_v4", "cpu_v3", "cpu_v1")), (None, ("cpu_v3",)), ("v4", ("cpu_v3",)), ("v1", ("cpu_v1",))],
)
@pytest.mark.skipif(not toolchain.is_x86(), reason="other machines have one compilation")
def test_a_library_is_for_the_cpu_of_this_machine(
    csrc: Path, monkeypatch: pytest.MonkeyPatch, asked: str | None, built: tuple[str, ...]
) -> None:
    monkeypatch.setattr(toolchain, "isa_here", lambda: "v3")
    monkeypatch.delenv("BENCHSUITE_KERNELS_ISA", raising=False)
    if asked:
        monkeypatch.setenv("BENCHSUITE_KERNELS_ISA", asked)
    todo = build_plan.plan()
    assert todo.isas == built
    assert {unit.name for unit in todo.units} == {"library ops", "twice ops", *(f"twice {isa}" for isa in built)}
    assert build_plan.plan(portable=True).isas == tuple(build_plan.ISAS)
    monkeypatch.setenv("BENCHSUITE_KERNELS_ISA", "v5")
    with pytest.raises(UserError, match="BENCHSUITE_KERNELS_ISA is v4, v3, v1 or all, not 'v5'"):
        build_plan.plan()


@pytest.mark.parametrize(
    ("gpus", "archs"),
    [
        ([], ()),
        ([(8, 0)], ("8.0",)),
        ([(8, 9), (8, 9)], ("8.0",)),
        ([(9, 0), (8, 6)], ("8.0", "9.0")),
        ([(10, 0)], ("10.0+PTX",)),
        ([(12, 0)], ("10.0+PTX",)),
        ([(7, 5)], ()),
        ([None], ("8.0", "9.0", "10.0+PTX")),
    ],
)
def test_a_library_is_for_the_gpus_of_this_machine(
    csrc: Path, monkeypatch: pytest.MonkeyPatch, gpus: list[tuple[int, int] | None], archs: tuple[str, ...]
) -> None:
    monkeypatch.delenv("BENCHSUITE_KERNELS")
    monkeypatch.delenv("TORCH_CUDA_ARCH_LIST", raising=False)
    monkeypatch.setattr(toolchain, "find_nvcc", lambda: toolchain.Compiler("/x/nvcc", "13.0.88", "/x/inc", "/x/lib"))
    monkeypatch.setattr(toolchain, "_gpus", lambda: gpus)
    todo = build_plan.plan()
    assert todo.archs == archs
    if not archs:
        assert todo.nvcc == toolchain.Missing("there is no NVIDIA GPU of 8.0 or later here", "")
    assert build_plan.plan(portable=True).archs == ("8.0", "9.0", "10.0+PTX")


def test_a_second_build_compiles_nothing(calls: Path) -> None:
    first = builder.build()
    assert sorted(compiled(calls)) == sorted(["library.cpp", "twice.cpp", *["twice.cpp"] * 3, "link"])
    assert builder.build() == first
    assert compiled(calls) == []


@pytest.mark.parametrize(
    ("changed", "again"),
    [
        ("ops/twice.cpp", ["twice.cpp", "link"]),
        ("tensor.h", ["library.cpp", "twice.cpp", "link"]),
        ("cpu/simd.h", ["twice.cpp", "twice.cpp", "twice.cpp", "link"]),
        ("cpu/twice.h", ["twice.cpp"] * 4 + ["link"]),
    ],
)
def test_what_changed_is_compiled_alone(calls: Path, csrc: Path, changed: str, again: list[str]) -> None:
    first = builder.build()
    compiled(calls)
    with open(csrc / changed, "a") as file:
        file.write("// changed\n")
    assert builder.build() != first
    assert sorted(compiled(calls)) == sorted(again)


def test_flags_and_compiler_decide_too_but_not_the_folder(csrc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = build_plan.plan().key
    monkeypatch.setenv("BENCHSUITE_KERNELS_CXXFLAGS", "-g")
    assert build_plan.plan().key != before
    monkeypatch.delenv("BENCHSUITE_KERNELS_CXXFLAGS")
    moved = csrc.with_name("elsewhere")
    shutil.copytree(csrc, moved)
    monkeypatch.setattr(build_plan, "CSRC", moved)
    assert build_plan.plan().key == before
    monkeypatch.setattr(toolchain, "find_cxx", lambda: toolchain.Compiler("/usr/bin/g++", "99.1.0"))
    assert build_plan.plan().key != before


def test_of_two_processes_one_builds(calls: Path, csrc: Path) -> None:
    code = "from pathlib import Path; from benchsuite.cuda_ext import build, build_plan\n"
    code += f"build_plan.CSRC = Path({str(csrc)!r})\n"
    command = [sys.executable, "-c", code + "print(build.build())"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    printed = {process.communicate()[0] for process in both}
    assert len(printed) == 1
    assert all(process.returncode == 0 for process in both)
    assert sorted(compiled(calls)) == sorted(["library.cpp", *["twice.cpp"] * 4, "link"])


def test_broken_source_is_told_with_its_first_error_and_tried_once(calls: Path, csrc: Path) -> None:
    (csrc / "ops" / "twice.cpp").write_text("BROKEN\n")
    assert library.locate() is None
    with pytest.raises(
        UserError, match=r"twice\.cpp does not compile.*\n.*error: 'BROKEN'.*\n.*whole output: /"
    ) as error:
        builder.build()
    assert "benchsuite kernels build" in error.value.hint
    log = Path(str(error.value.message).split("whole output: ")[1])
    assert "BROKEN" in log.read_text()
    compiled(calls)
    with pytest.raises(UserError, match="BROKEN"):
        builder.build()
    assert "twice.cpp" not in compiled(calls)
    with pytest.raises(UserError, match="BROKEN"):  # and a run says so before it starts
        library.locate()
    with pytest.raises(UserError, match="BROKEN"):
        builder.build(again=True)
    assert "twice.cpp" in compiled(calls)


@pytest.mark.parametrize("which", ["log", "failure", "lock"])
def test_a_build_writes_through_no_link(calls: Path, csrc: Path, tmp_path: Path, which: str) -> None:
    (csrc / "ops" / "twice.cpp").write_text("BROKEN\n")
    todo, victim = build_plan.plan(), tmp_path / "victim"
    victim.write_text("precious")
    unit = next(unit for unit in todo.units if unit.name == "twice ops")
    path = {"log": unit.log, "failure": unit.failure, "lock": todo.folder.with_suffix(".lock")}[which]
    path.symlink_to(victim)
    with pytest.raises(UserError, match="is a link to"):
        builder.build(again=True)
    assert victim.read_text() == "precious"


def test_a_compiler_that_was_killed_is_tried_again(calls: Path, csrc: Path) -> None:
    source = csrc / "ops" / "twice.cpp"
    good = source.read_text()
    source.write_text("KILLED\n")
    with pytest.raises(UserError, match="does not compile"):
        builder.build()
    compiled(calls)
    with pytest.raises(UserError, match="does not compile"):
        builder.build()
    assert "twice.cpp" in compiled(calls)
    source.write_text(good)
    assert builder.build().is_file()
    assert not list(build_plan.kernels_dir().rglob(".*"))  # nothing half-made lies about


def test_a_source_that_changes_under_the_compiler_is_not_kept(
    calls: Path, csrc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    todo = build_plan.plan()
    monkeypatch.setattr(builder, "plan", lambda **_: todo)
    with open(csrc / "cpu" / "simd.h", "a") as file:
        file.write("// changed between hash and compilation\n")
    with pytest.raises(UserError, match=r"twice\.cpp or a header of it was changed"):
        builder.build()
    assert not [unit for unit in todo.units if "cpu_" in unit.name and unit.object.is_file()]
    assert builder.failure_of(todo) is None


def test_a_folder_that_cannot_be_written_is_named(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(builder, "write_atomically", full)
    with pytest.raises(UserError, match=r"cannot be put into /.*kernels: No space left"):
        builder.build()


def test_the_estimate_follows_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(toolchain, "cores", lambda: 2)
    estimate = progress.Estimate({"a": 10.0, "b": 10.0, "c": 10.0, "d": 6.0})
    assert str(estimate) == "kernels: 0 of 4, about 18.0 s left"
    now[0] += 8
    assert str(estimate) == "kernels: 0 of 4, about 10.0 s left"
    now[0] += 12
    estimate.ready("a", 20.0)  # twice as long as expected: so will the others be
    assert str(estimate) == "kernels: 1 of 4, about 26.0 s left"
    for name in "bcd":
        estimate.ready(name, 20.0)
    assert str(estimate) == "kernels: 4 of 4, about 0.0 s left"


def test_some_families_can_be_built_alone(csrc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (csrc / "ops" / "other.cpp").write_text("")
    everything = build_plan.plan()
    monkeypatch.setenv("BENCHSUITE_KERNELS_ONLY", "twice")
    assert {unit.name for unit in build_plan.plan().units} == OBJECTS
    assert build_plan.plan().key != everything.key


def test_without_nvcc_the_cpu_part_is_built_and_says_so(
    calls: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("BENCHSUITE_KERNELS")
    missing = toolchain.Missing("nvcc was not found", "pip install it")
    monkeypatch.setattr(toolchain, "find_nvcc", lambda: missing)  # looked up at each call
    builder.build()
    said = capsys.readouterr().err
    assert "without the CUDA part: nvcc was not found" in said
    assert "-> pip install it" in said
    found = library.locate()
    assert found is not None
    assert found.about["archs"] == []
    assert found.about["no_cuda_because"] == "nvcc was not found"
    assert library.status() == (True, "library in the cache, CPU only: nvcc was not found", "pip install it")
    missing = toolchain.Missing("nvcc is too old", "pip install a newer one")
    assert library.locate() is None  # the reason that is told is never yesterday's


def test_with_nvcc_cuda_sources_are_compiled_for_the_architectures(csrc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCHSUITE_KERNELS")
    monkeypatch.setattr(toolchain, "find_nvcc", lambda: toolchain.Compiler("/x/nvcc", "13.0.88", "/x/inc", "/x/lib"))
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "8.6;9.0+PTX")
    todo = build_plan.plan()
    (unit,) = [unit for unit in todo.units if unit.name == "twice cuda"]
    assert "-gencode=arch=compute_86,code=sm_86" in unit.command
    assert "-gencode=arch=compute_90,code=[sm_90,compute_90]" in unit.command
    assert todo.archs == ("8.6", "9.0+PTX")
    assert all("-DBENCHSUITE_CUDA=1" in unit.command for unit in todo.units if unit.name.endswith("ops"))
    (csrc / "ops" / "other.cpp").write_text("// has no CUDA source\n")
    (other,) = [unit for unit in build_plan.plan().units if unit.name == "other ops"]
    assert "-DBENCHSUITE_CUDA=0" in other.command
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "Ampere")
    with pytest.raises(UserError, match="TORCH_CUDA_ARCH_LIST: 'Ampere'"):
        build_plan.plan()


def test_without_a_compiler_what_was_built_before_is_used(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCHSUITE_KERNELS")
    monkeypatch.setattr(toolchain, "find_nvcc", lambda: toolchain.Missing("nvcc was not found", ""))
    built = builder.build()
    monkeypatch.setattr(toolchain, "find_cxx", lambda: toolchain.Missing("no C++ compiler", "apt-get install g++"))
    found = library.locate(build_allowed=True)
    assert found is not None
    assert found.path == built
    shutil.rmtree(build_plan.kernels_dir("libraries"))
    with pytest.raises(UserError, match="no C\\+\\+ compiler") as error:
        library.locate(build_allowed=True)
    assert error.value.hint == "apt-get install g++"


@pytest.mark.parametrize(
    ("changes", "taken"), [({}, True), ({"sources": "others"}, False), ({"machine": "abacus"}, False)]
)
def test_a_prebuilt_library_is_taken_if_it_is_of_these_sources(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], taken: bool
) -> None:
    import json

    monkeypatch.delenv("BENCHSUITE_KERNELS")
    prebuilt = tmp_path / "lib"
    prebuilt.mkdir()
    (prebuilt / builder.NAME).touch()
    about = {**builder.manifest(build_plan.plan(cpu_only=True)), **changes}
    (prebuilt / builder.MANIFEST).write_text(json.dumps(about))
    monkeypatch.setattr(library, "PREBUILT", prebuilt)
    found = library.locate()
    assert (found is not None and found.origin == "wheel") is taken


def test_an_older_torch_is_told_which_one_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(toolchain, "find_torch", lambda: toolchain.Torch(tmp_path, "2.9.1+cpu", None))
    with pytest.raises(UserError, match=r"need torch 2\.10 or later, and this is 2\.9\.1") as error:
        library.locate()
    assert error.value.hint == "pip install 'torch>=2.10'"


# --- with the real compiler ---------------------------------------------------------------------------------------

RUN = """
import sys, torch
from pathlib import Path
from benchsuite.cuda_ext import build, build_plan
build_plan.CSRC = Path(sys.argv[1])
torch.ops.load_library(str(build.build()))
ops = torch.ops.benchsuite
print(ops.cpu_isa())
for isa in ("v4", "v3", "v1"):
    ops.set_cpu_isa(isa)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        for n in (0, 1, 17, 1001):
            x = torch.randn(n).to(dtype)
            assert torch.equal(ops.twice(x), 2 * x), (isa, dtype, n)
for bad, why in ((torch.arange(3), "int64 is not among"), (torch.randn(4)[::2], "twice: x has gaps, shape (2)")):
    try:
        ops.twice(bad)
    except RuntimeError as error:
        assert why in str(error), error
    else:
        raise AssertionError(why)
"""


def test_a_family_compiles_loads_and_agrees_on_every_instruction_set(csrc: Path) -> None:
    command = [sys.executable, "-c", RUN, str(csrc)]
    for asked, objects in (("all", 5), ("v1", 2)):  # the operators' objects are others, the CPU's are not
        environment = {**os.environ, "BENCHSUITE_KERNELS_ISA": asked}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == ("v1" if asked == "v1" else toolchain.isa_here() or done.stdout.strip())
        assert f"kernels: {objects} objects with GCC" in done.stderr


@pytest.mark.skipif(isinstance(toolchain.find_nvcc(), toolchain.Missing), reason="no nvcc for torch's CUDA version")
def test_nvcc_compiles_for_three_generations_and_reports_registers(csrc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCHSUITE_KERNELS")
    monkeypatch.delenv("TORCH_CUDA_ARCH_LIST", raising=False)
    builder.build(portable=True)
    (unit,) = [unit for unit in build_plan.plan(portable=True).units if unit.name == "twice cuda"]
    report = unit.log.read_text()
    for arch in ("sm_80", "sm_90", "sm_100"):
        assert f"for '{arch}'" in report
    assert report.count("registers") == 3


def weak_symbols(objects: list[Path]) -> list[str]:
    """Symbols that the linker may take from any object, by name, without those that name one instruction set."""
    found = []
    for path in objects:
        text = subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout
        names = [line.split()[-1] for line in text.splitlines() if line.split()[-2] in ("W", "V", "u")]
        # DW.ref.… points to the handler of exceptions, which is one for all.
        found += [n for n in names if not n.startswith("DW.ref.") and not any(isa in n for isa in build_plan.ISAS)]
    return found


def test_no_object_offers_wide_instructions_to_the_others(csrc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An inline function of the standard library, compiled for AVX-512, must not be the one that every CPU calls."""
    with open(csrc / "cpu" / "twice.cpp", "a") as file:
        file.write("#include <vector>\ntemplate class std::vector<float>;\n")
    builder.build()
    bad = [unit.object for unit in build_plan.plan().units if unit.name == "twice cpu_v4"]
    assert any("vector" in name for name in weak_symbols(bad))
    monkeypatch.undo()
    builder.build()
    assert (
        weak_symbols([unit.object for unit in build_plan.plan().units if unit.name.split()[-1] in build_plan.ISAS])
        == []
    )
