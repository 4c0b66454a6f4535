// Vectors of float32 (and float64) on GCC's vector extensions: arithmetic, comparison and `mask ? a : b` are the
// compiler's; here are the accesses to memory, which widen and narrow the 16-bit types, and what has no operator.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cmath>
#include <cstdint>
#include <cstring>

#include "../types.h"

namespace benchsuite {
namespace BENCHSUITE_ISA {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX2__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif

struct bf16 { uint16_t bits; };
struct f16 { uint16_t bits; };

template <class S> struct VecOf;
template <> struct VecOf<float> { typedef float type __attribute__((vector_size(kBytes))); };
template <> struct VecOf<double> { typedef double type __attribute__((vector_size(kBytes))); };
typedef VecOf<float>::type Vec;
typedef VecOf<double>::type Vec64;
typedef uint32_t Bits __attribute__((vector_size(kBytes)));

// The type of the arithmetic on elements stored as T, its vector and the number of lanes.
template <class T> struct Compute { typedef float type; };
template <> struct Compute<double> { typedef double type; };
template <class T> using VecFor = typename VecOf<typename Compute<T>::type>::type;
template <class T> constexpr int kLanes = kBytes / sizeof(typename Compute<T>::type);

// --- one element ---------------------------------------------------------------------------------------------------
inline float widen(float x) { return x; }
inline double widen(double x) { return x; }
inline float widen(bf16 x) {
  uint32_t bits = uint32_t(x.bits) << 16;
  float y;
  std::memcpy(&y, &bits, 4);
  return y;
}
inline float widen(f16 x) {
#if defined(__F16C__)
  return _cvtsh_ss(x.bits);
#else
  uint32_t sign = uint32_t(x.bits & 0x8000) << 16, exponent = (x.bits >> 10) & 31, mantissa = x.bits & 1023, bits;
  if (exponent == 31) {
    bits = sign | 0x7f800000 | mantissa << 13;
  } else if (exponent) {
    bits = sign | (exponent + 112) << 23 | mantissa << 13;
  } else {
    float y = std::ldexp(float(mantissa), -24);
    return sign ? -y : y;
  }
  float y;
  std::memcpy(&y, &bits, 4);
  return y;
#endif
}
template <class T> T narrow(typename Compute<T>::type x);
template <> inline float narrow<float>(float x) { return x; }
template <> inline double narrow<double>(double x) { return x; }
template <> inline bf16 narrow<bf16>(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  if (x != x) return {0x7fc0};
  return {uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}
template <> inline f16 narrow<f16>(float x) {
#if defined(__F16C__)
  return {uint16_t(_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT))};
#else
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  uint16_t sign = bits >> 16 & 0x8000;
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) return {uint16_t(sign | 0x7e00)};
  if (bits >= 0x477ff000) return {uint16_t(sign | 0x7c00)};
  float magnitude;
  std::memcpy(&magnitude, &bits, 4);
  if (bits < 0x38800000) return {uint16_t(sign | uint16_t(std::nearbyint(std::ldexp(magnitude, 24))))};
  return {uint16_t(sign | ((bits - 0x38000000 + 0xfff + (bits >> 13 & 1)) >> 13))};
#endif
}

// --- a vector ------------------------------------------------------------------------------------------------------
BENCHSUITE_INLINE Vec load(const float* p) { Vec v; std::memcpy(&v, p, sizeof v); return v; }
BENCHSUITE_INLINE Vec64 load(const double* p) { Vec64 v; std::memcpy(&v, p, sizeof v); return v; }
BENCHSUITE_INLINE void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }
BENCHSUITE_INLINE void store(double* p, Vec64 v) { std::memcpy(p, &v, sizeof v); }

// Past the caches, to an address that is a multiple of kBytes: parallel_for makes them visible at its end.
#if defined(__AVX512F__)
BENCHSUITE_INLINE void store_past(float* p, Vec v) { _mm512_stream_ps(p, __m512(v)); }
#elif defined(__AVX2__)
BENCHSUITE_INLINE void store_past(float* p, Vec v) { _mm256_stream_ps(p, __m256(v)); }
#elif defined(__x86_64__)
BENCHSUITE_INLINE void store_past(float* p, Vec v) { _mm_stream_ps(p, __m128(v)); }
#else
BENCHSUITE_INLINE void store_past(float* p, Vec v) { store(p, v); }
#endif
template <class T> BENCHSUITE_INLINE void store_past(T* p, VecFor<T> v) { store(p, v); }  // only float32 is worth it

#if defined(__AVX512F__)
BENCHSUITE_INLINE Vec load(const bf16* p) {
  return Vec(_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p)), 16)));
}
BENCHSUITE_INLINE Vec load(const f16* p) { return Vec(_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p))); }
BENCHSUITE_INLINE void store(f16* p, Vec v) {
  _mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph(__m512(v), _MM_FROUND_TO_NEAREST_INT));
}
BENCHSUITE_INLINE void store(bf16* p, Vec v) {
  __m512i bits = _mm512_castps_si512(__m512(v));
  __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
  __mmask16 nan = _mm512_cmp_ps_mask(__m512(v), __m512(v), _CMP_UNORD_Q);
  rounded = _mm512_mask_set1_epi32(rounded, nan, 0x7fc0);
  _mm256_storeu_si256((__m256i*)p, _mm512_cvtepi32_epi16(rounded));
}
#elif defined(__AVX2__)
BENCHSUITE_INLINE Vec load(const bf16* p) {
  return Vec(_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p)), 16)));
}
BENCHSUITE_INLINE Vec load(const f16* p) { return Vec(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p))); }
BENCHSUITE_INLINE void store(f16* p, Vec v) {
  _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph(__m256(v), _MM_FROUND_TO_NEAREST_INT));
}
BENCHSUITE_INLINE void store(bf16* p, Vec v) {
  __m256i bits = _mm256_castps_si256(__m256(v));
  __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
  __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(__m256(v), __m256(v), _CMP_UNORD_Q));
  rounded = _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc0), nan);
  __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(rounded, rounded), 0xd8);
  _mm_storeu_si128((__m128i*)p, _mm256_castsi256_si128(packed));
}
#else
template <class T> BENCHSUITE_INLINE Vec load(const T* p) {
  Vec v;
  for (int i = 0; i < kBytes / 4; ++i) v[i] = widen(p[i]);
  return v;
}
template <class T> BENCHSUITE_INLINE void store(T* p, Vec v) {
  for (int i = 0; i < kBytes / 4; ++i) p[i] = narrow<T>(v[i]);
}
#endif

// The first n elements; the other lanes of a load are zero, and a store leaves what follows alone.
template <class T> BENCHSUITE_INLINE VecFor<T> load(const T* p, int n) {
  T buffer[kLanes<T>] = {};
  std::memcpy(buffer, p, n * sizeof(T));
  return load(static_cast<const T*>(buffer));
}
template <class T> BENCHSUITE_INLINE void store(T* p, VecFor<T> v, int n) {
  T buffer[kLanes<T>];
  store(static_cast<T*>(buffer), v);
  std::memcpy(p, buffer, n * sizeof(T));
}

#if defined(__AVX512F__)  // by masks: a copy of unknown length costs as much as several whole vectors
BENCHSUITE_INLINE __mmask16 lanes_below(int n) { return __mmask16((1u << n) - 1); }
BENCHSUITE_INLINE Vec load(const float* p, int n) { return Vec(_mm512_maskz_loadu_ps(lanes_below(n), p)); }
BENCHSUITE_INLINE void store(float* p, Vec v, int n) { _mm512_mask_storeu_ps(p, lanes_below(n), __m512(v)); }
#elif defined(__AVX2__)
BENCHSUITE_INLINE __m256i lanes_below(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
BENCHSUITE_INLINE Vec load(const float* p, int n) { return Vec(_mm256_maskload_ps(p, lanes_below(n))); }
BENCHSUITE_INLINE void store(float* p, Vec v, int n) { _mm256_maskstore_ps(p, lanes_below(n), __m256(v)); }
#endif

BENCHSUITE_INLINE Vec max(Vec a, Vec b) { return a > b ? a : b; }
BENCHSUITE_INLINE Vec min(Vec a, Vec b) { return a < b ? a : b; }
BENCHSUITE_INLINE Vec64 max(Vec64 a, Vec64 b) { return a > b ? a : b; }
BENCHSUITE_INLINE Vec64 min(Vec64 a, Vec64 b) { return a < b ? a : b; }

template <class V> BENCHSUITE_INLINE auto sum(V v) {
  auto total = v[0];
  for (unsigned i = 1; i < sizeof(V) / sizeof(v[0]); ++i) total += v[i];
  return total;
}
template <class V> BENCHSUITE_INLINE auto largest(V v) {
  auto top = v[0];
  for (unsigned i = 1; i < sizeof(V) / sizeof(v[0]); ++i) top = v[i] > top ? v[i] : top;
  return top;
}
#if defined(__AVX512F__)
BENCHSUITE_INLINE float sum(Vec v) { return _mm512_reduce_add_ps(__m512(v)); }
BENCHSUITE_INLINE float largest(Vec v) { return _mm512_reduce_max_ps(__m512(v)); }
#elif defined(__AVX2__)
BENCHSUITE_INLINE float sum(Vec v) {  // in three steps, where one lane after the other would take eight
  __m128 x = _mm_add_ps(_mm256_castps256_ps128(__m256(v)), _mm256_extractf128_ps(__m256(v), 1));
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
BENCHSUITE_INLINE float largest(Vec v) {
  __m128 x = _mm_max_ps(_mm256_castps256_ps128(__m256(v)), _mm256_extractf128_ps(__m256(v), 1));
  x = _mm_max_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}
#endif

// x = n ln 2 + r with |r| <= ln 2 / 2: e^r to about 1 ulp, a polynomial of degree 6 (coefficients of Cephes' expf), and
// n + kExpShift.
constexpr float kExpShift = 12582912.f;  // 1.5 * 2^23: adding it rounds to an integer, which is then in the low bits
BENCHSUITE_INLINE Vec exp_fraction(Vec x, Vec* shifted) {
  *shifted = x * 1.44269504088896341f + kExpShift;
  Vec n = *shifted - kExpShift;
  Vec r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  Vec p = Vec{} + 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  return p * (r * r) + r + 1.f;
}
// e^x, e^r times 2^(n-1) by its exponent, twice. The clamp needs no selects after it: at -87.5 the exponent field is 0, a
// factor of zero (for every x below -86.99, where e^x < 1.7e-38), and at 89.1 it is 255, infinity. NaN passes through, for
// a comparison with it is false.
BENCHSUITE_INLINE Vec exp(Vec x) {
  Vec clamped = x < -87.5f ? Vec{} - 87.5f : x;
  clamped = clamped > 89.1f ? Vec{} + 89.1f : clamped;
  Vec shifted, p = exp_fraction(clamped, &shifted);
  Bits field = (Bits(shifted) << 23) + (126u << 23);  // what is above the low bits is shifted out
  return (p + p) * Vec(field);
}
// The same for x <= 0, without the clamp; zero below -87. NaN is a factor, whatever its bits, and passes.
BENCHSUITE_INLINE Vec exp_below_one(Vec x) {
  Vec shifted, p = exp_fraction(x, &shifted);
  Bits field = (Bits(shifted) << 23) + (127u << 23);
  return x < -87.f ? Vec{} : p * Vec(field);
}
// The complementary error function to a relative error of 1.2e-7 + eps x² (Press et al., Numerical Recipes, 6.2: erfcc).
BENCHSUITE_INLINE Vec erfc(Vec x) {
  Vec z = x < Vec{} ? -x : x;
  Vec t = 1.f / (1.f + 0.5f * z);
  Vec p = t * 0.17087277f - 0.82215223f;
  p = p * t + 1.48851587f;
  p = p * t - 1.13520398f;
  p = p * t + 0.27886807f;
  p = p * t - 0.18628806f;
  p = p * t + 0.09678418f;
  p = p * t + 0.37409196f;
  p = p * t + 1.00002368f;
  Vec y = t * exp(p * t - 1.26551223f - z * z);
  return x < Vec{} ? 2.f - y : y;
}
BENCHSUITE_INLINE Vec64 erfc(Vec64 x) {
  for (unsigned i = 0; i < sizeof(Vec64) / 8; ++i) x[i] = std::erfc(x[i]);
  return x;
}
#if defined(__AVX512F__)
BENCHSUITE_INLINE Vec square_root(Vec x) { return Vec(_mm512_sqrt_ps(__m512(x))); }
#elif defined(__AVX2__)
BENCHSUITE_INLINE Vec square_root(Vec x) { return Vec(_mm256_sqrt_ps(__m256(x))); }
#elif defined(__x86_64__)
BENCHSUITE_INLINE Vec square_root(Vec x) { return Vec(_mm_sqrt_ps(__m128(x))); }
#else
BENCHSUITE_INLINE Vec square_root(Vec x) {
  for (unsigned i = 0; i < sizeof(Vec) / 4; ++i) x[i] = std::sqrt(x[i]);
  return x;
}
#endif
BENCHSUITE_INLINE Vec reciprocal(Vec x) { return 1.f / x; }
BENCHSUITE_INLINE Vec64 reciprocal(Vec64 x) { return 1. / x; }
BENCHSUITE_INLINE Vec64 exp(Vec64 x) {
  for (unsigned i = 0; i < sizeof(Vec64) / 8; ++i) x[i] = std::exp(x[i]);
  return x;
}
BENCHSUITE_INLINE Vec64 exp_below_one(Vec64 x) { return exp(x); }

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
