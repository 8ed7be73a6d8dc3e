#!/usr/bin/env bash
# languages.sh: installs the languages that the tests of project templates need in addition to Rust and Go, if they are
# missing: Python with venv, Node with npm, and make. It is for CI machines: it needs root, and uses Debian's packages.
# The templates' own commands download their tools into target/templates.
set -euo pipefail

packages=()
python3 -m ensurepip --version >/dev/null 2>&1 || packages+=(python3-venv)
node --version >/dev/null 2>&1 || packages+=(nodejs)
npm --version >/dev/null 2>&1 || packages+=(npm)
make --version >/dev/null 2>&1 || packages+=(make)
[ ${#packages[@]} = 0 ] || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
