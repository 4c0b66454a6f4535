// Products of bfloat16 matrices with sums in float32, by AMX or AVX512-BF16: C (m, n) = A (m, depth) B (depth, n).
//
// Both multiply pairs of neighbours along the depth, and take the same tiles of 16 lines of 16 pairs: those of A are rows
// of m, those of B are pairs of the depth. A matrix is packed into its tiles first, in the order in which they are
// read: [outer / 16][depth / 32][16][16] pairs, zeros where the matrix ends; what is float32 is rounded on the way. So a
// weight in float32 needs no copy in bfloat16, and a transpose is another way of packing.
//
// The code is there for x86-64-v4 alone. Its instructions beyond that are in assembler, since the compiler may use none of
// them elsewhere in the file.
#pragma once

#include "rows.h"

namespace benchsuite {
namespace BENCHSUITE_ISA {

constexpr int64_t kTile = 16, kDepth = 32, kTileBytes = 1024;

inline int64_t tiles_of(int64_t n) { return (n + kTile - 1) / kTile; }
inline int64_t deep(int64_t depth) { return (depth + kDepth - 1) / kDepth; }
inline int64_t packed_bytes(int64_t outer, int64_t depth) { return tiles_of(outer) * deep(depth) * kTileBytes; }

#if defined(__AVX512F__) && __has_include(<amxbf16intrin.h>)
#define BENCHSUITE_PRODUCTS 1

// --- packing ---------------------------------------------------------------------------------------------------------

// Two vectors of float32 as 32 numbers of bfloat16, `low` first.
BENCHSUITE_INLINE __m512i rounded(__m512 low, __m512 high) {
  __m512i both;
  asm("vcvtne2ps2bf16 %2, %1, %0" : "=v"(both) : "v"(high), "v"(low));
  return both;
}

BENCHSUITE_INLINE __mmask32 below32(int64_t n) { return n >= 32 ? ~__mmask32(0) : __mmask32((1u << n) - 1); }
BENCHSUITE_INLINE __mmask16 below16(int64_t n) { return n >= 16 ? __mmask16(0xffff) : n <= 0 ? __mmask16(0) : __mmask16((1u << n) - 1); }

// 16 pairs of neighbours in a row, of which n numbers are there.
BENCHSUITE_INLINE __m512i along(const bf16* p, int64_t n) { return _mm512_maskz_loadu_epi16(below32(n), p); }
BENCHSUITE_INLINE __m512i along(const float* p, int64_t n) {
  return rounded(_mm512_maskz_loadu_ps(below16(n), p), _mm512_maskz_loadu_ps(below16(n - 16), p + 16));
}

// 16 pairs of a number in one row and that below it; `second` may be null.
BENCHSUITE_INLINE __m512i across(const bf16* first, const bf16* second, int64_t n) {
  auto wide = [&](const bf16* p) BENCHSUITE_INLINED {
    return p ? _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(below16(n), p)) : _mm512_setzero_si512();
  };
  return _mm512_or_si512(wide(first), _mm512_slli_epi32(wide(second), 16));
}
BENCHSUITE_INLINE __m512i interleaved(__m512i halves) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20,
                                         4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, halves);
}
BENCHSUITE_INLINE __m512i across(const float* first, const float* second, int64_t n) {
  auto load = [&](const float* p) BENCHSUITE_INLINED {
    return p ? _mm512_maskz_loadu_ps(below16(n), p) : _mm512_setzero_ps();
  };
  return interleaved(rounded(load(first), load(second)));
}

// 16 lines of 16 pairs, turned.
BENCHSUITE_INLINE void turned(__m512i* v) {
  __m512i t[16];
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
  }
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 2; ++j) {
      v[4 * i + 2 * j] = _mm512_unpacklo_epi64(t[4 * i + j], t[4 * i + 2 + j]);
      v[4 * i + 2 * j + 1] = _mm512_unpackhi_epi64(t[4 * i + j], t[4 * i + 2 + j]);
    }
  for (int j = 0; j < 4; ++j) {
    t[j] = _mm512_shuffle_i32x4(v[j], v[4 + j], 0x88);
    t[4 + j] = _mm512_shuffle_i32x4(v[j], v[4 + j], 0xdd);
    t[8 + j] = _mm512_shuffle_i32x4(v[8 + j], v[12 + j], 0x88);
    t[12 + j] = _mm512_shuffle_i32x4(v[8 + j], v[12 + j], 0xdd);
  }
  for (int j = 0; j < 8; ++j) {
    v[j] = _mm512_shuffle_i32x4(t[j], t[8 + j], 0x88);
    v[8 + j] = _mm512_shuffle_i32x4(t[j], t[8 + j], 0xdd);
  }
}

// Tiles of a matrix (rows, columns) whose rows are `stride` apart; those of outer tile `first` to `last`.
// Along: the depth is along a row, a tile's lines are 16 rows. Across: the depth is down the rows, and a line is a pair of
// them. For A that is turned in the second case, for B in the first.
template <bool Along, bool Turned, class T>
void pack(const T* p, int64_t stride, int64_t rows, int64_t columns, int64_t first, int64_t last, char* out) {
  const int64_t blocks = deep(Along ? columns : rows);
  out += first * blocks * kTileBytes;
  for (int64_t outer = first; outer < last; ++outer)
    for (int64_t block = 0; block < blocks; ++block, out += kTileBytes) {
      __m512i v[16];
      if (Along) {
        const int64_t r = outer * kTile, c = block * kDepth, n = columns - c;
        for (int i = 0; i < 16; ++i)
          v[i] = r + i < rows ? along(p + (r + i) * stride + c, n) : _mm512_setzero_si512();
      } else {
        const int64_t r = block * kDepth, c = outer * kTile, n = columns - c;
        for (int i = 0; i < 16; ++i) {
          const int64_t at = r + 2 * i;
          const T* low = at < rows ? p + at * stride + c : nullptr;
          v[i] = across(low, at + 1 < rows ? low + stride : nullptr, n);
        }
      }
      if (Turned) turned(v);
      for (int i = 0; i < 16; ++i) _mm512_store_si512(out + 64 * i, v[i]);
    }
}

// --- products --------------------------------------------------------------------------------------------------------

struct alignas(64) TileConfig {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t lines[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// A thread has its tiles for as long as this lives.
class WithTiles {
 public:
  explicit WithTiles(Products how) : amx_(how == Products::amx) {
    static const TileConfig config;
    if (amx_) asm volatile("ldtilecfg %0" ::"m"(config));
  }
  ~WithTiles() {
    if (amx_) asm volatile("tilerelease");
  }

 private:
  bool amx_;
};

#define BENCHSUITE_TILE_LOAD(tile, p) asm volatile("tileloadd (%0,%1,1), %%" tile ::"r"(p), "r"(int64_t(64)) : "memory")
#define BENCHSUITE_TILE_STORE(tile, p, bytes) asm volatile("tilestored %%" tile ", (%0,%1,1)" ::"r"(p), "r"(int64_t(bytes)) : "memory")
#define BENCHSUITE_TILE_PRODUCT(c, a, b) asm volatile("tdpbf16ps %%" b ", %%" a ", %%" c ::)

constexpr int64_t kBlock = 2 * kTile;  // a block of C: 2 by 2 tiles, in rows of 32 numbers

// Where the tiles of an operand lie: those of the next 16 rows of A (columns of B) and those of the next 32 of the depth,
// in bytes.
struct Layout {
  int64_t outer, depth;
};

// One block of C, of which R by N tiles are there.
template <int R, int N>
BENCHSUITE_INLINE void block_of_tiles(const char* a, Layout at, const char* b, Layout bt, int64_t blocks, float* c) {
  asm volatile("tilezero %%tmm0" ::);
  if (N > 1) asm volatile("tilezero %%tmm1" ::);
  if (R > 1) asm volatile("tilezero %%tmm2" ::);
  if (R > 1 && N > 1) asm volatile("tilezero %%tmm3" ::);
  for (int64_t k = 0; k < blocks; ++k, a += at.depth, b += bt.depth) {
    BENCHSUITE_TILE_LOAD("tmm4", a);
    BENCHSUITE_TILE_LOAD("tmm6", b);
    BENCHSUITE_TILE_PRODUCT("tmm0", "tmm4", "tmm6");
    if (N > 1) {
      BENCHSUITE_TILE_LOAD("tmm7", b + bt.outer);
      BENCHSUITE_TILE_PRODUCT("tmm1", "tmm4", "tmm7");
    }
    if (R > 1) {
      BENCHSUITE_TILE_LOAD("tmm5", a + at.outer);
      BENCHSUITE_TILE_PRODUCT("tmm2", "tmm5", "tmm6");
    }
    if (R > 1 && N > 1) BENCHSUITE_TILE_PRODUCT("tmm3", "tmm5", "tmm7");
  }
  BENCHSUITE_TILE_STORE("tmm0", c, 4 * kBlock);
  if (N > 1) BENCHSUITE_TILE_STORE("tmm1", c + kTile, 4 * kBlock);
  if (R > 1) BENCHSUITE_TILE_STORE("tmm2", c + kTile * kBlock, 4 * kBlock);
  if (R > 1 && N > 1) BENCHSUITE_TILE_STORE("tmm3", c + kTile * kBlock + kTile, 4 * kBlock);
}

// The same by AVX512-BF16: 8 rows of A at a time, each pair of a row for the 16 columns of N tiles of B.
template <int R, int N>
BENCHSUITE_INLINE void block_of_pairs(const char* a, Layout at, const char* b, Layout bt, int64_t blocks, float* c) {
  for (int part = 0; part < 2 * R; ++part) {
    const char* rows = a + (part / 2) * at.outer + (part % 2) * 8 * 64;
    __m512 sum[8][N];
#pragma GCC unroll 8
    for (int r = 0; r < 8; ++r)
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) sum[r][n] = _mm512_setzero_ps();
    for (int64_t k = 0; k < blocks; ++k)
      for (int pair = 0; pair < 16; ++pair) {
        const char* line = b + k * bt.depth + 64 * pair;
        const char* row = rows + k * at.depth + 4 * pair;
        __m512i two[N];
#pragma GCC unroll 2
        for (int n = 0; n < N; ++n) two[n] = _mm512_load_si512(line + n * bt.outer);
#pragma GCC unroll 8
        for (int r = 0; r < 8; ++r) {
          int32_t same;
          std::memcpy(&same, row + 64 * r, 4);
          const __m512i all = _mm512_set1_epi32(same);
#pragma GCC unroll 2
          for (int n = 0; n < N; ++n) asm("vdpbf16ps %2, %1, %0" : "+v"(sum[r][n]) : "v"(all), "v"(two[n]));
        }
      }
#pragma GCC unroll 8
    for (int r = 0; r < 8; ++r)
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) _mm512_store_ps(c + (8 * part + r) * kBlock + n * kTile, sum[r][n]);
  }
}

// A block of C, of which `high` by `wide` tiles are there (two by two at most), from the first tiles of its rows and columns.
inline void block(Products how, const char* a, Layout at, int64_t high, const char* b, Layout bt, int64_t wide,
                  int64_t blocks, float* c) {
  auto one = [&](auto tiles, auto pairs) BENCHSUITE_INLINED {
    how == Products::amx ? tiles(a, at, b, bt, blocks, c) : pairs(a, at, b, bt, blocks, c);
  };
  if (high > 1 && wide > 1) one(block_of_tiles<2, 2>, block_of_pairs<2, 2>);
  else if (high > 1) one(block_of_tiles<2, 1>, block_of_pairs<2, 1>);
  else if (wide > 1) one(block_of_tiles<1, 2>, block_of_pairs<1, 2>);
  else one(block_of_tiles<1, 1>, block_of_pairs<1, 1>);
}

// Calls out(row, column, c) for the blocks of C in the tiles first..last of its rows, columns on the outside: the tiles
// of B that a block needs stay in the first-level cache for all rows. Both operands are as `pack` leaves them.
template <class Out>
void multiply(Products how, const char* a, int64_t first, int64_t last, const char* b, int64_t n, int64_t depth, const Out& out) {
  alignas(64) float c[kBlock * kBlock];
  const int64_t wide = tiles_of(n), blocks = deep(depth);
  const Layout packed{blocks * kTileBytes, kTileBytes};
  for (int64_t j = 0; j < wide; j += 2)
    for (int64_t i = first; i < last; i += 2) {
      block(how, a + i * packed.outer, packed, last - i, b + j * packed.outer, packed, wide - j, blocks, c);
      out(i * kTile, j * kTile, static_cast<const float*>(c));
    }
}

#endif

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
