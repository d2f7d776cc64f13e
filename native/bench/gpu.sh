#!/usr/bin/env bash
# Builds the CUDA backend, checks it on the GPU of this machine and times it: one JSON, one run of under ten minutes. Needs nvcc, g++ and
# cmake; Node, compute-sanitizer and PyTorch are used where they are.
#
#   native/bench/gpu.sh [--emulate] [--resume] [--only PART[,PART...]] OUT.json
#
# Parts: tests, fuzz, sanitizer, figures, torch, node. A part that fails is recorded and the script goes on; it exits with 1 where a check
# failed. --resume keeps what an earlier run with these very kernels has finished. --emulate runs everything at tiny shapes in the
# emulator, to try the script where there is no GPU: its figures say nothing.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2

usage() {
  echo "usage: native/bench/gpu.sh [--emulate] [--resume] [--only PART[,PART...]] OUT.json" >&2
  exit 2
}
emulate=false resume=false only=tests,fuzz,sanitizer,figures,torch,node out=
while [ $# -gt 0 ]; do
  case $1 in
    --emulate) emulate=true ;;
    --resume) resume=true ;;
    --only) shift && only=${1:-} ;;
    -*) usage ;;
    *) [ -z "$out" ] && out=$1 || usage ;;
  esac
  shift
done
[ -n "$out" ] || usage
started=$(date +%s)
export LC_ALL=C

# ---- small things ---------------------------------------------------------------------------------------------------------

has() { command -v "$1" >/dev/null 2>&1; }
wanted() { case ",$only," in *",$1,"*) ;; *) return 1 ;; esac }
# A line of text as a JSON string.
quoted() { printf '"%s"' "$(printf '%s' "$1" | tr -d '\000-\037' | sed 's/\\/\\\\/g; s/"/\\"/g')"; }
say() { printf '%4d s  %s\n' $(($(date +%s) - started)) "$*"; }

kernels() { find native/cuda -type f \( -name '*.cu' -o -name '*.cuh' -o -name '*.h' \) -not -path 'native/cuda/emu/*' | sort; }
version=$(kernels | xargs sha256sum | sha256sum | cut -c1-16)

build=${REDLLM_BUILD:-build/gpu}
$emulate && build=${REDLLM_BUILD:-build}
parts=$build/gpu-parts
if ! $resume || [ "$(cat "$parts/version" 2>/dev/null)" != "$version" ]; then rm -rf "$parts"; fi
mkdir -p "$parts/checks" "$parts/figures" "$parts/ceilings" "$parts/logs" || exit 2
echo "$version" >"$parts/version"

# check NAME SECONDS COMMAND...: runs it, and notes whether it ended well in time and what it said last.
check() {
  local name=$1 limit=$2 log=$parts/logs/$1.log note=$parts/checks/$1.json passed=true from
  shift 2
  if $resume && grep -q '"passed": true' "$note" 2>/dev/null; then
    say "$name: kept"
    return 0
  fi
  from=$(date +%s)
  timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null || passed=false
  printf '{"name": %s, "passed": %s, "seconds": %d, "said": %s}' "$(quoted "$name")" $passed $(($(date +%s) - from)) \
    "$(quoted "$(grep -v '^$' "$log" | tail -n 1 | cut -c1-300)")" >"$note"
  say "$name: $($passed && echo passed || echo FAILED), $(grep -v '^$' "$log" | tail -n 1 | cut -c1-100)"
  $passed
}
skip() {
  printf '{"name": %s, "passed": null, "seconds": 0, "said": %s}' "$(quoted "$1")" "$(quoted "$2")" >"$parts/checks/$1.json"
  say "$1: left out, $2"
}

# ---- build ----------------------------------------------------------------------------------------------------------------

programs="append_test attention_test attention_mass_test backend_test copy_pages_test device_library_test matmul_test norm_test pack_test sample_test transformer_test"
jobs=$(nproc)
ninja=()
has ninja && [ ! -f "$build/CMakeCache.txt" ] && ninja=(-G Ninja)
if $emulate; then cuda=OFF target=redllm_cuda_emu; else cuda=ON target=redllm_cuda; fi
configure() { cmake -S . -B "$build" ${ninja[@]+"${ninja[@]}"} -DCMAKE_BUILD_TYPE=Release -DREDLLM_CUDA=$cuda; }
# shellcheck disable=SC2086 # a list of names
compile() { configure && cmake --build "$build" --parallel "$jobs" --target $target kernel_fuzz cuda_bench $programs; }
export -f configure compile
export build cuda target programs jobs
if ! check build 420 bash -c "$(declare -p ninja); compile"; then
  tail -n 30 "$parts/logs/build.log" >&2
fi
library=$(cd "$build" && pwd)/Release/libredllm_cuda.so
$emulate && library=$(cd "$build" && pwd)/libredllm_cuda_emu.so

# cuBLASLt as PyTorch brings it, where the loader knows of none.
if [ -z "${REDLLM_CUBLASLT:-}" ] && ! $emulate && has python3 && ! ldconfig -p 2>/dev/null | grep -q 'libcublasLt\.so\.1[23]'; then
  found=$(python3 -c 'import glob, sysconfig
for name in ("nvidia/cu13/lib/libcublasLt.so.13", "nvidia/cublas/lib/libcublasLt.so.1[23]"):
    for path in glob.glob(sysconfig.get_paths()["purelib"] + "/" + name): print(path)' 2>/dev/null | head -n 1)
  [ -n "$found" ] && export REDLLM_CUBLASLT=$found
fi

# ---- checks ---------------------------------------------------------------------------------------------------------------

on_device=(env REDLLM_TEST_DEVICE=cuda "REDLLM_TEST_LIBRARY=$library")
ledger=native/test/fuzz_ledger.txt
tests() {
  for program in $programs; do check "$program" 120 "${on_device[@]}" "$build/$program"; done
  # Products without cuBLASLt: our own kernels at every shape.
  check matmul_test-own 120 "${on_device[@]}" REDLLM_CUBLASLT=off "$build/matmul_test"
  check transformer_test-own 120 "${on_device[@]}" REDLLM_CUBLASLT=off "$build/transformer_test"
  # Ops that are not waited for one by one, with kernels that start early.
  check transformer_test-overlap 120 "${on_device[@]}" REDLLM_TEST_OVERLAP=on "$build/transformer_test"
}
fuzz() {
  local cases=2000
  $emulate && cases=60
  check fuzz 120 "${on_device[@]}" "$build/kernel_fuzz" --cases $cases --seed "$(date +%Y%m%d)" --seconds 70 --ledger $ledger
}
sanitizer() {
  local tool
  for tool in memcheck synccheck; do
    if ! has compute-sanitizer || $emulate; then
      skip $tool "$($emulate && echo "it needs a GPU" || echo "compute-sanitizer is not here")"
    else
      check $tool 90 "${on_device[@]}" REDLLM_CUBLASLT=off compute-sanitizer --tool $tool --error-exitcode 9 \
        "$build/kernel_fuzz" --cases 150 --seed 7 --seconds 45 --ledger $ledger
    fi
  done
}

# ---- figures --------------------------------------------------------------------------------------------------------------

tiny=()
$emulate && tiny=(--tiny)
ceilings() {
  $emulate && return
  [ -x "$parts/ceilings.run" ] || nvcc -O3 -std=c++20 -gencode arch=compute_80,code=compute_80 native/bench/ceilings.cu -o "$parts/ceilings.run"
  check "ceilings-$1" 30 "$parts/ceilings.run" && cp "$parts/logs/ceilings-$1.log" "$parts/ceilings/$1.json"
}
figures() {
  local group
  ceilings before-all
  for group in decode products forward small models; do
    check "figures-$group" 120 "$build/cuda_bench" "$library" $group "$parts/figures/$group.json" ${tiny[@]+"${tiny[@]}"}
    ceilings "after-$group"
  done
}
torch() {
  if $emulate || ! has python3 || ! python3 -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
    skip torch "python3 has no torch that sees a GPU"
  else
    check torch 120 python3 native/bench/torch_attention.py "$parts/figures/torch.json"
  fi
}
# Golden models and batches of one and of many, through the addon.
node_tests() {
  if ! has node || [ ! -d node_modules ]; then
    skip node "Node and what npm installs are not here"
    return
  fi
  check node-build 240 npx --no-install cmake-js build --out "$build" --target redllm --CDREDLLM_CUDA=$cuda
  check node-typescript 120 npx --no-install tsc
  if $emulate; then
    skip node "the emulator is too slow for whole models"
  else
    check node 240 env REDLLM_TEST_DEVICE=cuda "REDLLM_ADDON=$(dirname "$library")/redllm.node" node scripts/test-js.mjs golden invariance ahead
  fi
}

wanted tests && tests
wanted figures && figures
wanted fuzz && fuzz
wanted torch && torch
wanted sanitizer && sanitizer
wanted node && node_tests

# ---- one JSON -------------------------------------------------------------------------------------------------------------

joined() { # the files as the members of a JSON array
  local first=true file
  for file in "$@"; do
    [ -s "$file" ] || continue
    $first || printf ',\n'
    first=false
    cat "$file"
  done
}
named() { # the files as the members of an object, by their names
  local first=true file
  for file in "$@"; do
    [ -s "$file" ] || continue
    $first || printf ',\n'
    first=false
    printf '"%s": ' "$(basename "$file" .json)"
    cat "$file"
  done
}
commit=$(git rev-parse HEAD 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain --untracked-files=no 2>/dev/null)" ] || commit="$commit, modified"
gpu=$(nvidia-smi --query-gpu=name,memory.total --format=csv,noheader 2>/dev/null | head -n 1)
driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1)
{
  printf '{\n"commit": %s,\n"date": "%s",\n"emulated": %s,\n' "$(quoted "$commit")" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" $emulate
  printf '"gpu": %s,\n"driver": %s,\n"nvcc": %s,\n"seconds": %d,\n' "$(quoted "${gpu:-none}")" "$(quoted "${driver:-none}")" \
    "$(quoted "$(nvcc --version 2>/dev/null | grep release || echo none)")" $(($(date +%s) - started))
  printf '"kernels": {\n'
  kernels | while read -r file; do printf '"%s": "%s"\n' "$file" "$(sha256sum <"$file" | cut -d' ' -f1)"; done | sed '$!s/$/,/'
  printf '},\n"checks": [\n%s\n],\n' "$(joined "$parts"/checks/*.json)"
  printf '"ceilings": {\n%s\n},\n' "$(named "$parts"/ceilings/*.json)"
  printf '"figures": {\n%s\n}\n}\n' "$(named "$parts"/figures/*.json)"
} >"$out.new" && mv "$out.new" "$out"
if has python3 && ! python3 -m json.tool "$out" >/dev/null; then echo "$out is no JSON" >&2 && exit 1; fi
say "written: $out"
failed=$(grep -l '"passed": false' "$parts"/checks/*.json 2>/dev/null | wc -l)
[ "$failed" -eq 0 ] || { echo "$failed checks failed; their logs are in $parts/logs" >&2 && exit 1; }
