// rotary: q and k (B, H, T, D), any strides but a contiguous last dimension; results lie as (B, T, H, D).
#include <algorithm>
#include <cstdlib>
#include <utility>

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
  require(cos.dim() == 3 && (cos.size(0) == 1 || cos.size(0) == B) && cos.size(1) == T && 2 * cos.size(2) <= D, op,
          ": cos and sin ", shape(cos), " are not (1 or ", B, ", ", T, ", at most ", D / 2, ")");
  for (const Tensor* t : {&cos, &sin})
    require_exactly(*t, q, arithmetic(q), {cos.size(0), T, cos.size(2)}, op, "cos and sin");
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
  require(q.dim() == 4 && k.dim() == 4, "rotary: q and k are (batch, heads, time, channels), not ", shape(q));
  Tensor a = empty({q.size(0), q.size(2), q.size(1), q.size(3)}, q), b = empty({q.size(0), q.size(2), q.size(1), q.size(3)}, q);
  Tensor qc = last_dim_contiguous(q) ? q : torch::stable::contiguous(q);
  Tensor kc = last_dim_contiguous(k) ? k : torch::stable::contiguous(k);
  run(qc, kc, heads_of_out(a), heads_of_out(b), cos, sin, interleaved, sign, "rotary");
  return {a, b};
}

// Whether no two elements of q, nor one of q and one of k, are the same: taken as one tensor with a dimension more where
// they have the same strides, as two parts of one projection have. Sure of what lies nested, and of no other.
bool all_apart(const Tensor& q, const Tensor& k) {
  if (q.numel() == 0) return true;
  std::vector<std::pair<int64_t, int64_t>> steps;  // bytes from one element to the next, and how many elements
  auto add = [&](const Tensor& t) {
    for (int64_t d = 0; d < t.dim(); ++d)
      if (t.size(d) > 1) steps.emplace_back(t.stride(d) * int64_t(t.element_size()), t.size(d));
  };
  auto nested = [&] {
    std::sort(steps.begin(), steps.end());
    int64_t end = q.element_size();
    for (auto [step, count] : steps) {
      if (step < end) return false;
      end += step * (count - 1);
    }
    return true;
  };
  bool alike = true;
  for (int64_t d = 0; d < q.dim(); ++d) alike = alike && (q.size(d) <= 1 || q.stride(d) == k.stride(d));
  add(q);
  if (alike) {
    steps.emplace_back(std::abs(static_cast<const char*>(q.const_data_ptr()) - static_cast<const char*>(k.const_data_ptr())), 2);
    return nested();
  }
  if (!nested()) return false;
  steps.clear();
  add(k);
  return nested() && !Span(q).touches(Span(k));
}

void rotary_in_place(Tensor q, Tensor k, const Tensor& cos, const Tensor& sin, bool interleaved, double sign) {
  require_alike(q, k, "rotary_");
  require_same_shape(q, k, "rotary_");
  require(all_apart(q, k), "rotary_: elements of q and k share memory");
  require_apart(q, {&cos, &sin}, "rotary_", "q");
  require_apart(k, {&cos, &sin}, "rotary_", "k");
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
