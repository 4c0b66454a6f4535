// Rotary positions: a block has one place of one sequence, whose cosines and sines serve all heads of q and k.
#include "rotary.h"

#include "common.cuh"

namespace benchsuite {
namespace cuda {
namespace {

// A pack of N elements of the first half against one of the second, or N / 2 pairs of neighbours (1 pair where N is 1).
// Bytes: reads and writes q and k once; cosines and sines come from memory once, for the heads from the L1 cache.
template <class T, int N, bool Interleaved>
__global__ void rotary_kernel(Heads q, Heads q_out, Heads k, Heads k_out, int64_t B, int64_t H, int64_t places, int64_t D,
                              int64_t R, const float* cos, const float* sin, int64_t angles_b, float sign) {
  constexpr int A = !Interleaved ? N : N > 1 ? N / 2 : 1;  // angles of one thread
  const int64_t half = R / 2, packs = half / A;
  for (int64_t place = blockIdx.x; place < B * places; place += gridDim.x) {
    const int64_t b = place / places, t = place % places, angle = (b * angles_b + t) * half;
    auto head = [&](const Heads& x, int64_t h) { return as<T>(x.p) + b * x.b + h * x.h + t * x.t; };
    auto from = [&](int64_t h) { return h < H ? head(q, h) : head(k, h - H); };
    auto to = [&](int64_t h) { return h < H ? head(q_out, h) : head(k_out, h - H); };
    for (int64_t task = threadIdx.x; task < 2 * H * packs; task += blockDim.x) {
      const int64_t h = task / packs, i = task % packs * A;
      const T* x = from(h);
      T* out = to(h);
      float c[A], s[A];
      read(cos + angle + i, A, c);
      read(sin + angle + i, A, s);
#pragma unroll
      for (int j = 0; j < A; ++j) s[j] *= sign;
      if (Interleaved) {
        constexpr int M = 2 * A;
        float v[M];
        if (N > 1) read(x + 2 * i, M, v);
        else v[0] = widen(x[2 * i]), v[1] = widen(x[2 * i + 1]);
#pragma unroll
        for (int j = 0; j < A; ++j) {
          float left = v[2 * j], right = v[2 * j + 1];
          v[2 * j] = left * c[j] - right * s[j];
          v[2 * j + 1] = right * c[j] + left * s[j];
        }
        if (N > 1) write(out + 2 * i, M, v);
        else out[2 * i] = narrow<T>(v[0]), out[2 * i + 1] = narrow<T>(v[1]);
      } else {
        float left[A], right[A], turned[A];
        read(x + i, A, left);
        read(x + half + i, A, right);
#pragma unroll
        for (int j = 0; j < A; ++j) turned[j] = left[j] * c[j] - right[j] * s[j];
        write(out + i, A, turned);
#pragma unroll
        for (int j = 0; j < A; ++j) turned[j] = right[j] * c[j] + left[j] * s[j];
        write(out + half + i, A, turned);
      }
    }
    if (R == D || q.p == q_out.p) continue;
    for (int64_t task = threadIdx.x; task < 2 * H * (D - R); task += blockDim.x) {
      const int64_t h = task / (D - R), i = R + task % (D - R);
      to(h)[i] = from(h)[i];
    }
  }
}

template <int N> bool whole_packs(const Heads& x) {
  return aligned(static_cast<const char*>(x.p)) && x.b % N == 0 && x.h % N == 0 && x.t % N == 0;
}

}  // namespace

void rotary(Type type, const Heads& q, const Heads& q_out, const Heads& k, const Heads& k_out, int64_t B, int64_t H,
            int64_t T_, int64_t D, int64_t R, const void* cos, const void* sin, int64_t angles_b, bool interleaved,
            double sign, void* stream) {
  with_type(type, [&](auto t) {
    typedef decltype(t) T;
    constexpr int N = kLanes<T>;
    bool wide = aligned(cos) && aligned(sin) && whole_packs<N>(q) && whole_packs<N>(q_out) && whole_packs<N>(k) && whole_packs<N>(k_out) &&
                (interleaved ? R : R / 2) % N == 0;
    auto kernel = interleaved ? (wide ? rotary_kernel<T, N, true> : rotary_kernel<T, 1, true>)
                              : (wide ? rotary_kernel<T, N, false> : rotary_kernel<T, 1, false>);
    int64_t tasks = H * R / (wide ? (interleaved ? N / 2 : N) : 1), places = B * T_;
    unsigned threads = tasks >= 256 ? 256 : tasks <= 32 ? 32 : unsigned((tasks + 31) / 32 * 32);
    kernel<<<unsigned(places < 1 << 24 ? places : 1 << 24), threads, 0, cudaStream_t(stream)>>>(
        q, q_out, k, k_out, B, H, T_, D, R, as<float>(cos), as<float>(sin), angles_b, float(sign));
    check_launch();
  });
}

}  // namespace cuda
}  // namespace benchsuite
