// (Not named math.h: the include path of a build would put it before the system's, which CUDA's headers include.)
//
// The arithmetic of one element, shared by the CPU's vectors and the GPU's threads: V is float or double, or a vector
// of them. Each side provides exp(V), reciprocal(V) and the complementary error function erfc(V) in its
// namespace.
//
// d_f is the derivative of f. Gated kinds are act(gate) * up with the same functions.
#pragma once

#include "types.h"

#if defined(__CUDACC__)
#define BENCHSUITE_ISA cuda
#endif

namespace benchsuite {

namespace BENCHSUITE_ISA {

// A constant in the type of V's elements.
template <class V> struct Element { typedef __typeof__(V{}[0] + V{}[0]) type; };
template <> struct Element<float> { typedef float type; };
template <> struct Element<double> { typedef double type; };
template <class V> BENCHSUITE_INLINE typename Element<V>::type scalar(V, double c) {
  return static_cast<typename Element<V>::type>(c);
}

template <class V> BENCHSUITE_INLINE V sigmoid(V x) { return reciprocal(1.f + exp(-x)); }

struct Relu {
  template <class V> static BENCHSUITE_INLINE V f(V x) { return x < V{} ? V{} : x; }
  template <class V> static BENCHSUITE_INLINE V d(V x) { return x > V{} ? V{} + 1.f : V{}; }
};

struct Relu2 {
  template <class V> static BENCHSUITE_INLINE V f(V x) { V r = Relu::f(x); return r * r; }
  template <class V> static BENCHSUITE_INLINE V d(V x) { return 2.f * Relu::f(x); }
};

struct Silu {
  template <class V> static BENCHSUITE_INLINE V f(V x) { return x * sigmoid(x); }
  template <class V> static BENCHSUITE_INLINE V d(V x) { V s = sigmoid(x); return s + x * s * (1.f - s); }
};

// GELU in its tanh form, by 0.5 (1 + tanh u) = sigmoid(2u): one exponential. arXiv:1606.08415, section 2.
struct Gelu {
  static constexpr double a = 1.5957691216057308, b = 0.044715;  // 2 sqrt(2/pi)
  template <class V> static BENCHSUITE_INLINE V f(V x) { return x * sigmoid(x * (scalar(x, a) + scalar(x, a * b) * x * x)); }
  template <class V> static BENCHSUITE_INLINE V d(V x) {
    V s = sigmoid(x * (scalar(x, a) + scalar(x, a * b) * x * x));
    return s + x * s * (1.f - s) * (scalar(x, a) + scalar(x, 3 * a * b) * x * x);
  }
};

// GELU as x Phi(x).
struct GeluErf {
  template <class V> static BENCHSUITE_INLINE V f(V x) { return x * 0.5f * erfc(x * scalar(x, -0.7071067811865476)); }
  template <class V> static BENCHSUITE_INLINE V d(V x) {
    V density = exp(x * x * -0.5f) * scalar(x, 0.3989422804014327);
    return 0.5f * erfc(x * scalar(x, -0.7071067811865476)) + x * density;
  }
};

// Calls body with the functions of `kind`.
template <class Body> inline void with_act(Act kind, const Body& body) {
  switch (kind) {
    case Act::gelu: return body(Gelu{});
    case Act::gelu_erf: return body(GeluErf{});
    case Act::relu: return body(Relu{});
    case Act::relu2: return body(Relu2{});
    case Act::silu: return body(Silu{});
  }
}

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
