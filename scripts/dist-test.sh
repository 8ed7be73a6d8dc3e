#!/usr/bin/env bash
# dist-test.sh [install]: tests the files of `make dist`, on the running Docker engine or on a private one. `make
# dist-test` calls it. With `install` it installs Debian's packages that the tests need, if they are missing, and mkr.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

MKR=github.com/mackerelio/mkr@v0.60.0
# A version that no release has, as in tests/artifacts.rs.
OLDER=0.0.9

# Builds the program once more with the version $OLDER, and its deb, into target/older. Only packages of this repository
# are compiled: the copy of the sources has the same dependencies and the same target folder.
older() {
  local out=$PWD/target/older version
  version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
  rm -rf "$out"
  mkdir -p "$out/sources/target"
  git ls-files -z | xargs -0 cp --no-dereference --parents --target-directory "$out/sources"
  ln -s "$PWD/target/collectors" "$out/sources/target/collectors"
  sed -i "/^\[workspace.package\]/,/^\[/s/^version = \"$version\"/version = \"$OLDER\"/" "$out/sources/Cargo.toml"
  CARGO_TARGET_DIR=$PWD/target cargo build --release --offline --manifest-path "$out/sources/Cargo.toml" \
    -p xtask -p mackerel-plugin-wasm
  cp target/release/mackerel-plugin-wasm "$out/mackerel-plugin-wasm"
  # Both builds have the same file.
  cargo build --release -p xtask -p mackerel-plugin-wasm
  VERSION=$OLDER ARCH=amd64 PROGRAM=$out/mackerel-plugin-wasm OUT=target/artifacts DOCUMENTS=target/tools-dist/documents \
    target/tools-dist/bin/nfpm package --config packaging/nfpm.yaml --packager deb --target "$out/"
}

if [ "${1:-}" = install ]; then
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends busybox-static debootstrap qemu-user-static rpm >/dev/null
  have mkr || GOBIN=/usr/local/bin go install $MKR
  exit
fi
[ -e target/artifacts/SHA256SUMS ] || die "target/artifacts is missing: make dist"
older
find_engine || { unset DOCKER_HOST; say "  Skipping the tests that need one."; }
cargo test --release -p scenarios --test all -- --ignored artifacts::
