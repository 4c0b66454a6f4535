// linear: y = onto + x Wᵀ + b by the CPU's 16-bit products, of what is float32 or bfloat16. There is no CUDA part.
#include "../tensor.h"

#define BENCHSUITE_FAMILY "cpu/linear.h"
#include "../cpu/dispatch.h"

namespace benchsuite {
namespace {

Type source(const Tensor& t, const char* op, const char* name) {
  const Type type = type_of(t, op);
  require(type == Type::f32 || type == Type::bf16, op, ": ", name, " is ", type_name(t.scalar_type()),
          ", not float32 or bfloat16");
  return type;
}

struct Sizes {
  int64_t rows, in, out;
};

Sizes check(const Tensor& x, const Tensor& weight, const char* op) {
  require(products() != Products::none, op, ": this CPU has no 16-bit products");
  require_same_device(x, weight, op);
  require(x.dim() > 0 && weight.dim() == 2, op, ": x (..., in) and weight (out, in) have shapes ", shape(x), " and ",
          shape(weight));
  const int64_t out = weight.size(0), in = weight.size(1);
  require(x.size(x.dim() - 1) == in, op, ": x (..., in) and weight (out, in) have shapes ", shape(x), " and ",
          shape(weight));
  return {in ? x.numel() / in : 0, in, out};
}

Tensor linear(const Tensor& x, const Tensor& weight, const MaybeTensor& bias, const MaybeTensor& onto) {
  const char* op = "linear";
  const Type x_type = source(x, op, "x"), w_type = source(weight, op, "weight");
  const Sizes n = check(x, weight, op);
  if (bias) require_exactly(*bias, weight, weight.scalar_type(), {n.out}, op, "bias");
  auto given = x.sizes();
  std::vector<int64_t> sizes(given.begin(), given.end());
  sizes.back() = n.out;
  Tensor y = empty(sizes, x, onto ? onto->scalar_type() : ScalarType::BFloat16);
  const Type y_type = onto ? source(*onto, op, "onto") : Type::bf16;
  if (onto) {
    require_same_device(x, *onto, op);
    require_same_shape(y, *onto, op);
  }
  if (y.numel() == 0) return y;
  require(n.in > 0, op, ": there is nothing to sum over");
  const Tensor in = with_rows(x), w = contiguous(weight);
  MaybeTensor beside;
  if (onto) beside = contiguous(*onto);
  BENCHSUITE_CPU(linear_forward)(products(), x_type, in.const_data_ptr(), rows_of(in)->stride, w_type, w.const_data_ptr(),
                                 data(bias), data(beside), y_type, y.mutable_data_ptr(), n.rows, n.in, n.out);
  return y;
}

// The gradients of x, of weight and of the bias; empty tensors for those that are not wanted.
std::tuple<Tensor, Tensor, Tensor> linear_backward(const Tensor& grad, const Tensor& x, const Tensor& weight, bool for_x,
                                                   bool for_weight, bool for_bias) {
  const char* op = "linear_backward";
  const Type x_type = source(x, op, "x"), w_type = source(weight, op, "weight"), g_type = source(grad, op, "grad");
  const Sizes n = check(x, weight, op);
  require_same_device(x, grad, op);
  bool fits = grad.dim() == x.dim() && grad.size(grad.dim() - 1) == n.out;
  for (int64_t d = 0; fits && d + 1 < x.dim(); ++d) fits = grad.size(d) == x.size(d);
  require(fits, op, ": grad has shape ", shape(grad), ", which is not that of the result");
  Tensor dx = for_x ? new_like(x) : empty({0}, x), dw = for_weight ? new_like(weight) : empty({0}, weight);
  Tensor db = for_bias ? empty({n.out}, weight) : empty({0}, weight);
  if (grad.numel() == 0 || x.numel() == 0) {
    for (Tensor* t : {&dx, &dw, &db}) torch::stable::zero_(*t);
    return {dx, dw, db};
  }
  const Tensor in = with_rows(x), w = contiguous(weight), g = with_rows(grad);
  BENCHSUITE_CPU(linear_backward)(products(), g_type, g.const_data_ptr(), rows_of(g)->stride, x_type, in.const_data_ptr(),
                                  rows_of(in)->stride, w_type, w.const_data_ptr(), for_x ? dx.mutable_data_ptr() : nullptr,
                                  for_weight ? dw.mutable_data_ptr() : nullptr, for_bias ? db.mutable_data_ptr() : nullptr,
                                  n.rows, n.in, n.out);
  return {dx, dw, db};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(benchsuite, m) {
  m.def("linear(Tensor x, Tensor weight, Tensor? bias, Tensor? onto) -> Tensor");
  m.def("linear_backward(Tensor grad, Tensor x, Tensor weight, bool for_x, bool for_weight, bool for_bias) "
        "-> (Tensor, Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(benchsuite, CPU, m) {
  m.impl("linear", TORCH_BOX(&linear));
  m.impl("linear_backward", TORCH_BOX(&linear_backward));
}

}  // namespace benchsuite
