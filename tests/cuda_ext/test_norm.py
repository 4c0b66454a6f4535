"""layer_norm and embedding_layer_norm on the CPU, against float64 formulas."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch.nn import functional as F

from benchsuite import cuda_ext
from benchsuite.cuda_ext.norm import embedding, embedding_layer_norm, layer_norm

from .operators import DTYPES, ISAS, LIMITS, check, error, gradients, isa

pytestmark = pytest.mark.slow


def formula(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None = None) -> torch.Tensor:
    return F.layer_norm(x, x.shape[-1:], w, b, 1e-5)


def embedded(places: torch.Tensor, tokens: torch.Tensor) -> Callable[..., torch.Tensor]:
    """The norm is on the words alone; positions come after it."""
    return lambda t, p, w, b=None: formula(F.embedding(tokens, t), w, b) + F.embedding(places, p)


def ours_embedded(places: torch.Tensor, tokens: torch.Tensor) -> Callable[..., torch.Tensor]:
    return lambda t, p, w, b=None: embedding_layer_norm(tokens, t, w, b, positions=places, position_table=p)


@pytest.mark.parametrize("dtype", DTYPES)
def test_layer_norm_is_the_formula(dtype: torch.dtype) -> None:
    for shape in [(1, 2), (5, 7), (3, 4, 33), (70, 384), (2, 1, 1025), (0, 8)]:
        x, w, b = (torch.randn(s, dtype=dtype) for s in (shape, shape[-1:], shape[-1:]))
        check(layer_norm, formula, [x, w, b], limit=3 * LIMITS[dtype])
        check(layer_norm, formula, [x, w], limit=3 * LIMITS[dtype])


@pytest.mark.parametrize("name", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_instruction_set_gives_the_result(name: str, dtype: torch.dtype) -> None:
    x, w, b = torch.randn(40, 77, dtype=dtype), torch.randn(77, dtype=dtype), torch.randn(77, dtype=dtype)
    tokens = torch.randint(40, (60,))
    with isa(name):
        check(layer_norm, formula, [x, w, b], limit=3 * LIMITS[dtype])
        check(
            lambda t, w: embedding_layer_norm(tokens, t, w),
            lambda t, w: formula(F.embedding(tokens, t), w),
            [x, w],
            6 * LIMITS[dtype],
        )
        places, position_table = torch.randint(9, (60,)), torch.randn(9, 77, dtype=dtype)
        inputs = [x, position_table, w, b]
        check(ours_embedded(places, tokens), embedded(places, tokens), inputs, 6 * LIMITS[dtype])


def test_the_variance_is_taken_about_the_mean() -> None:
    x, w = torch.randn(20, 500) + 1000, torch.ones(500)
    # A mean of 1000 costs float32 1000 eps in x itself; E[x²] - E[x]² would cost 1000² eps.
    assert error(layer_norm(x, w), formula(x.double(), w.double())) < 1e-3


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_may_have_any_stride(dtype: torch.dtype) -> None:
    base, w = torch.randn(9, 150, dtype=dtype), torch.randn(50, dtype=dtype)
    for view in (base[:, 3:53], base[::2, :50], base.t()[:50].t(), base[None, :, 100:].expand(2, -1, -1)):
        assert error(layer_norm(view, w), formula(view.double(), w.double())) <= 3 * LIMITS[dtype]


def test_the_same_bits_for_any_number_of_threads() -> None:
    x, w, b, grad = torch.randn(3000, 96), torch.randn(96), torch.randn(96), torch.randn(3000, 96)
    tokens, table, places, positions = torch.randint(50, (3000,)), torch.randn(50, 96), torch.arange(3000) % 7, x[:7]
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(
            [
                *gradients(layer_norm, [x, w, b], grad),
                *gradients(lambda t, w, b: embedding_layer_norm(tokens, t, w, b), [table, w, b], grad),
                *gradients(ours_embedded(places, tokens), [table, positions, w, b], grad),
                *gradients(lambda t: embedding(tokens, t), [table], grad),
            ]
        )
    torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
def test_embedding_layer_norm_is_the_formula(dtype: torch.dtype) -> None:
    tokens, places = torch.randint(11, (3, 6)), torch.arange(6)
    table, position_table, w, b = (torch.randn(s, dtype=dtype) for s in ((11, 33), (8, 33), (33,), (33,)))
    limit = 6 * LIMITS[dtype]
    check(
        lambda t, w, b: embedding_layer_norm(tokens, t, w, b),
        lambda t, w, b: formula(F.embedding(tokens, t), w, b),
        [table, w, b],
        limit,
    )
    check(ours_embedded(places, tokens), embedded(places, tokens), [table, position_table, w], limit)
    check(ours_embedded(places, tokens), embedded(places, tokens), [table, position_table, w, b], limit)


def test_tables_of_16_bits_take_weights_of_32() -> None:
    tokens, places = torch.randint(11, (3, 6)), torch.arange(6)
    table, position_table = (torch.randn(n, 33, dtype=torch.bfloat16) for n in (11, 8))
    inputs = [table, position_table, torch.randn(33), torch.randn(33)]
    assert ours_embedded(places, tokens)(*inputs).dtype == torch.bfloat16
    check(ours_embedded(places, tokens), embedded(places, tokens), inputs, 6 * LIMITS[torch.bfloat16])


def test_a_token_that_comes_often_gathers_all_its_gradients() -> None:
    tokens, table, w = torch.zeros(500, dtype=torch.int64), torch.randn(2, 16), torch.randn(16)
    check(
        lambda t, w: embedding_layer_norm(tokens, t, w),
        lambda t, w: formula(F.embedding(tokens, t), w),
        [table, w],
        1e-4,
    )


@pytest.fixture
def memory_is_never_zero() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    yield
    torch.use_deterministic_algorithms(before)


@pytest.mark.usefixtures("memory_is_never_zero")
@pytest.mark.parametrize(
    ("count", "vocab", "columns"),
    [(1, 1000, 7), (700, 5, 33), (3000, 4000, 129), (50, 70_000, 64), (2000, 7, 160)],
    ids=["one token", "often", "some twice", "few of a table that no cache holds", "many positions"],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_row_of_the_tables_gets_its_gradient(dtype: torch.dtype, count: int, vocab: int, columns: int) -> None:
    tokens, places = torch.randint(vocab, (count,)), torch.randint(1, 400, (count,))
    table, position_table, w = (torch.randn(s, dtype=dtype) for s in ((vocab, columns), (400, columns), (columns,)))
    check(ours_embedded(places, tokens), embedded(places, tokens), [table, position_table, w], 6 * LIMITS[dtype])
    check(
        lambda t, w: embedding_layer_norm(tokens, t, w),
        lambda t, w: formula(F.embedding(tokens, t), w),
        [table, w],
        6 * LIMITS[dtype],
    )


@pytest.mark.usefixtures("memory_is_never_zero")
@pytest.mark.parametrize(
    ("shape", "vocab", "columns"),
    [((1,), 9, 1), ((0, 3), 4, 5), ((5, 140), 6, 33), ((50,), 70_000, 64), ((900,), 11, 300)],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_embedding_is_torchs(dtype: torch.dtype, shape: tuple[int, ...], vocab: int, columns: int) -> None:
    tokens, table = torch.randint(vocab, shape), torch.randn(vocab, columns, dtype=dtype)
    check(lambda t: embedding(tokens, t), lambda t: F.embedding(tokens, t), [table], LIMITS[dtype])
    assert torch.equal(embedding(tokens, table), F.embedding(tokens, table))


def test_gradients_by_rows_add_up_to_those_of_the_table() -> None:
    cuda_ext.load()
    ops = torch.ops.benchsuite
    tokens, table, w = torch.randint(11, (300,)), torch.randn(11, 40), torch.randn(40)
    y, mean, rstd = ops.embedding_layer_norm(tokens, table, None, None, w, None, 1e-5)
    given = (torch.randn_like(y), tokens, table, w, mean, rstd)
    dtable, *affine = ops.embedding_layer_norm_backward(*given)
    rows, *affine_by_rows = ops.embedding_layer_norm_rows_backward(*given)  # as CUDA does it
    torch.testing.assert_close(torch.zeros_like(table).index_add_(0, tokens, rows), dtable, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(affine_by_rows, affine, rtol=1e-5, atol=1e-4)


def test_no_tokens() -> None:
    table, w = torch.randn(5, 4), torch.randn(4)
    check(
        lambda t, w: embedding_layer_norm(torch.empty(0, 3, dtype=torch.int64), t, w),
        lambda t, w: formula(F.embedding(torch.empty(0, 3, dtype=torch.int64), t), w),
        [table, w],
    )
    none = torch.empty(0, 3, dtype=torch.int64)
    check(ours_embedded(none, none), embedded(none, none), [table, torch.randn(2, 4), w])


def test_gradcheck() -> None:
    x, w, b = (torch.randn(s, dtype=torch.float64, requires_grad=True) for s in ((3, 2, 5), (5,), (5,)))
    assert torch.autograd.gradcheck(layer_norm, (x, w, b))
    tokens, places = torch.tensor([[0, 2, 2], [1, 0, 2]]), torch.arange(3)
    table, positions = (torch.randn(3, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(ours_embedded(places, tokens), (table, positions, w, b))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_opcheck(dtype: torch.dtype) -> None:
    cuda_ext.load()
    ops = torch.ops.benchsuite
    x, w, b = (torch.randn(s, dtype=dtype, requires_grad=True) for s in ((3, 8), (8,), (8,)))
    torch.library.opcheck(ops.layer_norm.default, (x, w, b, 1e-5))
    torch.library.opcheck(ops.layer_norm.default, (x, w, None, 1e-5))
    x, w, b = x.detach(), w.detach(), b.detach()
    _, mean, rstd = ops.layer_norm(x, w, b, 1e-5)
    torch.library.opcheck(ops.layer_norm_backward.default, (torch.randn_like(x), x, w, mean, rstd))
    torch.library.opcheck(
        ops.layer_norm_out.default, (x, w, b, 1e-5, torch.empty_like(x), torch.empty_like(mean), torch.empty_like(rstd))
    )
    tokens, table = torch.randint(5, (2, 3)), torch.randn(5, 8, dtype=dtype, requires_grad=True)
    w = w.requires_grad_()
    torch.library.opcheck(ops.embedding.default, (tokens, table))
    torch.library.opcheck(ops.embedding_backward.default, (torch.randn(2, 3, 8, dtype=dtype), tokens, 5))
    places, position_table = torch.tensor([[0, 1, 2], [2, 0, 0]]), torch.randn(4, 8, dtype=dtype, requires_grad=True)
    for more in ((None, None), (places, position_table)):
        torch.library.opcheck(ops.embedding_layer_norm.default, (tokens, table, *more, w, b, 1e-5))
    table, w = table.detach(), w.detach()
    y, mean, rstd = ops.embedding_layer_norm(tokens, table, None, None, w, b, 1e-5)
    given = (torch.randn_like(y), tokens, table, w, mean, rstd)
    torch.library.opcheck(ops.embedding_layer_norm_backward.default, given)
    torch.library.opcheck(ops.embedding_layer_norm_rows_backward.default, given)


def test_torch_compile_takes_them_whole() -> None:
    tokens, w, places = torch.randint(5, (2, 3)), torch.randn(8), torch.arange(3)
    tables = [torch.randn(5, 8, requires_grad=True), torch.randn(4, 8, requires_grad=True)]

    def block(table: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return layer_norm(ours_embedded(places, tokens)(table, positions, w) * 2, w)

    want = block(*tables)
    grads = torch.autograd.grad(want.square().sum(), tables)
    got = torch.compile(block, backend="aot_eager", fullgraph=True)(*tables)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(torch.autograd.grad(got.square().sum(), tables), grads)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: layer_norm(torch.randn(2, 4), torch.randn(5)), r"weight has shape \(5\), not \(4\)"),
        (lambda: layer_norm(torch.randn(2, 4), torch.randn(4).half()), "different types"),
        (lambda: layer_norm(torch.tensor(1.0), torch.randn(1)), "no dimension"),
        (
            lambda: embedding_layer_norm(torch.tensor([7]), torch.randn(5, 4), torch.randn(4)),
            "tokens hold 7, the table has 5 rows",
        ),
        (lambda: embedding(torch.tensor([7]), torch.randn(5, 4)), "tokens hold 7, the table has 5 rows"),
        (lambda: embedding_layer_norm(torch.tensor([-1]), torch.randn(5, 4), torch.randn(4)), "tokens hold -1"),
        (lambda: embedding_layer_norm(torch.tensor([1.0]), torch.randn(5, 4), torch.randn(4)), "not int64"),
        (
            lambda: embedding_layer_norm(
                torch.tensor([1]), torch.randn(5, 4), torch.randn(4), positions=torch.tensor([0])
            ),
            "come together",
        ),
    ],
)
def test_what_does_not_fit_is_said(call, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        call()
