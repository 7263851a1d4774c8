// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "check.h"

#include <chrono>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <utility>
#include <vector>

namespace jax_hps::test {
namespace {

thread_local std::vector<std::string> scopes;

}  // namespace

void Scope::push(std::string text) { scopes.push_back(std::move(text)); }

Scope::~Scope() { scopes.pop_back(); }

void fail(const char* file, int line, const std::string& what) {
  std::string message = std::string(file) + ":" + std::to_string(line) + ": " + what;
  for (const std::string& scope : scopes) message += "\n      at " + scope;
  throw std::runtime_error(message);
}

void check_throws(ErrorCode code, const std::string& part, const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    const std::string message = error.what();
    if (error.code != code) fail(__FILE__, __LINE__, "another kind of error: " + message);
    if (message.find(part) != std::string::npos) return;
    fail(__FILE__, __LINE__, "no '" + part + "' in: " + message);
  }
  fail(__FILE__, __LINE__, "nothing thrown, expected an error that says '" + part + "'");
}

int run_all(std::initializer_list<Case> cases) {
  int failed = 0;
  for (const Case& test : cases) {
    const auto start = std::chrono::steady_clock::now();
    std::string message;
    try {
      test.run();
    } catch (const std::exception& error) {
      message = error.what();
      ++failed;
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    std::printf("%-6s %6.2f s  %s\n", message.empty() ? "ok" : "FAILED", took.count(),
                test.behaviour);
    if (!message.empty()) std::printf("      %s\n", message.c_str());
    std::fflush(stdout);
  }
  return failed > 0;
}

}  // namespace jax_hps::test
