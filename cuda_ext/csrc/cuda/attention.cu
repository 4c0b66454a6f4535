// The forward pass of the attention by online softmax (arXiv:2205.14135; work shared among warps as in arXiv:2307.08691):
// a block has a tile of queries of one head, and goes over the tiles of keys. Scores are never in memory.
#include "attention.h"

#include <type_traits>

#include "attention_launch.cuh"

namespace benchsuite {
namespace cuda {
namespace {

// Warps of a block, 16 queries each, and keys of a tile. float32 takes twice the shared memory.
template <class T> constexpr int kWarps = sizeof(T) == 2 ? 4 : 2;
template <class T> constexpr int kKeys = sizeof(T) == 2 ? 64 : 32;

template <class T, int HD> constexpr int forward_bytes() {
  return (kWarps<T> * kWarpRows + 2 * kKeys<T>) * kStride<T, HD> * int(sizeof(T));
}

// Bytes: reads q once, and for each tile of queries the tiles of k and v that it sees; writes out and lse once.
template <class T, int HD>
__global__ void __launch_bounds__(kWarps<T> * 32, 2) attention_forward_kernel(AttentionArgs a, Wide wide) {
  constexpr int Q = kWarps<T> * kWarpRows, K = kKeys<T>, S = kStride<T, HD>;
  extern __shared__ __align__(16) char memory[];
  T *q_tile = reinterpret_cast<T*>(memory), *k_tile = q_tile + Q * S, *v_tile = k_tile + K * S;
  const Task task(a, Q);
  const Head<T> q(a.q, task.b, task.h, a.Tq, a.D, wide.q), k(a.k, task.b, int(task.h) / int(a.group), a.Tk, a.D, wide.k);
  const Head<T> v(a.v, task.b, int(task.h) / int(a.group), a.Tk, a.D, wide.v), out(a.out, task.b, task.h, a.Tq, a.D, wide.out);
  const Scores score(a, task.h);
  const float *cos = as<float>(a.cos), *sin = as<float>(a.sin);
  const int q0 = task.tile * Q, keys = score.last_key(q0 + Q - 1) + 1;
  auto load_keys = [&](int k0) {
    if (cos) load_turned_rows<T, HD, K, kWarps<T>>(k_tile, k, k0, 0, cos, sin);
    else load_rows<T, HD, K, kWarps<T>>(k_tile, k, k0);
  };
  if (cos) load_turned_rows<T, HD, Q, kWarps<T>>(q_tile, q, q0, score.offset, cos, sin);
  else load_rows<T, HD, Q, kWarps<T>>(q_tile, q, q0);
  load_keys(0);

  const int row = q0 + warp() * kWarpRows + lane() / 4;  // and 8 further
  float sum[HD / 8][4] = {}, most[2] = {-INFINITY, -INFINITY}, total[2] = {0.f, 0.f};
  for (int k0 = 0; k0 < keys; k0 += K) {
    wait_for_copies();
    __syncthreads();  // the keys are here, the last values are used up
    load_rows<T, HD, K, kWarps<T>>(v_tile, v, k0);
    float p[K / 8][4] = {};
    product_nt<T, HD>(p, q_tile + warp() * kWarpRows * S, k_tile);
    const int key = k0 + lane() % 4 * 2;  // of this thread's first score
    const float bias[2] = {score.bias(row, key), score.bias(row + 8, key)};
#pragma unroll
    for (int n = 0; n < K / 8; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) p[n][e] = score.of(p[n][e], bias[e / 2], n * 8 + e % 2);
    if (score.cut(q0, Q, k0, K))
#pragma unroll
      for (int n = 0; n < K / 8; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e)
          if (!score.seen(row + e / 2 * 8, key + n * 8 + e % 2)) p[n][e] = -INFINITY;
    float top[2] = {most[0], most[1]};
#pragma unroll
    for (int n = 0; n < K / 8; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) top[e / 2] = fmaxf(top[e / 2], p[n][e]);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      top[i] = fmaxf(top[i], __shfl_xor_sync(0xffffffffu, top[i], 1));
      top[i] = fmaxf(top[i], __shfl_xor_sync(0xffffffffu, top[i], 2));
      const float kept = exp2(most[i] - top[i]);
      most[i] = top[i];
      total[i] *= kept;
#pragma unroll
      for (int n = 0; n < HD / 8; ++n) sum[n][2 * i] *= kept, sum[n][2 * i + 1] *= kept;
    }
#pragma unroll
    for (int n = 0; n < K / 8; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) total[e / 2] += p[n][e] = exp2(p[n][e] - most[e / 2]);
    wait_for_copies();
    __syncthreads();  // the values are here, the keys are used up
    if (k0 + K < keys) load_keys(k0 + K);
    product_nn<T, HD>(sum, p, v_tile);
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    total[i] += __shfl_xor_sync(0xffffffffu, total[i], 1);
    total[i] += __shfl_xor_sync(0xffffffffu, total[i], 2);
    const int query = row + i * 8;
    if (lane() % 4 == 0 && query < a.Tq)
      as<float>(a.lse)[(task.b * a.H + task.h) * a.Tq + query] = (most[i] + log2f(total[i])) * kLn2;
    const float factor = 1.f / total[i];
#pragma unroll
    for (int n = 0; n < HD / 8; ++n) sum[n][2 * i] *= factor, sum[n][2 * i + 1] *= factor;
  }
  store_rows<T, HD>(reinterpret_cast<float*>(memory), sum, 1.f, out, q0 + warp() * kWarpRows, 0, nullptr, nullptr);
}

}  // namespace

void attention_forward(const AttentionArgs& a, void* stream) {
  with_head_size(a, [&](auto t, auto size) {
    typedef decltype(t) T;
    constexpr int HD = decltype(size)::value, Q = kWarps<T> * kWarpRows;
    launch(attention_forward_kernel<T, HD>, a, (a.Tq + Q - 1) / Q, kWarps<T> * 32, forward_bytes<T, HD>(), stream, Wide::of<T>(a));
  });
}

}  // namespace cuda
}  // namespace benchsuite
