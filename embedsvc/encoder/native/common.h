// What the kernels share: vectors of 16 floats, smaller numbers, and work split over threads.
//
// Everything needs AVX-512 (F, BW, DQ, VL, VNNI); functions marked WITH_BF16 need AVX512_BF16 too.
// Callers make sure of that, and of the sizes: nothing here checks an argument.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define WITH_BF16 __attribute__((target("avx512bf16")))
#define LANES 16

typedef enum { F32, F16, BF16 } number;

INLINE long smaller(long a, long b) { return a < b ? a : b; }
INLINE long round_up(long value, long step) { return (value + step - 1) / step * step; }

// The first `count` of 16 lanes; all of them when there are more.
INLINE __mmask16 first(long count) {
    if (count >= LANES) return 0xffff;
    return count > 0 ? (__mmask16)((1u << count) - 1) : 0;
}

INLINE __m512 load(const void *base, number type, long at, __mmask16 lanes) {
    if (type == F32) return _mm512_maskz_loadu_ps(lanes, (const float *)base + at);
    __m256i half = _mm256_maskz_loadu_epi16(lanes, (const uint16_t *)base + at);
    if (type == F16) return _mm512_cvtph_ps(half);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

// Rounds to the nearest bfloat16, ties to even; values are finite.
INLINE __m256i to_bf16(__m512 value) {
    __m512i bits = _mm512_castps_si512(value);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    bits = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16));
}

INLINE __m256i to_f16(__m512 value) {
    const __m512 most = _mm512_set1_ps(65504.0f);
    value = _mm512_max_ps(_mm512_min_ps(value, most), _mm512_sub_ps(_mm512_setzero_ps(), most));
    return _mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

INLINE void store(void *base, number type, long at, __mmask16 lanes, __m512 value) {
    if (type == F32) {
        _mm512_mask_storeu_ps((float *)base + at, lanes, value);
        return;
    }
    __m256i half = type == F16 ? to_f16(value) : to_bf16(value);
    _mm256_mask_storeu_epi16((uint16_t *)base + at, lanes, half);
}

// 2^x: a power of two times a polynomial that meets 2^r in the Chebyshev nodes of [-1/2, 1/2].
// `FINE` is exact to 3e-9 of the value, `COARSE` to 4e-6, `COARSEST` to 1e-4: enough for 8 bits.
typedef enum { COARSEST, COARSE, FINE } grain;

INLINE __m512 step(__m512 sum, __m512 x, float term) {
    return _mm512_fmadd_ps(sum, x, _mm512_set1_ps(term));
}

INLINE __m512 power_of_two(__m512 x, grain grain) {
    __m512 power = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 rest = _mm512_sub_ps(x, power), sum;
    if (grain == COARSEST) {
        sum = step(_mm512_set1_ps(0.055838283f), rest, 0.24263948f);
        sum = step(step(sum, rest, 0.69313675f), rest, 0.99992454f);
    } else if (grain == COARSE) {
        sum = step(_mm512_set1_ps(0.0096663684f), rest, 0.055921976f);
        sum = step(step(step(sum, rest, 0.24022350f), rest, 0.69312102f), rest, 1.0f);
    } else {
        sum = step(_mm512_set1_ps(1.5461445e-4f), rest, 1.3400428e-3f);
        sum = step(step(sum, rest, 0.0096180569f), rest, 0.055503272f);
        sum = step(step(step(sum, rest, 0.24022651f), rest, 0.69314718f), rest, 1.0f);
    }
    return _mm512_scalef_ps(sum, power);
}

INLINE __m512 sigmoid(__m512 x) {
    const __m512 log2_e = _mm512_set1_ps(-1.44269504f);
    // Beyond 2^126 the sum would be infinite, and its inverse lost.
    __m512 power = _mm512_min_ps(_mm512_mul_ps(x, log2_e), _mm512_set1_ps(126.0f));
    __m512 sum = _mm512_add_ps(power_of_two(power, COARSE), _mm512_set1_ps(1.0f));
    return _mm512_div_ps(_mm512_set1_ps(1.0f), sum);
}

INLINE __m512 swish(__m512 x) { return _mm512_mul_ps(x, sigmoid(x)); }

// Work in `total` pieces that threads take one by one. `run` is called once on each thread, with
// what `piece` needs and a place to take pieces from.
typedef struct {
    long total, next;
} pieces;

INLINE long take(pieces *work) { return __atomic_fetch_add(&work->next, 1, __ATOMIC_RELAXED); }

void on_threads(void (*run)(void *), void *work, long threads);
