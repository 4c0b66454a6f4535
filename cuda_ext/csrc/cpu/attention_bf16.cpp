// Attention of bfloat16 by 16-bit products: 32 queries at a time against all keys that they see, the scores of which stay in
// the second-level cache, so that a row's softmax is exact and taken once. Probabilities and their gradients are
// rounded to bfloat16 where the next product takes them; sums are float32. One thread has a whole head (forward: a
// head's queries), so the result has the same bits for any number of threads.
#include "attention.h"

#include "attention_tiles.h"
#include "products.h"

namespace benchsuite {
namespace BENCHSUITE_ISA {

#if BENCHSUITE_PRODUCTS
namespace {

constexpr int64_t kRows = kBlock;               // queries at a time, and keys in a block of scores
constexpr int64_t kScores = kRows * kRows;      // numbers in a block: [key / 32][query][key % 32]
constexpr int64_t kLine = 64, kBoth = 2 * kTileBytes;  // bytes of a block's row in bfloat16, and of a block
// Tiles of A in blocks of scores: 16 queries further, 32 keys further.
constexpr Layout kByKeys{kTileBytes, kBoth};

inline Layout packed(int64_t depth) { return {deep(depth) * kTileBytes, kTileBytes}; }
inline int64_t blocks_of(int64_t n) { return (n + kRows - 1) / kRows; }

// Rows of a head: those of the tensor itself, or a copy turned to their places.
struct Side {
  const bf16* p;
  int64_t stride;
  Side(const AttentionArgs& a, const Heads& x, int64_t b, int64_t h, int64_t rows, int64_t first_place, bf16* copy, float* row)
      : p(row_of<const bf16>(x, b, h, 0)), stride(x.t) {
    if (!a.cos || !copy) return;
    for (int64_t t = 0; t < rows; ++t) {
      read(a, p + t * stride, row, a.D, first_place + t, true, 1.f);
      for_vectors<bf16>(a.D, [&](int64_t i, auto k) { put(copy + t * a.D + i, get(row + i, k), k); });
    }
    p = copy;
    stride = a.D;
  }
};

// One head's scores of 32 queries: s = q kᵀ for `keys` keys; q and k are packed.
inline void scores(Products how, const char* q, int64_t high, const char* k, int64_t keys, int64_t D, float* s) {
  for (int64_t j = 0; j < keys; j += kRows)
    block(how, q, packed(D), high, k + j / kTile * packed(D).outer, packed(D), tiles_of(keys - j), deep(D), s + j / kRows * kScores);
}

// Calls one(j, scores with scale and ALiBi, the same 16 keys on, masks of those that count) for a row's pairs of vectors.
template <class One>
BENCHSUITE_INLINE void for_pairs(const float* row, int64_t columns, float scale, float slope, float first, const One& one) {
  const Vec lane = lanes<float>();
  Vec ramp = lane * slope + first;
  for (int64_t j = 0; j < columns; j += kRows, ramp += slope * float(kRows)) {
    const float* p = row + j / kRows * kScores;
    one(j, load(p) * scale + ramp, load(p + kTile) * scale + (ramp + slope * float(kTile)), lane < Vec{} + float(columns - j),
        lane < Vec{} + float(columns - j - kTile));
  }
}

void forward_head(Products how, const AttentionArgs& a, int64_t b, int64_t h, int64_t first, int64_t last) {
  const int64_t D = a.D, end = last * kRows < a.Tq ? last * kRows : a.Tq, offset = a.Tk - a.Tq;
  const int64_t keys = a.causal ? offset + end : a.Tk, blocks = blocks_of(keys);
  const int64_t turned = a.cos ? keys * D : 0, turned_q = a.cos ? a.Tq * D : 0;
  Scratch scratch(packed_bytes(keys, D) + packed_bytes(D, keys) + packed_bytes(kRows, D) + blocks * (4 * kScores + kBoth) +
                  Scratch::bytes<bf16>(turned) + Scratch::bytes<bf16>(turned_q) + Scratch::bytes<float>(D));
  char *k = scratch.take<char>(packed_bytes(keys, D)), *v = scratch.take<char>(packed_bytes(D, keys));
  char *q = scratch.take<char>(packed_bytes(kRows, D)), *p = scratch.take<char>(blocks * kBoth);
  float *s = scratch.take<float>(blocks * kScores), *row = scratch.take<float>(D);
  bf16 *copy = scratch.take<bf16>(turned), *copy_q = scratch.take<bf16>(turned_q);
  const Side ks(a, a.k, b, h / a.group, keys, 0, copy, row), vs(a, a.v, b, h / a.group, keys, 0, nullptr, row);
  const Side qs(a, a.q, b, h, end, offset, copy_q, row);
  pack<true, true>(ks.p, ks.stride, keys, D, 0, tiles_of(keys), k);
  pack<false, false>(vs.p, vs.stride, keys, D, 0, tiles_of(D), v);
  const float slope = a.slopes ? a.slopes[h] : 0, scale = float(a.scale);
  const WithTiles tiles(how);
  for (int64_t i0 = first * kRows; i0 < end; i0 += kRows) {
    const int64_t M = end - i0 < kRows ? end - i0 : kRows, place = offset + i0, high = tiles_of(M);
    const int64_t n = a.causal ? place + M : a.Tk;
    pack<true, false>(qs.p + i0 * qs.stride, qs.stride, M, D, 0, high, q);
    scores(how, q, high, k, n, D, s);
    float factor[kRows];
    for (int64_t i = 0; i < M; ++i) {
      float* at = s + i * kRows;
      const int64_t columns = seen(a, i0 + i, 0, n);
      Vec top = Vec{} - INFINITY;
      for_pairs(at, columns, scale, slope, -slope * float(place + i), [&](int64_t j, Vec x, Vec y, auto mx, auto my) BENCHSUITE_INLINED {
        x = mx ? x : Vec{} - INFINITY, y = my ? y : Vec{} - INFINITY;
        store(at + j / kRows * kScores, x), store(at + j / kRows * kScores + kTile, y);
        top = max(top, max(x, y));
      });
      const float most = largest(top);
      Vec added{};
      char* to = p + i * kLine;
      for (int64_t j = 0; j < n; j += kRows) {
        Vec x{}, y{};
        if (j < columns) {
          const float* from = at + j / kRows * kScores;
          x = exp_below_one(load(from) - most), y = exp_below_one(load(from + kTile) - most);
          added += x + y;
        }
        _mm512_store_si512(to + j / kRows * kBoth, rounded(x, y));
      }
      const float total = sum(added);
      factor[i] = 1 / total;
      as<float>(a.lse)[(b * a.H + h) * a.Tq + i0 + i] = most + std::log(total);
    }
    for (int64_t i = M; i < high * kTile; ++i)
      for (int64_t j = 0; j < n; j += kRows) _mm512_store_si512(p + i * kLine + j / kRows * kBoth, _mm512_setzero_si512());
    for (int64_t d = 0; d < D; d += kBlock) {
      alignas(64) float o[kScores];
      block(how, p, kByKeys, high, v + d / kTile * packed(keys).outer, packed(keys), tiles_of(D - d), deep(n), o);
      const int64_t wide = D - d < kBlock ? D - d : kBlock;
      for (int64_t i = 0; i < M; ++i)
        for_vectors<bf16>(wide, [&](int64_t c, auto m) {
          put(row_of<bf16>(a.out, b, h, i0 + i) + d + c, load(o + i * kBlock + c) * factor[i], m);
        });
    }
  }
}

// Gradients of a head's rows in float32, [row][channel]: blocks are added, and written out at the end.
struct Sums {
  float* p;
  int64_t width;
  BENCHSUITE_INLINE void add(int64_t row, int64_t column, const float* c, int64_t rows, int64_t columns) const {
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; j += kTile) {
        float* to = p + (row + i) * width + column + j;
        store(to, load(to) + load(c + i * kBlock + j));
      }
  }
};

void backward_head(Products how, const AttentionArgs& a, int64_t b, int64_t h) {
  const int64_t D = a.D, W = tiles_of(D) * kTile, offset = a.Tk - a.Tq, blocks = blocks_of(a.Tk);
  const int64_t turned = a.cos ? a.Tk * D : 0, turned_q = a.cos ? a.Tq * D : 0, all = blocks * kRows * W;
  Scratch scratch(2 * packed_bytes(a.Tk, D) + packed_bytes(D, a.Tk) + 2 * packed_bytes(kRows, D) + 2 * packed_bytes(D, kRows) +
                  blocks * (8 * kScores + 2 * kBoth) + 2 * Scratch::bytes<float>(all) + Scratch::bytes<float>(kRows * W) +
                  Scratch::bytes<bf16>(turned) + Scratch::bytes<bf16>(turned_q) + Scratch::bytes<float>(W) + kBoth);
  char *k = scratch.take<char>(packed_bytes(a.Tk, D)), *v = scratch.take<char>(packed_bytes(a.Tk, D));
  char *k_down = scratch.take<char>(packed_bytes(D, a.Tk));
  char *q = scratch.take<char>(packed_bytes(kRows, D)), *g = scratch.take<char>(packed_bytes(kRows, D));
  char *q_down = scratch.take<char>(packed_bytes(D, kRows)), *g_down = scratch.take<char>(packed_bytes(D, kRows));
  char *p = scratch.take<char>(blocks * kBoth), *ds = scratch.take<char>(blocks * kBoth), *tile = scratch.take<char>(kBoth);
  float *s = scratch.take<float>(blocks * kScores), *dp = scratch.take<float>(blocks * kScores);
  const Sums dk{scratch.take<float>(all), W}, dv{scratch.take<float>(all), W};
  float *dq = scratch.take<float>(kRows * W), *row = scratch.take<float>(W);
  bf16 *copy = scratch.take<bf16>(turned), *copy_q = scratch.take<bf16>(turned_q);
  const Side ks(a, a.k, b, h / a.group, a.Tk, 0, copy, row), vs(a, a.v, b, h / a.group, a.Tk, 0, nullptr, row);
  const Side qs(a, a.q, b, h, a.Tq, offset, copy_q, row), gs(a, a.dout, b, h, a.Tq, 0, nullptr, row);
  pack<true, true>(ks.p, ks.stride, a.Tk, D, 0, tiles_of(a.Tk), k);
  pack<true, true>(vs.p, vs.stride, a.Tk, D, 0, tiles_of(a.Tk), v);
  pack<false, false>(ks.p, ks.stride, a.Tk, D, 0, tiles_of(D), k_down);
  std::memset(dk.p, 0, all * 4);
  std::memset(dv.p, 0, all * 4);
  const float slope = a.slopes ? a.slopes[h] : 0, scale = float(a.scale);
  const float* lse = as<float>(a.lse) + (b * a.H + h) * a.Tq;
  const WithTiles tiles(how);
  alignas(64) float c[kScores];
  for (int64_t i0 = 0; i0 < a.Tq; i0 += kRows) {
    const int64_t M = a.Tq - i0 < kRows ? a.Tq - i0 : kRows, place = offset + i0, high = tiles_of(M);
    const int64_t n = a.causal ? place + M : a.Tk;
    pack<true, false>(qs.p + i0 * qs.stride, qs.stride, M, D, 0, high, q);
    pack<true, false>(gs.p + i0 * gs.stride, gs.stride, M, D, 0, high, g);
    pack<false, false>(qs.p + i0 * qs.stride, qs.stride, M, D, 0, tiles_of(D), q_down);
    pack<false, false>(gs.p + i0 * gs.stride, gs.stride, M, D, 0, tiles_of(D), g_down);
    scores(how, q, high, k, n, D, s);
    scores(how, g, high, v, n, D, dp);
    for (int64_t i = 0; i < kRows; ++i) {
      const float *at = s + i * kRows, *gradient = dp + i * kRows;
      char *to = p + i * kLine, *dto = ds + i * kLine;
      int64_t done = 0;
      if (i < M) {
        const bf16 *out = row_of<const bf16>(a.out, b, h, i0 + i), *grad = gs.p + (i0 + i) * gs.stride;
        const float delta = sum(total<bf16>(D, [&](int64_t d, auto m) BENCHSUITE_INLINED { return get(out + d, m) * get(grad + d, m); }));
        const float all_of_it = lse[i0 + i];
        const int64_t columns = seen(a, i0 + i, 0, n);
        for_pairs(at, columns, scale, slope, -slope * float(place + i) - all_of_it,
                  [&](int64_t j, Vec x, Vec y, auto mx, auto my) BENCHSUITE_INLINED {
                    x = mx ? exp_below_one(x) : Vec{}, y = my ? exp_below_one(y) : Vec{};
                    const float* d = gradient + j / kRows * kScores;  // of keys that are not there it has anything, NaN too
                    const Vec dx = mx ? x * (load(d) - delta) : Vec{}, dy = my ? y * (load(d + kTile) - delta) : Vec{};
                    _mm512_store_si512(to + j / kRows * kBoth, rounded(x, y));
                    _mm512_store_si512(dto + j / kRows * kBoth, rounded(dx, dy));
                  });
        done = blocks_of(columns) * kRows;
      }
      for (int64_t j = done; j < n; j += kRows) {
        _mm512_store_si512(to + j / kRows * kBoth, _mm512_setzero_si512());
        _mm512_store_si512(dto + j / kRows * kBoth, _mm512_setzero_si512());
      }
    }
    for (int64_t j = 0; j < n; j += kRows) {
      const int64_t rows = n - j < kRows ? n - j : kRows;
      for (int part = 0; part < 2; ++part) {
        const char* from = (part ? ds : p) + j / kRows * kBoth;
        pack<false, true>(reinterpret_cast<const bf16*>(from), kRows, kRows, kRows, 0, 2, tile);
        for (int64_t d = 0; d < D; d += kBlock) {
          const char* down = (part ? q_down : g_down) + d / kTile * packed(kRows).outer;
          block(how, tile, packed(kRows), tiles_of(rows), down, packed(kRows), tiles_of(D - d), 1, c);
          (part ? dk : dv).add(j, d, c, rows, W - d < kBlock ? W - d : kBlock);
        }
      }
    }
    for (int64_t d = 0; d < D; d += kBlock) {
      block(how, ds, kByKeys, high, k_down + d / kTile * packed(a.Tk).outer, packed(a.Tk), tiles_of(D - d), deep(n), c);
      for (int64_t i = 0; i < M; ++i)
        for (int64_t j = 0; j < kBlock && d + j < W; j += kTile) store(dq + i * W + d + j, load(c + i * kBlock + j) * scale);
    }
    for (int64_t i = 0; i < M; ++i) write(a, dq + i * W, row_of<bf16>(a.dq, b, h, i0 + i), place + i, true, 1.f);
  }
  for (int64_t t = 0; t < a.Tk; ++t) {
    write(a, dk.p + t * W, row_of<bf16>(a.dk, b, h, t), t, true, scale);
    write(a, dv.p + t * W, row_of<bf16>(a.dv, b, h, t), 0, false, 1.f);
  }
}

}  // namespace

void attention_forward_bf16(Products how, const AttentionArgs& a) {
  const int64_t heads = a.B * a.H, blocks = blocks_of(a.Tq);
  int64_t parts = heads >= 2 * threads() ? 1 : (4 * threads() + heads - 1) / heads;
  parts = parts < blocks ? parts : blocks;
  parallel_for(heads * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t head = task / parts, part = task % parts;
      forward_head(how, a, head / a.H, head % a.H, part * blocks / parts, (part + 1) * blocks / parts);
    }
  });
}

void attention_backward_bf16(Products how, const AttentionArgs& a) {
  parallel_for(a.B * a.H, 1, [&](int64_t begin, int64_t end) {
    for (int64_t head = begin; head < end; ++head) backward_head(how, a, head / a.H, head % a.H);
  });
}

#else

void attention_forward_bf16(Products, const AttentionArgs&) { std::abort(); }
void attention_backward_bf16(Products, const AttentionArgs&) { std::abort(); }

#endif

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
