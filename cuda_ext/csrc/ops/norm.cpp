// layer_norm: x (..., C) with rows of any stride. embedding_layer_norm: the rows of a table, normalised, and those of a
// second table added to them. embedding: the rows of a table as they are, for its gradient.
#include <algorithm>

#include "../cuda/norm.h"
#include "../tensor.h"

#define BENCHSUITE_FAMILY "cpu/norm.h"
#include "../cpu/dispatch.h"

namespace benchsuite {
namespace {

// Blocks of rows with partial sums for weight and bias: enough for the device, few enough that the sums are little
// beside the rows; on the CPU not by the number of threads, so that they always have the same bits.
int64_t blocks_for(const Tensor& like, int64_t rows) {
  return like.is_cpu() ? std::clamp<int64_t>(rows / 32, 1, 64) : std::clamp<int64_t>(rows / 16, 1, 528);
}

void check_affine(const Tensor& x, const Tensor& weight, const MaybeTensor& bias, int64_t columns, const char* op) {
  require_row(x, columns, op);
  require_alike(x, weight, op);
  require_exactly(weight, x, x.scalar_type(), {columns}, op, "weight");
  if (!bias) return;
  require_alike(x, *bias, op);
  require_exactly(*bias, x, x.scalar_type(), {columns}, op, "bias");
}

void check_statistics(const Tensor& x, const Tensor& mean, const Tensor& rstd, int64_t rows, const char* op) {
  require_exactly(mean, x, arithmetic(x), {rows}, op, "mean");
  require_exactly(rstd, x, arithmetic(x), {rows}, op, "rstd");
}

NormRows plain_rows(const Tensor& x, const Tensor& in, const char* op) {
  Rows rows = *rows_of(in);
  return {type_of(x, op), in.const_data_ptr(), nullptr, nullptr, nullptr, rows.stride, 0, rows.count, rows.columns, 0, 0};
}

void forward(const Tensor& like, const NormRows& x, const Tensor& weight, const MaybeTensor& bias, double eps, Tensor& y,
             Tensor& mean, Tensor& rstd) {
  if (x.rows * x.columns == 0) return;
  if (like.is_cpu()) {
    BENCHSUITE_CPU(norm_forward)(x, weight.const_data_ptr(), data(bias), eps, y.mutable_data_ptr(),
                                 mean.mutable_data_ptr(), rstd.mutable_data_ptr());
    return;
  }
#if BENCHSUITE_CUDA
  OnDevice on(like);
  cuda::norm_forward(x, weight.const_data_ptr(), data(bias), eps, y.mutable_data_ptr(), mean.mutable_data_ptr(),
                     rstd.mutable_data_ptr(), on.stream());
#endif
}

// Gradients of weight and bias, by what each block of rows adds to them.
struct AffineGradients {
  Tensor dw, db, partial;
  int64_t blocks, columns;
  AffineGradients(const NormRows& x, const Tensor& weight, const Tensor& mean)
      : dw(empty({x.columns}, weight)), db(empty({x.columns}, weight)), blocks(blocks_for(weight, x.rows)), columns(x.columns) {
    partial = empty({blocks, 2, columns}, mean);
  }
  void reduce_on_cpu(Type type) {
    BENCHSUITE_CPU(norm_reduce)(type, partial.const_data_ptr(), blocks, dw.mutable_data_ptr(), db.mutable_data_ptr(), columns);
  }
};

// Returns the gradients of weight and bias.
std::tuple<Tensor, Tensor> backward(const Tensor& like, const NormRows& x, const Tensor& dy, const Tensor& weight,
                                    const Tensor& mean, const Tensor& rstd, Tensor& dx, bool wide) {
  if (x.rows * x.columns == 0) return {zeros({x.columns}, weight), zeros({x.columns}, weight)};
  AffineGradients sums(x, weight, mean);
  if (like.is_cpu()) {
    BENCHSUITE_CPU(norm_backward)(x, dy.const_data_ptr(), weight.const_data_ptr(), mean.const_data_ptr(),
                                  rstd.const_data_ptr(), dx.mutable_data_ptr(), wide, sums.partial.mutable_data_ptr(),
                                  sums.blocks);
    sums.reduce_on_cpu(x.type);
    return {sums.dw, sums.db};
  }
#if BENCHSUITE_CUDA
  OnDevice on(like);
  cuda::norm_backward(x, dy.const_data_ptr(), weight.const_data_ptr(), mean.const_data_ptr(), rstd.const_data_ptr(),
                      dx.mutable_data_ptr(), wide, sums.partial.mutable_data_ptr(), sums.blocks, on.stream());
  cuda::norm_reduce(x.type, sums.partial.const_data_ptr(), sums.blocks, sums.dw.mutable_data_ptr(),
                    sums.db.mutable_data_ptr(), x.columns, on.stream());
#endif
  return {sums.dw, sums.db};
}

std::tuple<Tensor, Tensor, Tensor> layer_norm(const Tensor& x, const Tensor& weight, const MaybeTensor& bias, double eps) {
  const char* op = "layer_norm";
  require(x.dim() > 0, op, ": x has no dimension");
  check_affine(x, weight, bias, x.size(x.dim() - 1), op);
  Tensor in = with_rows(x), y = new_like(x);
  NormRows rows = plain_rows(x, in, op);
  Tensor mean = empty({rows.rows}, x, arithmetic(x)), rstd = empty({rows.rows}, x, arithmetic(x));
  forward(x, rows, weight, bias, eps, y, mean, rstd);
  return {y, mean, rstd};
}

void layer_norm_out(const Tensor& x, const Tensor& weight, const MaybeTensor& bias, double eps, Tensor out, Tensor mean,
                    Tensor rstd) {
  const char* op = "layer_norm_out";
  require(x.dim() > 0, op, ": x has no dimension");
  check_affine(x, weight, bias, x.size(x.dim() - 1), op);
  require_alike(x, out, op);
  require_same_shape(x, out, op);
  Tensor in = with_rows(x);
  NormRows rows = plain_rows(x, in, op);
  check_statistics(x, mean, rstd, rows.rows, op);
  require(out.is_contiguous(), op, ": out is not contiguous");
  require_apart(out, {&x, &weight, pointer(bias), &mean, &rstd}, op, "out");
  require_apart(mean, {&x, &weight, pointer(bias), &rstd}, op, "mean");
  require_apart(rstd, {&x, &weight, pointer(bias)}, op, "rstd");
  forward(x, rows, weight, bias, eps, out, mean, rstd);
}

std::tuple<Tensor, Tensor, Tensor> layer_norm_backward(const Tensor& grad, const Tensor& x, const Tensor& weight,
                                                       const Tensor& mean, const Tensor& rstd) {
  const char* op = "layer_norm_backward";
  require(x.dim() > 0, op, ": x has no dimension");
  require_alike(x, grad, op);
  require_same_shape(x, grad, op);
  check_affine(x, weight, std::nullopt, x.size(x.dim() - 1), op);
  Tensor in = with_rows(x), g = contiguous(grad), dx = new_like(x);
  NormRows rows = plain_rows(x, in, op);
  check_statistics(x, mean, rstd, rows.rows, op);
  auto [dw, db] = backward(x, rows, g, weight, mean, rstd, dx, false);
  return {dx, dw, db};
}

// --- after an embedding ---------------------------------------------------------------------------------------------

// int64 indices, contiguous; each is checked against the table, as torch's embedding does: here on the CPU, and by the
// kernel on CUDA, which an index outside stops for good, as torch's device-side assert would.
const int64_t* indices(const Tensor& index, const Tensor& table, const char* op, const char* name) {
  require(index.scalar_type() == ScalarType::Long, op, ": ", name, " are not int64");
  require(index.is_contiguous(), op, ": ", name, " are not contiguous");
  require_same_device(index, table, op);
  const int64_t* p = static_cast<const int64_t*>(index.const_data_ptr());
  if (!index.is_cpu()) return p;
  for (int64_t i = 0; i < index.numel(); ++i)
    require(p[i] >= 0 && p[i] < table.size(0), op, ": ", name, " hold ", p[i], ", the table has ", table.size(0), " rows");
  return p;
}

NormRows embedded_rows(const Tensor& tokens, const Tensor& table, const MaybeTensor& positions,
                       const MaybeTensor& position_table, const char* op) {
  require(table.dim() == 2 && table.is_contiguous(), op, ": the table is not a contiguous matrix");
  int64_t columns = table.size(1);
  NormRows rows{type_of(table, op), table.const_data_ptr(), nullptr, indices(tokens, table, op, "tokens"), nullptr,
                columns,            columns,                tokens.numel(), columns, table.size(0), 0};
  require(positions.has_value() == position_table.has_value(), op, ": positions and their table come together");
  if (!positions) return rows;
  require_alike(table, *position_table, op);
  require(position_table->dim() == 2 && position_table->is_contiguous() && position_table->size(1) == columns, op,
          ": the position table ", shape(*position_table), " does not fit the table ", shape(table));
  require_same_shape(tokens, *positions, op);
  rows.b = position_table->const_data_ptr();
  rows.bi = indices(*positions, *position_table, op, "positions");
  rows.b_rows = position_table->size(0);
  return rows;
}

// A row for each token, uninitialised.
Tensor new_rows(const Tensor& tokens, const Tensor& table) {
  auto sizes = tokens.sizes();
  std::vector<int64_t> shape(sizes.begin(), sizes.end());
  shape.push_back(table.size(1));
  return empty(shape, table);
}

std::tuple<Tensor, Tensor, Tensor> embedding_layer_norm(const Tensor& tokens, const Tensor& table,
                                                        const MaybeTensor& positions, const MaybeTensor& position_table,
                                                        const Tensor& weight, const MaybeTensor& bias, double eps) {
  const char* op = "embedding_layer_norm";
  NormRows rows = embedded_rows(tokens, table, positions, position_table, op);
  check_affine(table, weight, bias, rows.columns, op);
  Tensor y = new_rows(tokens, table), mean = empty({rows.rows}, table, arithmetic(table));
  Tensor rstd = empty({rows.rows}, table, arithmetic(table));
  forward(table, rows, weight, bias, eps, y, mean, rstd);
  return {y, mean, rstd};
}

NormRows checked_rows(const Tensor& grad, const Tensor& tokens, const Tensor& table, const Tensor& weight,
                      const Tensor& mean, const Tensor& rstd, const char* op) {
  NormRows rows = embedded_rows(tokens, table, std::nullopt, std::nullopt, op);
  check_affine(table, weight, std::nullopt, rows.columns, op);
  require_alike(table, grad, op);
  require(grad.numel() == rows.rows * rows.columns, op, ": grad has shape ", shape(grad));
  check_statistics(table, mean, rstd, rows.rows, op);
  return rows;
}

// The gradient of the embedded rows (N, C), in the type of the arithmetic, and those of weight and bias.
std::tuple<Tensor, Tensor, Tensor> embedding_layer_norm_rows_backward(const Tensor& grad, const Tensor& tokens,
                                                                      const Tensor& table, const Tensor& weight,
                                                                      const Tensor& mean, const Tensor& rstd) {
  NormRows rows = checked_rows(grad, tokens, table, weight, mean, rstd, "embedding_layer_norm_rows_backward");
  Tensor g = contiguous(grad), dx = empty({rows.rows, rows.columns}, table, arithmetic(table));
  auto [dw, db] = backward(table, rows, g, weight, mean, rstd, dx, true);
  return {dx, dw, db};
}

// Entries 0 to n by index[i]; a counting sort.
struct Grouped {
  std::vector<int64_t> order, starts;
  Grouped(const int64_t* index, int64_t n, int64_t count) : order(n), starts(count + 2) {
    for (int64_t i = 0; i < n; ++i) ++starts[index[i] + 2];
    for (int64_t t = 2; t <= count; ++t) starts[t] += starts[t - 1];
    for (int64_t i = 0; i < n; ++i) order[starts[index[i] + 1]++] = i;  // starts[t + 1] moves from where t begins to its end
  }
  Groups groups() const { return {order.data(), starts.data(), int64_t(starts.size()) - 2}; }
};

// The gradients of the table, of weight and bias: the rows' gradients are added up while they are in the cache. That of
// the position table is embedding_backward's of the same grad.
std::tuple<Tensor, Tensor, Tensor> embedding_layer_norm_backward(const Tensor& grad, const Tensor& tokens,
                                                                 const Tensor& table, const Tensor& weight,
                                                                 const Tensor& mean, const Tensor& rstd) {
  const char* op = "embedding_layer_norm_backward";
  NormRows rows = checked_rows(grad, tokens, table, weight, mean, rstd, op);
  require(table.is_cpu(), op, ": works on the CPU only");
  int64_t n = rows.columns;
  if (rows.rows * n == 0) return {zeros({table.size(0), n}, table), zeros({n}, weight), zeros({n}, weight)};
  Tensor g = contiguous(grad), dtable = new_like(table);
  AffineGradients sums(rows, weight, mean);
  Grouped by_token(rows.ai, rows.rows, table.size(0));
  BENCHSUITE_CPU(embedding_norm_backward)(rows, by_token.groups(), g.const_data_ptr(), weight.const_data_ptr(),
                                          mean.const_data_ptr(), rstd.const_data_ptr(), dtable.mutable_data_ptr(),
                                          sums.partial.mutable_data_ptr(), sums.blocks);
  sums.reduce_on_cpu(rows.type);
  return {dtable, sums.dw, sums.db};
}

Tensor embedding(const Tensor& tokens, const Tensor& table) {
  const char* op = "embedding";
  require(table.is_cpu(), op, ": works on the CPU only");
  NormRows rows = embedded_rows(tokens, table, std::nullopt, std::nullopt, op);
  Tensor y = new_rows(tokens, table);
  if (rows.rows * rows.columns)
    BENCHSUITE_CPU(take_rows)(rows.type, rows.a, rows.ai, y.mutable_data_ptr(), rows.rows, rows.columns);
  return y;
}

// The gradient of a table of `count` rows.
Tensor embedding_backward(const Tensor& grad, const Tensor& tokens, int64_t count) {
  const char* op = "embedding_backward";
  require(grad.is_cpu(), op, ": works on the CPU only");
  require(grad.dim() > 0, op, ": grad has no dimension");
  require(count >= 0, op, ": a table of ", count, " rows");
  int64_t columns = grad.size(grad.dim() - 1);
  require(grad.numel() == tokens.numel() * columns, op, ": grad has shape ", shape(grad));
  Tensor g = contiguous(grad), dtable = empty({count, columns}, grad);
  const int64_t* index = indices(tokens, dtable, op, "tokens");
  if (count * columns) {
    Grouped by_token(index, tokens.numel(), count);
    BENCHSUITE_CPU(sum_groups)(type_of(grad, op), by_token.groups(), g.const_data_ptr(), dtable.mutable_data_ptr(),
                               columns);
  }
  return dtable;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(benchsuite, m) {
  m.def("layer_norm(Tensor x, Tensor weight, Tensor? bias, float eps) -> (Tensor, Tensor, Tensor)");
  m.def("layer_norm_out(Tensor x, Tensor weight, Tensor? bias, float eps, Tensor(a!) out, Tensor(b!) mean, "
        "Tensor(c!) rstd) -> ()");
  m.def("layer_norm_backward(Tensor grad, Tensor x, Tensor weight, Tensor mean, Tensor rstd) -> (Tensor, Tensor, Tensor)");
  m.def("embedding_layer_norm(Tensor tokens, Tensor table, Tensor? positions, Tensor? position_table, Tensor weight, "
        "Tensor? bias, float eps) -> (Tensor, Tensor, Tensor)");
  m.def("embedding_layer_norm_rows_backward(Tensor grad, Tensor tokens, Tensor table, Tensor weight, Tensor mean, "
        "Tensor rstd) -> (Tensor, Tensor, Tensor)");
  m.def("embedding_layer_norm_backward(Tensor grad, Tensor tokens, Tensor table, Tensor weight, Tensor mean, "
        "Tensor rstd) -> (Tensor, Tensor, Tensor)");
  m.def("embedding(Tensor tokens, Tensor table) -> Tensor");
  m.def("embedding_backward(Tensor grad, Tensor tokens, int count) -> Tensor");
}

#define BENCHSUITE_IMPLEMENT(m)                                                                \
  m.impl("layer_norm", TORCH_BOX(&layer_norm));                                                \
  m.impl("layer_norm_out", TORCH_BOX(&layer_norm_out));                                        \
  m.impl("layer_norm_backward", TORCH_BOX(&layer_norm_backward));                              \
  m.impl("embedding_layer_norm", TORCH_BOX(&embedding_layer_norm));                            \
  m.impl("embedding_layer_norm_rows_backward", TORCH_BOX(&embedding_layer_norm_rows_backward)); \
  m.impl("embedding_layer_norm_backward", TORCH_BOX(&embedding_layer_norm_backward));           \
  m.impl("embedding", TORCH_BOX(&embedding));                                                  \
  m.impl("embedding_backward", TORCH_BOX(&embedding_backward))

STABLE_TORCH_LIBRARY_IMPL(benchsuite, CPU, m) { BENCHSUITE_IMPLEMENT(m); }
#if BENCHSUITE_CUDA
STABLE_TORCH_LIBRARY_IMPL(benchsuite, CUDA, m) { BENCHSUITE_IMPLEMENT(m); }
#endif

}  // namespace benchsuite
