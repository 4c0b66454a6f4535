// Rows of vectors: the loops that the row-wise kernels share. (One copy for each instruction set, as simd.h.)
#pragma once

#include <cstdlib>

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

// The number of elements in a whole vector, as a type: what is called with it is another function than what is called
// for the rest of a row, and neither asks which it is.
template <int64_t N> struct Whole { constexpr operator int64_t() const { return N; } };

// Calls one(i, count): whole vectors, then what is left.
template <class T, class One> BENCHSUITE_INLINE void for_vectors(int64_t n, const One& one) {
  int64_t i = 0;
#pragma GCC unroll 2
  for (; i + kLanes<T> <= n; i += kLanes<T>) one(i, Whole<kLanes<T>>{});
  if (i < n) one(i, n - i);
}

template <class T> BENCHSUITE_INLINE VecFor<T> get(const T* p, Whole<kLanes<T>>) { return load(p); }
template <class T> BENCHSUITE_INLINE VecFor<T> get(const T* p, int64_t n) { return load(p, int(n)); }
template <class T> BENCHSUITE_INLINE void put(T* p, VecFor<T> v, Whole<kLanes<T>>) { store(p, v); }
template <class T> BENCHSUITE_INLINE void put(T* p, VecFor<T> v, int64_t n) { store(p, v, int(n)); }

// combine(..., f(i, count)) over n elements from `start`, lane by lane. In four chains, for one would wait for each sum;
// what f gives beyond the count goes in as well.
template <class T, class Combine, class F>
BENCHSUITE_INLINE VecFor<T> reduce(int64_t n, VecFor<T> start, const Combine& combine, const F& f) {
  constexpr int64_t L = kLanes<T>;
  VecFor<T> a = start, b = start, c = start, d = start;
  int64_t i = 0;
  for (; i + 4 * L <= n; i += 4 * L) {
    a = combine(a, f(i, Whole<L>{}));
    b = combine(b, f(i + L, Whole<L>{}));
    c = combine(c, f(i + 2 * L, Whole<L>{}));
    d = combine(d, f(i + 3 * L, Whole<L>{}));
  }
  for (; i + L <= n; i += L) a = combine(a, f(i, Whole<L>{}));
  if (i < n) b = combine(b, f(i, n - i));
  return combine(combine(a, b), combine(c, d));
}
template <class T, class F> BENCHSUITE_INLINE VecFor<T> total(int64_t n, const F& f) {
  return reduce<T>(n, VecFor<T>{}, [](VecFor<T> a, VecFor<T> b) { return a + b; }, f);
}

// The first k lanes; the others are `rest`.
template <class T> BENCHSUITE_INLINE VecFor<T> first(VecFor<T> v, Whole<kLanes<T>>, typename Compute<T>::type) { return v; }
template <class T> BENCHSUITE_INLINE VecFor<T> first(VecFor<T> v, int64_t k, typename Compute<T>::type rest) {
  for (int64_t i = k; i < kLanes<T>; ++i) v[i] = rest;
  return v;
}

// A row of a result. Where the whole result is too large to be found in a cache when it is read, the row is written past
// the caches: an ordinary store would first read from memory what it then overwrites.
constexpr int64_t kTooLarge = 16 << 20;  // bytes; with a sum over the result after it, 11 MB lost 5% and 24 MB won 26%
template <class T> struct Result {
  T* p;
  bool past;
  Result(T* p, int64_t elements_of_all)
      : p(p), past(elements_of_all * int64_t(sizeof(T)) >= kTooLarge && reinterpret_cast<uintptr_t>(p) % kBytes == 0) {}
};
template <class T> BENCHSUITE_INLINE void put(const Result<T>& row, int64_t i, VecFor<T> v, Whole<kLanes<T>>) {
  row.past ? store_past(row.p + i, v) : store(row.p + i, v);
}
template <class T> BENCHSUITE_INLINE void put(const Result<T>& row, int64_t i, VecFor<T> v, int64_t n) {
  store(row.p + i, v, int(n));
}

// Zeros from element i of a row to its end n.
template <class T> BENCHSUITE_INLINE void zeros(const Result<T>& row, int64_t i, int64_t n) {
  constexpr int64_t L = kLanes<T>;
  const int64_t whole = (i + L - 1) / L * L;  // from here on past the caches
  if (whole > i) put(row, i, VecFor<T>{}, (whole < n ? whole : n) - i);
  if (whole < n) for_vectors<T>(n - whole, [&](int64_t j, auto k) { put(row, whole + j, VecFor<T>{}, k); });
}

// Memory of one task, cut into arrays of whole cache lines.
class Scratch {
 public:
  explicit Scratch(int64_t bytes) : p_(static_cast<char*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64 + 64))) {
    if (!p_) std::abort();
    next_ = p_;
  }
  ~Scratch() { std::free(p_); }
  template <class S> S* take(int64_t count) {
    S* taken = reinterpret_cast<S*>(next_);
    next_ += bytes<S>(count);
    return taken;
  }
  template <class S> static int64_t bytes(int64_t count) { return (count * int64_t(sizeof(S)) + 63) / 64 * 64; }

 private:
  char *p_, *next_;
};

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
