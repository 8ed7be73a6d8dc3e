#!/usr/bin/env bash
# release-notes.sh TAG: prints the section of CHANGELOG.md for a tag. It fails if the tag is not the version of
# Cargo.toml with a v, or has no section: then the release is not ready.
set -euo pipefail
cd "$(dirname "$0")/.."

die() { echo "release-notes: $*" >&2; exit 1; }

[ $# = 1 ] || die "usage: release-notes.sh TAG"
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
[ "$1" = "v$version" ] || die "the tag is $1, but Cargo.toml has version $version: tag v$version"
notes=$(awk -v heading="## [$version]" 'index($0, heading) == 1 { found = 1; next } /^## \[/ { found = 0 } found' CHANGELOG.md)
[ -n "$notes" ] || die "CHANGELOG.md has no section $version: rename Unreleased"
echo "$notes"
