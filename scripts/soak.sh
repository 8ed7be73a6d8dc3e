#!/usr/bin/env bash
# soak.sh: runs the plugin SOAK_RUNS (500) times over 60 containers, 20 of which are created, removed and restarted
# meanwhile. `make soak` calls it.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

find_engine || die "make soak needs a Docker engine"
export SOAK_RUNS=${SOAK_RUNS:-500}
say "Soak: $SOAK_RUNS runs"
cargo test --release -p scenarios --test all soak:: -- --nocapture
