"""Faults that are planted in the host code of the CUDA operators, each of which a test of test_operators must find.

Each fault changes one place of a copy of the checkout, and the test that is named beside it must fail there. A fault
that does not compile, or that breaks the set-up of the tests, is an error and not a find.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ptx.conftest import needs_nvcc

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
NOT_COPIED = (".venv", ".git", "build", "docs", "site", "__pycache__", ".*_cache")


@dataclass(frozen=True)
class Fault:
    """One place of a file under cuda_ext/csrc, what is planted there, and the test that must fail."""

    what: str
    file: str
    right: str
    wrong: str
    found_by: str


def results(family: str, dtype: str = "bfloat16") -> str:
    return f"test_the_launched_kernels_give_what_the_operator_gives_in_float64[{family}-torch.{dtype}]"


FAILS = "test_a_launch_that_fails_is_an_error_of_the_operator"
HUGE = "test_sizes_that_no_memory_has_are_launched_within_cuda_s_limits"

FAULTS = (
    Fault(
        "activation: the alignment of x is not asked for",
        "cuda/activation.cu",
        "bool wide = aligned(x) && aligned(y) && aligned(bias) && (rows",
        "bool wide = aligned(y) && aligned(bias) && (rows",
        results("activations"),
    ),
    Fault(
        "activation, backward: the gradient and x are swapped",
        "cuda/activation.cu",
        "as<T>(grad), as<T>(x), x_stride, as<T>(bias), as<T>(dx),",
        "as<T>(x), as<T>(grad), x_stride, as<T>(bias), as<T>(dx),",
        results("activations"),
    ),
    Fault(
        "GLU: the strides of gate and up are swapped",
        "cuda/activation.cu",
        "(as<T>(gate), as<T>(up), gate_stride, up_stride,\n",
        "(as<T>(gate), as<T>(up), up_stride, gate_stride,\n",
        results("activations"),
    ),
    Fault(
        "all: bfloat16 runs the kernel of float16",
        "cuda/common.cuh",
        "case Type::bf16: return body(bf16{});",
        "case Type::bf16: return body(f16{});",
        results("activations"),
    ),
    Fault(
        "norm, sums: the grid is rounded down",
        "cuda/norm.cu",
        "unsigned((both + kWarp - 1) / kWarp)",
        "unsigned(both / kWarp)",
        results("norms"),
    ),
    Fault(
        "norm, sums: nobody looks whether the launch failed",
        "cuda/norm.cu",
        "as<float>(partial), blocks, as<T>(dw), as<T>(db), both);\n    check_launch();",
        "as<float>(partial), blocks, as<T>(dw), as<T>(db), both);",
        f"{FAILS}[layer_norm_backward]",
    ),
    Fault(
        "norm, backward: the alignment of the weight is not asked for",
        "cuda/norm.cu",
        "if (!(whole_packs<N>(x) && aligned(weight) && aligned(dy)",
        "if (!(whole_packs<N>(x) && aligned(dy)",
        results("norms"),
    ),
    Fault(
        "norm, backward: a block of more threads than the kernel is compiled for",
        "cuda/norm.cu",
        "row_threads(x.columns, N, P, kBackwardThreads);",
        "2 * row_threads(x.columns, N, P, kBackwardThreads);",
        results("norms"),
    ),
    Fault(
        "norm, backward: mean and rstd are swapped",
        "ops/norm.cpp",
        "cuda::norm_backward(x, dy.const_data_ptr(), weight.const_data_ptr(), mean.const_data_ptr(), rstd",
        "cuda::norm_backward(x, dy.const_data_ptr(), weight.const_data_ptr(), rstd.const_data_ptr(), mean",
        results("norms"),
    ),
    Fault(
        "norm, backward: the workspace is half as large as its sums",
        "ops/norm.cpp",
        "partial = empty({blocks, 2, columns}, mean);",
        "partial = empty({blocks, 1, columns}, mean);",
        results("norms"),
    ),
    Fault(
        "norm, backward: one block more than there are sums for",
        "ops/norm.cpp",
        "dx.mutable_data_ptr(), wide, sums.partial.mutable_data_ptr(), sums.blocks, on.stream());",
        "dx.mutable_data_ptr(), wide, sums.partial.mutable_data_ptr(), sums.blocks + 1, on.stream());",
        results("norms"),
    ),
    Fault(
        "softmax: the launch is on the default stream",
        "cuda/softmax.cu",
        "kernel<<<row_blocks(heads * Tq), threads, 0, cudaStream_t(stream)>>>(as<T>(s), slopes",
        "kernel<<<row_blocks(heads * Tq), threads, 0, nullptr>>>(as<T>(s), slopes",
        results("softmaxes"),
    ),
    Fault(
        "softmax: the slopes are taken for the heads of all batches",
        "cuda/softmax.cu",
        "heads * Tq, int(H), int(Tq), int(Tk));",
        "heads * Tq, int(heads), int(Tq), int(Tk));",
        results("softmaxes"),
    ),
    Fault(
        "softmax: rows that are no whole packs are read as packs",
        "cuda/softmax.cu",
        "bool wide = Tk % N == 0 && aligned(s) && aligned(p);",
        "bool wide = aligned(s) && aligned(p);",
        results("softmaxes"),
    ),
    Fault(
        "softmax, backward: the scale is left out",
        "cuda/softmax.cu",
        "as<T>(dp), as<T>(p), float(scale), causal, as<T>(ds),",
        "as<T>(dp), as<T>(p), 1.f, causal, as<T>(ds),",
        results("softmaxes"),
    ),
    Fault(
        "rotary: the kernels of interleaved channels and of halves are swapped",
        "cuda/rotary.cu",
        "auto kernel = interleaved ? (wide",
        "auto kernel = !interleaved ? (wide",
        results("rotations"),
    ),
    Fault(
        "rotary: the alignment of q is not asked for",
        "cuda/rotary.cu",
        "whole_packs<N>(q) && whole_packs<N>(q_out) &&",
        "whole_packs<N>(q_out) &&",
        results("rotations"),
    ),
    Fault(
        "rotary: keys are read with the strides of queries",
        "ops/rotary.cpp",
        "cuda::rotary(type, heads_of(q), q_out, heads_of(k), k_out",
        "cuda::rotary(type, heads_of(q), q_out, Heads{heads_of(k).p, q.stride(0), q.stride(1), q.stride(2)}, k_out",
        results("rotations"),
    ),
    Fault(
        "rotary: the tensors' device is not made current",
        "ops/rotary.cpp",
        "  OnDevice on(q);\n",
        "  struct { int32_t of; void* stream() const { return current_stream(of); } } on{q.get_device_index()};\n",
        results("rotations"),
    ),
    Fault(
        "cross-entropy: rows and columns are swapped",
        "cuda/cross_entropy.cu",
        "as<float>(losses), rows, columns);",
        "as<float>(losses), columns, rows);",
        results("entropies"),
    ),
    Fault(
        "attention: shared memory for one tile of keys too few",
        "cuda/attention.cu",
        "(kWarps<T> * kWarpRows + 2 * kKeys<T>) * kStride",
        "(kWarps<T> * kWarpRows + kKeys<T>) * kStride",
        results("attentions"),
    ),
    Fault(
        "attention: shared memory above 48 KB is not asked for",
        "cuda/attention_launch.cuh",
        "  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);\n",
        "",
        results("attentions"),
    ),
    Fault(
        "attention: more blocks than a grid has wrap around",
        "cuda/attention_launch.cuh",
        "  if (blocks > INT32_MAX) throw",
        "  if (false) throw",
        HUGE,
    ),
    Fault(
        "attention: the last tile of queries is left out",
        "cuda/attention.cu",
        "a, (a.Tq + Q - 1) / Q,",
        "a, a.Tq > Q ? a.Tq / Q : 1,",
        results("attentions"),
    ),
    Fault(
        "attention, backward: the gradients of keys over the queries' tiles",
        "cuda/attention_backward.cu",
        "sum(attention_backward_kernel<T, HD, Sums::dk_dv>, a.Tk);",
        "sum(attention_backward_kernel<T, HD, Sums::dk_dv>, a.Tq);",
        results("attentions"),
    ),
    Fault(
        "attention, backward: the workspace has the type of the queries",
        "ops/attention.cpp",
        "Tensor delta = empty({a.B, a.H, a.Tq}, like, ScalarType::Float);",
        "Tensor delta = empty({a.B, a.H, a.Tq}, like);",
        results("attentions"),
    ),
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs_nvcc()
    target = tmp_path_factory.mktemp("planted") / "checkout"
    return Path(shutil.copytree(ROOT, target, symlinks=True, ignore=shutil.ignore_patterns(*NOT_COPIED)))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_the_fault_is_found(checkout: Path, fault: Fault) -> None:
    path = checkout / "cuda_ext" / "csrc" / fault.file
    right = path.read_text()
    assert right.count(fault.right) == 1, "the code has changed: plant this fault elsewhere"
    path.write_text(right.replace(fault.right, fault.wrong))
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "--tb=line", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            [*command, f"tests/ptx/test_operators.py::{fault.found_by}"], cwd=checkout, capture_output=True, text=True
        )
    finally:
        path.write_text(right)
    assert done.returncode == 1, done.stdout + done.stderr  # 0: not found; 2 and more: the test did not run
    assert f"FAILED tests/ptx/test_operators.py::{fault.found_by}" in done.stdout, done.stdout
