#!/usr/bin/env bash
# bench.sh [ROW]: compares the time and memory of a run with the programs that the plugin replaces (a shell loop with
# mackerel-plugin-gostats, and mackerel-plugin-docker) and with a bare native program that only lists and fetches, or
# reads (tests/src/bin/bare.rs). It runs whole processes, alternately, on the same targets. `make bench` calls it, and
# `make bench ROW=…` for one row of ROWS. It takes some minutes, and connects only to containers and processes that it
# starts itself, on loopback.
#
# It measures $PLUGIN, or else the program of `make build`. The replaced programs are those on PATH, or else those that
# the tests built.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

# Those with containers come last, because starting a hundred takes longer than all others.
ROWS=(one installed further thousand five-thousand parts containers cgroups)

main() {
  local rows=("$@") row
  [ $# -gt 0 ] || rows=("${ROWS[@]}")
  for row in "${rows[@]}"; do
    [[ " ${ROWS[*]} " = *" $row "* ]] || die "unknown row '$row'; expected: ${ROWS[*]}"
  done
  BARE=$PWD/target/release/bare
  if [ ! -x "$PLUGIN" ] || [ ! -x "$BARE" ]; then die "$PLUGIN is not built: make build"; fi
  say "Program: $PLUGIN, $(stat -c %s "$PLUGIN") bytes"
  have go || die "Go is missing; the targets are Go programs."
  if ! have python3 || [ ! -x /usr/bin/time ]; then die "Python or GNU time is missing: sudo apt-get install python3 time"; fi
  # Thousands of simultaneous connections, with both ends on this machine.
  ulimit -n 12000
  PATH=$PATH:$PWD/target/scenarios/originals
  have mackerel-plugin-gostats || die "mackerel-plugin-gostats is missing: install it, or run make test"
  # As an installation does: pages of a file that a linker wrote are smaller, which costs a third more CPU time.
  install "$PLUGIN" "$WORK/mackerel-plugin-wasm"
  PLUGIN=$WORK/mackerel-plugin-wasm
  export MACKEREL_AGENT_PLUGIN_META='' MACKEREL_PLUGIN_WORKDIR=$WORK/state
  mkdir "$WORK/state"
  # Busy apps would dominate the measured time.
  APP_OPTIONS=(-idle)
  build_app
  say "Load average: $(cut -d ' ' -f 1-3 /proc/loadavg)"
  for row in "${rows[@]}"; do "$row"; done
}

sample() { python3 scripts/sample.py "$@"; }

# Fails unless the plugin's command $2 prints metrics of $1 targets, and the bare program's command $3, if there is one,
# reaches them all.
reaches() {
  local seen
  # The first run makes the state.
  $2 > /dev/null
  seen=$($2 | grep -oE '^(gostats|docker\.memory)\.[^.]+' | sort -u | wc -l)
  [ "$seen" = "$1" ] || die "metrics of $seen targets instead of $1: ${2:0:100}"
  [ -z "${3:-}" ] || [[ $($3) = "$1 bodies"* ]] || die "the bare program does not reach all $1 targets: ${3:0:100}"
}

# Sets OPTIONS to those for the first $1 ports of local processes. Starts processes if there are fewer.
targets() {
  [ ${#TARGETS[@]} -ge "$1" ] || start_process $(($1 - ${#TARGETS[@]}))
  local some=("${TARGETS[@]:0:$1}")
  OPTIONS="--path /stats ${some[*]/#/--target }"
  reaches "$1" "$PLUGIN run gostats $OPTIONS" "$BARE $OPTIONS"
}

one() {
  targets 1
  sample "1 local target" 200 "ours=$PLUGIN run gostats $OPTIONS" \
    "mackerel_plugin_gostats=mackerel-plugin-gostats -port ${TARGETS[0]#*:} -path=/stats" "bare=$BARE $OPTIONS" \
    --goal "wall by mackerel-plugin-gostats'" "ours.wall / mackerel_plugin_gostats.wall" 0.65 \
    --goal "CPU by mackerel-plugin-gostats'" "ours.cpu / mackerel_plugin_gostats.cpu" 0.60
}

# The CPU time of one more target, beside the bare program's.
further() {
  targets 100
  local hundred=$OPTIONS
  targets 1000
  sample "100 and 1,000 local targets" 20 "ours_100=$PLUGIN run gostats $hundred" "bare_100=$BARE $hundred" \
    "ours_1000=$PLUGIN run gostats $OPTIONS" "bare_1000=$BARE $OPTIONS" \
    --goal "CPU of a further target, in us, without the bare program's" \
    "(ours_1000.cpu - ours_100.cpu - bare_1000.cpu + bare_100.cpu) / 0.9" 80
}

thousand() {
  targets 1000
  sample "1,000 local targets" 20 "ours=$PLUGIN run gostats $OPTIONS" "bare=$BARE $OPTIONS" \
    --goal "CPU by the bare program's" "ours.cpu / bare.cpu" 1.60 --goal "peak in MiB" "ours.peak" 30
}

five-thousand() {
  targets 1000
  local thousand=$OPTIONS
  targets 5000
  sample "1,000 and 5,000 local targets" 5 "ours_1000=$PLUGIN run gostats $thousand" "ours_5000=$PLUGIN run gostats $OPTIONS" \
    --goal "CPU by that of 1,000" "ours_5000.cpu / ours_1000.cpu" 5.50
}

# The built-in gostats, and components of files: the same code, and one in Python of 20 MB, built as its author does.
# All read the same server, whose files are responses.
installed() {
  local project=$WORK/queue-py python files=$WORK/files port
  mkdir "$files"
  targets 1
  curl -sf "${TARGETS[0]}/stats" > "$files/stats"
  echo '{"queue": {"waiting": 3, "done": 120}}' > "$files/queue"
  (cd "$files" && exec python3 -u -m http.server --bind 127.0.0.1 0 > "$WORK/port" 2>/dev/null) &
  PROCESSES+=($!)
  wait_for "the server listens" grep -q port "$WORK/port"
  port=$(sed 's/.* port \([0-9]*\) .*/\1/' "$WORK/port")
  export MACKEREL_PLUGIN_WASM_STORE=$WORK/store
  LC_ALL=C sed "s/gostats/regular/" target/collectors/gostats.wasm > "$WORK/regular.wasm"
  (cd "$WORK" && "$PLUGIN" new queue-py --lang python)
  (cd "$project" && python3 -m venv .venv && .venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt)
  python="$project/queue-py.wasm"
  (cd "$project" && .venv/bin/componentize-py -d wit -w plugin componentize app -o "$python")
  "$PLUGIN" install "$WORK/regular.wasm"
  "$PLUGIN" install "$python"
  sample "1 local target, installed collectors" 100 "built_in=$PLUGIN run gostats --path /stats --target 127.0.0.1:$port" \
    "in_Rust=$PLUGIN run regular --path /stats --target 127.0.0.1:$port" \
    "in_Python=$PLUGIN run queue-py --path /queue --target 127.0.0.1:$port" \
    --goal "more wall than built in, in Rust, ms" "in_Rust.wall - built_in.wall" 1 \
    --goal "more wall than built in, in Python, ms" "in_Python.wall - built_in.wall" 4
}

parts() {
  echo
  echo "Parts of a run"
  cargo bench --quiet -p mackerel-plugin-wasm-host --bench parts
}

# Starts containers of the app, unless a row before has done it. Fails without an engine.
apps() {
  [ -z "${APPS:-}" ] || return 0
  find_docker || return 1
  start_containers api-{1..100}
  APPS="--filter label=$LABEL"
}

containers() {
  apps || { say "  Skipping the row with containers."; return; }
  cat > "$WORK/loop.sh" <<END
for PORT in \$(docker ps --format='{{.Ports}}' $APPS | cut -f1 -d- | cut -f2 -d:); do
  mackerel-plugin-gostats -port \$PORT -path=/stats -metric-key-prefix=gostats.\$PORT
done
END
  local ours="$PLUGIN run gostats --path /stats $APPS"
  reaches 100 "$ours" "$BARE --path /stats $APPS"
  reaches 100 "$ours --address published" "$BARE --direct --path /stats $APPS"
  sample "100 containers, gostats" 20 "ours=$ours" "ours_published=$ours --address published" "loop=sh $WORK/loop.sh" \
    "bare_published=$BARE --path /stats $APPS" "bare=$BARE --direct --path /stats $APPS" \
    --goal "wall by the shell loop's" "ours.wall / loop.wall" 0.11 \
    --goal "wall by the bare program's" "ours.wall / bare.wall" 1.25 \
    --goal "wall by that of published ports" "ours.wall / ours_published.wall" 0.70 --goal "peak in MiB" "ours.peak" 22
  echo "  CPU of the engine's proxies per run: $(proxies "$ours") ms, by published ports $(proxies "$ours --address published") ms, goal 0"
}

# Prints the CPU time of the engine's proxies for one run of the command $1, in milliseconds, by the ticks of 20 runs.
proxies() {
  local before
  before=$(proxy_ticks)
  # shellcheck disable=SC2086 # a command with its arguments
  for _ in {1..20}; do $1 > /dev/null; done
  awk -v ticks=$(($(proxy_ticks) - before)) -v rate="$(getconf CLK_TCK)" 'BEGIN {printf "%.1f", ticks / rate / 20 * 1000}'
}

# Prints the sum of the CPU time of all docker-proxy processes, in ticks.
proxy_ticks() {
  local pid sum=0 fields
  for pid in $(pgrep -x docker-proxy); do
    if fields=$(cat "/proc/$pid/stat" 2>/dev/null); then
      read -ra fields <<< "${fields##*) }"
      sum=$((sum + fields[11] + fields[12]))
    fi
  done
  echo "$sum"
}

# From cgroups (control groups), and through the engine's API.
cgroups() {
  apps || { say "  Skipping the row with containers."; return; }
  local id folder
  id=$(docker ps --quiet --no-trunc --filter "label=$LABEL" | head -n 1)
  folder=$(find /sys/fs/cgroup/cpuacct/ /sys/fs/cgroup/ -maxdepth 5 -type d -name "*$id*" -printf '%P\n' 2>/dev/null | head -n 1)
  [ -n "$folder" ] || die "no cgroup found for container $id"
  local ours="$PLUGIN run docker --stats-source cgroup $APPS" bare="$BARE --cgroup ${folder/$id/ID} $APPS"
  reaches 100 "$ours" "$bare"
  sample "100 containers, docker from cgroups" 20 "ours=$ours" "bare=$bare" --goal "wall by the bare program's" "ours.wall / bare.wall" 1.50
  have mackerel-plugin-docker || { say "mackerel-plugin-docker is missing; skipping it."; return; }
  ours="$PLUGIN run docker --stats-source api $APPS"
  reaches 100 "$ours"
  sample "100 containers, docker through the engine's API" 5 "ours=$ours" \
    "mackerel_plugin_docker=mackerel-plugin-docker -host $DOCKER_HOST" \
    --goal "wall by mackerel-plugin-docker's" "ours.wall / mackerel_plugin_docker.wall" 1.00
}

main "$@"
