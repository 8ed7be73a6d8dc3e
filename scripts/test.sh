#!/usr/bin/env bash
# test.sh [ARGUMENTS OF cargo test]: runs all tests, on the Docker engine that there is or on a private one. Run it by
# `make test`. Without an engine the tests that need one are skipped, which counts as a failure where CI=true.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

find_engine || {
  unset DOCKER_HOST
  say "  So the tests that need one are skipped."
}
say "Tests: cargo test --release --workspace --no-fail-fast $*"
# All failures in one run, for a build takes minutes.
cargo test --release --workspace --no-fail-fast "$@"
