#!/usr/bin/env bash
# fuzz.sh [KIND]...: fuzzes everything that parses untrusted bytes with libFuzzer (crate tests/fuzz). It runs
# every KIND, or all kinds, for FUZZ_SECONDS (60) each. It starts with tests/fuzz/corpus, keeps the inputs that reached
# new code in target/fuzz/corpus, and fails if a property does not hold. `make fuzz` calls it. It has its own target
# folder: the first build takes about ten minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

FUZZ=target/fuzz/release/fuzz
CORPUS=tests/fuzz/corpus
: "${FUZZ_SECONDS:=60}"

main() {
  local cxx=${CXX:-c++} kinds=("$@") failed=() kind
  command -v "$cxx" >/dev/null || die "a C++ compiler is missing, which libFuzzer needs: sudo apt-get install g++"
  [ $# -gt 0 ] || mapfile -t kinds < <(ls $CORPUS)
  RUSTC_WORKSPACE_WRAPPER=$PWD/scripts/fuzz-rustc.sh \
    cargo build --release --package fuzz --features fuzz --target-dir target/fuzz
  for kind in "${kinds[@]}"; do
    try "$kind" || failed+=("$kind")
  done
  [ ${#failed[@]} = 0 ] || die "failed: ${failed[*]}"
}

# Fuzzes the kind $1. Keeps libFuzzer's log.
try() {
  local kind=$1 log=target/fuzz/$1.log found=target/fuzz/findings/$1 options
  [ -d "$CORPUS/$kind" ] || die "unknown kind $kind; available: $(ls -m $CORPUS)"
  mkdir -p "target/fuzz/corpus/$kind" "$found"
  options=(-max_total_time="$FUZZ_SECONDS" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix="$found/")
  if FUZZ_KIND=$kind "$FUZZ" "${options[@]}" "target/fuzz/corpus/$kind" "$CORPUS/$kind" >"$log" 2>&1; then
    grep -aq 'inline 8-bit counters' "$log" || die "$kind: built without coverage counters; see $log"
    say "$kind: $(grep -aoE 'cov: [0-9]+' "$log" | tail -n 1), $(awk '/number_of_executed_units/ {print $2}' "$log") inputs, no failure"
    return
  fi
  # The failed property, or libFuzzer's own error about time or memory.
  grep -a -A 3 'panicked at' "$log" >&2 || grep -a 'ERROR: libFuzzer' "$log" >&2 || tail -n 5 "$log" >&2
  say "$kind: failed; see $log. To repeat it:"
  say "  FUZZ_KIND=$kind $FUZZ $(find "$found" -type f -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2)"
  say "After the fix, keep the file in $CORPUS/$kind under a name that describes the fault: the tests then cover it."
  return 1
}

say() { echo "$*"; }
die() { say "$@" >&2; exit 1; }

main "$@"
