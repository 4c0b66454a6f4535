// The backward pass of the attention. One kernel, launched for each side: a block owns a tile of queries and goes over the
// keys, for dq; or owns keys and goes over the queries, for dk and dv. So nothing is added up by atomics and the result
// always has the same bits; the price is that scores and dp are computed on both sides.
#include "attention.h"
#include "attention_launch.cuh"

namespace benchsuite {
namespace cuda {
namespace {

// What a launch sums up. dk and dv of more than 64 channels together do not fit into 255 registers, and go one by one.
enum class Sums { dq, dk, dv, dk_dv };

// Warps of a block, 16 rows each, and rows of a tile that it goes over.
template <class T> constexpr int kWarps = sizeof(T) == 2 ? 4 : 2;
template <class T, int HD> constexpr int kOthers = (HD > 64 ? 64 : 128) / int(sizeof(T));

template <class T, int HD> constexpr int backward_bytes() {
  constexpr int rows = 2 * kWarps<T> * kWarpRows + 4 * kOthers<T, HD>;
  constexpr int tiles = rows * kStride<T, HD> * int(sizeof(T)), stage = kWarps<T> * kWarpRows * (HD + 8) * 4;
  return tiles > stage ? tiles : stage;
}

// Blocks of a multiprocessor that the compiler is to leave registers for: as many as spill nothing; 0 leaves it to ptxas.
template <int HD, Sums SUMS> constexpr int blocks() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
  if (HD > 64 && SUMS == Sums::dk) return 2;
#endif
  return HD == 96 ? 3 : HD > 96 && SUMS != Sums::dv ? 0 : 2;
}

// Bytes: reads what it owns once, and for each of its tiles the others that it sees; writes its gradients once.
template <class T, int HD, Sums SUMS>
__global__ void __launch_bounds__(kWarps<T> * 32, blocks<HD, SUMS>())
    attention_backward_kernel(AttentionArgs a, Wide wide, const float* delta) {
  constexpr bool Keys = SUMS != Sums::dq, First = SUMS != Sums::dv, Second = SUMS == Sums::dv || SUMS == Sums::dk_dv;
  constexpr int W = kWarps<T>, OWN = W * kWarpRows, N = kOthers<T, HD>, S = kStride<T, HD>;
  extern __shared__ __align__(16) char memory[];
  T *own1 = reinterpret_cast<T*>(memory), *own2 = own1 + OWN * S, *others = own2 + OWN * S;  // 2 × (N, N) rows
  const Task task = Keys ? Task(a, int((a.Tk + OWN - 1) / OWN), std::true_type{}) : Task(a, OWN);
  const Head<T> q(a.q, task.b, task.h, a.Tq, a.D, wide.q), k(a.k, task.b, int(task.h) / int(a.group), a.Tk, a.D, wide.k);
  const Head<T> v(a.v, task.b, int(task.h) / int(a.group), a.Tk, a.D, wide.v), g(a.dout, task.b, task.h, a.Tq, a.D, wide.dout);
  const Scores score(a, task.h);
  const float *cos = as<float>(a.cos), *sin = as<float>(a.sin);
  const int64_t rows = (task.b * a.H + task.h) * a.Tq;
  const float *lse = as<float>(a.lse) + rows, *by_row = delta + rows;
  // Those that are turned (q or k), and those that are not (the gradient of the output, or v).
  auto load_turned = [&](auto count, T* tile, const Head<T>& x, int first, int offset) {
    if (cos) load_turned_rows<T, HD, decltype(count)::value, W>(tile, x, first, offset, cos, sin);
    else load_rows<T, HD, decltype(count)::value, W>(tile, x, first);
  };
  const int first = task.tile * OWN;
  const std::integral_constant<int, OWN> own_rows{};
  const std::integral_constant<int, N> other_rows{};
  load_turned(own_rows, own1, Keys ? k : q, first, Keys ? 0 : score.offset);
  load_rows<T, HD, OWN, W>(own2, Keys ? v : g, first);
  auto load_others = [&](int at, int buffer) {
    load_turned(other_rows, others + buffer * 2 * N * S, Keys ? q : k, at, Keys ? score.offset : 0);
    load_rows<T, HD, N, W>(others + (buffer * 2 + 1) * N * S, Keys ? g : v, at);
  };
  const int begin = Keys && a.causal && first > score.offset ? (first - score.offset) / N * N : 0;
  const int end = Keys ? int(a.Tq) : score.last_key(first + OWN - 1) + 1;
  load_others(begin, 0);

  const int row = first + warp() * kWarpRows + lane() / 4;  // and 8 further
  float sum1[First ? HD / 8 : 1][4] = {}, sum2[Second ? HD / 8 : 1][4] = {};
  for (int at = begin, buffer = 0; at < end; at += N, buffer ^= 1) {
    wait_for_copies();
    __syncthreads();  // these are here, those before them are used up
    if (at + N < end) load_others(at + N, buffer ^ 1);
    const T *other1 = others + buffer * 2 * N * S, *other2 = other1 + N * S;
    float p[N / 8][4] = {};
    product_nt<T, HD>(p, own1 + warp() * kWarpRows * S, other1);
    // Of this thread's first score; the logarithm and delta of a query that is not there are those of the last.
    const int other = at + lane() % 4 * 2, query = Keys ? other : row, key = Keys ? row : other;
    auto place = [&](int n, int e) { return min(query + (Keys ? n * 8 + e % 2 : e / 2 * 8), score.Tq - 1); };
    const float bias[2] = {score.bias(query, key), score.bias(query + (Keys ? 0 : 8), key + (Keys ? 8 : 0))};
#pragma unroll
    for (int n = 0; n < N / 8; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int further = Keys ? -(n * 8 + e % 2) : n * 8 + e % 2;
        p[n][e] = exp2(score.of(p[n][e], bias[e / 2], further) - lse[place(n, e)] * kLog2e);
      }
    if (score.cut(Keys ? at : first, Keys ? N : OWN, Keys ? first : at, Keys ? OWN : N))
#pragma unroll
      for (int n = 0; n < N / 8; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int mine = row + e / 2 * 8, theirs = other + n * 8 + e % 2;
          if (!score.seen(Keys ? theirs : mine, Keys ? mine : theirs)) p[n][e] = 0.f;
        }
    if constexpr (Second) product_nn<T, HD>(sum2, p, other2);
    if constexpr (First) {
      float dp[N / 8][4] = {};
      product_nt<T, HD>(dp, own2 + warp() * kWarpRows * S, other2);
#pragma unroll
      for (int n = 0; n < N / 8; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) dp[n][e] = p[n][e] * (dp[n][e] - by_row[place(n, e)]);
      product_nn<T, HD>(sum1, dp, other1);
    }
  }
  float* stage = reinterpret_cast<float*>(memory);
  const int mine = first + warp() * kWarpRows;
  wait_for_copies();  // of a tile whose queries see none of these keys
  if constexpr (First) {
    const Head<T> d(Keys ? a.dk : a.dq, task.b, task.h, Keys ? a.Tk : a.Tq, a.D, Keys ? wide.dk : wide.dq);
    store_rows<T, HD>(stage, sum1, float(a.scale), d, mine, Keys ? 0 : score.offset, cos, sin);
  }
  if constexpr (Second) {
    const Head<T> dv(a.dv, task.b, task.h, a.Tk, a.D, wide.dv);
    store_rows<T, HD>(stage, sum2, 1.f, dv, mine, 0, nullptr, nullptr);
  }
}

constexpr int kDeltaWarps = 4;

// delta (B, H, Tq): the sum of out times its gradient along a row; a warp has a row.
template <class T> __global__ void __launch_bounds__(kDeltaWarps * 32) attention_delta_kernel(AttentionArgs a, float* delta) {
  for (int64_t r = int64_t(blockIdx.x) * kDeltaWarps + warp(); r < a.B * a.H * a.Tq; r += int64_t(gridDim.x) * kDeltaWarps) {
    const int64_t b = r / (a.H * a.Tq), h = r / a.Tq % a.H, t = r % a.Tq;
    const T* out = as<T>(a.out.p) + b * a.out.b + h * a.out.h + t * a.out.t;
    const T* grad = as<T>(a.dout.p) + b * a.dout.b + h * a.dout.h + t * a.dout.t;
    float total = 0.f;
    for (int d = lane(); d < a.D; d += 32) total += widen(out[d]) * widen(grad[d]);
#pragma unroll
    for (int step = 16; step; step /= 2) total += __shfl_xor_sync(0xffffffffu, total, step);
    if (lane() == 0) delta[r] = total;
  }
}

}  // namespace

void attention_backward(const AttentionArgs& a, void* delta, void* stream) {
  with_head_size(a, [&](auto t, auto size) {
    typedef decltype(t) T;
    constexpr int HD = decltype(size)::value, OWN = kWarps<T> * kWarpRows, bytes = backward_bytes<T, HD>();
    const float* by_row = as<float>(delta);
    const int64_t rows = a.B * a.H * a.Tq, blocks = (rows + kDeltaWarps - 1) / kDeltaWarps;
    auto sum = [&](auto kernel, int64_t over) {
      launch(kernel, a, (over + OWN - 1) / OWN, kWarps<T> * 32, bytes, stream, Wide::of<T>(a), by_row);
    };
    if (rows) {
      attention_delta_kernel<T><<<unsigned(blocks < 1 << 24 ? blocks : 1 << 24), kDeltaWarps * 32, 0, cudaStream_t(stream)>>>(
          a, as<float>(delta));
      check_launch();
      sum(attention_backward_kernel<T, HD, Sums::dq>, a.Tq);
    }
    if constexpr (HD <= 64) {
      sum(attention_backward_kernel<T, HD, Sums::dk_dv>, a.Tk);
    } else {
      sum(attention_backward_kernel<T, HD, Sums::dk>, a.Tk);
      sum(attention_backward_kernel<T, HD, Sums::dv>, a.Tk);
    }
  });
}

}  // namespace cuda
}  // namespace benchsuite
