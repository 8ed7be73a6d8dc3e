#!/usr/bin/env bash
# wasm-toolchain.sh [DIR]: makes this machine able to build the collectors, which are WebAssembly components.
#
# The normal way is one line, and `make build` needs no more than that where it works:
#
#     rustup target add wasm32-wasip2
#
# Where rustup's server does not answer, or rustup is not what brought Rust here, the fallback below takes a Rust with
# that target from Debian's packages. They are unpacked under DIR: nothing is installed, and root is not needed.
#
# DIR (default: .wasm-toolchain) gets `guest-cargo`, a cargo that builds for wasm32-wasip2 whichever way it was. Running
# this again changes nothing. WASM_TOOLCHAIN=rustup or =debian forces one way.
set -euo pipefail

TARGET=wasm32-wasip2
mkdir -p "${1:-.wasm-toolchain}"
DIR=$(cd "${1:-.wasm-toolchain}" && pwd)
DEBIAN=$DIR/debian

main() {
  command -v rustc >/dev/null || die "Rust is missing: see https://rustup.rs"
  case ${WASM_TOOLCHAIN:-any} in
    rustup) has_target || add_target; use_rustup ;;
    debian) unpack_debian; use_debian ;;
    any)
      if has_target; then use_rustup
      elif [ -e "$DEBIAN/.complete" ]; then use_debian
      elif add_target; then use_rustup
      else say "falling back to Debian's packages"; unpack_debian; use_debian
      fi ;;
    *) die "WASM_TOOLCHAIN is neither rustup nor debian: $WASM_TOOLCHAIN" ;;
  esac
}

say() { echo "wasm-toolchain: $*" >&2; }
die() { say "$@"; exit 1; }

# --- the normal way --------------------------------------------------------------------------------------------------

# True where the active Rust has the target's standard library, wherever that came from.
has_target() { compgen -G "$(rustc --print target-libdir --target $TARGET)/libstd-*.rlib" >/dev/null; }

# Retries are cut and a clock is set: a server that does not answer should cost seconds, not minutes.
add_target() {
  command -v rustup >/dev/null || { say "there is no rustup here"; return 1; }
  say "rustup target add $TARGET"
  RUSTUP_MAX_RETRIES=0 timeout 90 rustup target add $TARGET >&2 || { say "that failed"; return 1; }
}

use_rustup() {
  {
    command -v rustup >/dev/null && echo "export RUSTUP_TOOLCHAIN=$(rustup show active-toolchain | cut -d' ' -f1)"
    echo 'exec cargo "$@"'
  } | write_guest_cargo
}

# --- the fallback: Debian's Rust, and a standard library built from Debian's source of it
# ------------------------------

# bookworm's security archive has the Rust that browsers are built with; its backports have a wasi-libc that knows the
# target. apt works on lists and sources of its own under DIR, so those of the system stay as they are.
unpack_debian() {
  [ -e "$DEBIAN/.complete" ] && return
  command -v apt-get >/dev/null || die "this is no Debian, so there is no fallback; what is needed: rustup target add $TARGET"
  case $DIR in *[[:space:]]*) die "the folder goes into compiler flags and must not have spaces in it: $DIR" ;; esac
  find_linkers
  local release archive security key=/usr/share/keyrings/debian-archive-keyring.gpg apt=$DIR/apt debs=$DIR/debs
  # shellcheck source=/dev/null
  release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  archive=$(mirror "$release") security=$(mirror "$release-security")
  if [ -z "$archive" ] || [ -z "$security" ]; then die "apt's sources name no $release or no $release-security"; fi

  rm -rf "$DEBIAN" "$debs"
  mkdir -p "$DEBIAN" "$debs" "$apt/lists/partial" "$apt/cache"
  printf "deb [signed-by=$key] %s %s main\n" > "$apt/sources.list" \
    "$archive" "$release" "$archive" "$release-backports" "$security" "$release-security"
  local apt_get=(apt-get -qq -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/nonexistent
    -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o Debug::NoLocking=1
    -o "APT::Sandbox::User=$(id -un)" -o Acquire::Retries=3)
  # In container images a hook cleans the system's cache after an update, and fails without root: the lists decide.
  say "reading Debian's lists"
  "${apt_get[@]}" update >&2 || compgen -G "$apt/lists/*-security_*Packages*" >/dev/null || die "apt-get update failed"

  # What the system has already is used from there, but the three that are wanted have to lie in DIR.
  local wanted=(rustc-web cargo-web rust-web-src) packages
  packages=$("${apt_get[@]}" -s install --no-install-recommends "${wanted[@]}" | awk '/^Inst / {print $2}')
  mapfile -t packages < <(printf '%s\n' "${wanted[@]}" "$packages" | sort -u)
  say "downloading ${#packages[@]} packages and wasi-libc, unpacking them into $DEBIAN (0.9 GB)"
  (cd "$debs" && "${apt_get[@]}" download "${packages[@]}" && "${apt_get[@]}" -t "$release-backports" download wasi-libc)
  local deb
  for deb in "$debs"/*.deb; do dpkg -x "$deb" "$DEBIAN"; done
  rm -rf "$debs" "$apt"
  touch "$DEBIAN/.complete"
}

# build-std builds the standard library along with the collector; RUSTC_BOOTSTRAP allows it on a stable Rust.
use_debian() {
  find_linkers
  write_guest_cargo <<END
unset RUSTUP_TOOLCHAIN
export LD_LIBRARY_PATH=$DEBIAN/usr/lib/$(uname -m)-linux-gnu\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}
export PATH=$DEBIAN/usr/bin:\$PATH RUSTC=$DEBIAN/usr/bin/rustc
export RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=std,panic_abort
export CARGO_TARGET_WASM32_WASIP2_LINKER=$LINKERS/wasm-component-ld
export CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS="-L native=$DEBIAN/usr/lib/wasm32-wasip2 -C link-self-contained=no -C link-arg=--wasm-ld-path=$LINKERS/gcc-ld/wasm-ld"
exec $DEBIAN/usr/bin/cargo "\$@"
END
}

# Debian packages no component linker, but the toolchain that builds the host carries it, and the wasm-ld that it calls.
find_linkers() {
  LINKERS=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin
  [ -x "$LINKERS/wasm-component-ld" ] ||
    die "there is no wasm-component-ld in $LINKERS; a Rust installed by rustup has one"
}

# The address from which the system's own apt sources take release $1. Works before any `apt-get update`.
mirror() {
  { apt-get -o Debug::NoLocking=1 update --print-uris 2>/dev/null || true; } |
    sed -nE "s#^'([^']+)/dists/$1/InRelease'.*#\1#p" | sed -n 1p
}

# --- both ways -------------------------------------------------------------------------------------------------------

# Writes guest-cargo; stdin: what is the way's own. A cargo that is called by a cargo inherits the caller's toolchain
# and flags, none of which are meant for the collectors.
write_guest_cargo() {
  {
    echo '#!/usr/bin/env bash'
    echo '# Written by scripts/wasm-toolchain.sh. A cargo that builds collectors.'
    echo 'unset CARGO RUSTC RUSTDOC RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER'
    echo 'unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_TARGET_DIR'
    echo "export CARGO_BUILD_TARGET=$TARGET"
    cat
  } > "$DIR/guest-cargo.new"
  chmod +x "$DIR/guest-cargo.new"
  # In one step: who builds meanwhile sees the old one or the new one.
  mv "$DIR/guest-cargo.new" "$DIR/guest-cargo"
}

main
