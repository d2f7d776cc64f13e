#!/bin/sh
# Builds the native benches in Release and runs them: a table on the terminal, JSON at the path given.
#   native/bench/run.sh out.json
set -eu
out=${1:?usage: native/bench/run.sh out.json}
cd "$(dirname "$0")/../.."
build=${REDLLM_BUILD:-build}
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release >/dev/null
cmake --build "$build" --target matmul_bench -j 2 >/dev/null
commit=$(git rev-parse --short HEAD)
[ -z "$(git status --porcelain --untracked-files=no)" ] || commit="$commit, modified"
"$build/matmul_bench" "$out" "$commit"
