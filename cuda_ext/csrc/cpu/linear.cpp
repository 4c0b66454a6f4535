// Each product packs its two operands into tiles, multiplies them block by block, and writes a block while it is in the
// first-level cache. The depth of a product is never shared out, so the result has the same bits for any number of threads.
#include "linear.h"

#include "products.h"

namespace benchsuite {
namespace BENCHSUITE_ISA {

#if BENCHSUITE_PRODUCTS
namespace {

template <class Body> void with_source(Type type, const Body& body) {
  type == Type::f32 ? body(float{}) : body(bf16{});
}

// Packs a whole matrix, its outer tiles shared out.
template <bool Along, bool Turned>
void pack_all(Type type, const void* p, int64_t stride, int64_t rows, int64_t columns, char* out) {
  with_source(type, [&](auto t) {
    typedef decltype(t) T;
    const int64_t outer = Along ? rows : columns, depth = Along ? columns : rows;
    parallel_for(tiles_of(outer), kGrain / (kTile * depth + 1), [&](int64_t first, int64_t last) {
      pack<Along, Turned>(as<T>(p), stride, rows, columns, first, last, out);
    });
  });
}

// C (m, n) of the type `to`, contiguous, plus `bias` (n) in `bias_type` and `onto` (m, n) in `to` where there are such; a
// and b are packed.
void product(Products how, const char* a, int64_t m, const char* b, int64_t n, int64_t depth, Type to, void* c,
             Type bias_type = Type::f32, const void* bias = nullptr, const void* onto = nullptr) {
  with_source(to, [&](auto t) {
    typedef decltype(t) T;
    const int64_t pairs = (tiles_of(m) + 1) / 2;
    parallel_for(pairs, (kGrain << 5) / (kBlock * n * depth + 1), [&](int64_t begin, int64_t end) {
      const WithTiles tiles(how);
      const int64_t last = end == pairs ? tiles_of(m) : 2 * end;
      multiply(how, a, 2 * begin, last, b, n, depth, [&](int64_t row, int64_t column, const float* block) {
        for (int64_t j = 0; j < kBlock && column + j < n; j += kTile) {
          const int64_t wide = n - column - j < kTile ? n - column - j : kTile;
          auto write = [&](auto k) BENCHSUITE_INLINED {
            Vec added{};
            if (bias) added = bias_type == Type::f32 ? get(as<float>(bias) + column + j, k) : get(as<bf16>(bias) + column + j, k);
            for (int64_t i = 0; i < kBlock && row + i < m; ++i) {
              const int64_t at = (row + i) * n + column + j;
              const Vec v = load(block + i * kBlock + j) + added;
              put(as<T>(c) + at, onto ? v + get(as<T>(onto) + at, k) : v, k);
            }
          };
          wide == kTile ? write(Whole<kTile>{}) : write(wide);
        }
      });
    });
  });
}

// Sums over the rows, four vectors of columns at a time.
void sums(Type type, const void* dy, int64_t stride, Type to, void* db, int64_t rows, int64_t columns) {
  with_source(type, [&](auto t) {
    typedef decltype(t) T;
    auto keep = [&](int64_t i, Vec v, auto k) { to == Type::f32 ? put(as<float>(db) + i, v, k) : put(as<bf16>(db) + i, v, k); };
    constexpr int64_t kWide = 4 * kTile;
    parallel_for((columns + kWide - 1) / kWide, kGrain / (rows * kWide + 1), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin * kWide; i < columns && i < end * kWide; i += kWide) {
        if (i + kWide <= columns) {
          Vec sum[4] = {};
          for (int64_t r = 0; r < rows; ++r)
            for (int v = 0; v < 4; ++v) sum[v] += load(as<T>(dy) + r * stride + i + v * kTile);
          for (int v = 0; v < 4; ++v) keep(i + v * kTile, sum[v], Whole<kTile>{});
          continue;
        }
        for_vectors<T>(columns - i, [&](int64_t j, auto k) {
          Vec sum{};
          for (int64_t r = 0; r < rows; ++r) sum += get(as<T>(dy) + r * stride + i + j, k);
          keep(i + j, sum, k);
        });
      }
    });
  });
}

}  // namespace

void linear_forward(Products how, Type x_type, const void* x, int64_t x_stride, Type w_type, const void* w,
                    const void* bias, const void* onto, Type y_type, void* y, int64_t rows, int64_t in, int64_t out) {
  Scratch scratch(packed_bytes(rows, in) + packed_bytes(out, in));
  char *a = scratch.take<char>(packed_bytes(rows, in)), *b = scratch.take<char>(packed_bytes(out, in));
  pack_all<true, false>(x_type, x, x_stride, rows, in, a);
  pack_all<true, true>(w_type, w, in, out, in, b);
  product(how, a, rows, b, out, in, y_type, y, w_type, bias, onto);
}

void linear_backward(Products how, Type dy_type, const void* dy, int64_t dy_stride, Type x_type, const void* x,
                     int64_t x_stride, Type w_type, const void* w, void* dx, void* dw, void* db, int64_t rows,
                     int64_t in, int64_t out) {
  const int64_t for_x = dx ? packed_bytes(rows, out) + packed_bytes(in, out) : 0;
  const int64_t for_w = dw ? packed_bytes(out, rows) + packed_bytes(in, rows) : 0;
  Scratch scratch(for_x > for_w ? for_x : for_w);
  char* p = scratch.take<char>(0);
  if (dx) {
    char* b = p + packed_bytes(rows, out);
    pack_all<true, false>(dy_type, dy, dy_stride, rows, out, p);
    pack_all<false, false>(w_type, w, in, out, in, b);
    product(how, p, rows, b, in, out, x_type, dx);
  }
  if (dw) {
    char* b = p + packed_bytes(out, rows);
    pack_all<false, true>(dy_type, dy, dy_stride, rows, out, p);
    pack_all<false, false>(x_type, x, x_stride, rows, in, b);
    product(how, p, out, b, in, rows, w_type, dw);
  }
  if (db) sums(dy_type, dy, dy_stride, w_type, db, rows, out);
}

#else

void linear_forward(Products, Type, const void*, int64_t, Type, const void*, const void*, const void*, Type, void*, int64_t,
                    int64_t, int64_t) {
  std::abort();
}
void linear_backward(Products, Type, const void*, int64_t, Type, const void*, int64_t, Type, const void*, void*, void*, void*,
                     int64_t, int64_t, int64_t) {
  std::abort();
}

#endif

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
