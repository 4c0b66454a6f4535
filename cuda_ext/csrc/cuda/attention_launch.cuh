// What the passes of the attention share: which tile a block has, what a score is, and the launch.
#pragma once

#include <type_traits>

#include "tiles.cuh"

namespace benchsuite {
namespace cuda {

constexpr float kLog2e = 1.4426950408889634f, kLn2 = 0.6931471805599453f;

// Whose rows can be accessed in 16 bytes.
struct Wide {
  bool q, k, v, out, dout, dq, dk, dv;
  template <class T> static Wide of(const AttentionArgs& a) {
    auto wide = [&](const Heads& x) { return wide_rows<T>(x, a.D); };
    return {wide(a.q), wide(a.k), wide(a.v), wide(a.out), wide(a.dout), wide(a.dq), wide(a.dk), wide(a.dv)};
  }
};

// The blocks of a head are neighbours, so that its keys stay in the L2 cache; those with the longest causal rows come first.
struct Task {
  int64_t b, h;
  int tile;
  __device__ Task(const AttentionArgs& a, int rows) {
    const int tiles = int((a.Tq + rows - 1) / rows);
    set(a, tiles);
    tile = tiles - 1 - tile;
  }
  __device__ Task(const AttentionArgs& a, int tiles, std::true_type) { set(a, tiles); }  // of keys: the first are longest

 private:
  __device__ void set(const AttentionArgs& a, int tiles) {
    tile = int(blockIdx.x % tiles);
    const int64_t head = blockIdx.x / tiles;
    b = head / a.H, h = head % a.H;
  }
};

// Scores in units of log2, so that exp2 makes probabilities of them.
struct Scores {
  float scale, slope;
  int Tq, Tk, offset;  // of the first query's place
  bool causal;
  __device__ Scores(const AttentionArgs& a, int64_t h)
      : scale(float(a.scale) * kLog2e), slope(a.slopes ? a.slopes[h] * kLog2e : 0.f), Tq(int(a.Tq)), Tk(int(a.Tk)),
        offset(int(a.Tk - a.Tq)), causal(a.causal) {}
  __device__ int last_key(int query) const { return causal ? min(Tk - 1, offset + query) : Tk - 1; }
  __device__ bool seen(int query, int key) const { return key < Tk && query < Tq && (!causal || key <= offset + query); }
  // Whether a tile of queries and keys may have scores that are not seen.
  __device__ bool cut(int query, int queries, int key, int keys) const {
    return key + keys > Tk || query + queries > Tq || (causal && key + keys - 1 > offset + query);
  }
  // What the places add to a score; `further` keys on it is further * slope more.
  __device__ float bias(int query, int key) const { return slope * float(key - offset - query); }
  __device__ float of(float product, float bias, int further) const {
    return fmaf(product, scale, fmaf(slope, float(further), bias));
  }
};

template <class Body> void with_head_size(const AttentionArgs& a, const Body& body) {
  with_type(a.type, [&](auto t) {
    if (a.D <= 32) body(t, std::integral_constant<int, 32>{});
    else if (a.D <= 64) body(t, std::integral_constant<int, 64>{});
    else if (a.D <= 96) body(t, std::integral_constant<int, 96>{});
    else if (a.D <= 128) body(t, std::integral_constant<int, 128>{});
    else throw std::runtime_error("attention: head sizes above 128 are not there on CUDA");
  });
}

template <class Kernel, class... More>
void launch(Kernel kernel, const AttentionArgs& a, int64_t tiles, int threads, int bytes, void* stream, const More&... more) {
  const int64_t blocks = a.B * a.H * tiles;
  if (blocks > INT32_MAX) throw std::runtime_error("attention: more than 2^31 - 1 blocks of queries or keys for one launch");
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  kernel<<<unsigned(blocks), threads, bytes, cudaStream_t(stream)>>>(a, more...);
  check_launch();
}

}  // namespace cuda
}  // namespace benchsuite
