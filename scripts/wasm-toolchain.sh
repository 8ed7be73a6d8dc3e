#!/usr/bin/env bash
# wasm-toolchain.sh [DIR]: sets up the compiler for the collectors, which are WebAssembly components.
#
# Usually one command is enough:
#
#     rustup target add wasm32-wasip2
#
# If rustup or its server is not available, the fallback uses a Rust with that target from Debian's packages. It unpacks
# them into DIR, installs nothing, and does not need root.
#
# Both ways write DIR/guest-cargo, a cargo that builds for wasm32-wasip2. The default of DIR is .wasm-toolchain. A
# second call changes nothing. WASM_TOOLCHAIN=rustup or WASM_TOOLCHAIN=debian selects one way.
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
      else say "using Debian's packages instead"; unpack_debian; use_debian
      fi ;;
    *) die "invalid WASM_TOOLCHAIN '$WASM_TOOLCHAIN': expected rustup or debian" ;;
  esac
}

say() { echo "wasm-toolchain: $*" >&2; }
die() { say "$@"; exit 1; }

# --- rustup ----------------------------------------------------------------------------------------------------------

# Succeeds if the active Rust has the standard library of the target, from whatever source.
has_target() { compgen -G "$(rustc --print target-libdir --target $TARGET)/libstd-*.rlib" >/dev/null; }

# No retries and a timeout: a server that does not respond should cost seconds, not minutes.
add_target() {
  command -v rustup >/dev/null || { say "rustup is missing"; return 1; }
  say "rustup target add $TARGET"
  RUSTUP_MAX_RETRIES=0 timeout 90 rustup target add $TARGET >&2 || { say "rustup failed"; return 1; }
}

use_rustup() {
  {
    command -v rustup >/dev/null && echo "export RUSTUP_TOOLCHAIN=$(rustup show active-toolchain | cut -d' ' -f1)"
    echo 'exec cargo "$@"'
  } | write_guest_cargo
}

# --- the fallback: Debian's Rust, with a standard library built from Debian's source package --------------------------

# bookworm's security archive has the Rust that browsers are built with; its backports have a wasi-libc that supports
# the target. apt uses its own lists and sources in DIR, so that those of the system do not change.
unpack_debian() {
  [ -e "$DEBIAN/.complete" ] && return
  command -v apt-get >/dev/null || die "apt-get is missing, so the fallback is not available: run rustup target add $TARGET"
  case $DIR in *[[:space:]]*) die "the folder $DIR has a space in its name, which compiler flags cannot contain" ;; esac
  find_linkers
  local release archive security key=/usr/share/keyrings/debian-archive-keyring.gpg apt=$DIR/apt debs=$DIR/debs
  # shellcheck source=/dev/null
  release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  archive=$(mirror "$release") security=$(mirror "$release-security")
  if [ -z "$archive" ] || [ -z "$security" ]; then die "apt's sources do not list $release and $release-security"; fi

  rm -rf "$DEBIAN" "$debs"
  mkdir -p "$DEBIAN" "$debs" "$apt/lists/partial" "$apt/cache"
  printf "deb [signed-by=$key] %s %s main\n" > "$apt/sources.list" \
    "$archive" "$release" "$archive" "$release-backports" "$security" "$release-security"
  local apt_get=(apt-get -qq -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/nonexistent
    -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o Debug::NoLocking=1
    -o "APT::Sandbox::User=$(id -un)" -o Acquire::Retries=3)
  # In container images a hook cleans the system's cache after an update, and fails without root. Such a failure does
  # not matter if the lists were downloaded.
  say "reading Debian's lists"
  "${apt_get[@]}" update >&2 || compgen -G "$apt/lists/*-security_*Packages*" >/dev/null || die "apt-get update failed"

  # Dependencies that are already installed are used from the system, but these three must be in DIR.
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

# build-std builds the standard library together with the collector; RUSTC_BOOTSTRAP allows it on a stable Rust.
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

# Debian has no package of the component linker, but the toolchain that builds the host contains it, and the wasm-ld
# that it calls.
find_linkers() {
  LINKERS=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin
  [ -x "$LINKERS/wasm-component-ld" ] ||
    die "no wasm-component-ld in $LINKERS: install Rust with rustup, which includes it"
}

# Prints the server from which the system's apt sources get the release $1. It works before the first `apt-get update`.
mirror() {
  { apt-get -o Debug::NoLocking=1 update --print-uris 2>/dev/null || true; } |
    sed -nE "s#^'([^']+)/dists/$1/InRelease'.*#\1#p" | sed -n 1p
}

# --- both ways -------------------------------------------------------------------------------------------------------

# Writes guest-cargo; stdin is the part that differs between the two ways. A cargo that is called by a cargo inherits
# the toolchain and flags of its caller, which are not meant for the collectors.
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
  # In one step: a build that runs meanwhile uses the old file or the new one.
  mv "$DIR/guest-cargo.new" "$DIR/guest-cargo"
}

main
