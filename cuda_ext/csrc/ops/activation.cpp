// act and glu: x is (..., columns), its rows may have any stride; outputs are contiguous.
#include "../cuda/activation.h"
#include "../tensor.h"

#define BENCHSUITE_FAMILY "cpu/activation.h"
#include "../cpu/dispatch.h"

namespace benchsuite {
namespace {

Act act_kind(const std::string& kind, const char* op) {
  if (kind == "gelu") return Act::gelu;
  if (kind == "gelu_erf") return Act::gelu_erf;
  if (kind == "relu") return Act::relu;
  if (kind == "relu2") return Act::relu2;
  if (kind == "silu") return Act::silu;
  fail(op, ": unknown kind '", kind, "'; choose from gelu, gelu_erf, relu, relu2, silu");
}

Act glu_kind(const std::string& kind, const char* op) {
  if (kind == "swiglu") return Act::silu;
  if (kind == "geglu") return Act::gelu;
  if (kind == "reglu") return Act::relu;
  fail(op, ": unknown kind '", kind, "'; choose from swiglu, geglu, reglu");
}

void check_bias(const Tensor& x, const MaybeTensor& bias, int64_t columns, const char* op) {
  if (!bias) return;
  require_alike(x, *bias, op);
  require_exactly(*bias, x, x.scalar_type(), {columns}, op, "bias");
}

const void* offset(const void* p, int64_t elements, Type type) {
  return p ? static_cast<const char*>(p) + elements * size_of(type) : nullptr;
}
void* offset(void* p, int64_t elements, Type type) { return static_cast<char*>(p) + elements * size_of(type); }

void run_act(const Tensor& x, const MaybeTensor& bias, const std::string& kind, const MaybeTensor& grad, Tensor& out,
             const char* op) {
  Type type = type_of(x, op);
  Act act = act_kind(kind, op);
  require(x.dim() > 0, op, ": x has no dimension");
  check_bias(x, bias, x.size(x.dim() - 1), op);
  require_alike(x, out, op);
  require_same_shape(x, out, op);
  require(out.is_contiguous(), op, ": out is not contiguous");
  const void* given = nullptr;
  Tensor g;
  if (grad) {
    require_alike(x, *grad, op);
    require_same_shape(x, *grad, op);
    g = contiguous(*grad);
    given = g.const_data_ptr();
  }
  Tensor in = with_rows(x);
  Rows rows = *rows_of(in);
  if (in.numel() == 0) return;
  if (x.is_cpu()) {
    if (grad)
      BENCHSUITE_CPU(act_backward)(type, act, given, in.const_data_ptr(), rows.stride, data(bias), out.mutable_data_ptr(),
                                   rows.count, rows.columns);
    else
      BENCHSUITE_CPU(act_forward)(type, act, in.const_data_ptr(), rows.stride, data(bias), out.mutable_data_ptr(),
                                  rows.count, rows.columns);
    return;
  }
#if BENCHSUITE_CUDA
  OnDevice on(x);
  if (grad)
    cuda::act_backward(type, act, given, in.const_data_ptr(), rows.stride, data(bias), out.mutable_data_ptr(), rows.count,
                       rows.columns, on.stream());
  else
    cuda::act_forward(type, act, in.const_data_ptr(), rows.stride, data(bias), out.mutable_data_ptr(), rows.count,
                      rows.columns, on.stream());
#endif
}

Tensor act(const Tensor& x, const MaybeTensor& bias, const std::string& kind) {
  Tensor y = new_like(x);
  run_act(x, bias, kind, std::nullopt, y, "act");
  return y;
}

void act_out(const Tensor& x, const MaybeTensor& bias, const std::string& kind, Tensor out) {
  require_apart(out, {&x, pointer(bias)}, "act_out", "out");
  run_act(x, bias, kind, std::nullopt, out, "act_out");
}

Tensor act_backward(const Tensor& grad, const Tensor& x, const MaybeTensor& bias, const std::string& kind) {
  Tensor dx = new_like(x);
  run_act(x, bias, kind, grad, dx, "act_backward");
  return dx;
}

// gate and up: the halves of a packed tensor, or two tensors. Gradients are written with rows of d_stride elements.
struct Gated {
  Type type;
  const void *gate, *up, *gate_bias, *up_bias;
  int64_t gate_stride, up_stride, rows, columns;
};

void glu_run(const Tensor& like, Act act, const Gated& a, void* y) {
  if (a.rows * a.columns == 0) return;
  if (like.is_cpu()) {
    BENCHSUITE_CPU(glu_forward)(a.type, act, a.gate, a.up, a.gate_stride, a.up_stride, a.gate_bias, a.up_bias, y, a.rows,
                                a.columns);
    return;
  }
#if BENCHSUITE_CUDA
  OnDevice on(like);
  cuda::glu_forward(a.type, act, a.gate, a.up, a.gate_stride, a.up_stride, a.gate_bias, a.up_bias, y, a.rows, a.columns,
                    on.stream());
#endif
}

void glu_run_backward(const Tensor& like, Act act, const Gated& a, const void* grad, void* dgate, void* dup,
                      int64_t d_stride) {
  if (a.rows * a.columns == 0) return;
  if (like.is_cpu()) {
    BENCHSUITE_CPU(glu_backward)(a.type, act, grad, a.gate, a.up, a.gate_stride, a.up_stride, a.gate_bias, a.up_bias,
                                 dgate, dup, d_stride, a.rows, a.columns);
    return;
  }
#if BENCHSUITE_CUDA
  OnDevice on(like);
  cuda::glu_backward(a.type, act, grad, a.gate, a.up, a.gate_stride, a.up_stride, a.gate_bias, a.up_bias, dgate, dup,
                     d_stride, a.rows, a.columns, on.stream());
#endif
}

// `in` is x with single-stride rows and lives as long as the result.
Gated packed(const Tensor& x, const Tensor& in, const MaybeTensor& bias, const char* op) {
  Type type = type_of(x, op);
  require(x.dim() > 0, op, ": x has no dimension");
  Rows rows = *rows_of(in);
  require(rows.columns % 2 == 0, op, ": the last dimension of x is ", rows.columns, ", which has no halves");
  check_bias(x, bias, rows.columns, op);
  int64_t half = rows.columns / 2;
  const void* p = in.const_data_ptr();
  return {type,        p,           offset(p, half, type), data(bias), offset(data(bias), half, type),
          rows.stride, rows.stride, rows.count,            half};
}

std::vector<int64_t> halved(const Tensor& x, const char* op) {
  require(x.dim() > 0, op, ": x has no dimension");
  auto sizes = x.sizes();
  std::vector<int64_t> shape(sizes.begin(), sizes.end());
  shape.back() /= 2;
  return shape;
}

void check_grad(const Tensor& grad, const Tensor& x, int64_t rows, int64_t columns, const char* op) {
  require_alike(x, grad, op);
  require(grad.numel() == rows * columns && grad.dim() == x.dim() && grad.size(grad.dim() - 1) == columns, op,
          ": grad has shape ", shape(grad), ", which does not fit x ", shape(x));
}

Tensor glu(const Tensor& x, const MaybeTensor& bias, const std::string& kind) {
  Act act = glu_kind(kind, "glu");
  Tensor y = empty(halved(x, "glu"), x), in = with_rows(x);
  glu_run(x, act, packed(x, in, bias, "glu"), y.mutable_data_ptr());
  return y;
}

void glu_out(const Tensor& x, const MaybeTensor& bias, const std::string& kind, Tensor out) {
  Act act = glu_kind(kind, "glu_out");
  Tensor in = with_rows(x);
  Gated a = packed(x, in, bias, "glu_out");
  check_grad(out, x, a.rows, a.columns, "glu_out");
  require(out.is_contiguous(), "glu_out: out is not contiguous");
  require_apart(out, {&x, pointer(bias)}, "glu_out", "out");
  glu_run(x, act, a, out.mutable_data_ptr());
}

// The gradient of packed x, contiguous.
Tensor glu_backward(const Tensor& grad, const Tensor& x, const MaybeTensor& bias, const std::string& kind) {
  const char* op = "glu_backward";
  Act act = glu_kind(kind, op);
  Tensor dx = new_like(x), in = with_rows(x), g = contiguous(grad);
  Gated a = packed(x, in, bias, op);
  check_grad(grad, x, a.rows, a.columns, op);
  void* d = dx.mutable_data_ptr();
  glu_run_backward(x, act, a, g.const_data_ptr(), d, offset(d, a.columns, a.type), 2 * a.columns);
  return dx;
}

Gated separate(const Tensor& gate, const Tensor& up, const Tensor& gate_in, const Tensor& up_in, const char* op) {
  require(gate.dim() > 0, op, ": gate has no dimension");
  require_alike(gate, up, op);
  require_same_shape(gate, up, op);
  Rows a = *rows_of(gate_in), b = *rows_of(up_in);
  return {type_of(gate, op), gate_in.const_data_ptr(), up_in.const_data_ptr(), nullptr, nullptr,
          a.stride,          b.stride,                 a.count,                a.columns};
}

Tensor glu_separate(const Tensor& gate, const Tensor& up, const std::string& kind) {
  Act act = glu_kind(kind, "glu_separate");
  Tensor y = new_like(gate), gate_in = with_rows(gate), up_in = with_rows(up);
  glu_run(gate, act, separate(gate, up, gate_in, up_in, "glu_separate"), y.mutable_data_ptr());
  return y;
}

std::tuple<Tensor, Tensor> glu_separate_backward(const Tensor& grad, const Tensor& gate, const Tensor& up,
                                                 const std::string& kind) {
  const char* op = "glu_separate_backward";
  Act act = glu_kind(kind, op);
  Tensor dgate = new_like(gate), dup = new_like(up), gate_in = with_rows(gate), up_in = with_rows(up);
  Tensor g = contiguous(grad);
  Gated a = separate(gate, up, gate_in, up_in, op);
  check_grad(grad, gate, a.rows, a.columns, op);
  glu_run_backward(gate, act, a, g.const_data_ptr(), dgate.mutable_data_ptr(), dup.mutable_data_ptr(), a.columns);
  return {dgate, dup};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(benchsuite, m) {
  m.def("act(Tensor x, Tensor? bias, str kind) -> Tensor");
  m.def("act_out(Tensor x, Tensor? bias, str kind, Tensor(a!) out) -> ()");
  m.def("act_backward(Tensor grad, Tensor x, Tensor? bias, str kind) -> Tensor");
  m.def("glu(Tensor x, Tensor? bias, str kind) -> Tensor");
  m.def("glu_out(Tensor x, Tensor? bias, str kind, Tensor(a!) out) -> ()");
  m.def("glu_backward(Tensor grad, Tensor x, Tensor? bias, str kind) -> Tensor");
  m.def("glu_separate(Tensor gate, Tensor up, str kind) -> Tensor");
  m.def("glu_separate_backward(Tensor grad, Tensor gate, Tensor up, str kind) -> (Tensor, Tensor)");
}

#define BENCHSUITE_IMPLEMENT(m)                                      \
  m.impl("act", TORCH_BOX(&act));                                    \
  m.impl("act_out", TORCH_BOX(&act_out));                            \
  m.impl("act_backward", TORCH_BOX(&act_backward));                  \
  m.impl("glu", TORCH_BOX(&glu));                                    \
  m.impl("glu_out", TORCH_BOX(&glu_out));                            \
  m.impl("glu_backward", TORCH_BOX(&glu_backward));                  \
  m.impl("glu_separate", TORCH_BOX(&glu_separate));                  \
  m.impl("glu_separate_backward", TORCH_BOX(&glu_separate_backward))

STABLE_TORCH_LIBRARY_IMPL(benchsuite, CPU, m) { BENCHSUITE_IMPLEMENT(m); }
#if BENCHSUITE_CUDA
STABLE_TORCH_LIBRARY_IMPL(benchsuite, CUDA, m) { BENCHSUITE_IMPLEMENT(m); }
#endif

}  // namespace benchsuite
