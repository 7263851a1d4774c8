#!/bin/sh
# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0

# Builds and runs the tests of the core three times: as released, under the address and
# undefined-behaviour sanitizers, and (those that use threads) under the thread sanitizer.
# Arguments choose some: native, asan, tsan. Needs cmake, ninja and g++ 12 or newer.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)

# Sanitizers of older compilers do not know where newer kernels randomise addresses to.
fixed_addresses=
if setarch "$(uname -m)" -R true 2>/dev/null; then
  fixed_addresses="setarch $(uname -m) -R"
fi

export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
export TSAN_OPTIONS=halt_on_error=1

check() {  # folder, compiler flags, sanitizers, target, arguments of ctest
  build=$root/build/$1
  echo "== $1"
  cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS_RELEASE="$2" \
    -DJAX_HPS_PYTHON=OFF -DJAX_HPS_TESTS=ON -DJAX_HPS_SANITIZE="$3" >"$build.log" 2>&1 ||
    { cat "$build.log"; exit 1; }
  cmake --build "$build" --target "$4" >"$build.log" 2>&1 || { cat "$build.log"; exit 1; }
  shift 4
  $fixed_addresses ctest --test-dir "$build" --output-on-failure -j 2 "$@"
}

mkdir -p "$root/build"
for variant in "${@:-native asan tsan}"; do
  for name in $variant; do
    case $name in
      native) check native "-O3 -DNDEBUG" "" all ;;
      asan) check asan -O1 address,undefined all ;;
      tsan) check tsan -O1 thread thread_tests -L threads ;;
      *) echo "run.sh: expected native, asan or tsan, got $name" >&2; exit 2 ;;
    esac
  done
done
