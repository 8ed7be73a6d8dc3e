#!/usr/bin/env bash
# tools.sh: installs the checkers into target/tools/bin: cargo-deny and typos for `make check`, and zizmor for
# scripts/workflows.sh, in the versions of scripts/tools.txt. Nothing outside target/tools changes.
set -euo pipefail
cd "$(dirname "$0")/.."

LIST=scripts/tools.txt
TOOLS=target/tools

die() { echo "tools: $*" >&2; exit 1; }

# A copy of the list is written last: it marks a complete installation.
cmp -s $LIST $TOOLS/installed && exit
python3 -m pip --version >/dev/null 2>&1 || die "pip is missing: sudo apt-get install python3-pip"
rm -rf $TOOLS
python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
  --only-binary :all: --require-hashes --requirement $LIST --target $TOOLS
cp $LIST $TOOLS/installed
