// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

namespace jax_hps {

/// What went wrong, for hosts that map it to an exception class or a status code of theirs.
enum class ErrorCode {
  kInvalidArgument,  ///< The caller's numbers make no sense.
  kBadData,          ///< Keys or rows that do not fit the table (duplicate keys, lengths).
  kCorrupt,          ///< A file is damaged.
  kIo,               ///< A system call failed; `system_error` holds errno.
};

/// The one exception of the core. Thrown while tables are opened or written, never by a lookup.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, std::string message) : std::runtime_error(std::move(message)), code(code) {}

  /// A failed system call: "<what> <path>: <strerror>".
  static Error io(const std::string& what, const std::string& path, int system_error = errno) {
    Error error(ErrorCode::kIo, what + " " + path + ": " + std::strerror(system_error));
    error.system_error = system_error;
    error.path = path;
    return error;
  }

  ErrorCode code;
  int system_error = 0;
  std::string path;
};

}  // namespace jax_hps
