// alibi_softmax: scores (B, H, Tq, Tk), contiguous or copied to be.
#include "../cuda/softmax.h"
#include "../tensor.h"

#define BENCHSUITE_FAMILY "cpu/softmax.h"
#include "../cpu/dispatch.h"

namespace benchsuite {
namespace {

void check(const Tensor& scores, bool causal, const char* op) {
  require(scores.dim() == 4, op, ": scores are (batch, heads, queries, keys), not ", shape(scores));
  require(!causal || scores.size(2) <= scores.size(3), op, ": causal, with ", scores.size(2), " queries and only ",
          scores.size(3), " keys");
  require_row(scores, scores.size(3), op);
  require_row(scores, scores.size(2), op);
}

void forward(const Tensor& scores, const MaybeTensor& slopes, double scale, bool causal, Tensor& out, const char* op) {
  Type type = type_of(scores, op);
  check(scores, causal, op);
  if (slopes) require_exactly(*slopes, scores, ScalarType::Float, {scores.size(1)}, op, "slopes");
  require_alike(scores, out, op);
  require_same_shape(scores, out, op);
  require(out.is_contiguous(), op, ": out is not contiguous");
  if (scores.numel() == 0) return;
  Tensor in = contiguous(scores);
  int64_t H = in.size(1), heads = in.size(0) * H;
  const float* by = static_cast<const float*>(data(slopes));
  if (in.is_cpu()) {
    BENCHSUITE_CPU(alibi_softmax_forward)(type, in.const_data_ptr(), by, scale, causal, out.mutable_data_ptr(), heads, H,
                                          in.size(2), in.size(3));
    return;
  }
#if BENCHSUITE_CUDA
  OnDevice on(in);
  cuda::alibi_softmax_forward(type, in.const_data_ptr(), by, scale, causal, out.mutable_data_ptr(), heads, H, in.size(2),
                              in.size(3), on.stream());
#endif
}

Tensor alibi_softmax(const Tensor& scores, const MaybeTensor& slopes, double scale, bool causal) {
  Tensor p = new_like(scores);
  forward(scores, slopes, scale, causal, p, "alibi_softmax");
  return p;
}

void alibi_softmax_out(const Tensor& scores, const MaybeTensor& slopes, double scale, bool causal, Tensor out) {
  require_apart(out, {&scores, pointer(slopes)}, "alibi_softmax_out", "out");
  forward(scores, slopes, scale, causal, out, "alibi_softmax_out");
}

Tensor alibi_softmax_backward(const Tensor& grad, const Tensor& p, double scale, bool causal) {
  const char* op = "alibi_softmax_backward";
  Type type = type_of(p, op);
  check(p, causal, op);
  require_alike(p, grad, op);
  require_same_shape(p, grad, op);
  Tensor ds = new_like(p), g = contiguous(grad), y = contiguous(p);
  if (p.numel() == 0) return ds;
  int64_t heads = p.size(0) * p.size(1);
  if (p.is_cpu()) {
    BENCHSUITE_CPU(alibi_softmax_backward)(type, g.const_data_ptr(), y.const_data_ptr(), scale, causal,
                                           ds.mutable_data_ptr(), heads, p.size(2), p.size(3));
    return ds;
  }
#if BENCHSUITE_CUDA
  OnDevice on(p);
  cuda::alibi_softmax_backward(type, g.const_data_ptr(), y.const_data_ptr(), scale, causal, ds.mutable_data_ptr(), heads,
                               p.size(2), p.size(3), on.stream());
#endif
  return ds;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(benchsuite, m) {
  m.def("alibi_softmax(Tensor scores, Tensor? slopes, float scale, bool causal) -> Tensor");
  m.def("alibi_softmax_out(Tensor scores, Tensor? slopes, float scale, bool causal, Tensor(a!) out) -> ()");
  m.def("alibi_softmax_backward(Tensor grad, Tensor p, float scale, bool causal) -> Tensor");
}

#define BENCHSUITE_IMPLEMENT(m)                              \
  m.impl("alibi_softmax", TORCH_BOX(&alibi_softmax));         \
  m.impl("alibi_softmax_out", TORCH_BOX(&alibi_softmax_out)); \
  m.impl("alibi_softmax_backward", TORCH_BOX(&alibi_softmax_backward))

STABLE_TORCH_LIBRARY_IMPL(benchsuite, CPU, m) { BENCHSUITE_IMPLEMENT(m); }
#if BENCHSUITE_CUDA
STABLE_TORCH_LIBRARY_IMPL(benchsuite, CUDA, m) { BENCHSUITE_IMPLEMENT(m); }
#endif

}  // namespace benchsuite
