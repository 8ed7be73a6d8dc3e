#!/usr/bin/env bash
# bench.sh: compares the time and memory of a run with the programs that the plugin replaces (the shell loop and
# mackerel-plugin-docker) and with a bare native program that only lists and fetches, or reads (tests/src/bin/bare.rs).
# It measures whole processes, one after the other, on the same targets. `make bench` runs it. It takes some minutes,
# and connects only to containers and processes that it starts itself, on loopback.
#
# The loop calls mackerel-plugin-gostats if it is on PATH, as in real use, or else curl, which does less. Without
# mackerel-plugin-docker, that comparison is omitted.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

ROUNDS=5

main() {
  BARE=$PWD/target/release/bare
  if [ ! -x "$PLUGIN" ] || [ ! -x "$BARE" ]; then die "$PLUGIN is not built: make build"; fi
  have go || die "Go is missing; the targets are Go programs."
  if ! have hyperfine || [ ! -x /usr/bin/time ]; then die "hyperfine or GNU time is missing: sudo apt-get install hyperfine time"; fi
  # A thousand simultaneous connections, with both ends on this machine.
  ulimit -n 4096
  if have mackerel-plugin-gostats; then
    tool=gostats
    one="mackerel-plugin-gostats -port \$PORT -path=/stats -metric-key-prefix=gostats.\$PORT"
  else
    say "mackerel-plugin-gostats is not on PATH; using curl instead."
    tool=curl
    one="curl -s http://localhost:\$PORT/stats"
  fi
  export MACKEREL_AGENT_PLUGIN_META='' MACKEREL_PLUGIN_WORKDIR=$WORK

  # A hundred busy apps would dominate the measured time.
  APP_OPTIONS=(-idle)
  build_app
  if find_docker; then
    start_containers api-{1..10}
    containers 10 50
    start_containers api-{11..100}
    containers 100 50
    usage 100 50 10
    remove_containers
  else
    say "  Skipping the cases with containers."
  fi
  start_process 1000
  targets 1 200
  installed 200
  targets 100 20
  targets 1000 10
  table
}

# Measures gostats on all $1 running containers, $2 times.
containers() {
  local filter="--filter label=$LABEL"
  cat > "$WORK/loop.sh" <<END
for PORT in \$(docker ps --format='{{.Ports}}' $filter | cut -f1 -d- | cut -f2 -d:); do
  $one
done
END
  local ours="$PLUGIN run gostats --path /stats $filter"
  commands=(
    [ours]="$ours" [published]="$ours --address published" [loop]="sh $WORK/loop.sh" [bare]="$BARE --path /stats $filter"
  )
  measure "$1 containers" "$1" "$2" ours published loop bare
  local name
  for name in ours published; do
    printf '%s containers\tproxies of %s\t%s\n' "$1" "$name" "$(proxies "${commands[$name]}")" >> "$WORK/proxies"
  done
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

# Measures gostats on the first $1 ports of the local process, $2 times. The shell loop is left out for a thousand
# ports, because it would take minutes.
targets() {
  local some=("${TARGETS[@]:0:$1}") label="$1 local targets" names=(ours loop bare)
  commands=([ours]="$PLUGIN run gostats --path /stats ${some[*]/#/--target }" [bare]="$BARE --path /stats ${some[*]/#/--target }")
  if [ "$1" = 1 ]; then
    label="1 local target"
    commands[loop]=${one//\$PORT/${TARGETS[0]#*:}}
  elif [ "$1" = 100 ]; then
    printf 'for PORT in %s; do\n  %s\ndone\n' "${some[*]#*:}" "$one" > "$WORK/loop.sh"
    commands[loop]="sh $WORK/loop.sh"
  else
    names=(ours bare)
  fi
  measure "$label" "$1" "$2" "${names[@]}"
}

# Measures gostats on one port, $1 times: built in, installed, and installed with a size of 20 MB.
installed() {
  local name options="--path /stats --target ${TARGETS[0]}"
  export MACKEREL_PLUGIN_WASM_STORE=$WORK/store
  # The same code under two other names of the same length; `pad` adds an unused section to one of them.
  for name in regular padding; do
    LC_ALL=C sed "s/gostats/$name/" target/collectors/gostats.wasm > "$WORK/$name.wasm"
  done
  pad "$WORK/padding.wasm" 20000000
  for name in regular padding; do
    "$PLUGIN" install "$WORK/$name.wasm" > "$WORK/installed" || die "installing $WORK/$name.wasm failed"
  done
  commands=([ours]="$PLUGIN run gostats $options" [regular]="$PLUGIN run regular $options" [padding]="$PLUGIN run padding $options")
  measure "1 target, installed" 1 "$1" ours regular padding
}

# Appends a custom section to the component $1, so that its size becomes $2 bytes.
pad() {
  local size octets='' shift
  # The length field takes four bytes, and the name, `pad`, four more.
  size=$(($2 - $(stat -c %s "$1") - 5))
  for shift in 0 7 14 21; do
    octets+=$(printf '\\x%02x' $(((size >> shift & 127) | (shift < 21 ? 128 : 0))))
  done
  # shellcheck disable=SC2059 # the format is the bytes
  { printf "\\0$octets\\3pad"; head -c $((size - 4)) /dev/zero; } >> "$1"
}

# Measures docker on all $1 running containers: from cgroups (control groups) $2 times, through the engine $3 times.
usage() {
  local filter="--filter label=$LABEL" id folder names=(ours)
  id=$(docker ps --quiet --no-trunc --filter "label=$LABEL" | head -n 1)
  folder=$(find /sys/fs/cgroup/cpuacct/ /sys/fs/cgroup/ -maxdepth 5 -type d -name "*$id*" -printf '%P\n' 2>/dev/null | head -n 1)
  [ -n "$folder" ] || die "no cgroup found for container $id"
  commands=(
    [ours]="$PLUGIN run docker --stats-source cgroup $filter"
    [bare]="$BARE --cgroup ${folder/$id/ID} $filter"
  )
  measure "$1, cgroups" "$1" "$2" ours bare
  if have mackerel-plugin-docker; then
    names=(ours plugin)
  else
    say "mackerel-plugin-docker is not on PATH; skipping it."
  fi
  commands=([ours]="$PLUGIN run docker --stats-source api $filter" [plugin]="mackerel-plugin-docker -host $DOCKER_HOST")
  measure "$1, engine's API" "$1" "$3" "${names[@]}"
}

# Measures the case $1 with $2 targets: $3 runs of each program named in the further arguments, with its command in
# `commands`. Adds one line per program to $WORK/results: case, program, seconds, CPU seconds, peak memory in KiB.
declare -A commands
measure() {
  local label=$1 count=$2 runs=$3 names=("${@:4}") name
  say "Measuring on $label: ${names[*]}, $runs runs of each"

  local seen
  ${commands[ours]} > /dev/null
  seen=$(${commands[ours]} | grep -oE '^(gostats|docker\.memory)\.[^.]+' | sort -u | wc -l)
  [ "$seen" = "$count" ] || die "$label: metrics of $seen targets instead of $count"
  [ -z "${commands[bare]:-}" ] || [[ $(${commands[bare]}) = "$count bodies"* ]] || die "$label: the bare program does not reach all $count targets"

  local arguments=() round
  for name in "${names[@]}"; do arguments+=(--command-name "$name" "${commands[$name]}"); done
  # In rounds, because the speed of a machine changes from minute to minute.
  : > "$WORK/rounds"
  for ((round = 0; round < ROUNDS; round++)); do
    hyperfine --shell none --style none --warmup 1 --runs $((runs / ROUNDS)) --export-csv "$WORK/times" "${arguments[@]}" \
      > "$WORK/hyperfine" 2>&1 || die "$(cat "$WORK/hyperfine")"
    cat "$WORK/times" >> "$WORK/rounds"
  done
  for name in "${names[@]}"; do
    # shellcheck disable=SC2086 # a command with its arguments
    /usr/bin/time -f %M -o "$WORK/peak" ${commands[$name]} > /dev/null 2>&1
    # shellcheck disable=SC2016 # columns, for awk
    printf '%s\t%s\t%s\t%s\t%s\n' "$label" "$name" "$(middle "$name" '$4')" "$(middle "$name" '$5 + $6')" "$(cat "$WORK/peak")" \
      >> "$WORK/results"
  done
}

# Prints the median over all rounds of $2, an expression of hyperfine's columns, for the program $1.
middle() {
  awk -F , -v name="$1" "\$1 == name {print $2}" "$WORK/rounds" | sort -g | awk '{value[NR] = $1} END {print value[int((NR + 1) / 2)]}'
}

# Prints the plugin beside the other programs. A goal that is missed does not change the exit status.
table() {
  say
  say "WALL is the median of the medians of $ROUNDS rounds, CPU the median of their means. A ratio is the plugin's value divided by"
  say "the other program's; a goal is its upper limit."
  say
  awk -F '\t' -v tool="$tool" '
    function ms(seconds) { return sprintf("%.1f ms", seconds * 1000) }
    function row(program, who, goal) {
      printf "%-22s %-23s %10s %10s %9s", label, program, ms(wall[on, who]), ms(cpu[on, who]), sprintf("%.1f MiB", peak[on, who] / 1024)
      if (who == "ours") printf "%15s", ""
      else printf "%8.2f%7.2f", wall[on, "ours"] / wall[on, who], cpu[on, "ours"] / cpu[on, who]
      print goal ? "   " goal : ""
      label = ""
    }
    $1 != cases[count] { cases[++count] = $1 }
    { wall[$1, $2] = $3; cpu[$1, $2] = $4; peak[$1, $2] = $5 }
    END {
      printf "%-22s %-23s %10s %10s %9s%8s%7s   %s\n", "", "", "WALL", "CPU", "PEAK", "WALL", "CPU", "GOAL"
      for (i = 1; i <= count; i++) {
        label = on = cases[i]; all = on == "100 containers"; one = on == "1 local target"
        groups = on ~ /cgroups/; engine = on ~ /API/
        row("mackerel-plugin-wasm", "ours", all || groups ? "peak 25 MiB" : engine ? "wall 1.3 s, peak 25 MiB" : "")
        if ((on, "published") in wall) row("by published ports", "published", all ? "wall 0.70" : "")
        if ((on, "loop") in wall) row((one ? "" : "shell loop, ") tool, "loop", all ? "wall 0.17, CPU 0.10" : one ? "wall 1.50" : "")
        if ((on, "plugin") in wall) row("mackerel-plugin-docker", "plugin", "")
        if ((on, "regular") in wall) { row("installed, 0.1 MB", "regular", ""); row("installed, 20 MB", "padding", "") }
        if ((on, "bare") in wall) row("bare native program", "bare", all ? "wall 1.15" : groups ? "wall 1.30" : "")
      }
      printf "\n1000 local targets take %.1f times the wall time and %.1f times the CPU time of 100 (goal: at most 12).\n",
        wall[on, "ours"] / wall["100 local targets", "ours"], cpu[on, "ours"] / cpu["100 local targets", "ours"]
      further = (cpu[on, "ours"] - cpu["100 local targets", "ours"]) / 900 * 1e6
      bare = (cpu[on, "bare"] - cpu["100 local targets", "bare"]) / 900 * 1e6
      printf "One more local target takes %.0f us of CPU time, and %.0f us in the bare program: the sandbox and the checks of the\n" \
        "response take %.0f us (goal: at most 100 us).\n", further, bare, further - bare
      on = "1 target, installed"
      printf "An installed collector takes %.2f ms more than a built-in one, and one of 20 MB %.2f ms (goal: at most 1 ms).\n",
        (wall[on, "regular"] - wall[on, "ours"]) * 1000, (wall[on, "padding"] - wall[on, "ours"]) * 1000
      ours = wall["100, cgroups", "ours"]; plugin = wall["100, engine\047s API", "plugin"]
      if (plugin) printf "mackerel-plugin-docker takes %.0f times the wall time of cgroups (goal: at least 30).\n", plugin / ours
    }' "$WORK/results"
  [ ! -e "$WORK/proxies" ] || awk -F '\t' '
    { cpu[$1, $2] = $3; all[$1] }
    END {
      for (of in all) printf "%s: the engine\047s proxies take %s ms of CPU time per run, and %s ms by published ports (goal: 0).\n",
        of, cpu[of, "proxies of ours"], cpu[of, "proxies of published"]
    }' "$WORK/proxies"
}

main
