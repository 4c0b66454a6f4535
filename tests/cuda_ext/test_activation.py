"""act and glu on the CPU: against float64 formulas, in every type, layout and instruction set."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from benchsuite import cuda_ext
from benchsuite.cuda_ext.activation import ACT_KINDS, GLU_KINDS, act, glu, glu_separate

from .operators import DTYPES, ISAS, LIMITS, check, error, isa

pytestmark = pytest.mark.slow

FORMULAS = {
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_erf": F.gelu,
    "relu": F.relu,
    "relu2": lambda x: F.relu(x).square(),
    "silu": F.silu,
}
GATES = {"swiglu": F.silu, "geglu": FORMULAS["gelu"], "reglu": F.relu}
SHAPES = [(1,), (7,), (16, 64), (3, 5, 33), (2, 1, 100), (700, 344), (0, 8), (4, 0)]


def glu_formula(x: torch.Tensor, kind: str) -> torch.Tensor:
    gate, up = x.chunk(2, -1)
    return GATES[kind](gate) * up


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ACT_KINDS)
def test_act_is_the_formula(kind: str, dtype: torch.dtype) -> None:
    for shape in SHAPES:
        check(lambda x: act(x, kind), FORMULAS[kind], [torch.randn(shape, dtype=dtype) * 3])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", GLU_KINDS)
def test_glu_is_the_formula(kind: str, dtype: torch.dtype) -> None:
    for *rest, columns in SHAPES:
        x = torch.randn(*rest, 2 * columns, dtype=dtype) * 2
        check(lambda x: glu(x, kind), lambda x: glu_formula(x, kind), [x])
        check(
            lambda x: glu_separate(*x.chunk(2, -1), kind),
            lambda x: glu_formula(x, kind),
            [x],
        )


@pytest.mark.parametrize("name", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_instruction_set_gives_the_result(name: str, dtype: torch.dtype) -> None:
    with isa(name):
        for kind in ACT_KINDS:
            check(lambda x: act(x, kind), FORMULAS[kind], [torch.randn(5, 77, dtype=dtype) * 3])
        check(lambda x: glu(x, "swiglu"), lambda x: glu_formula(x, "swiglu"), [torch.randn(5, 154, dtype=dtype)])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_bias_is_added_before_and_has_its_gradient(dtype: torch.dtype) -> None:
    x, bias = torch.randn(9, 34, dtype=dtype), torch.randn(34, dtype=dtype)
    check(lambda x, b: act(x, "gelu", b), lambda x, b: FORMULAS["gelu"](x + b), [x, bias])
    check(lambda x, b: glu(x, "swiglu", b), lambda x, b: glu_formula(x + b, "swiglu"), [x, bias])


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_may_have_any_stride_and_start_anywhere(dtype: torch.dtype) -> None:
    base = torch.randn(11, 130, dtype=dtype)
    views = [base[:, 1:67], base[::2, :66], base.t()[:66, :].t(), base[None, :, 3:69].expand(2, -1, -1)]
    for view in views:
        want = FORMULAS["gelu"](view.double())
        assert error(act(view, "gelu"), want) <= LIMITS[dtype]
        assert error(glu(view, "geglu"), glu_formula(view.double(), "geglu")) <= LIMITS[dtype]


def test_extreme_values_are_torch_s() -> None:
    x = torch.tensor([-torch.inf, -1e30, -200.0, -88.0, -1e-30, 0.0, 1e-30, 88.0, 200.0, 1e30, torch.inf, torch.nan])
    for kind in ("relu", "relu2", "gelu_erf", "silu", "gelu"):
        got, want = act(x, kind)[1:-2], FORMULAS[kind](x)[1:-2]
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-30)
        assert act(x, kind)[-1].isnan()


def test_out_writes_where_it_is_told() -> None:
    x, out = torch.randn(6, 20), torch.full((6, 10), 7.0)
    cuda_ext.load()
    torch.ops.benchsuite.glu_out(x, None, "reglu", out)
    torch.testing.assert_close(out, glu_formula(x, "reglu"))
    torch.ops.benchsuite.act_out(x[:, :10], None, "relu", out)
    torch.testing.assert_close(out, x[:, :10].relu())


def test_gradcheck() -> None:
    x = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(6, dtype=torch.float64, requires_grad=True)
    for kind in ("gelu", "gelu_erf", "silu"):
        assert torch.autograd.gradcheck(lambda x, b, kind=kind: act(x, kind, b), (x, bias))
    for kind in ("swiglu", "geglu"):
        assert torch.autograd.gradcheck(lambda x, b, kind=kind: glu(x, kind, b), (x, bias))
        assert torch.autograd.gradcheck(lambda x, kind=kind: glu_separate(*x.chunk(2, -1), kind), (x,))


def test_a_second_derivative_is_refused() -> None:
    x = torch.randn(4, requires_grad=True)
    with pytest.raises(RuntimeError, match="act: benchsuite's kernels cannot be differentiated twice"):
        torch.autograd.grad(act(x, "gelu").sum(), x, create_graph=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_opcheck(dtype: torch.dtype) -> None:
    cuda_ext.load()
    ops = torch.ops.benchsuite
    x, bias = torch.randn(3, 8, dtype=dtype, requires_grad=True), torch.randn(8, dtype=dtype, requires_grad=True)
    torch.library.opcheck(ops.act.default, (x, bias, "gelu"))
    torch.library.opcheck(ops.act.default, (x, None, "relu2"))
    torch.library.opcheck(ops.glu.default, (x, bias, "swiglu"))
    torch.library.opcheck(ops.glu_separate.default, (x, x.detach().clone().requires_grad_(), "reglu"))
    x = x.detach()
    torch.library.opcheck(ops.act_backward.default, (torch.randn_like(x), x, None, "gelu"))
    torch.library.opcheck(ops.glu_backward.default, (torch.randn(3, 4, dtype=dtype), x, None, "swiglu"))
    torch.library.opcheck(ops.act_out.default, (x, None, "gelu", torch.empty_like(x)))


def test_torch_compile_takes_them_whole() -> None:
    def block(x: torch.Tensor) -> torch.Tensor:
        return glu(act(x * 2, "gelu"), "swiglu") + 1

    x = torch.randn(4, 12, requires_grad=True)
    want = block(x)
    (grad,) = torch.autograd.grad(want.sum(), x)
    got = torch.compile(block, backend="aot_eager", fullgraph=True)(x)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(torch.autograd.grad(got.sum(), x)[0], grad)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: act(torch.randn(3), "gleu"), "unknown kind 'gleu'; choose from gelu"),
        (lambda: glu(torch.randn(3), "swiglu"), "has no halves"),
        (lambda: glu(torch.randn(4), "gelu"), "choose from swiglu"),
        (lambda: act(torch.arange(3), "relu"), "int64 is not among float32"),
        (lambda: act(torch.randn(3), "relu", torch.randn(4)), r"bias has shape \(4\), not \(3\)"),
        (lambda: act(torch.randn(3), "relu", torch.randn(3).double()), "different types"),
        (lambda: act(torch.tensor(1.0), "relu"), "no dimension"),
        (lambda: glu_separate(torch.randn(3), torch.randn(4), "swiglu"), "shapes differ"),
        (lambda: torch.ops.benchsuite.act_out(torch.randn(4), None, "relu", torch.randn(8)[::2]), "not contiguous"),
        (lambda: torch.ops.benchsuite.act_backward(torch.randn(5), torch.randn(4), None, "relu"), "shapes differ"),
    ],
)
def test_what_does_not_fit_is_said(call, message: str) -> None:
    cuda_ext.load()
    with pytest.raises(RuntimeError, match=message):
        call()
