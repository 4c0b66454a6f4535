// Rows of vectors: the loops that the row-wise kernels share. (One copy for each instruction set, as simd.h.)
#pragma once

#include "parallel.h"
#include "simd.h"

namespace benchsuite {
namespace BENCHSUITE_ISA {

constexpr int64_t kGrain = 16384;  // elements: below it a second thread costs more than it brings

// Calls body(T{}) with the type in which elements are stored.
template <class Body> void with_type(Type type, const Body& body) {
  switch (type) {
    case Type::f32: return body(float{});
    case Type::bf16: return body(bf16{});
    case Type::f16: return body(f16{});
    case Type::f64: return body(double{});
  }
}

// Calls one(i, count): whole vectors, then what is left.
template <class T, class One> inline void for_vectors(int64_t n, const One& one) {
  constexpr int64_t L = kLanes<T>;
  int64_t i = 0;
  for (; i + 2 * L <= n; i += 2 * L) {
    one(i, L);
    one(i + L, L);
  }
  for (; i + L <= n; i += L) one(i, L);
  if (i < n) one(i, n - i);
}

template <class T> inline VecFor<T> get(const T* p, int64_t n) { return n == kLanes<T> ? load(p) : load(p, int(n)); }
template <class T> inline void put(T* p, VecFor<T> v, int64_t n) { n == kLanes<T> ? store(p, v) : store(p, v, int(n)); }

template <class T> const T* as(const void* p) { return static_cast<const T*>(p); }
template <class T> T* as(void* p) { return static_cast<T*>(p); }

// parallel_for over rows of so many elements.
template <class F> void for_each_row(int64_t rows, int64_t columns, const F& f) {
  parallel_for(rows, kGrain / (columns < 1 ? 1 : columns), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) f(r);
  });
}

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
