#!/usr/bin/env bash
# soak.sh: 500 runs, or SOAK_RUNS, over 60 containers of which 20 come, go and restart all the time. Run it by `make
# soak`.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

find_engine || die "A soak needs one."
export SOAK_RUNS=${SOAK_RUNS:-500}
say "Soak: $SOAK_RUNS runs"
cargo test --release -p scenarios --test all soak:: -- --nocapture
