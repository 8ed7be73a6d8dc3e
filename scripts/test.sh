#!/usr/bin/env bash
# test.sh [ARGUMENTS OF cargo test]: runs all tests, on the running Docker engine or on a private one. `make test` calls
# it. Without an engine the tests that need one are skipped; with CI=true they fail.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

find_engine || {
  unset DOCKER_HOST
  say "  Skipping the tests that need one."
}
# Cargo unifies the features of the packages that it builds together. The scenarios are built separately, so that their
# features do not cause a second build of the host's dependencies. A failure does not stop the remaining tests, because
# a build takes minutes.
failed=0
say "Tests: cargo test --release --workspace --exclude scenarios $*"
cargo test --release --workspace --exclude scenarios --no-fail-fast "$@" || failed=1
say "Tests: cargo test --release -p scenarios $*"
cargo test --release -p scenarios --no-fail-fast "$@" || failed=1
exit $failed
