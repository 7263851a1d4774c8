// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <initializer_list>
#include <sstream>
#include <string>

#include "core/error.h"

/// All that the tests of the core need of a test framework.
namespace jax_hps::test {

/// What the test is at, for the message of a check that fails: table-driven tests make one a row.
class Scope {
 public:
  template <typename... Parts>
  [[gnu::noinline]] explicit Scope(const Parts&... parts) {
    std::ostringstream text;
    (text << ... << parts);
    push(text.str());
  }
  Scope(const Scope&) = delete;
  ~Scope();

 private:
  static void push(std::string text);
};

/// Ends the case, with the scopes that it is in.
[[noreturn]] void fail(const char* file, int line, const std::string& what);

template <typename Actual, typename Expected>
[[noreturn, gnu::noinline]] void fail_equal(const char* file, int line, const char* text,
                                            const Actual& actual, const Expected& expected) {
  std::ostringstream what;
  what << text << " is " << actual << ", expected " << expected;
  fail(file, line, what.str());
}

template <typename Actual, typename Expected>
void check_equal(const char* file, int line, const char* text, const Actual& actual,
                 const Expected& expected) {
  if (!(actual == expected)) fail_equal(file, line, text, actual, expected);
}

#define CHECK(condition)                                                            \
  do {                                                                              \
    if (!(condition)) ::jax_hps::test::fail(__FILE__, __LINE__, "not " #condition); \
  } while (false)

#define CHECK_EQUAL(actual, expected) \
  ::jax_hps::test::check_equal(__FILE__, __LINE__, #actual, actual, expected)

/// Runs `body`, which must throw an Error of this code whose message has `part` in it.
void check_throws(ErrorCode code, const std::string& part, const std::function<void()>& body);

struct Case {
  const char* behaviour;
  void (*run)();
};

/// What ctest is told where this machine cannot run the test.
inline constexpr int kSkipped = 77;

/// Runs and prints every case; the exit status of the process.
int run_all(std::initializer_list<Case> cases);

}  // namespace jax_hps::test
