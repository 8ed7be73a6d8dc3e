#!/usr/bin/env bash
# fuzz-rustc.sh RUSTC ARGUMENTS: what `make fuzz` has cargo call for the crates of this workspace. It has them count,
# for libFuzzer, which code ran and what was compared, and find sums that overflow. Nothing that a stable rustc does not
# take.
case " $* " in
  # It runs while building, and is not linked with libFuzzer.
  *" --crate-name build_script_build "*) exec "$@" ;;
esac
exec "$@" \
  -C passes=sancov-module \
  -C llvm-args=-sanitizer-coverage-level=4 \
  -C llvm-args=-sanitizer-coverage-inline-8bit-counters \
  -C llvm-args=-sanitizer-coverage-pc-table \
  -C llvm-args=-sanitizer-coverage-trace-compares \
  -C codegen-units=1 -C debug-assertions=on -C overflow-checks=on
