#!/usr/bin/env bash
# Runs the fuzzer of kernels at length: scripts/fuzz-kernels.sh [CASES [SEED]]. The seed is the day's where none is given, and is printed.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${REDLLM_BUILD:-build}
cases=${1:-2000}
seed=${2:-$(date +%Y%m%d)}
cmake --build "$build" --target kernel_fuzz >/dev/null
exec "$build/kernel_fuzz" --cases "$cases" --seed "$seed" --backend cuda --ledger native/test/fuzz_ledger.txt
