// What the library says about itself.
#include <string>

#include "cpu/dispatch.h"
#include "tensor.h"

namespace {

using benchsuite::Products;

std::string cpu_isa() { return "v" + std::to_string(int(benchsuite::isa())); }

// Takes the named instruction set, or the best that this machine and the library have below it; returns which.
std::string set_cpu_isa(std::string name) {
  benchsuite::require(name == "v1" || name == "v3" || name == "v4", "set_cpu_isa: ", name, " is not v1, v3 or v4");
  benchsuite::isa() = benchsuite::isa_up_to(name[1] - '0');
  return cpu_isa();
}

std::string cpu_products() {
  const char* names[] = {"none", "avx512_bf16", "amx"};
  return names[int(benchsuite::products())];
}

// Takes the named 16-bit products, or the best that this machine has below them; returns which.
std::string set_cpu_products(std::string name) {
  benchsuite::require(name == "none" || name == "avx512_bf16" || name == "amx", "set_cpu_products: ", name,
                      " is not none, avx512_bf16 or amx");
  Products wanted = name == "amx" ? Products::amx : name == "none" ? Products::none : Products::avx512_bf16;
  Products best = benchsuite::machine_products();
  benchsuite::chosen_products() = int(wanted) < int(best) ? wanted : best;
  return cpu_products();
}

bool has_cuda() { return BENCHSUITE_CUDA; }

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(benchsuite, m) {
  m.def("cpu_isa() -> str");
  m.def("set_cpu_isa(str name) -> str");
  m.def("cpu_products() -> str");
  m.def("set_cpu_products(str name) -> str");
  m.def("has_cuda() -> bool");
}

STABLE_TORCH_LIBRARY_IMPL(benchsuite, CompositeExplicitAutograd, m) {
  m.impl("cpu_isa", TORCH_BOX(&cpu_isa));
  m.impl("set_cpu_isa", TORCH_BOX(&set_cpu_isa));
  m.impl("cpu_products", TORCH_BOX(&cpu_products));
  m.impl("set_cpu_products", TORCH_BOX(&set_cpu_products));
  m.impl("has_cuda", TORCH_BOX(&has_cuda));
}
