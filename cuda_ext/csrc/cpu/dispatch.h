// Calls a CPU function in the best of its three compilations. cpu/F.cpp is compiled for x86-64-v4, x86-64-v3 and x86-64
// into the namespaces cpu_v4, cpu_v3 and cpu_v1, or into the one that BENCHSUITE_ONLY_ISA names by its number, where the
// library is for this machine alone; its header cpu/F.h has no include guard, declares its functions in
//     namespace benchsuite::BENCHSUITE_ISA { void act_forward(Type type, const void* x, ...); }
// and is read here once for each. ops/F.cpp then says
//     #define BENCHSUITE_FAMILY "cpu/activation.h"
//     #include "../cpu/dispatch.h"
//     ... BENCHSUITE_CPU(act_forward)(type, x, ...);
// Structs that go into such a call belong into benchsuite itself, in a header with a guard.
#ifndef BENCHSUITE_DISPATCH
#define BENCHSUITE_DISPATCH

#include <cstdlib>
#include <cstring>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "../types.h"

namespace benchsuite {

enum class Isa { v1 = 1, v3 = 3, v4 = 4 };

// The best of the three that this machine has, of those that were compiled. By features: GCC 11 does not know the names
// x86-64-v3 and -v4 here.
inline Isa machine_isa() {
#if defined(BENCHSUITE_ONLY_ISA)
  return Isa(BENCHSUITE_ONLY_ISA);
#elif defined(__x86_64__)
  bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
            __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("f16c") && __builtin_cpu_supports("lzcnt") &&
            __builtin_cpu_supports("movbe");
  bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vl");
  if (v4) return Isa::v4;
  return v3 ? Isa::v3 : Isa::v1;
#else
  return Isa::v1;
#endif
}

// The named instruction set, or the best below it.
inline Isa isa_up_to(int most) {
  const Isa best = machine_isa();
#if defined(BENCHSUITE_ONLY_ISA)
  return best;
#else
  return most >= int(best) ? best : most >= 3 ? Isa::v3 : Isa::v1;
#endif
}

// The best, unless the environment variable BENCHSUITE_KERNELS_ISA names a lower one (v3, v1).
inline Isa first_isa() {
  const char* limit = std::getenv("BENCHSUITE_KERNELS_ISA");
  return isa_up_to(limit && limit[0] == 'v' ? limit[1] - '0' : 4);
}

// The one in use; torch.ops.benchsuite.set_cpu_isa changes it, for tests.
inline Isa& isa() {
  static Isa value = first_isa();
  return value;
}

// The best that this machine has. The kernel gives a process the tiles of AMX at its request, its threads and children too.
inline Products machine_products() {
#if defined(__x86_64__) && defined(__linux__) && __has_include(<amxbf16intrin.h>)
  unsigned a, b, c, d;
  if (machine_isa() != Isa::v4 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return Products::none;
  const bool tiles = d >> 22 & 1 && d >> 24 & 1;  // AMX-BF16, AMX-TILE
  if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a >> 5 & 1)) return Products::none;  // AVX512-BF16
  const long request = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return tiles && syscall(SYS_arch_prctl, request, tile_data) == 0 ? Products::amx : Products::avx512_bf16;
#else
  return Products::none;
#endif
}

// Those in use; torch.ops.benchsuite.set_cpu_products takes lesser ones, for tests. They are in the code for v4 alone.
inline Products& chosen_products() {
  static Products value = machine_products();
  return value;
}
inline Products products() { return isa() == Isa::v4 ? chosen_products() : Products::none; }

}  // namespace benchsuite

#if defined(BENCHSUITE_ONLY_ISA) && BENCHSUITE_ONLY_ISA == 4
#define BENCHSUITE_CPU(name) ::benchsuite::cpu_v4::name
#elif defined(BENCHSUITE_ONLY_ISA) && BENCHSUITE_ONLY_ISA == 3
#define BENCHSUITE_CPU(name) ::benchsuite::cpu_v3::name
#elif defined(__x86_64__) && !defined(BENCHSUITE_ONLY_ISA)
#define BENCHSUITE_CPU(name)                                  \
  (::benchsuite::isa() == ::benchsuite::Isa::v4   ? ::benchsuite::cpu_v4::name \
   : ::benchsuite::isa() == ::benchsuite::Isa::v3 ? ::benchsuite::cpu_v3::name \
                                                  : ::benchsuite::cpu_v1::name)
#else
#define BENCHSUITE_CPU(name) ::benchsuite::cpu_v1::name
#endif

#endif  // BENCHSUITE_DISPATCH

#ifdef BENCHSUITE_FAMILY
#if defined(__x86_64__)
#define BENCHSUITE_ISA cpu_v4
#include BENCHSUITE_FAMILY
#undef BENCHSUITE_ISA
#define BENCHSUITE_ISA cpu_v3
#include BENCHSUITE_FAMILY
#undef BENCHSUITE_ISA
#endif
#define BENCHSUITE_ISA cpu_v1
#include BENCHSUITE_FAMILY
#undef BENCHSUITE_ISA
#undef BENCHSUITE_FAMILY
#endif
