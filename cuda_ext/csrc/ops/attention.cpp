// attention: q (B, H, Tq, D), k and v (B, H, Tk, D), any strides but a contiguous last dimension; the result is laid out
// as (B, Tq, H, D), which a projection takes without a copy. attention_qkv: the packed projection (B, T, 3, H, D).
#include "../cuda/attention.h"
#include "../tensor.h"

#define BENCHSUITE_FAMILY "cpu/attention.h"
#include "../cpu/dispatch.h"

namespace benchsuite {
namespace {

Tensor with_channels(const Tensor& x) { return last_dim_contiguous(x) ? x : torch::stable::contiguous(x); }

ScalarType arithmetic(const Tensor& x) {
  return x.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

Heads heads_of(const Tensor& x) {
  return {const_cast<void*>(x.const_data_ptr()), x.stride(0), x.stride(1), x.stride(2)};
}
// (B, T, H, D)
Heads heads_of_out(const Tensor& x) { return {x.mutable_data_ptr(), x.stride(0), x.stride(2), x.stride(1)}; }
// Part `i` of (B, T, 3, H, D).
Heads heads_of_packed(const Tensor& x, int64_t i, Type type) {
  char* p = static_cast<char*>(const_cast<void*>(x.const_data_ptr())) + i * x.stride(2) * size_of(type);
  return {p, x.stride(0), x.stride(3), x.stride(1)};
}

void check_position(const AttentionArgs& a, const Tensor& like, const MaybeTensor& slopes, const MaybeTensor& cos,
                    const MaybeTensor& sin, const char* op) {
  require(!a.causal || a.Tq <= a.Tk, op, ": causal attention of ", a.Tq, " queries to only ", a.Tk, " keys");
  require(a.Tk > 0 || a.Tq == 0, op, ": there are no keys");
  if (slopes) {
    require_same_device(like, *slopes, op);
    require(slopes->scalar_type() == ScalarType::Float && slopes->is_contiguous(), op, ": slopes are not float32");
    require_shape(*slopes, {a.H}, op, "slopes");
  }
  require(cos.has_value() == sin.has_value(), op, ": cos and sin come together");
  if (!cos) return;
  require(a.D % 2 == 0, op, ": rotary positions need an even head size, not ", a.D);
  for (const Tensor& t : {*cos, *sin}) {
    require_same_device(like, t, op);
    require_shape(t, {a.Tk, a.D / 2}, op, "cos or sin");
    require(t.scalar_type() == arithmetic(like) && t.is_contiguous(), op, ": cos and sin are not contiguous ",
            torch::headeronly::toString(arithmetic(like)));
  }
}

AttentionArgs arguments(const Tensor& like, int64_t B, int64_t H, int64_t Tq, int64_t Tk, int64_t D,
                        const MaybeTensor& slopes, const MaybeTensor& cos, const MaybeTensor& sin, bool causal,
                        double scale, const char* op) {
  AttentionArgs a{};
  a.type = type_of(like, op);
  a.B = B, a.H = H, a.Tq = Tq, a.Tk = Tk, a.D = D;
  a.causal = causal;
  a.scale = scale;
  check_position(a, like, slopes, cos, sin, op);
  a.slopes = static_cast<const float*>(data(slopes));
  a.cos = data(cos);
  a.sin = data(sin);
  return a;
}

void forward(const AttentionArgs& a, const Tensor& like) {
  if (a.B * a.H * a.Tq * a.D == 0) return;
  if (like.is_cpu()) {
    BENCHSUITE_CPU(attention_forward)(a);
    return;
  }
#if BENCHSUITE_CUDA
  OnDevice on(like);
  cuda::attention_forward(a, on.stream());
#endif
}

void backward(const AttentionArgs& a, const Tensor& like) {
  if (a.B * a.H * a.Tk * a.D == 0) return;
  if (like.is_cpu()) {
    BENCHSUITE_CPU(attention_backward)(a);
    return;
  }
#if BENCHSUITE_CUDA
  OnDevice on(like);
  Tensor delta = empty({a.B, a.H, a.Tq}, like, ScalarType::Float);
  cuda::attention_backward(a, delta.mutable_data_ptr(), on.stream());
#endif
}

AttentionArgs separate(const Tensor& q, const Tensor& k, const Tensor& v, const MaybeTensor& slopes,
                       const MaybeTensor& cos, const MaybeTensor& sin, bool causal, double scale, const char* op) {
  require(q.dim() == 4 && k.dim() == 4, op, ": q, k and v are (batch, heads, time, channels), not ", shape(q));
  require_alike(q, k, op);
  require_alike(q, v, op);
  require_shape(k, {q.size(0), q.size(1), k.size(2), q.size(3)}, op, "k");
  require_same_shape(k, v, op);
  AttentionArgs a = arguments(q, q.size(0), q.size(1), q.size(2), k.size(2), q.size(3), slopes, cos, sin, causal, scale, op);
  a.q = heads_of(q), a.k = heads_of(k), a.v = heads_of(v);
  return a;
}

// (B, Tq, H, D) and (B, H, Tq).
std::tuple<Tensor, Tensor> attention(const Tensor& q, const Tensor& k, const Tensor& v, const MaybeTensor& slopes,
                                     const MaybeTensor& cos, const MaybeTensor& sin, bool causal, double scale) {
  Tensor qc = with_channels(q), kc = with_channels(k), vc = with_channels(v);
  AttentionArgs a = separate(qc, kc, vc, slopes, cos, sin, causal, scale, "attention");
  Tensor out = empty({a.B, a.Tq, a.H, a.D}, q), lse = empty({a.B, a.H, a.Tq}, q, arithmetic(q));
  a.out = heads_of_out(out);
  a.lse = lse.mutable_data_ptr();
  forward(a, q);
  return {out, lse};
}

std::tuple<Tensor, Tensor, Tensor> attention_backward(const Tensor& grad, const Tensor& q, const Tensor& k, const Tensor& v,
                                                      const Tensor& out, const Tensor& lse, const MaybeTensor& slopes,
                                                      const MaybeTensor& cos, const MaybeTensor& sin, bool causal,
                                                      double scale) {
  const char* op = "attention_backward";
  Tensor qc = with_channels(q), kc = with_channels(k), vc = with_channels(v), g = with_channels(grad);
  AttentionArgs a = separate(qc, kc, vc, slopes, cos, sin, causal, scale, op);
  require_alike(q, grad, op);
  require_shape(grad, {a.B, a.Tq, a.H, a.D}, op, "grad");
  require_shape(out, {a.B, a.Tq, a.H, a.D}, op, "out");
  require_shape(lse, {a.B, a.H, a.Tq}, op, "lse");
  Tensor dq = new_like(q), dk = new_like(k), dv = new_like(v);
  a.out = heads_of_out(out), a.dout = heads_of_out(g);
  a.lse = lse.mutable_data_ptr();
  a.dq = heads_of(dq), a.dk = heads_of(dk), a.dv = heads_of(dv);
  backward(a, q);
  return {dq, dk, dv};
}

AttentionArgs packed(const Tensor& qkv, const MaybeTensor& slopes, const MaybeTensor& cos, const MaybeTensor& sin,
                     bool causal, double scale, const char* op) {
  require(qkv.dim() == 5 && qkv.size(2) == 3, op, ": qkv is (batch, time, 3, heads, channels), not ", shape(qkv));
  AttentionArgs a = arguments(qkv, qkv.size(0), qkv.size(3), qkv.size(1), qkv.size(1), qkv.size(4), slopes, cos, sin,
                              causal, scale, op);
  a.q = heads_of_packed(qkv, 0, a.type), a.k = heads_of_packed(qkv, 1, a.type), a.v = heads_of_packed(qkv, 2, a.type);
  return a;
}

std::tuple<Tensor, Tensor> attention_qkv(const Tensor& qkv, const MaybeTensor& slopes, const MaybeTensor& cos,
                                         const MaybeTensor& sin, bool causal, double scale) {
  Tensor x = with_channels(qkv);
  AttentionArgs a = packed(x, slopes, cos, sin, causal, scale, "attention_qkv");
  Tensor out = empty({a.B, a.Tq, a.H, a.D}, qkv), lse = empty({a.B, a.H, a.Tq}, qkv, arithmetic(qkv));
  a.out = heads_of_out(out);
  a.lse = lse.mutable_data_ptr();
  forward(a, qkv);
  return {out, lse};
}

Tensor attention_qkv_backward(const Tensor& grad, const Tensor& qkv, const Tensor& out, const Tensor& lse,
                              const MaybeTensor& slopes, const MaybeTensor& cos, const MaybeTensor& sin, bool causal,
                              double scale) {
  const char* op = "attention_qkv_backward";
  Tensor x = with_channels(qkv), g = with_channels(grad);
  AttentionArgs a = packed(x, slopes, cos, sin, causal, scale, op);
  require_alike(qkv, grad, op);
  require_shape(grad, {a.B, a.Tq, a.H, a.D}, op, "grad");
  require_shape(out, {a.B, a.Tq, a.H, a.D}, op, "out");
  require_shape(lse, {a.B, a.H, a.Tq}, op, "lse");
  Tensor d = new_like(qkv);
  a.out = heads_of_out(out), a.dout = heads_of_out(g);
  a.lse = lse.mutable_data_ptr();
  a.dq = heads_of_packed(d, 0, a.type), a.dk = heads_of_packed(d, 1, a.type), a.dv = heads_of_packed(d, 2, a.type);
  backward(a, qkv);
  return d;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(benchsuite, m) {
  m.def("attention(Tensor q, Tensor k, Tensor v, Tensor? slopes, Tensor? cos, Tensor? sin, bool causal, float scale) "
        "-> (Tensor, Tensor)");
  m.def("attention_backward(Tensor grad, Tensor q, Tensor k, Tensor v, Tensor out, Tensor lse, Tensor? slopes, "
        "Tensor? cos, Tensor? sin, bool causal, float scale) -> (Tensor, Tensor, Tensor)");
  m.def("attention_qkv(Tensor qkv, Tensor? slopes, Tensor? cos, Tensor? sin, bool causal, float scale) "
        "-> (Tensor, Tensor)");
  m.def("attention_qkv_backward(Tensor grad, Tensor qkv, Tensor out, Tensor lse, Tensor? slopes, Tensor? cos, "
        "Tensor? sin, bool causal, float scale) -> Tensor");
}

#define BENCHSUITE_IMPLEMENT(m)                                \
  m.impl("attention", TORCH_BOX(&attention));                  \
  m.impl("attention_backward", TORCH_BOX(&attention_backward)); \
  m.impl("attention_qkv", TORCH_BOX(&attention_qkv));          \
  m.impl("attention_qkv_backward", TORCH_BOX(&attention_qkv_backward))

STABLE_TORCH_LIBRARY_IMPL(benchsuite, CPU, m) { BENCHSUITE_IMPLEMENT(m); }
#if BENCHSUITE_CUDA
STABLE_TORCH_LIBRARY_IMPL(benchsuite, CUDA, m) { BENCHSUITE_IMPLEMENT(m); }
#endif

}  // namespace benchsuite
