#!/usr/bin/env bash
# bench-guard.sh: fails if a run needs more memory than it did, beside a bare native program (tests/src/bin/bare.rs)
# that does the same job. Page faults and peak memory hardly depend on how busy a machine is, times do.
# `make bench-guard` runs it, on processes that it starts itself, on loopback.
#
# The known ratios are in bench-guard.tsv. After a change that is worth its memory: scripts/bench-guard.sh keep
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

KNOWN=scripts/bench-guard.tsv
RUNS=15
# A ratio may grow by this many percent.
MARGIN=10

main() {
  BARE=$PWD/target/release/bare
  if [ ! -x "$PLUGIN" ] || [ ! -x "$BARE" ]; then die "$PLUGIN or $BARE is not built: make bench-guard"; fi
  [ -x /usr/bin/time ] || die "GNU time is missing: sudo apt-get install time"
  export MACKEREL_AGENT_PLUGIN_META=''
  APP_OPTIONS=(-idle)
  build_app
  start_process 1000
  local count
  for count in 1 100 1000; do ratios "$count"; done > "$WORK/ratios"
  if [ "${1:-}" = keep ]; then
    cp "$WORK/ratios" "$KNOWN"
    cat "$KNOWN"
  else
    compare
  fi
}

# Prints two lines for $1 targets: their number, the measure, and the plugin's value divided by the bare program's.
ratios() {
  local some=("${TARGETS[@]:0:$1}") measure
  local options="--path /stats ${some[*]/#/--target }"
  # Other numbers of targets are other commands, which would warn about each other.
  export MACKEREL_PLUGIN_WORKDIR=$WORK/$1
  mkdir "$MACKEREL_PLUGIN_WORKDIR"
  # The first run makes the state.
  sample "$PLUGIN run gostats $options" > /dev/null
  sample "$PLUGIN run gostats $options" > "$WORK/ours"
  sample "$BARE $options" > "$WORK/bare"
  for measure in 1:faults 2:peak; do
    printf '%s\t%s\t%s\n' "$1" "${measure#*:}" \
      "$(awk -v ours="$(median "$WORK/ours" "${measure%:*}")" -v bare="$(median "$WORK/bare" "${measure%:*}")" 'BEGIN {printf "%.2f", ours / bare}')"
  done
}

# Prints minor page faults and peak memory in KiB of each of some runs of the command $1.
sample() {
  local run
  for ((run = 0; run < RUNS; run++)); do
    # shellcheck disable=SC2086 # a command with its arguments
    /usr/bin/time -f '%R %M' -o "$WORK/sample" $1 > "$WORK/output" || die "failed: ${1:0:80}"
    cat "$WORK/sample"
  done
}

# Prints the median of column $2 of the file $1.
median() {
  # shellcheck disable=SC2016 # columns, for awk
  awk -v column="$2" '{print $column}' "$1" | sort -g | awk '{value[NR] = $1} END {print value[int((NR + 1) / 2)]}'
}

# Compares with the known ratios, and fails if one of them grew.
compare() {
  awk -F '\t' -v margin="$MARGIN" '
    NR == FNR { known[$1, $2] = $3; next }
    {
      grown = $3 > known[$1, $2] * (1 + margin / 100)
      printf "%4s targets: %-6s %.2f times that of the bare program, known %.2f%s\n", $1, $2, $3, known[$1, $2], grown ? "  GREW" : ""
      failed = failed || grown
    }
    END { exit failed }' "$KNOWN" "$WORK/ratios" ||
    die "more memory than before; if it is worth it: scripts/bench-guard.sh keep"
}

main "$@"
