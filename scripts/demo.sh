#!/usr/bin/env bash
# demo.sh: shows on three real containers what the plugin does. Where there is no Docker engine, three local processes
# take their place. Run it by `make demo`; RAW=1 shows the values as mackerel-agent reads them.
#
# It installs nothing, opens no port to other machines, and removes all that it made, on Ctrl-C too.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

main() {
  [ -x "$PLUGIN" ] || die "$PLUGIN is not built yet: make build"
  local targets=()
  step "Something to watch"
  if find_docker; then
    build_app
    start_containers api-1 api-2 api-3
    targets=(--filter "label=$LABEL")
    docker ps --filter "label=$LABEL" --format '{{.Names}}\t{{.Ports}}' | sort > "$WORK/list"
    sed -E 's/\t.*:([0-9]+)->.*/\t\1/' "$WORK/list" > "$WORK/names"
    say "Three containers of it:"
  else
    say "  So three local processes take the place of containers, and --target that of discovery."
    build_app
    for _ in 1 2 3; do start_process 1; done
    targets=("${TARGETS[@]/#/--target=}")
    printf '%s\n' "${TARGETS[@]}" | awk -F: '{printf "process %d\t%s\n", NR, $0}' > "$WORK/list"
    sed 's/\t.*:/\t/' "$WORK/list" > "$WORK/names"
    say "Three processes of it:"
  fi
  sed 's/^/    /' "$WORK/list"
  command=("$PLUGIN" run gostats "${targets[@]}" --path /stats)

  step "mackerel-agent starts, and asks for the graph definitions"
  ask 1 definitions
  definitions_table < "$WORK/definitions"

  step "It asks for values, every minute; here twice within 3 seconds"
  ask "" first
  say "First: $(wc -l < "$WORK/first") values. Counters are missing yet: what is shown of them is their growth."
  sleep 3
  ask "" second
  say "Then: $(wc -l < "$WORK/second") values:"
  values_table "$WORK/names" "$WORK/first" "$WORK/second"
  if [ -n "${RAW:-}" ]; then
    say "As mackerel-agent reads them:"
    cat "$WORK/second"
  else
    say "As mackerel-agent reads them, the first three (RAW=1 make demo shows all):"
    head -n 3 "$WORK/second"
  fi

  step "That was it: all that was made for the demo is removed"
}

STEP=0
step() {
  STEP=$((STEP + 1))
  say
  say "$STEP. $*"
}

# Runs the plugin as mackerel-agent does, with the variable set to $1 (for values it is set, and empty), and keeps what
# it prints in $WORK/$2. Its state goes into $WORK as well.
ask() {
  say "    \$ MACKEREL_AGENT_PLUGIN_META=$1 mackerel-plugin-wasm ${command[*]:1}"
  MACKEREL_AGENT_PLUGIN_META=$1 MACKEREL_PLUGIN_WORKDIR=$WORK "${command[@]}" > "$WORK/$2" ||
    die "The plugin ended with exit status $?."
}

# The definitions, one graph a line. With the quote as separator, every other record of the JSON is a string, and what
# comes behind it tells whether that is a name (of an object, or of a value) or a value.
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

# The values of file $3, one metric a line and one instance a column, under the names of file $1 (NAME<TAB>PORT). What
# was not in file $2, that of the first run, is a counter; one that fell since has no growth, and no value.
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
