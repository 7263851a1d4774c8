// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the cache needs of a processor, for CPUs and for CUDA.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/inline.h"

#if !defined(__CUDA_ARCH__) && defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace jax_hps::cache {

JAX_HPS_HD uint64_t multiply_high(uint64_t a, uint64_t b) {
#if defined(__CUDA_ARCH__)
  return __umul64hi(a, b);
#else
  return static_cast<uint64_t>((static_cast<unsigned __int128>(a) * b) >> 64);
#endif
}

/// Number of the lowest bit that is set; `bits` must not be 0.
JAX_HPS_HD int first_bit(uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __ffs(static_cast<int>(bits)) - 1;
#else
  return __builtin_ctz(bits);
#endif
}

/// Bit i: word i of sixteen equals the value. `words` is aligned to 32 bytes on a GPU.
JAX_HPS_HD uint32_t match_words(const uint16_t* words, uint16_t value) {
#if defined(__CUDA_ARCH__)
  const uint4* quads = reinterpret_cast<const uint4*>(words);
  const uint4 a = quads[0], b = quads[1];
  const uint32_t pairs[8] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
  uint32_t match = 0;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const uint32_t equal = __vcmpeq2(pairs[i], value * 0x10001u) & 0x00020001u;
    match |= (equal | equal >> 16) << (2 * i);
  }
  return match & 0xffffu;
#elif defined(__SSE2__)
  const __m128i wanted = _mm_set1_epi16(static_cast<short>(value));
  const __m128i* halves = reinterpret_cast<const __m128i*>(words);
  const __m128i low = _mm_cmpeq_epi16(_mm_loadu_si128(halves), wanted);
  const __m128i high = _mm_cmpeq_epi16(_mm_loadu_si128(halves + 1), wanted);
  return static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(low, high)));
#else
  uint32_t match = 0;
  for (int i = 0; i < 16; ++i) match |= static_cast<uint32_t>(words[i] == value) << i;
  return match;
#endif
}

/// Bit i: byte i of sixteen equals the value. `bytes` is aligned to 16 bytes on a GPU.
JAX_HPS_HD uint32_t match_bytes(const uint8_t* bytes, uint8_t value) {
#if defined(__CUDA_ARCH__)
  const uint4 quad = *reinterpret_cast<const uint4*>(bytes);
  const uint32_t fours[4] = {quad.x, quad.y, quad.z, quad.w};
  uint32_t match = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const uint32_t equal = __vcmpeq4(fours[i], value * 0x01010101u) & 0x08040201u;
    match |= ((equal | equal >> 8 | equal >> 16 | equal >> 24) & 0xfu) << (4 * i);
  }
  return match;
#elif defined(__SSE2__)
  const __m128i all = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
  const __m128i wanted = _mm_set1_epi8(static_cast<char>(value));
  return static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(all, wanted)));
#else
  uint32_t match = 0;
  for (int i = 0; i < 16; ++i) match |= static_cast<uint32_t>(bytes[i] == value) << i;
  return match;
#endif
}

// Use counters are read and written by anybody at any time: hints, but no torn words.

JAX_HPS_HD uint8_t load_hint(const uint8_t* at) {
#if defined(__CUDA_ARCH__)
  return *static_cast<const volatile uint8_t*>(at);
#else
  return __atomic_load_n(at, __ATOMIC_RELAXED);
#endif
}

JAX_HPS_HD void store_hint(uint8_t* at, uint8_t value) {
#if defined(__CUDA_ARCH__)
  *static_cast<volatile uint8_t*>(at) = value;
#else
  __atomic_store_n(at, value, __ATOMIC_RELAXED);
#endif
}

JAX_HPS_HD uint64_t load_hints(const uint8_t* at) {
#if defined(__CUDA_ARCH__)
  return *reinterpret_cast<const volatile uint64_t*>(at);
#else
  return __atomic_load_n(reinterpret_cast<const uint64_t*>(at), __ATOMIC_RELAXED);
#endif
}

JAX_HPS_HD void store_hints(uint8_t* at, uint64_t value) {
#if defined(__CUDA_ARCH__)
  *reinterpret_cast<volatile uint64_t*>(at) = value;
#else
  __atomic_store_n(reinterpret_cast<uint64_t*>(at), value, __ATOMIC_RELAXED);
#endif
}

// Sequence words order everything else.

JAX_HPS_HD uint32_t load_acquire(const uint32_t* at) {
#if defined(__CUDA_ARCH__)
  uint32_t value;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(at) : "memory");
  return value;
#else
  return __atomic_load_n(at, __ATOMIC_ACQUIRE);
#endif
}

JAX_HPS_HD void store_release(uint32_t* at, uint32_t value) {
#if defined(__CUDA_ARCH__)
  asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(at), "r"(value) : "memory");
#else
  __atomic_store_n(at, value, __ATOMIC_RELEASE);
#endif
}

JAX_HPS_HD bool exchange_acquire(uint32_t* at, uint32_t expected, uint32_t wanted) {
#if defined(__CUDA_ARCH__)
  uint32_t found;
  asm volatile("atom.acquire.gpu.global.cas.b32 %0, [%1], %2, %3;"
               : "=r"(found)
               : "l"(at), "r"(expected), "r"(wanted)
               : "memory");
  return found == expected;
#else
  return __atomic_compare_exchange_n(at, &expected, wanted, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED);
#endif
}

/// Neither the accesses before nor those after it cross it. The thread sanitizer does not know
/// fences; there the compiler alone is held, which on x86 leaves loads and stores in order.
JAX_HPS_HD void fence() {
#if defined(__CUDA_ARCH__)
  __threadfence();
#elif defined(__SANITIZE_THREAD__)
  asm volatile("" ::: "memory");
#else
  __atomic_thread_fence(__ATOMIC_ACQ_REL);
#endif
}

/// Between tries to take a lock that another thread holds for some hundred nanoseconds.
JAX_HPS_HD void relax() {
#if defined(__CUDA_ARCH__)
  __nanosleep(20);
#elif defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// Asks for the line, where the processor lets programs do so: into the second level, which takes
/// more requests at a time than the first and is as good as it some hundred instructions later.
JAX_HPS_HD void prefetch(const void* at) {
#if !defined(__CUDA_ARCH__)
  __builtin_prefetch(at, 0, 2);
#endif
}

}  // namespace jax_hps::cache
