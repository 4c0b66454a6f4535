// What every part of the library shares: the element types of the operators.
#pragma once

// For what is called once for each vector or element.
#if defined(__CUDACC__)
#define BENCHSUITE_INLINE __device__ __forceinline__
#else
#define BENCHSUITE_INLINE inline BENCHSUITE_INLINED
#define BENCHSUITE_INLINED __attribute__((always_inline))  // behind a lambda's parameters
#endif

#include <cstdint>

namespace benchsuite {

// The type in which a tensor is stored. Arithmetic is in float32, and in float64 for f64, which exists on the CPU only
// (torch.autograd.gradcheck needs it).
enum class Type : int32_t { f32, bf16, f16, f64 };

constexpr int64_t size_of(Type type) { return type == Type::f64 ? 8 : type == Type::f32 ? 4 : 2; }

// What the CPU multiplies 16-bit numbers with, eight to sixteen times as many at once as numbers of float32.
enum class Products : int32_t { none, avx512_bf16, amx };

// The elementwise activations; gated kinds are one of them times the other half.
enum class Act : int32_t { gelu, gelu_erf, relu, relu2, silu };

// The rows of a norm: row r is a[ai[r]] (columns), or a[r] where ai is null. b[bi[r]] is added to the normalised row, where
// b is not null. An index is below the number of its table's rows.
struct NormRows {
  Type type;
  const void *a, *b;
  const int64_t *ai, *bi;
  int64_t a_stride, b_stride, rows, columns, a_rows, b_rows;
};

// What was taken from a table, by the row that it was taken from: row t of `count` by order[starts[t]] to
// order[starts[t + 1] - 1], in rising order.
struct Groups {
  const int64_t *order, *starts;
  int64_t count;
};

// `count` tensors of float32 with their gradients, Adam's two moments, numbers of elements and weight decays. `first` and
// `second` are 1 - beta^step, the corrections of the moments.
struct AdamwArgs {
  int64_t count;
  float *const *p, *const *m, *const *v;
  const float* const* g;
  const int64_t* n;
  const double* decay;
  double lr, beta1, beta2, eps, clip, first, second;
};

}  // namespace benchsuite
