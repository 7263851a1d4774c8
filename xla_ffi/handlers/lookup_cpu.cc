// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "handlers/lookup_cpu.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/lookup.h"
#include "xla/ffi/api/ffi.h"

namespace jax_hps {
namespace {

namespace ffi = xla::ffi;

class XlaExecutor : public Executor {
 public:
  explicit XlaExecutor(ffi::ThreadPool pool) : pool_(pool) {}
  size_t num_threads() const override {
    return static_cast<size_t>(std::max<int64_t>(1, pool_.num_threads()));
  }
  void schedule(std::function<void()> task) override { pool_.Schedule(std::move(task)); }

 private:
  ffi::ThreadPool pool_;
};

ffi::Error invalid(const std::string& what) {
  return ffi::Error::InvalidArgument("hps_lookup: " + what);
}

std::optional<KeyType> key_type_of(const ffi::AnyBuffer& keys) {
  const auto shape = keys.dimensions();
  const int64_t words = shape.size() == 0 ? 0 : shape.back();
  switch (keys.element_type()) {
    case ffi::S32:
      return words == 1 ? std::optional(KeyType::kInt32) : std::nullopt;
    case ffi::U32:  // two words, low one first, are a little-endian 64-bit key
      return words == 1   ? std::optional(KeyType::kUInt32)
             : words == 2 ? std::optional(KeyType::kInt64)
                          : std::nullopt;
    case ffi::S64:
    case ffi::U64:
      return words == 1 ? std::optional(KeyType::kInt64) : std::nullopt;
    default:
      return std::nullopt;
  }
}

std::optional<DType> dtype_of(ffi::DataType type) {
  switch (type) {
    case ffi::F32:
      return DType::kFloat32;
    case ffi::F16:
      return DType::kFloat16;
    case ffi::BF16:
      return DType::kBFloat16;
    default:
      return std::nullopt;
  }
}

int64_t product_but_last(ffi::Span<const int64_t> shape) {
  int64_t product = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) product *= shape[i];
  return product;
}

// Reads the operands and results of one table; every number is checked, for a handler may be
// called by programs that somebody else wrote.
ffi::ErrorOr<LookupPart> read_part(const ffi::RemainingArgs& args, const ffi::RemainingRets& rets,
                                   const ffi::Dictionary& tables, size_t i, bool return_found) {
  auto name = tables.get<std::string_view>(std::to_string(i));
  auto keys = args.get<ffi::AnyBuffer>(i);
  auto rows = rets.get<ffi::AnyBuffer>(i);
  if (name.has_error()) return ffi::Unexpected(name.error());
  if (keys.has_error()) return ffi::Unexpected(keys.error());
  if (rows.has_error()) return ffi::Unexpected(rows.error());
  const auto key_type = key_type_of(*keys);
  const auto output = dtype_of((*rows)->element_type());
  const auto shape = (*rows)->dimensions();
  const std::string which = "operand " + std::to_string(i) + ": ";
  if (!key_type) {
    return ffi::Unexpected(invalid(
        which + "expected keys [..., 1] of int32, uint32 or int64, or [..., 2] of uint32."));
  }
  if (!output || shape.size() == 0) {
    return ffi::Unexpected(
        invalid(which + "expected rows [..., dim] of float32, float16 or bfloat16."));
  }
  LookupPart part;
  part.table = *name;
  part.keys = keys->untyped_data();
  part.key_type = *key_type;
  part.count = product_but_last(keys->dimensions());
  part.dim = shape.back();
  part.output = *output;
  part.out = static_cast<std::byte*>((*rows)->untyped_data());
  if (product_but_last(shape) != part.count) {
    return ffi::Unexpected(invalid(which + "keys and rows differ in their leading dimensions."));
  }
  if (return_found) {
    auto found = rets.get<ffi::Buffer<ffi::PRED>>(args.size() + i);
    if (found.has_error()) return ffi::Unexpected(found.error());
    if (static_cast<int64_t>((*found)->element_count()) != part.count) {
      return ffi::Unexpected(invalid(which + "keys and found differ in their dimensions."));
    }
    part.found = (*found)->typed_data();
  }
  return part;
}

ffi::Error to_ffi_error(const Failure& failure) {
  switch (failure.code) {
    case Failure::Code::kClosed:
    case Failure::Code::kMissingKey:
      return ffi::Error(ffi::ErrorCode::kNotFound, failure.message);
    case Failure::Code::kUnavailable:
      return ffi::Error(ffi::ErrorCode::kUnavailable, failure.message);
    case Failure::Code::kDeadline:
      return ffi::Error(ffi::ErrorCode::kDeadlineExceeded, failure.message);
    case Failure::Code::kCorrupt:
      return ffi::Error(ffi::ErrorCode::kDataLoss, failure.message);
    case Failure::Code::kInvalidArgument:
      break;
  }
  return ffi::Error::InvalidArgument(failure.message);
}

ffi::Error lookup_cpu(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets rets,
                      ffi::Dictionary attrs) {
  const auto tables = attrs.get<ffi::Dictionary>("tables");
  const auto return_found = attrs.get<bool>("return_found");
  const auto raise_errors = attrs.get<bool>("raise_errors");
  if (tables.has_error()) return tables.error();
  if (return_found.has_error()) return return_found.error();
  if (raise_errors.has_error()) return raise_errors.error();
  if (rets.size() != args.size() * (*return_found ? 2 : 1)) {
    return invalid("got " + std::to_string(args.size()) + " operands and " +
                   std::to_string(rets.size()) + " results.");
  }
  std::vector<LookupPart> parts;
  parts.reserve(args.size());
  for (size_t i = 0; i < args.size(); ++i) {
    auto part = read_part(args, rets, *tables, i, *return_found);
    if (part.has_error()) return part.error();
    parts.push_back(*part);
  }
  XlaExecutor executor(pool);
  const std::optional<Failure> failure = lookup(parts, *raise_errors, &executor);
  return failure ? to_ffi_error(*failure) : ffi::Error::Success();
}

// Nothing may be thrown through the FFI, which is C. What can be is std::bad_alloc; outputs are
// then not written, and the error is raised whatever `raise_errors` says.
ffi::Error lookup_cpu_caught(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets rets,
                             ffi::Dictionary attrs) {
  try {
    return lookup_cpu(pool, args, rets, attrs);
  } catch (const std::exception& error) {
    return ffi::Error::Internal(std::string("hps_lookup: ") + error.what());
  }
}

ffi::Error noop(ffi::RemainingArgs, ffi::RemainingRets) { return ffi::Error::Success(); }

}  // namespace

FfiVersion ffi_version() { return {XLA_FFI_API_MAJOR, XLA_FFI_API_MINOR}; }

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    hps_lookup_cpu, lookup_cpu_caught,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().RemainingArgs().RemainingRets().Attrs());

XLA_FFI_DEFINE_HANDLER_SYMBOL(hps_noop_cpu, noop, ffi::Ffi::Bind().RemainingArgs().RemainingRets());

}  // namespace jax_hps
