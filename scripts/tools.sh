#!/usr/bin/env bash
# tools.sh: installs the checkers that `make check` runs, cargo-deny and typos, in fixed versions into target/tools.
# Nothing outside of that folder changes. The first run compiles cargo-deny, which takes some minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

TOOLS=target/tools
DENY=0.20.2
TYPOS=1.52.0

is_version() { [ -x "$TOOLS/$1" ] && [[ $("$TOOLS/$1" --version) = *" $2" ]]; }

mkdir -p $TOOLS
if ! is_version typos $TYPOS; then
  # On PyPI as a binary.
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --upgrade \
    --target "$TOOLS/python" "typos==$TYPOS"
  ln -sf python/bin/typos "$TOOLS/typos"
fi
if ! is_version cargo-deny $DENY; then
  cargo install --quiet --locked --root "$TOOLS/cargo" "cargo-deny@$DENY"
  ln -sf cargo/bin/cargo-deny "$TOOLS/cargo-deny"
fi
