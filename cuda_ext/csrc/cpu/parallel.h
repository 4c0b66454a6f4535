// torch's own thread pool, by its C interface: torch's C++ headers hold inline functions, which must not be compiled
// for an instruction set that the machine may lack.
#pragma once

#include <cstdint>

extern "C" {
int32_t torch_parallel_for(int64_t begin, int64_t end, int64_t grain_size, void (*f)(int64_t, int64_t, void*), void* ctx);
int32_t torch_get_num_threads(uint32_t* out);
}

namespace benchsuite {
namespace BENCHSUITE_ISA {

// Calls f(begin, end) for ranges that cover [0, n), each at least `grain` long unless it is the only one.
template <class F>
void parallel_for(int64_t n, int64_t grain, const F& f) {
  if (n <= 0) return;
  auto call = [](int64_t begin, int64_t end, void* context) {
    (*static_cast<const F*>(context))(begin, end);
#if defined(__x86_64__)
    __builtin_ia32_sfence();  // stores past the caches are in no order with what tells the other threads of the end
#endif
  };
  torch_parallel_for(0, n, grain < 1 ? 1 : grain, call, const_cast<void*>(static_cast<const void*>(&f)));
}

inline int64_t threads() {
  uint32_t n = 1;
  torch_get_num_threads(&n);
  return n;
}

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
