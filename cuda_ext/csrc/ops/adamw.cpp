// adamw_: a step of AdamW on lists of tensors, on the CPU alone; torch has it fused on CUDA.
#include <cmath>

#include "../tensor.h"

#define BENCHSUITE_FAMILY "cpu/adamw.h"
#include "../cpu/dispatch.h"

namespace benchsuite {
namespace {

Tensor adamw(std::vector<Tensor> params, std::vector<Tensor> grads, std::vector<Tensor> first, std::vector<Tensor> second,
             std::vector<double> decay, double lr, double beta1, double beta2, double eps, double clip, double step) {
  const char* op = "adamw_";
  const size_t count = params.size();
  require(count > 0, op, ": there are no tensors");
  require(grads.size() == count && first.size() == count && second.size() == count && decay.size() == count, op,
          ": the lists have different lengths");
  require(step >= 1, op, ": a step is at least 1, not ", step);
  std::vector<float*> p, m, v;
  std::vector<const float*> g;
  std::vector<int64_t> n;
  for (size_t i = 0; i < count; ++i) {
    for (const Tensor* t : {&params[i], &grads[i], &first[i], &second[i]}) {
      require(t->is_cpu() && t->scalar_type() == ScalarType::Float && t->is_contiguous(), op,
              ": tensors are not contiguous float32 on the CPU");
      require_same_shape(params[i], *t, op);
    }
    require_apart(params[i], {&grads[i], &first[i], &second[i]}, op, "a parameter");
    require_apart(first[i], {&grads[i], &second[i]}, op, "a moment");
    require_apart(second[i], {&grads[i]}, op, "a moment");
    p.push_back(static_cast<float*>(params[i].mutable_data_ptr()));
    m.push_back(static_cast<float*>(first[i].mutable_data_ptr()));
    v.push_back(static_cast<float*>(second[i].mutable_data_ptr()));
    g.push_back(static_cast<const float*>(grads[i].const_data_ptr()));
    n.push_back(params[i].numel());
  }
  const AdamwArgs a{int64_t(count), p.data(), m.data(), v.data(), g.data(), n.data(), decay.data(), lr, beta1, beta2, eps, clip,
                    1 - std::pow(beta1, step), 1 - std::pow(beta2, step)};
  Tensor norm = empty({}, params[0]);
  *static_cast<float*>(norm.mutable_data_ptr()) = float(BENCHSUITE_CPU(adamw)(a));
  return norm;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(benchsuite, m) {
  m.def("adamw_(Tensor(a!)[] params, Tensor[] grads, Tensor(b!)[] first, Tensor(c!)[] second, float[] decay, float lr, "
        "float beta1, float beta2, float eps, float clip, float step) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(benchsuite, CPU, m) { m.impl("adamw_", TORCH_BOX(&adamw)); }

}  // namespace benchsuite
