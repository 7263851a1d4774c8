// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// Compiled once per instruction set, each time under another name (JAX_HPS_ISA).

#include "core/gather_kernels.h"

#include <cstring>
#include <type_traits>

#include "core/fetch_row.h"
#include "core/float_convert.h"
#include "core/in_step.h"
#include "core/load_key.h"

namespace jax_hps {
namespace JAX_HPS_ISA {
namespace {

template <typename Key>
void hash_keys(const GatherJob& job, GatherBlock& block) {
  for (int i = 0; i < block.count; ++i) {
    block.lines[i] = job.index.home(load_key<Key>(job, block.begin + i));
  }
}

// Calls each(i) for the keys that were not in their home lines, a tenth of all.
template <typename Each>
inline void for_further(const GatherBlock& block, Each each) {
  for (uint32_t left = block.further; left != 0; left &= left - 1) each(__builtin_ctz(left));
}

// Without branches that depend on the keys: the processor would guess a tenth of them wrong.
template <typename Key>
void probe_lines(const GatherJob& job, GatherBlock& block, const GatherBlock& ahead) {
  block.further = 0;
  const auto probe = [&](int i) {
    const IndexLine& line = *block.lines[i];
    const int place = line.find(load_key<Key>(job, block.begin + i));
    const bool is_here = place >= 0;
    const int64_t row = line.row(is_here ? place : 0);
    block.numbers[i] = is_here ? row : -1;
    block.further |= static_cast<uint32_t>(!is_here & line.overflows()) << i;
  };
  in_step(block.count, ahead.count, probe, [&](int i) { __builtin_prefetch(ahead.lines[i]); });
  for_further(block, [&](int i) {
    block.lines[i] = job.index.next(block.lines[i]);
    __builtin_prefetch(block.lines[i]);
  });
}

struct Flat {
  static const std::byte* address(const GatherJob& job, int64_t row, size_t row_bytes) {
    return job.flat + static_cast<size_t>(row) * row_bytes;
  }
};

struct Scattered {
  static const std::byte* address(const GatherJob& job, int64_t row, size_t row_bytes) {
    const uint64_t r = static_cast<uint64_t>(row);
    const std::byte* chunk = job.chunks[r / job.chunk_rows];
    return chunk ? chunk + r % job.chunk_rows * row_bytes : job.fill_row;
  }
};

template <typename Key, bool kSparse, typename Rows>
int resolve_rows(const GatherJob& job, GatherBlock& block) {
  const size_t row_bytes = job.row_bytes();
  int known = 0;
  if (kSparse) {
    for_further(block, [&](int i) {
      block.numbers[i] = job.index.find_from(block.lines[i], load_key<Key>(job, block.begin + i));
    });
  }
  for (int i = 0; i < block.count; ++i) {
    const int64_t row = kSparse ? block.numbers[i] : load_key<Key>(job, block.begin + i);
    const bool is_known = static_cast<uint64_t>(row) < job.num_rows;
    block.rows[i] = is_known ? Rows::address(job, row, row_bytes) : job.default_row;
    known += is_known;
    if (job.found) job.found[block.begin + i] = is_known;
  }
  return known;
}

template <size_t kBytes>
inline void copy_fixed(std::byte* out, const std::byte* row) {
  constexpr size_t kStep = kBytes < 64 ? kBytes : 64;
  for (size_t at = 0; at < kBytes; at += kStep) std::memcpy(out + at, row + at, kStep);
}

template <size_t kBytes>
void copy_rows_fixed(const GatherJob&, const GatherBlock& block, const GatherBlock& ahead,
                     std::byte* out) {
  in_step(
      block.count, ahead.count, [&](int i) { copy_fixed<kBytes>(out + i * kBytes, block.rows[i]); },
      [&](int i) { fetch_row(ahead.rows[i], kBytes); });
}

void copy_rows_any(const GatherJob& job, const GatherBlock& block, const GatherBlock& ahead,
                   std::byte* out) {
  const size_t bytes = job.row_bytes();
  in_step(
      block.count, ahead.count, [&](int i) { std::memcpy(out + i * bytes, block.rows[i], bytes); },
      [&](int i) { fetch_row(ahead.rows[i], bytes); });
}

template <typename From, typename To>
inline void convert_row(const std::byte* row, int64_t dim, std::byte* out) {
  for (int64_t j = 0; j < dim; ++j) {
    From element;
    std::memcpy(&element, row + j * int64_t{sizeof(From)}, sizeof(From));
    const To converted = narrow<To>(widen(element));
    std::memcpy(out + j * int64_t{sizeof(To)}, &converted, sizeof(To));
  }
}

template <typename From, typename To>
void convert_rows(const GatherJob& job, const GatherBlock& block, const GatherBlock& ahead,
                  std::byte* out) {
  const size_t bytes = job.row_bytes(), out_bytes = job.out_row_bytes();
  in_step(
      block.count, ahead.count,
      [&](int i) { convert_row<From, To>(block.rows[i], job.dim, out + i * out_bytes); },
      [&](int i) { fetch_row(ahead.rows[i], bytes); });
}

GatherKernels::Hash choose_hash(const GatherJob& job) {
  constexpr GatherKernels::Hash kByKey[] = {hash_keys<int32_t>, hash_keys<uint32_t>,
                                            hash_keys<int64_t>};
  return kByKey[static_cast<int>(job.key_type)];
}

GatherKernels::Probe choose_probe(const GatherJob& job) {
  constexpr GatherKernels::Probe kByKey[] = {probe_lines<int32_t>, probe_lines<uint32_t>,
                                             probe_lines<int64_t>};
  return kByKey[static_cast<int>(job.key_type)];
}

template <typename Key>
GatherKernels::Resolve choose_resolve_for_key(const GatherJob& job) {
  const bool flat = job.chunks == nullptr;
  if (job.index.lines == nullptr) {
    return flat ? resolve_rows<Key, false, Flat> : resolve_rows<Key, false, Scattered>;
  }
  return flat ? resolve_rows<Key, true, Flat> : resolve_rows<Key, true, Scattered>;
}

GatherKernels::Resolve choose_resolve(const GatherJob& job) {
  switch (job.key_type) {
    case KeyType::kInt32:
      return choose_resolve_for_key<int32_t>(job);
    case KeyType::kUInt32:
      return choose_resolve_for_key<uint32_t>(job);
    case KeyType::kInt64:
      break;
  }
  return choose_resolve_for_key<int64_t>(job);
}

GatherKernels::Copy choose_plain_copy(size_t row_bytes) {
  switch (row_bytes) {
    case 16:
      return copy_rows_fixed<16>;
    case 32:
      return copy_rows_fixed<32>;
    case 64:
      return copy_rows_fixed<64>;
    case 128:
      return copy_rows_fixed<128>;
    case 256:
      return copy_rows_fixed<256>;
    case 512:
      return copy_rows_fixed<512>;
    case 1024:
      return copy_rows_fixed<1024>;
    default:
      return copy_rows_any;
  }
}

template <typename From>
GatherKernels::Copy choose_conversion(DType output) {
  constexpr GatherKernels::Copy kByOutput[] = {convert_rows<From, float>, convert_rows<From, Half>,
                                               convert_rows<From, BFloat>};
  return kByOutput[static_cast<int>(output)];
}

GatherKernels::Copy choose_copy(const GatherJob& job) {
  if (job.stored == job.output) return choose_plain_copy(job.row_bytes());
  switch (job.stored) {
    case DType::kFloat32:
      return choose_conversion<float>(job.output);
    case DType::kFloat16:
      return choose_conversion<Half>(job.output);
    case DType::kBFloat16:
      break;
  }
  return choose_conversion<BFloat>(job.output);
}

#define JAX_HPS_STRING_(x) #x
#define JAX_HPS_STRING(x) JAX_HPS_STRING_(x)

}  // namespace

extern const GatherKernels kKernels;
const GatherKernels kKernels = {JAX_HPS_STRING(JAX_HPS_ISA), choose_hash, choose_probe,
                                choose_resolve, choose_copy};

}  // namespace JAX_HPS_ISA
}  // namespace jax_hps
