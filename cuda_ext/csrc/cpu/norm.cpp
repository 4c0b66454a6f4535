// LayerNorm on the CPU. A row is read from memory once and stays in the first-level cache for the passes over it: mean,
// then variance about the mean (the difference of two large sums would lose it), then the result.
#include "norm.h"

#include <type_traits>

#include "rows.h"

namespace benchsuite {
namespace BENCHSUITE_ISA {
namespace {

template <class T> const T* row_of(const NormRows& x, int64_t r) {
  return as<T>(x.a) + (x.ai ? x.ai[r] : r) * x.a_stride;
}

template <class T, bool Adds>
void forward_row(const NormRows& x, int64_t r, const T* w, const T* bias, typename Compute<T>::type eps, T* y,
                 typename Compute<T>::type* mean, typename Compute<T>::type* rstd) {
  typedef typename Compute<T>::type S;
  typedef VecFor<T> V;
  const T *row = row_of<T>(x, r), *added = Adds ? as<T>(x.b) + x.bi[r] * x.b_stride : nullptr;
  const int64_t n = x.columns;
  const S m = sum(total<T>(n, [&](int64_t i, auto k) BENCHSUITE_INLINED { return get(row + i, k); })) / S(n);
  const V square = total<T>(n, [&](int64_t i, auto k) BENCHSUITE_INLINED {
    V d = first<T>(get(row + i, k) - m, k, 0);
    return d * d;
  });
  S s = S(1) / std::sqrt(sum(square) / S(n) + eps);
  Result<T> out(y + r * n, x.rows * n);
  for_vectors<T>(n, [&](int64_t i, auto k) {
    V v = (get(row + i, k) - m) * s * get(w + i, k);
    if (bias) v += get(bias + i, k);
    put(out, i, Adds ? v + get(added + i, k) : v, k);
  });
  mean[r] = m;
  rstd[r] = s;
}

// Rows r to r + N (of `order`, where there is one): their two means one after the other, then the gradients of all at
// once, so that weight and the sums for weight and bias are read and written once for N rows.
template <class T, class Out, int N>
void backward_group(const NormRows& x, const int64_t* order, int64_t r, const T* dy, const T* w,
                    const typename Compute<T>::type* mean, const typename Compute<T>::type* rstd, const Result<Out>& out,
                    typename Compute<T>::type* dw, typename Compute<T>::type* db) {
  typedef typename Compute<T>::type S;
  typedef VecFor<T> V;
  const int64_t n = x.columns;
  const T *rows[N], *grad[N];
  S m[N], s[N], c1[N], c2[N];
  for (int j = 0; j < N; ++j) {
    const int64_t at = order ? order[r + j] : r + j;
    const T* row = rows[j] = row_of<T>(x, at);
    const T* g = grad[j] = dy + at * n;
    m[j] = mean[at], s[j] = rstd[at];
    V plain{}, product{};
    for_vectors<T>(n, [&](int64_t i, auto k) {
      V scaled = get(g + i, k) * get(w + i, k);  // zero beyond k
      plain += scaled;
      product += scaled * ((get(row + i, k) - m[j]) * s[j]);
    });
    c1[j] = sum(plain) / S(n), c2[j] = sum(product) / S(n);
  }
  for_vectors<T>(n, [&](int64_t i, auto k) {
    V weight = get(w + i, k), for_weight = get(dw + i, k), for_bias = get(db + i, k);
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
      V g = get(grad[j] + i, k), h = (get(rows[j] + i, k) - m[j]) * s[j];
      for_weight += g * h;
      for_bias += g;
      put(out, j * n + i, (g * weight - c1[j] - h * c2[j]) * s[j], k);
    }
    put(dw + i, for_weight, k);
    put(db + i, for_bias, k);
  });
}

constexpr int kGroup = 4;

// Rows begin to end, in groups; rows_at(r) says where dx of row r and those after it go, done(r, count) that they are there.
template <class T, class Out, class At, class Done>
void backward_rows(const NormRows& x, const int64_t* order, int64_t begin, int64_t end, const void* dy, const void* w,
                   const void* mean, const void* rstd, typename Compute<T>::type* dw, const At& rows_at, const Done& done) {
  typedef typename Compute<T>::type S;
  const auto group = backward_group<T, Out, kGroup>, row = backward_group<T, Out, 1>;
  for (int64_t i = 0; i < 2 * x.columns; ++i) dw[i] = 0;
  for (int64_t r = begin; r < end;) {
    const int64_t count = r + kGroup <= end ? kGroup : 1;
    (count == kGroup ? group : row)(x, order, r, as<T>(dy), as<T>(w), as<S>(mean), as<S>(rstd), rows_at(r, count), dw,
                                    dw + x.columns);
    done(r, count);
    r += count;
  }
}

template <class T, class Out>
void plain_backward(const NormRows& x, const void* dy, const void* w, const void* mean, const void* rstd, void* dx,
                    void* partial, int64_t blocks) {
  typedef typename Compute<T>::type S;
  const int64_t n = x.columns;
  parallel_for(blocks, kGrain * blocks / (x.rows * n + 1), [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block)
      backward_rows<T, Out>(
          x, nullptr, block * x.rows / blocks, (block + 1) * x.rows / blocks, dy, w, mean, rstd,
          as<S>(partial) + block * 2 * n,
          [&](int64_t r, int64_t count) {
            Result<Out> out(as<Out>(dx) + r * n, x.rows * n);
            out.past = out.past && (count == 1 || n * int64_t(sizeof(Out)) % kBytes == 0);  // then each row begins as r
            return out;
          },
          [](int64_t, int64_t) {});
  });
}

// The gradient of a table, row by row in rising order: what no row was taken from is zero.
template <class T> class Table {
  typedef typename Compute<T>::type S;

 public:
  Table(void* table, const Groups& groups, int64_t columns, int64_t first, S* sum)
      : table_(as<T>(table)), groups_(groups), n_(columns), next_(first), sum_(sum) {}
  // The next row of `token`; it is the i-th of all.
  void add(int64_t token, int64_t i, const S* row) {
    const bool first = i == groups_.starts[token], last = i + 1 == groups_.starts[token + 1];
    if (first) fill(token);
    auto value = [&](int64_t k, auto m) BENCHSUITE_INLINED {
      const VecFor<S> v = get(row + k, m);
      return first ? v : get(sum_ + k, m) + v;
    };
    if (!last) return for_vectors<S>(n_, [&](int64_t k, auto m) { put(sum_ + k, value(k, m), m); });
    next_ = token + 1;
    Result<T> out(table_ + token * n_, groups_.count * n_);
    for_vectors<S>(n_, [&](int64_t k, auto m) { put(out, k, value(k, m), m); });
  }
  // Zeros up to row `end`.
  void fill(int64_t end) {
    zeros(Result<T>(table_ + next_ * n_, groups_.count * n_), 0, (end - next_) * n_);
    next_ = end;
  }

 private:
  T* table_;
  const Groups& groups_;
  const int64_t n_;
  int64_t next_;
  S* sum_;
};

// Where block `b` begins in a table: blocks share the rows that are summed (which cost some times what a zero does) and
// the rows of the table, and what belongs to one row of the table is in one block.
inline int64_t first_of_block(const Groups& groups, int64_t b, int64_t blocks) {
  constexpr int64_t kRow = 4;
  const int64_t wanted = b * (groups.count + kRow * groups.starts[groups.count]) / blocks;
  int64_t low = 0, high = groups.count;
  while (low < high) {
    const int64_t t = (low + high) / 2;
    if (t + kRow * groups.starts[t] < wanted) low = t + 1;
    else high = t;
  }
  return low;
}

// Rows first to last of a table, zeros where nothing was taken. In tiles of some vectors, whose sums stay in registers.
template <class T>
void sums_of_groups(const Groups& groups, int64_t first, int64_t last, const void* rows, void* table, int64_t columns) {
  constexpr int64_t L = kLanes<T>, kTile = 8;
  for (int64_t t = first; t < last; ++t) {
    const int64_t *one = groups.order + groups.starts[t], *end = groups.order + groups.starts[t + 1];
    const Result<T> out(as<T>(table) + t * columns, groups.count * columns);
    auto add = [&](int64_t i, auto k, auto vectors) BENCHSUITE_INLINED {
      VecFor<T> sum[decltype(vectors)::value] = {};
      for (const int64_t* r = one; r < end; ++r)
        for (int v = 0; v < vectors; ++v) sum[v] += get(as<T>(rows) + *r * columns + i + v * L, k);
      for (int v = 0; v < vectors; ++v) put(out, i + v * L, sum[v], k);
    };
    int64_t i = 0;
    for (; i + kTile * L <= columns; i += kTile * L) add(i, Whole<L>{}, std::integral_constant<int, kTile>{});
    for_vectors<T>(columns - i, [&](int64_t j, auto k) { add(i + j, k, std::integral_constant<int, 1>{}); });
  }
}

}  // namespace

void norm_forward(const NormRows& x, const void* weight, const void* bias, double eps, void* y, void* mean, void* rstd) {
  with_type(x.type, [&](auto t) {
    typedef decltype(t) T;
    typedef typename Compute<T>::type S;
    auto row = x.b ? forward_row<T, true> : forward_row<T, false>;
    for_each_row(x.rows, x.columns, [&](int64_t r) {
      row(x, r, as<T>(weight), as<T>(bias), S(eps), as<T>(y), as<S>(mean), as<S>(rstd));
    });
  });
}

void norm_backward(const NormRows& x, const void* dy, const void* weight, const void* mean, const void* rstd, void* dx,
                   bool wide, void* partial, int64_t blocks) {
  with_type(x.type, [&](auto t) {
    typedef decltype(t) T;
    typedef typename Compute<T>::type S;
    auto rows = wide ? plain_backward<T, S> : plain_backward<T, T>;
    rows(x, dy, weight, mean, rstd, dx, partial, blocks);
  });
}

void norm_reduce(Type type, const void* partial, int64_t blocks, void* dw, void* db, int64_t columns) {
  with_type(type, [&](auto t) {
    typedef decltype(t) T;
    typedef typename Compute<T>::type S;
    parallel_for(columns, kGrain / (2 * blocks), [&](int64_t begin, int64_t end) {
      for (int64_t half = 0; half < 2; ++half)
        for_vectors<T>(end - begin, [&](int64_t i, auto k) {
          VecFor<T> total{};
          for (int64_t block = 0; block < blocks; ++block)
            total += get(as<S>(partial) + (2 * block + half) * columns + begin + i, k);
          put(as<T>(half ? db : dw) + begin + i, total, k);
        });
    });
  });
}

void embedding_norm_backward(const NormRows& x, const Groups& tokens, const void* dy, const void* weight,
                             const void* mean, const void* rstd, void* dtable, void* partial, int64_t blocks) {
  with_type(x.type, [&](auto t) {
    typedef decltype(t) T;
    typedef typename Compute<T>::type S;
    const int64_t n = x.columns;
    parallel_for(blocks, kGrain * blocks / ((x.rows + tokens.count) * n + 1), [&](int64_t begin, int64_t end) {
      Scratch scratch((kGroup + 1) * Scratch::bytes<S>(n));
      S *sum = scratch.take<S>(n), *rows = scratch.take<S>(kGroup * n);
      for (int64_t block = begin; block < end; ++block) {
        const int64_t first = first_of_block(tokens, block, blocks), last = first_of_block(tokens, block + 1, blocks);
        Table<T> table(dtable, tokens, n, first, sum);
        backward_rows<T, S>(x, tokens.order, tokens.starts[first], tokens.starts[last], dy, weight, mean, rstd,
                            as<S>(partial) + block * 2 * n, [&](int64_t, int64_t) { return Result<S>(rows, 0); },
                            [&](int64_t r, int64_t count) {
                              for (int64_t j = 0; j < count; ++j)
                                table.add(x.ai[tokens.order[r + j]], r + j, rows + j * n);
                            });
        table.fill(last);
      }
    });
  });
}

void sum_groups(Type type, const Groups& groups, const void* rows, void* table, int64_t columns) {
  with_type(type, [&](auto t) {
    typedef decltype(t) T;
    constexpr int64_t blocks = 64;
    parallel_for(blocks, kGrain * blocks / ((groups.starts[groups.count] + groups.count) * columns + 1),
                 [&](int64_t begin, int64_t end) {
                   sums_of_groups<T>(groups, first_of_block(groups, begin, blocks), first_of_block(groups, end, blocks),
                                     rows, table, columns);
                 });
  });
}

void take_rows(Type type, const void* table, const int64_t* index, void* out, int64_t rows, int64_t columns) {
  with_type(type, [&](auto t) {
    typedef decltype(t) T;
    for_each_row(rows, columns, [&](int64_t r) {
      const T* from = as<T>(table) + index[r] * columns;
      const Result<T> to(as<T>(out) + r * columns, rows * columns);
      for_vectors<T>(columns, [&](int64_t i, auto k) { put(to, i, get(from + i, k), k); });
    });
  });
}

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
