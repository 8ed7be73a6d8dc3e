#!/usr/bin/env bash
# fuzz-rustc.sh RUSTC ARGUMENTS: the compiler that `make fuzz` uses for the crates of this workspace. It adds
# libFuzzer's counters of executed code and comparisons, and checks for overflows. All options work with a stable rustc.
case " $* " in
  # A build script is not linked with libFuzzer.
  *" --crate-name build_script_build "*) exec "$@" ;;
esac
exec "$@" \
  -C passes=sancov-module \
  -C llvm-args=-sanitizer-coverage-level=4 \
  -C llvm-args=-sanitizer-coverage-inline-8bit-counters \
  -C llvm-args=-sanitizer-coverage-pc-table \
  -C llvm-args=-sanitizer-coverage-trace-compares \
  -C codegen-units=1 -C debug-assertions=on -C overflow-checks=on
