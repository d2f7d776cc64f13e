#!/usr/bin/env bash
# Builds the core and its tests with the address and undefined-behaviour sanitizers, and runs them.
set -euo pipefail
cd "$(dirname "$0")/.."
generator=()
command -v ninja >/dev/null 2>&1 && generator=(-G Ninja)
cmake -S . -B build/sanitize "${generator[@]}" -DREDLLM_SANITIZE=ON -DCMAKE_BUILD_TYPE=None
cmake --build build/sanitize --parallel "$(nproc)"
ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1 \
  ctest --test-dir build/sanitize --output-on-failure --timeout 300
