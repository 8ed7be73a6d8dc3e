#!/usr/bin/env bash
# dist-test.sh [install]: tests the files of `make dist`, on the running Docker engine or on a private one. `make
# dist-test` calls it. With `install` it installs Debian's packages that the tests need, if they are missing.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

if [ "${1:-}" = install ]; then
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends busybox-static debootstrap qemu-user-static rpm >/dev/null
  exit
fi
[ -e target/artifacts/SHA256SUMS ] || die "target/artifacts is missing: make dist"
find_engine || { unset DOCKER_HOST; say "  Skipping the tests that need one."; }
cargo test --release -p scenarios --test all -- --ignored artifacts::
