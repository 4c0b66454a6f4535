// The activations on the CPU: one pass over memory, a vector of float32 at a time.
#include "activation.h"

#include "rows.h"

#include "../elements.h"

namespace benchsuite {
namespace BENCHSUITE_ISA {
namespace {

// Calls row(r, first, n) for all of rows × columns, in parallel. Rows that follow one another in memory are one long
// row, so that neither many short rows nor one long one cost more than their elements.
template <class Row> void for_rows(int64_t rows, int64_t columns, bool flat, const Row& row) {
  if (flat) {
    parallel_for(rows * columns, kGrain, [&](int64_t begin, int64_t end) { row(0, begin, end - begin); });
    return;
  }
  for_each_row(rows, columns, [&](int64_t r) { row(r, 0, columns); });
}

template <class T, class N> BENCHSUITE_INLINE VecFor<T> biased(const T* p, const T* bias, int64_t i, N n) {
  VecFor<T> v = get(p + i, n);
  return bias ? v + get(bias + i, n) : v;
}

}  // namespace

void act_forward(Type type, Act kind, const void* x, int64_t x_stride, const void* bias, void* y, int64_t rows,
                 int64_t columns) {
  with_type(type, [&](auto t) {
    typedef decltype(t) T;
    with_act(kind, [&](auto function) {
      typedef decltype(function) F;
      for_rows(rows, columns, !bias && x_stride == columns, [&](int64_t r, int64_t first, int64_t n) {
        const T *in = as<T>(x) + r * x_stride + first, *b = as<T>(bias);
        Result<T> out(as<T>(y) + r * columns + first, rows * columns);
        for_vectors<T>(n, [&](int64_t i, auto k) { put(out, i, F::f(biased(in, b, i, k)), k); });
      });
    });
  });
}

void act_backward(Type type, Act kind, const void* grad, const void* x, int64_t x_stride, const void* bias, void* dx,
                  int64_t rows, int64_t columns) {
  with_type(type, [&](auto t) {
    typedef decltype(t) T;
    with_act(kind, [&](auto function) {
      typedef decltype(function) F;
      for_rows(rows, columns, !bias && x_stride == columns, [&](int64_t r, int64_t first, int64_t n) {
        const T *in = as<T>(x) + r * x_stride + first, *b = as<T>(bias), *g = as<T>(grad) + r * columns + first;
        Result<T> out(as<T>(dx) + r * columns + first, rows * columns);
        for_vectors<T>(n, [&](int64_t i, auto k) { put(out, i, get(g + i, k) * F::d(biased(in, b, i, k)), k); });
      });
    });
  });
}

void glu_forward(Type type, Act kind, const void* gate, const void* up, int64_t gate_stride, int64_t up_stride,
                 const void* gate_bias, const void* up_bias, void* y, int64_t rows, int64_t columns) {
  with_type(type, [&](auto t) {
    typedef decltype(t) T;
    with_act(kind, [&](auto function) {
      typedef decltype(function) F;
      bool flat = !gate_bias && gate_stride == columns && up_stride == columns;
      for_rows(rows, columns, flat, [&](int64_t r, int64_t first, int64_t n) {
        const T *a = as<T>(gate) + r * gate_stride + first, *b = as<T>(up) + r * up_stride + first;
        Result<T> out(as<T>(y) + r * columns + first, rows * columns);
        for_vectors<T>(n, [&](int64_t i, auto k) {
          put(out, i, F::f(biased(a, as<T>(gate_bias), i, k)) * biased(b, as<T>(up_bias), i, k), k);
        });
      });
    });
  });
}

void glu_backward(Type type, Act kind, const void* grad, const void* gate, const void* up, int64_t gate_stride,
                  int64_t up_stride, const void* gate_bias, const void* up_bias, void* dgate, void* dup,
                  int64_t d_stride, int64_t rows, int64_t columns) {
  with_type(type, [&](auto t) {
    typedef decltype(t) T;
    with_act(kind, [&](auto function) {
      typedef decltype(function) F;
      bool flat = !gate_bias && gate_stride == columns && up_stride == columns && d_stride == columns;
      for_rows(rows, columns, flat, [&](int64_t r, int64_t first, int64_t n) {
        const T *a = as<T>(gate) + r * gate_stride + first, *b = as<T>(up) + r * up_stride + first;
        const T* g = as<T>(grad) + r * columns + first;
        Result<T> da(as<T>(dgate) + r * d_stride + first, rows * columns);
        Result<T> db(as<T>(dup) + r * d_stride + first, rows * columns);
        for_vectors<T>(n, [&](int64_t i, auto k) {
          VecFor<T> x = biased(a, as<T>(gate_bias), i, k), grad = get(g + i, k);
          put(da, i, grad * biased(b, as<T>(up_bias), i, k) * F::d(x), k);
          put(db, i, grad * F::f(x), k);
        });
      });
    });
  });
}

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
