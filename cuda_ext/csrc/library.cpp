// What the library says about itself.
#include <string>

#include "cpu/dispatch.h"
#include "tensor.h"

namespace {

using benchsuite::Isa;

std::string cpu_isa() { return "v" + std::to_string(int(benchsuite::isa())); }

// Takes the named instruction set, or the best that this machine has below it; returns which.
std::string set_cpu_isa(std::string name) {
  benchsuite::require(name == "v1" || name == "v3" || name == "v4", "set_cpu_isa: ", name, " is not v1, v3 or v4");
  Isa wanted = name == "v4" ? Isa::v4 : name == "v3" ? Isa::v3 : Isa::v1, best = benchsuite::machine_isa();
  benchsuite::isa() = int(wanted) < int(best) ? wanted : best;
  return cpu_isa();
}

bool has_cuda() { return BENCHSUITE_CUDA; }

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(benchsuite, m) {
  m.def("cpu_isa() -> str");
  m.def("set_cpu_isa(str name) -> str");
  m.def("has_cuda() -> bool");
}

STABLE_TORCH_LIBRARY_IMPL(benchsuite, CompositeExplicitAutograd, m) {
  m.impl("cpu_isa", TORCH_BOX(&cpu_isa));
  m.impl("set_cpu_isa", TORCH_BOX(&set_cpu_isa));
  m.impl("has_cuda", TORCH_BOX(&has_cuda));
}
