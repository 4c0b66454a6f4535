// attention: q (B, H, Tq, D), k and v (B, H or a divisor of it, Tk, D), any strides but a contiguous last dimension; the result is laid out
// as (B, Tq, H, D), which a projection takes without a copy. attention_qkv: the packed projection (B, T, 3, H, D).
#include "../cuda/attention.h"
#include "../tensor.h"

#define BENCHSUITE_FAMILY "cpu/attention.h"
#include "../cpu/dispatch.h"

namespace benchsuite {
namespace {

Tensor with_channels(const Tensor& x) { return last_dim_contiguous(x) ? x : torch::stable::contiguous(x); }

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
  require_row(like, a.Tq, op);
  require_row(like, a.Tk, op);
  require(like.is_cpu() || a.D <= 128, op, ": head sizes above 128, such as ", a.D, ", are not there on CUDA");
  if (slopes) require_exactly(*slopes, like, ScalarType::Float, {a.H}, op, "slopes");
  require(cos.has_value() == sin.has_value(), op, ": cos and sin come together");
  if (!cos) return;
  require(a.D % 2 == 0, op, ": rotary positions need an even head size, not ", a.D);
  require(a.Tq <= a.Tk, op, ": with rotary positions, ", a.Tq, " queries are more than the ", a.Tk,
          " keys, and the first have no place");
  for (const Tensor* t : {&*cos, &*sin}) require_exactly(*t, like, arithmetic(like), {a.Tk, a.D / 2}, op, "cos and sin");
}

// What the forward pass has left for the backward pass, and the gradient of its result.
void check_saved(const AttentionArgs& a, const Tensor& like, const Tensor& grad, const Tensor& out, const Tensor& lse,
                 const char* op) {
  require_alike(like, grad, op);
  require_shape(grad, {a.B, a.Tq, a.H, a.D}, op, "grad");
  require_alike(like, out, op);
  require_shape(out, {a.B, a.Tq, a.H, a.D}, op, "out");
  require(last_dim_contiguous(out), op, ": the last dimension of out is not contiguous");
  require_exactly(lse, like, arithmetic(like), {a.B, a.H, a.Tq}, op, "lse");
}

AttentionArgs arguments(const Tensor& like, int64_t B, int64_t H, int64_t Tq, int64_t Tk, int64_t D,
                        const MaybeTensor& slopes, const MaybeTensor& cos, const MaybeTensor& sin, bool causal,
                        double scale, const char* op) {
  AttentionArgs a{};
  a.type = type_of(like, op);
  a.B = B, a.H = H, a.Tq = Tq, a.Tk = Tk, a.D = D, a.group = 1;
  a.causal = causal;
  a.scale = scale;
  check_position(a, like, slopes, cos, sin, op);
  a.slopes = static_cast<const float*>(data(slopes));
  a.cos = data(cos);
  a.sin = data(sin);
  return a;
}

// Whether AMX takes it: beyond so many keys a block's scores are too large for the second-level cache.
bool by_products(const AttentionArgs& a) {
  return a.type == Type::bf16 && a.Tk <= 4096 && products() == Products::amx;
}

void forward(const AttentionArgs& a, const Tensor& like) {
  if (a.B * a.H * a.Tq * a.D == 0) return;
  if (like.is_cpu()) {
    if (by_products(a)) return BENCHSUITE_CPU(attention_forward_bf16)(products(), a);
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
    if (by_products(a)) return BENCHSUITE_CPU(attention_backward_bf16)(products(), a);
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
  for (const Tensor* t : {&q, &k, &v})
    require(t->dim() == 4, op, ": q, k and v are (batch, heads, time, channels), not ", shape(*t));
  require_alike(q, k, op);
  require_alike(q, v, op);
  int64_t H = q.size(1), shared = k.size(1);
  require_shape(k, {q.size(0), shared, k.size(2), q.size(3)}, op, "k");
  require(shared == H || (shared > 0 && H % shared == 0), op, ": ", H, " heads of q are no multiple of ", shared, " heads of k");
  require_same_shape(k, v, op);
  AttentionArgs a = arguments(q, q.size(0), q.size(1), q.size(2), k.size(2), q.size(3), slopes, cos, sin, causal, scale, op);
  if (shared) a.group = H / shared;
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

// The gradients (B, H, Tk, D) of keys or values that heads share, added up.
Tensor over_group(const Tensor& d, const AttentionArgs& a) {
  if (a.group == 1) return d;
  std::vector<int64_t> grouped{a.B, a.H / a.group, a.group, a.Tk, a.D}, dims{2};
  return torch::stable::sum(torch::stable::view(d, {grouped.data(), grouped.size()}),
                            torch::headeronly::IntHeaderOnlyArrayRef(dims.data(), dims.size()));
}

std::tuple<Tensor, Tensor, Tensor> attention_backward(const Tensor& grad, const Tensor& q, const Tensor& k, const Tensor& v,
                                                      const Tensor& out, const Tensor& lse, const MaybeTensor& slopes,
                                                      const MaybeTensor& cos, const MaybeTensor& sin, bool causal,
                                                      double scale) {
  const char* op = "attention_backward";
  Tensor qc = with_channels(q), kc = with_channels(k), vc = with_channels(v), g = with_channels(grad);
  AttentionArgs a = separate(qc, kc, vc, slopes, cos, sin, causal, scale, op);
  check_saved(a, q, grad, out, lse, op);
  Tensor dq = new_like(q), dk = empty({a.B, a.H, a.Tk, a.D}, k), dv = empty({a.B, a.H, a.Tk, a.D}, v);
  a.out = heads_of_out(out), a.dout = heads_of_out(g);
  a.lse = lse.mutable_data_ptr();
  a.dq = heads_of(dq), a.dk = heads_of(dk), a.dv = heads_of(dv);
  backward(a, q);
  return {dq, over_group(dk, a), over_group(dv, a)};
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
  check_saved(a, qkv, grad, out, lse, op);
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
