// cross_entropy_rows_: the fused part of linear_cross_entropy, whose matrix products are torch's (cross_entropy.py).
#include "../cuda/cross_entropy.h"
#include "../tensor.h"

#define BENCHSUITE_FAMILY "cpu/cross_entropy.h"
#include "../cpu/dispatch.h"

namespace benchsuite {
namespace {

Tensor cross_entropy_rows(Tensor logits, const Tensor& targets, int64_t ignore, double scale, bool gradient) {
  const char* op = "cross_entropy_rows_";
  Type type = type_of(logits, op);
  require(logits.dim() == 2 && logits.is_contiguous(), op, ": logits are not a contiguous matrix");
  int64_t rows = logits.size(0), columns = logits.size(1);
  require_exactly(targets, logits, ScalarType::Long, {rows}, op, "targets");
  require_apart(logits, {&targets}, op, "logits");
  Tensor losses = empty({rows}, logits, arithmetic(logits));
  if (rows == 0) return losses;
  require(columns > 0, op, ": there are no classes");
  const int64_t* at = static_cast<const int64_t*>(targets.const_data_ptr());
  if (logits.is_cpu()) {
    for (int64_t r = 0; r < rows; ++r)
      require(at[r] == ignore || (at[r] >= 0 && at[r] < columns), op, ": target ", at[r], " is not among ", columns,
              " classes");
    BENCHSUITE_CPU(cross_entropy_rows)(type, logits.mutable_data_ptr(), at, ignore, scale, gradient,
                                       losses.mutable_data_ptr(), rows, columns);
    return losses;
  }
#if BENCHSUITE_CUDA
  OnDevice on(logits);
  cuda::cross_entropy_rows(type, logits.mutable_data_ptr(), at, ignore, scale, gradient, losses.mutable_data_ptr(), rows,
                           columns, on.stream());
#endif
  return losses;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(benchsuite, m) {
  m.def("cross_entropy_rows_(Tensor(a!) logits, Tensor targets, int ignore, float scale, bool gradient) -> Tensor");
  m.def("linear_cross_entropy(Tensor x, Tensor weight, Tensor targets, int ignore, bool gradient) "
        "-> (Tensor, Tensor, Tensor)");
  m.def("rounded_cross_entropy(Tensor x, Tensor weight, Tensor targets, int ignore, bool gradient) "
        "-> (Tensor, Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(benchsuite, CPU, m) { m.impl("cross_entropy_rows_", TORCH_BOX(&cross_entropy_rows)); }
#if BENCHSUITE_CUDA
STABLE_TORCH_LIBRARY_IMPL(benchsuite, CUDA, m) { m.impl("cross_entropy_rows_", TORCH_BOX(&cross_entropy_rows)); }
#endif

}  // namespace benchsuite
