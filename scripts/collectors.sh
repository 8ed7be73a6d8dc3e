#!/usr/bin/env bash
# collectors.sh [check]: builds the ready-made collectors of collectors/ and runs their own tests. The components are
# target/collectors-dist/NAME.wasm. `make collectors` calls it. With `check`, it only checks formats and lints.
#
# Collectors in Go and Python are built as their authors do: beside the files that `mackerel-plugin-wasm new` writes, by
# the commands of their README. A collector is skipped if its files are the same as in the last build, or its tools are
# missing and CI is not set.
set -euo pipefail
cd "$(dirname "$0")/.."

OUT=$PWD/target/collectors-dist
GUEST_CARGO=$PWD/.wasm-toolchain/guest-cargo
RUST=(nginx postgres uwsgi)
GO=(memcached)
PYTHON=(php-fpm)

say() { echo "collectors: $*"; }
die() { say "$@" >&2; exit 1; }

main() {
  case ${1:-} in
    check) check && return ;;
    "") ;;
    *) die "usage: collectors.sh [check]" ;;
  esac
  [ -x "$GUEST_CARGO" ] || die "$GUEST_CARGO is missing: run make build"
  PATH=$(dirname "${PLUGIN:-$PWD/target/release/mackerel-plugin-wasm}"):$PATH
  # Downloads are shared with the tests of project templates.
  export PIP_CACHE_DIR=$PWD/target/templates/pip PIP_DISABLE_PIP_VERSION_CHECK=1 GOFLAGS="-trimpath -buildvcs=false" GOTOOLCHAIN=local
  mkdir -p "$OUT"
  build_rust
  local name
  for name in "${GO[@]}"; do build go "$name" go make; done
  for name in "${PYTHON[@]}"; do build python "$name" python3; done
}

check() {
  local unformatted
  cargo fmt --manifest-path collectors/Cargo.toml --all --check
  cargo clippy --quiet --locked --manifest-path collectors/Cargo.toml --target-dir target/collectors-rust \
    --all-targets -- -D warnings
  command -v gofmt >/dev/null || { say "no gofmt: the formats of Go are not checked"; return 0; }
  unformatted=$(cd collectors && gofmt -l "${GO[@]}")
  [ -z "$unformatted" ] || die "not formatted, run gofmt -w: $unformatted"
}

# Builds all collectors in Rust. Cargo knows what has changed.
build_rust() {
  local name work=$OUT/work/rust options=(--quiet --locked --target-dir target/collectors-rust)
  # The same component in every folder: panic messages contain paths of sources, and cargo hashes the path of a package
  # outside of the workspace. So the SDK is inside, as in a project of its author.
  local registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
  local flags="['--remap-path-prefix=$work=/build', '--remap-path-prefix=$registry=/crates']"
  cargo test "${options[@]}" --manifest-path collectors/Cargo.toml --lib
  rm -rf "$work"
  mkdir -p "$work"
  cp --recursive --preserve=timestamps collectors/Cargo.{toml,lock} "${RUST[@]/#/collectors/}" "$work"
  cp --recursive --dereference --preserve=timestamps guests/sdk "$work/sdk"
  sed -i 's|"../../guests/sdk"|"../sdk"|' "$work"/*/Cargo.toml
  sed -i 's|^members = .*|&\nexclude = ["sdk"]|' "$work/Cargo.toml"
  "$GUEST_CARGO" build "${options[@]}" --manifest-path "$work/Cargo.toml" --release --config "build.rustflags=$flags"
  for name in "${RUST[@]}"; do
    install -m 644 "target/collectors-rust/wasm32-wasip2/release/$name.wasm" "$OUT/$name.wasm"
  done
}

# Builds the collector $2 in the language $1, if the commands in the further arguments exist.
build() {
  local language=$1 name=$2 command sums
  shift 2
  for command; do
    command -v "$command" >/dev/null && continue
    [ -z "${CI:-}" ] || die "$command is missing: cannot build $name"
    say "$command is missing: $name is not built"
    return
  done
  local work=$OUT/work/$name old=$OUT/work/$name.sums
  rm -rf "$work"
  mkdir -p "$work"
  mackerel-plugin-wasm new "$name" --lang "$language" --dir "$work" >/dev/null
  # Of the example, only the SDK and the contract stay.
  (cd "$work/$name" && find . -mindepth 1 -maxdepth 1 ! -name wit ! -name collector -exec rm -r {} +)
  cp -R "collectors/$name/." "$work/$name"
  sums=$(cd "$work/$name" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
  if [ "$sums" != "$(cat "$old" 2>/dev/null)" ] || [ ! -e "$OUT/$name.wasm" ]; then
    say "building $name in $language"
    (cd "$work/$name" && bash -euc "$(readme_commands README.md)" > "$work/log" 2>&1) ||
      { cat "$work/log"; die "$name cannot be built; the output of its commands is above"; }
    mv "$work/$name/$name.wasm" "$OUT/$name.wasm"
    printf '%s' "$sums" > "$old"
  fi
  rm -rf "$work"
}

# Prints the indented lines of a README: the commands that build a collector.
readme_commands() { sed -n 's/^    //p' "$1"; }

main "$@"
