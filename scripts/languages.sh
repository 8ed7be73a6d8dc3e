#!/usr/bin/env bash
# languages.sh: installs what the tests of new projects want beside Rust and Go, where it is missing: Python with its
# venv, Node with npm, and make. For machines of CI, as root, from the system's own packages; the tools on top of them
# come by the projects' own commands, and what they download is kept in target/templates.
set -euo pipefail

packages=()
python3 -m ensurepip --version >/dev/null 2>&1 || packages+=(python3-venv)
node --version >/dev/null 2>&1 || packages+=(nodejs)
npm --version >/dev/null 2>&1 || packages+=(npm)
make --version >/dev/null 2>&1 || packages+=(make)
[ ${#packages[@]} = 0 ] || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
