// rotary: q and k (B, H, T, D), any strides but a contiguous last dimension; results lie as (B, T, H, D).
#include "../cuda/rotary.h"
#include "../tensor.h"

#define BENCHSUITE_FAMILY "cpu/rotary.h"
#include "../cpu/dispatch.h"

namespace benchsuite {
namespace {

Heads heads_of(const Tensor& x) {
  return {const_cast<void*>(x.const_data_ptr()), x.stride(0), x.stride(1), x.stride(2)};
}
Heads heads_of_out(const Tensor& x) { return {x.mutable_data_ptr(), x.stride(0), x.stride(2), x.stride(1)}; }

void run(const Tensor& q, const Tensor& k, const Heads& q_out, const Heads& k_out, const Tensor& cos, const Tensor& sin,
         bool interleaved, double sign, const char* op) {
  Type type = type_of(q, op);
  require(q.dim() == 4, op, ": q and k are (batch, heads, time, channels), not ", shape(q));
  require_alike(q, k, op);
  require_same_shape(q, k, op);
  require(last_dim_contiguous(q) && last_dim_contiguous(k), op, ": the last dimension of q or k is not contiguous");
  int64_t B = q.size(0), H = q.size(1), T = q.size(2), D = q.size(3);
  ScalarType arithmetic = type == Type::f64 ? ScalarType::Double : ScalarType::Float;
  for (const Tensor& t : {cos, sin}) {
    require_same_device(q, t, op);
    require(t.scalar_type() == arithmetic && t.is_contiguous(), op, ": cos and sin are not contiguous ",
            torch::headeronly::toString(arithmetic));
    require(t.dim() == 3 && (t.size(0) == 1 || t.size(0) == B) && t.size(1) == T && 2 * t.size(2) <= D, op,
            ": cos and sin ", shape(t), " are not (1 or ", B, ", ", T, ", at most ", D / 2, ")");
  }
  require_same_shape(cos, sin, op);
  if (q.numel() == 0) return;
  int64_t R = 2 * cos.size(2), angles_b = cos.size(0) == 1 ? 0 : T;
  if (q.is_cpu()) {
    BENCHSUITE_CPU(rotary)(type, heads_of(q), q_out, B, H, T, D, R, cos.const_data_ptr(), sin.const_data_ptr(), angles_b,
                           interleaved, sign);
    BENCHSUITE_CPU(rotary)(type, heads_of(k), k_out, B, H, T, D, R, cos.const_data_ptr(), sin.const_data_ptr(), angles_b,
                           interleaved, sign);
    return;
  }
#if BENCHSUITE_CUDA
  OnDevice on(q);
  cuda::rotary(type, heads_of(q), q_out, heads_of(k), k_out, B, H, T, D, R, cos.const_data_ptr(), sin.const_data_ptr(),
               angles_b, interleaved, sign, on.stream());
#endif
}

std::tuple<Tensor, Tensor> rotary(const Tensor& q, const Tensor& k, const Tensor& cos, const Tensor& sin,
                                  bool interleaved, double sign) {
  require(q.dim() == 4, "rotary: q and k are (batch, heads, time, channels), not ", shape(q));
  Tensor a = empty({q.size(0), q.size(2), q.size(1), q.size(3)}, q), b = empty({q.size(0), q.size(2), q.size(1), q.size(3)}, q);
  Tensor qc = last_dim_contiguous(q) ? q : torch::stable::contiguous(q);
  Tensor kc = last_dim_contiguous(k) ? k : torch::stable::contiguous(k);
  run(qc, kc, heads_of_out(a), heads_of_out(b), cos, sin, interleaved, sign, "rotary");
  return {a, b};
}

void rotary_in_place(Tensor q, Tensor k, const Tensor& cos, const Tensor& sin, bool interleaved, double sign) {
  run(q, k, heads_of(q), heads_of(k), cos, sin, interleaved, sign, "rotary_");
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(benchsuite, m) {
  m.def("rotary(Tensor q, Tensor k, Tensor cos, Tensor sin, bool interleaved, float sign) -> (Tensor, Tensor)");
  m.def("rotary_(Tensor(a!) q, Tensor(b!) k, Tensor cos, Tensor sin, bool interleaved, float sign) -> ()");
}

#define BENCHSUITE_IMPLEMENT(m)        \
  m.impl("rotary", TORCH_BOX(&rotary)); \
  m.impl("rotary_", TORCH_BOX(&rotary_in_place))

STABLE_TORCH_LIBRARY_IMPL(benchsuite, CPU, m) { BENCHSUITE_IMPLEMENT(m); }
#if BENCHSUITE_CUDA
STABLE_TORCH_LIBRARY_IMPL(benchsuite, CUDA, m) { BENCHSUITE_IMPLEMENT(m); }
#endif

}  // namespace benchsuite
