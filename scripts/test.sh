#!/usr/bin/env bash
# test.sh [ARGUMENTS OF cargo test]: runs all tests, on the running Docker engine or on a private one. `make test` calls
# it. Without an engine the tests that need one are skipped, which is a failure if CI=true.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

find_engine || {
  unset DOCKER_HOST
  say "  So the tests that need one are skipped."
}
# The scenarios do not use the host's crates. Built apart, they do not change the features of the crates that both use,
# and nothing is compiled twice. All failures in one go, because a build takes minutes.
failed=0
say "Tests: cargo test --release --workspace --exclude scenarios $*"
cargo test --release --workspace --exclude scenarios --no-fail-fast "$@" || failed=1
say "Tests: cargo test --release -p scenarios $*"
cargo test --release -p scenarios --no-fail-fast "$@" || failed=1
exit $failed
