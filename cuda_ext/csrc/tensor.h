// What every ops/F.cpp needs on top of torch's stable ABI: checks with messages, element types, outputs, the stream.
//
// An operator family F is: cpu/F.h and cpu/F.cpp (see cpu/dispatch.h), cuda/F.h and cuda/F.cu, ops/F.cpp, and F.py:
//     Tensor act(const Tensor& x, ...) {               // ops/F.cpp, for both devices
//       require(x.dim() > 0, "act: x has no dimension");
//       Tensor y = new_like(x);
//       if (x.is_cpu()) { BENCHSUITE_CPU(act_forward)(type_of(x, "act"), x.const_data_ptr(), ...); return y; }
//     #if BENCHSUITE_CUDA
//       OnDevice on(x);
//       cuda::act_forward(type_of(x, "act"), x.const_data_ptr(), ..., on.stream());
//     #endif
//       return y;
//     }
//     STABLE_TORCH_LIBRARY_FRAGMENT(benchsuite, m) { m.def("act(Tensor x, str kind) -> Tensor"); }
//     STABLE_TORCH_LIBRARY_IMPL(benchsuite, CPU, m) { m.impl("act", TORCH_BOX(&act)); }
//     #if BENCHSUITE_CUDA
//     STABLE_TORCH_LIBRARY_IMPL(benchsuite, CUDA, m) { m.impl("act", TORCH_BOX(&act)); }
//     #endif
// Put the functions into an anonymous namespace. BENCHSUITE_CUDA is 1 where the library has CUDA code, else 0.
#pragma once

#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <initializer_list>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "types.h"

#ifndef BENCHSUITE_CUDA
#define BENCHSUITE_CUDA 0
#endif

// Weak: a torch without CUDA does not have it, and the same library loads there.
extern "C" __attribute__((weak)) AOTITorchError aoti_torch_get_current_cuda_stream(int32_t device, void** stream);

namespace benchsuite {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using MaybeTensor = std::optional<Tensor>;

template <class... Parts>
[[noreturn, gnu::noinline, gnu::cold]] void fail(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw std::runtime_error(text.str());
}

// Throws std::runtime_error, in Python a RuntimeError, with the parts as its message. Begin it with the operator's name.
template <class... Parts>
void require(bool condition, const Parts&... parts) {
  if (__builtin_expect(!condition, 0)) fail(parts...);
}

inline std::string shape(const Tensor& t) {
  std::ostringstream text;
  text << '(';
  for (int64_t d = 0; d < t.dim(); ++d) text << (d ? ", " : "") << t.size(d);
  text << ')';
  return text.str();
}

// As Python calls it.
inline std::string type_name(ScalarType type) {
  switch (type) {
    case ScalarType::Float: return "float32";
    case ScalarType::Double: return "float64";
    case ScalarType::BFloat16: return "bfloat16";
    case ScalarType::Half: return "float16";
    case ScalarType::Long: return "int64";
    default: return torch::headeronly::toString(type);
  }
}

inline Type type_of(const Tensor& t, const char* op) {
  switch (t.scalar_type()) {
    case ScalarType::Float: return Type::f32;
    case ScalarType::BFloat16: return Type::bf16;
    case ScalarType::Half: return Type::f16;
    case ScalarType::Double:
      require(t.is_cpu(), op, ": float64 works on the CPU only");
      return Type::f64;
    default: fail(op, ": ", type_name(t.scalar_type()),
                  " is not among float32, bfloat16, float16 and float64");
  }
}

// The type of the arithmetic on elements of t, and of what is kept of a row.
inline ScalarType arithmetic(const Tensor& t) {
  return t.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

inline void require_same_device(const Tensor& a, const Tensor& b, const char* op) {
  require(a.is_cpu() == b.is_cpu() && a.is_cuda() == b.is_cuda() && a.get_device_index() == b.get_device_index(), op,
          ": the tensors are on different devices");
}

// Same device and same element type.
inline void require_alike(const Tensor& a, const Tensor& b, const char* op) {
  require_same_device(a, b, op);
  require(a.scalar_type() == b.scalar_type(), op, ": the tensors have different types, ",
          type_name(a.scalar_type()), " and ", type_name(b.scalar_type()));
}

inline void require_shape(const Tensor& t, std::initializer_list<int64_t> sizes, const char* op, const char* name) {
  bool same = t.dim() == int64_t(sizes.size());
  int64_t d = 0;
  for (int64_t size : sizes) {
    same = same && t.size(d) == size;
    ++d;
  }
  if (same) return;
  std::ostringstream wanted;
  for (int64_t size : sizes) wanted << (wanted.tellp() > 0 ? ", " : "") << size;
  fail(op, ": ", name, " has shape ", shape(t), ", not (", wanted.str(), ')');
}

inline void require_same_shape(const Tensor& a, const Tensor& b, const char* op) {
  bool same = a.dim() == b.dim();
  for (int64_t d = 0; same && d < a.dim(); ++d) same = a.size(d) == b.size(d);
  require(same, op, ": shapes differ, ", shape(a), " and ", shape(b));
}

// What a kernel takes by its pointer alone: everything about it is asked.
inline void require_exactly(const Tensor& t, const Tensor& device_of, ScalarType type, std::initializer_list<int64_t> sizes,
                            const char* op, const char* name) {
  require_same_device(device_of, t, op);
  require_shape(t, sizes, op, name);
  if (t.scalar_type() != type) fail(op, ": ", name, " are not ", type_name(type));
  require(t.is_contiguous(), op, ": ", name, " are not contiguous");
}

// Indices within a row are 32-bit on CUDA.
inline void require_row(const Tensor& like, int64_t columns, const char* op) {
  require(like.is_cpu() || columns <= int64_t(1) << 30, op, ": rows of ", columns, " elements are too long for CUDA");
}

// Elements along the last dimension lie side by side (nothing is asked of a dimension of size 1, nor of no elements).
inline bool last_dim_contiguous(const Tensor& t) {
  return t.dim() > 0 && (t.size(t.dim() - 1) <= 1 || t.stride(t.dim() - 1) == 1 || t.numel() == 0);
}

// The bytes from the first element of t to the end of its last.
struct Span {
  const char *begin, *end;
  explicit Span(const Tensor& t) : begin(static_cast<const char*>(t.const_data_ptr())), end(begin) {
    if (t.numel() == 0) return;
    int64_t last = 0;
    for (int64_t d = 0; d < t.dim(); ++d) last += (t.size(d) - 1) * t.stride(d);
    end += (last + 1) * int64_t(t.element_size());
  }
  bool touches(const Span& other) const { return begin < other.end && other.begin < end; }
};

// No byte of `out`, which is written, is one of an operand's.
inline void require_apart(const Tensor& out, std::initializer_list<const Tensor*> others, const char* op, const char* name) {
  for (const Tensor* other : others)
    require(!other || !Span(out).touches(Span(*other)), op, ": ", name, " shares memory with another argument");
}
inline const Tensor* pointer(const MaybeTensor& t) { return t ? &*t : nullptr; }

// All dimensions but the last taken as one number of rows with one stride between them.
struct Rows {
  int64_t count, columns, stride;
};

// Empty where no single stride leads from row to row, or where the last dimension is not contiguous.
inline std::optional<Rows> rows_of(const Tensor& t) {
  if (!last_dim_contiguous(t)) return std::nullopt;
  int64_t dims = t.dim(), columns = t.size(dims - 1), count = 1, stride = columns;
  for (int64_t d = dims - 2; d >= 0; --d) {
    if (t.size(d) == 1) continue;
    if (count == 1) stride = t.stride(d);
    else if (t.stride(d) != stride * count) {
      bool empty = t.numel() == 0;
      if (!empty) return std::nullopt;
    }
    count *= t.size(d);
  }
  return Rows{count, columns, stride};
}

// t itself if its rows have one stride, else a contiguous copy.
inline Tensor with_rows(const Tensor& t) { return rows_of(t) ? t : torch::stable::contiguous(t); }

// New tensors on the device of `like`, uninitialised and contiguous. By torch's C interface: torch::stable::new_empty
// looks its operator up by name each time, which costs µs.
inline Tensor empty(const std::vector<int64_t>& sizes, const Tensor& like,
                    std::optional<ScalarType> type = std::nullopt) {
  using torch::stable::detail::from;
  using torch::stable::detail::to;
  std::vector<int64_t> strides(sizes.size(), 1);
  for (size_t d = sizes.size(); d-- > 1;) strides[d - 1] = strides[d] * (sizes[d] > 1 ? sizes[d] : 1);
  int32_t device, dtype;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(like.get(), &device));
  if (type)
    dtype = to<int32_t>(from(*type));
  else
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dtype(like.get(), &dtype));
  AtenTensorHandle made;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(int64_t(sizes.size()), sizes.data(), strides.data(), dtype, device,
                                                         like.get_device_index(), &made));
  return Tensor(made);
}
inline Tensor zeros(const std::vector<int64_t>& sizes, const Tensor& like,
                    std::optional<ScalarType> type = std::nullopt) {
  return torch::stable::new_zeros(like, {sizes.data(), sizes.size()}, type);
}
// Contiguous whatever the layout of t; torch's own empty_like keeps a permuted layout.
inline Tensor new_like(const Tensor& t) {
  auto sizes = t.sizes();
  return empty(std::vector<int64_t>(sizes.begin(), sizes.end()), t);
}

inline const void* data(const MaybeTensor& t) { return t && t->defined() ? t->const_data_ptr() : nullptr; }

// torch's current CUDA stream on the device, as cudaStream_t.
inline void* current_stream(int32_t device) {
  void* stream = nullptr;
  require(aoti_torch_get_current_cuda_stream != nullptr, "this torch has no CUDA");
  require(aoti_torch_get_current_cuda_stream(device, &stream) == 0, "torch gives no stream for CUDA device ", device);
  return stream;
}

// Makes the device of a CUDA tensor the current one for as long as it lives.
class OnDevice {
 public:
  explicit OnDevice(const Tensor& t) : device_(t.get_device_index()), guard_(device_) {}
  void* stream() const { return current_stream(device_); }

 private:
  int32_t device_;
  torch::stable::accelerator::DeviceGuard guard_;
};

}  // namespace benchsuite
