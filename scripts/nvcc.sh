#!/bin/sh
# Runs nvcc and keeps what it says, the ptxas log among it, in a file; shown where it fails, or warns.
# nvcc.sh LOG NVCC ARGUMENT...
log=$1
shift
if "$@" >"$log" 2>&1; then
  grep -i -A3 'warning' "$log"
  exit 0
fi
cat "$log"
exit 1
