#!/usr/bin/env bash
# dist.sh [build]: builds the files of a release for x86-64 and arm64 on an x86-64 machine, into target/artifacts: zip
# archives for mkr, deb and rpm packages, container images, the ready-made collectors, and the lists of dependencies and
# sums. `make dist` calls it. With `build` it stops after the two programs.
#
# The programs are static (musl). The same commit should give the same bytes in every folder. Nothing is
# installed outside of target/, except the two targets of rustup. It needs rustup, Python with pip, Go and git.
set -euo pipefail
cd "$(dirname "$0")/.."

NAME=mackerel-plugin-wasm
OUT=$PWD/target/artifacts
TOOLS=$PWD/target/tools-dist
TRIPLES=(x86_64-unknown-linux-musl aarch64-unknown-linux-musl)
NFPM=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2

say() { echo "dist: $*" >&2; }
die() { say "$@"; exit 1; }

main() {
  VERSION=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
  MACKEREL_PLUGIN_WASM_COMMIT=$(git rev-parse HEAD)
  export VERSION MACKEREL_PLUGIN_WASM_COMMIT TZ=UTC LC_ALL=C
  umask 022
  git diff --quiet HEAD || say "the work tree has changes that are not committed: the sums are not those of the commit"
  build_tools
  rustup target add "${TRIPLES[@]}"
  scripts/wasm-toolchain.sh
  cargo build --release --locked -p xtask --features cross
  local triple
  for triple in "${TRIPLES[@]}"; do build "$triple"; done
  [ "${1:-}" != build ] || return 0

  # Only now: with another value, cargo would build everything with C code again.
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
  export SOURCE_DATE_EPOCH
  package_tools
  rm -rf "$OUT"
  mkdir -p "$OUT"
  documents
  collectors
  for triple in "${TRIPLES[@]}"; do package "$triple"; done
  cd "$OUT"
  sha256sum -- * > "$TOOLS/sums"
  mv "$TOOLS/sums" SHA256SUMS
  say "the files of $VERSION, in target/artifacts:"
  ls -l --human-readable "$OUT" >&2
}

# --- the programs ----------------------------------------------------------------------------------------------------

# Installs zig, and writes the C compilers that the builds of ring and mimalloc call. Each drops the target triple,
# which cc-rs spells as clang does.
build_tools() {
  local arch
  if ! cmp -s scripts/dist-tools.txt "$TOOLS/installed"; then
    python3 -m pip --version >/dev/null 2>&1 || die "pip is missing: sudo apt-get install python3-pip"
    rm -rf "$TOOLS"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
      --only-binary :all: --require-hashes --requirement scripts/dist-tools.txt --target "$TOOLS/python"
    cp scripts/dist-tools.txt "$TOOLS/installed"
  fi
  mkdir -p "$TOOLS/bin"
  for arch in x86_64 aarch64; do
    script "zig-cc-$arch" <<END
for word; do
  shift
  case \$word in --target=*) ;; *) set -- "\$@" "\$word" ;; esac
done
PYTHONPATH=$TOOLS/python exec python3 -m ziglang cc -target $arch-linux-musl "\$@"
END
  done
  script zig-ar <<END
PYTHONPATH=$TOOLS/python exec python3 -m ziglang ar "\$@"
END
}

# Writes an executable script $1 of stdin into the folder of tools.
script() {
  { printf '#!/bin/sh\n# Written by scripts/dist.sh.\n'; cat; } > "$TOOLS/bin/$1"
  chmod 755 "$TOOLS/bin/$1"
}

# Builds the program for the triple $1. Rust's own linker links it, with the musl that rustup's target contains, and
# packs its relocations (RELR), which are applied at every start. Paths of this machine are replaced in panic messages.
# mimalloc reserves 64 MiB at first instead of 1 GiB, because it writes tables for all of it at every start, and does
# not free its memory before the process ends.
build() {
  local triple=$1 lower=${1//-/_} registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
  local upper=${lower^^}
  say "building for $triple"
  target/release/xtask "$triple"
  env "CC_$lower=$TOOLS/bin/zig-cc-${triple%%-*}" "AR_$lower=$TOOLS/bin/zig-ar" \
    "CFLAGS_$lower=-DMI_DEFAULT_ARENA_RESERVE=65536 -DMI_SKIP_COLLECT_ON_EXIT" \
    "CARGO_TARGET_${upper}_LINKER=rust-lld" \
    "CARGO_TARGET_${upper}_RUSTFLAGS=--remap-path-prefix=$PWD=/build --remap-path-prefix=$registry=/crates" \
    cargo rustc --locked --profile dist --target "$triple" -p $NAME -- -C link-arg=--pack-dyn-relocs=relr
}

program() { echo "target/$1/dist/$NAME"; }

# --- packages --------------------------------------------------------------------------------------------------------

package_tools() {
  command -v go >/dev/null || die "Go is missing: see https://go.dev/doc/install"
  [ -x "$TOOLS/bin/nfpm" ] || GOBIN=$TOOLS/bin GOFLAGS=-trimpath go install $NFPM
}

# Writes what does not depend on the architecture: manual pages, completions, and the lists of dependencies.
documents() {
  local native documents=$TOOLS/documents
  native=$(program "$(uname -m)-unknown-linux-musl")
  rm -rf "$documents"
  mkdir -p "$documents/man"
  "$native" man-pages "$documents/man"
  gzip -9n "$documents"/man/*
  "$native" completions bash > "$documents/completion.bash"
  "$native" completions zsh > "$documents/completion.zsh"
  "$native" completions fish > "$documents/completion.fish"
  target/release/xtask dependencies "$OUT/$NAME.cdx.json" "$OUT/THIRD-PARTY-LICENSES.txt" \
    "$(date --utc --date "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)"
}

# Builds the ready-made collectors, which are the same for all architectures.
collectors() {
  PLUGIN=$PWD/$(program "$(uname -m)-unknown-linux-musl") CI=true scripts/collectors.sh >&2
  install -m 644 target/collectors-dist/*.wasm "$OUT/"
  local licences=$OUT/COLLECTORS-LICENSES.txt python go
  python=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
  go=$(go env GOROOT)
  target/release/xtask dependencies "$licences"
  local part
  for part in "Go:$go/LICENSE" "wit-bindgen:target/collectors/go/internal/wit/LICENSE" "CPython:$python/LICENSE.txt"; do
    printf '\n%s\n%s\n\n' "$(printf '=%.0s' {1..80})" "${part%%:*}" >> "$licences"
    cat "${part#*:}" >> "$licences"
  done
}

# Makes all packages of the triple $1.
package() {
  local triple=$1 arch
  case $triple in x86_64-*) arch=amd64 ;; aarch64-*) arch=arm64 ;; esac
  say "packaging for $arch"
  install -m 755 "$(program "$triple")" "$OUT/${NAME}_linux_$arch"
  archive "$arch"
  packages "$arch"
  scripts/image.sh "$OUT/${NAME}_linux_$arch" "$arch" "$OUT/${NAME}_linux_$arch.image.tar"
}

# The archive that `mkr plugin install` takes: one folder with the executable.
archive() {
  local folder=${NAME}_linux_$1 stage=$TOOLS/stage
  rm -rf "$stage"
  mkdir -p "$stage/$folder"
  cp -p "$OUT/$folder" "$stage/$folder/$NAME"
  install -m 644 README.md README.ja.md LICENSE-APACHE LICENSE-MIT "$OUT/THIRD-PARTY-LICENSES.txt" "$stage/$folder/"
  find "$stage" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
  (cd "$stage" && python3 -m zipfile -c "$OUT/$folder.zip" "$folder")
}

packages() {
  local format
  export ARCH=$1 DOCUMENTS=$TOOLS/documents PROGRAM=$OUT/${NAME}_linux_$1 OUT
  for format in deb rpm; do
    "$TOOLS/bin/nfpm" package --config packaging/nfpm.yaml --packager $format --target "$OUT/" >&2
  done
}

main "$@"
