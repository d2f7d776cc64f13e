#!/bin/sh
# Builds the native benches in Release and runs them all: tables on the terminal, one JSON at the path given.
#   native/bench/run.sh out.json
set -eu
out=${1:?usage: native/bench/run.sh out.json}
case "$out" in /*) ;; *) out="$PWD/$out" ;; esac
cd "$(dirname "$0")/../.."
build=${REDLLM_BUILD:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release >/dev/null
for bench in matmul attention model; do
  cmake --build "$build" --target "${bench}_bench" >/dev/null
  "$build/${bench}_bench" --json "$work/$bench.json"
done
commit=$(git rev-parse --short HEAD)
[ -z "$(git status --porcelain --untracked-files=no)" ] || commit="$commit, modified"
{
  printf '{\n"commit": "%s",\n"machine": "%s",\n"cores": %s,\n' "$commit" \
    "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)"
  printf '"products":\n%s,\n"attention":\n%s,\n"steps":\n%s\n}\n' \
    "$(cat "$work/matmul.json")" "$(cat "$work/attention.json")" "$(cat "$work/model.json")"
} >"$out"
