#!/usr/bin/env bash
# workflows.sh: checks .github/workflows with actionlint and zizmor, without asking a server. It needs Go, which builds
# actionlint into target/tools, and pip.
set -euo pipefail
cd "$(dirname "$0")/.."

ACTIONLINT=github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

command -v go >/dev/null || { echo "workflows: Go is missing: see https://go.dev/doc/install" >&2; exit 1; }
scripts/tools.sh
tools=$PWD/target/tools/bin
[ -x "$tools/actionlint" ] || GOBIN=$tools go install $ACTIONLINT
"$tools/actionlint"
"$tools/zizmor" --offline --pedantic .github
