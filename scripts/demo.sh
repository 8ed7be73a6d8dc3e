#!/usr/bin/env bash
# demo.sh: runs the plugin on three containers, or on three local processes if there is no Docker engine. `make demo`
# calls it; RAW=1 prints all values in the format that mackerel-agent reads.
#
# It installs nothing, opens no port to other machines, and removes everything that it creates, on Ctrl-C too.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

main() {
  [ -x "$PLUGIN" ] || die "$PLUGIN is not built: make build"
  local targets=()
  step "Start the targets"
  if find_docker; then
    build_app
    start_containers api-1 api-2 api-3
    targets=(--filter "label=$LABEL")
    docker ps --filter "label=$LABEL" --format '{{.Names}}\t{{.Ports}}' | sort > "$WORK/list"
    sed -E 's/\t.*:([0-9]+)->.*/\t\1/' "$WORK/list" > "$WORK/names"
    say "Three containers of the app:"
  else
    say "  Using three local processes instead of containers, and --target instead of discovery."
    build_app
    for _ in 1 2 3; do start_process 1; done
    targets=("${TARGETS[@]/#/--target=}")
    printf '%s\n' "${TARGETS[@]}" | awk -F: '{printf "process %d\t%s\n", NR, $0}' > "$WORK/list"
    sed 's/\t.*:/\t/' "$WORK/list" > "$WORK/names"
    say "Three processes of the app:"
  fi
  sed 's/^/    /' "$WORK/list"
  command=("$PLUGIN" run gostats "${targets[@]}" --path /stats)

  step "mackerel-agent starts and reads the graph definitions"
  ask 1 definitions
  definitions_table < "$WORK/definitions"

  step "mackerel-agent reads values every minute; here twice, 3 seconds apart"
  ask "" first
  say "First run: $(wc -l < "$WORK/first") values, without counters: a counter is reported as its growth since the last run."
  sleep 3
  ask "" second
  say "Second run: $(wc -l < "$WORK/second") values:"
  values_table "$WORK/names" "$WORK/first" "$WORK/second"
  if [ -n "${RAW:-}" ]; then
    say "In the format that mackerel-agent reads:"
    cat "$WORK/second"
  else
    say "In the format that mackerel-agent reads, the first three lines (all of them: RAW=1 make demo):"
    head -n 3 "$WORK/second"
  fi

  step "Remove everything that the demo created"
}

STEP=0
step() {
  STEP=$((STEP + 1))
  say
  say "$STEP. $*"
}

# Runs the plugin as mackerel-agent does, with the variable set to $1 (empty for values), and writes its output to
# $WORK/$2. Its state file is in $WORK too.
ask() {
  say "    \$ MACKEREL_AGENT_PLUGIN_META=$1 mackerel-plugin-wasm ${command[*]:1}"
  MACKEREL_AGENT_PLUGIN_META=$1 MACKEREL_PLUGIN_WORKDIR=$WORK "${command[@]}" > "$WORK/$2" ||
    die "the plugin exited with status $?"
}

# Prints the definitions, one graph per line. With the quotation mark as the record separator, every second record is a
# string of the JSON text, and the record after it shows if the string is a name (of an object or a value) or a value.
definitions_table() {
  sed 1d | awk -v RS='"' '
    NR % 2 { next }
    { text = $0; getline after }
    after ~ /^:\{/ { graph = text; next }
    after ~ /^:/ { name = text; next }
    name == "unit" { graphs[++count] = graph; unit[graph] = text }
    name == "name" { metrics[graph] = metrics[graph] " " text }
    END {
      printf "    %-22s %-8s %s\n", "GRAPH", "UNIT", " METRICS"
      for (i = 1; i <= count; i++) printf "    %-22s %-8s %s\n", graphs[i], unit[graphs[i]], metrics[graphs[i]]
    }'
}

# Prints the values in file $3, with one line per metric and one column per instance, titled by file $1 (NAME<TAB>PORT).
# A metric that is missing in file $2, the output of the first run, is a counter.
values_table() {
  awk -F'\t' '
    function short(number) { return number == "" ? "-" : number ~ /\./ ? sprintf("%.2f", number) : number }
    FILENAME == ARGV[1] { title[$2] = $1; next }
    { split($1, part, "."); instance = part[2]; metric = $1; sub(/^[^.]*\.[^.]*\./, "", metric) }
    FILENAME == ARGV[2] { gauge[metric]; next }
    !(instance in seen) { seen[instance]; instances[++columns] = instance }
    !(metric in known) { known[metric]; metrics[++rows] = metric }
    { value[metric, instance] = $2 }
    END {
      printf "    %-36s", ""
      for (c = 1; c <= columns; c++) printf " %16s", title[instances[c]]
      printf "\n    %-36s", "METRIC"
      for (c = 1; c <= columns; c++) printf " %16s", "port " instances[c]
      for (r = 1; r <= rows; r++) {
        printf "\n    %-36s", metrics[r] (metrics[r] in gauge ? "" : " (per minute)")
        for (c = 1; c <= columns; c++) printf " %16s", short(value[metrics[r], instances[c]])
      }
      print ""
    }' "$1" "$2" "$3"
}

main
