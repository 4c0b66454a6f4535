"""A small operator family of its own to build, and compilers that only pretend."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchsuite.cuda_ext import build_plan, toolchain

SHARED = ("types.h", "tensor.h", "library.cpp", "cpu/parallel.h", "cpu/simd.h", "cpu/dispatch.h")
TWICE = {
    "cpu/twice.h": """
#include "../types.h"
namespace benchsuite { namespace BENCHSUITE_ISA { void twice(Type type, const void* x, void* y, int64_t n); } }
""",
    "cpu/twice.cpp": """
#include "twice.h"
#include "parallel.h"
#include "simd.h"
namespace benchsuite { namespace BENCHSUITE_ISA {
template <class T> void run(const T* x, T* y, int64_t n) {
  parallel_for(n, 64, [=](int64_t i, int64_t end) {
    for (; i + kLanes<T> <= end; i += kLanes<T>) store(y + i, load(x + i) * 2.f);
    if (i < end) store(y + i, load(x + i, int(end - i)) * 2.f, int(end - i));
  });
}
void twice(Type type, const void* x, void* y, int64_t n) {
  if (type == Type::f32) run(static_cast<const float*>(x), static_cast<float*>(y), n);
  if (type == Type::bf16) run(static_cast<const bf16*>(x), static_cast<bf16*>(y), n);
  if (type == Type::f16) run(static_cast<const f16*>(x), static_cast<f16*>(y), n);
}
} }
""",
    "ops/twice.cpp": """
#include "../tensor.h"
#define BENCHSUITE_FAMILY "cpu/twice.h"
#include "../cpu/dispatch.h"
namespace {
using namespace benchsuite;
Tensor twice(const Tensor& x) {
  require(x.is_contiguous(), "twice: x has gaps, shape ", shape(x));
  Tensor y = new_like(x);
  BENCHSUITE_CPU(twice)(type_of(x, "twice"), x.const_data_ptr(), y.mutable_data_ptr(), x.numel());
  return y;
}
}
STABLE_TORCH_LIBRARY_FRAGMENT(benchsuite, m) { m.def("twice(Tensor x) -> Tensor"); }
STABLE_TORCH_LIBRARY_IMPL(benchsuite, CPU, m) { m.impl("twice", TORCH_BOX(&twice)); }
""",
    "cuda/twice.h": "#pragma once\n",
    "cuda/twice.cu": '#include "twice.h"\n__global__ void twice_f32(float* x) { x[threadIdx.x] *= 2; }\n',
}

# Takes note of each call, then does what its name says: compiles to a file with the command in it, or fails.
FAKE_CXX = """#!/bin/sh
case "$*" in
  *--version*) echo "g++ (GCC) 12.2.0; Free Software Foundation"; exit 0;;
  *-dumpfullversion*) echo 12.2.0; exit 0;;
esac
for last; do :; done
echo "$*" >> {calls}
if grep -q BROKEN {csrc}/ops/twice.cpp; then
  case "$*" in *ops/twice.cpp*) echo "twice.cpp:3:1: error: 'BROKEN' was not declared" >&2; exit 1;; esac
fi
if grep -q KILLED {csrc}/ops/twice.cpp; then
  case "$*" in *ops/twice.cpp*) kill -9 $$;; esac
fi
sleep 0.05
echo "$*" > "$last"
"""


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def _find_anew() -> Iterator[None]:
    """The compilers are looked for once in a process; a test that changes them looks again."""
    finders = (toolchain.find_torch, toolchain.find_cxx, toolchain.find_nvcc)
    for finder in finders:
        finder.cache_clear()
    yield
    for finder in finders:
        finder.cache_clear()


@pytest.fixture
def csrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sources of one family, `twice`, and an empty cache for what is built of them: for every CPU, without CUDA."""
    folder = tmp_path / "csrc"
    for name in SHARED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(build_plan.CSRC / name, folder / name)
    for name, text in TWICE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setattr(build_plan, "CSRC", folder)
    monkeypatch.setenv("BENCHSUITE_KERNELS_CACHE", str(tmp_path / "kernels"))
    monkeypatch.setenv("BENCHSUITE_KERNELS", "cpu")
    monkeypatch.setenv("BENCHSUITE_KERNELS_ISA", "all")
    monkeypatch.delenv("BENCHSUITE_KERNELS_ONLY", raising=False)
    return folder


@pytest.fixture
def calls(csrc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pretended g++; the file has one line for each compilation and link."""
    log = tmp_path / "calls"
    log.touch()
    path = executable(tmp_path / "bin" / "g++", FAKE_CXX.format(calls=log, csrc=csrc))
    monkeypatch.setenv("CXX", str(path))
    return log
