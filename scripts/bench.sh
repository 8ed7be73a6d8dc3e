#!/usr/bin/env bash
# bench.sh: what a run costs, beside the shell loop that the plugin replaces and beside a bare native program that only
# lists and fetches (tests/src/bin/bare.rs). Whole processes, start to end, one after the other on the same targets. Run it by
# `make bench`; it takes some minutes, and asks nothing but containers and processes of its own, on loopback.
#
# With mackerel-plugin-gostats on PATH the loop calls that, as it does in real life; else curl, which does less.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

ROUNDS=5

main() {
  BARE=$PWD/target/release/bare
  if [ ! -x "$PLUGIN" ] || [ ! -x "$BARE" ]; then die "$PLUGIN is not built yet: make build"; fi
  have go || die "The targets are Go programs, and Go is not installed."
  if ! have hyperfine || [ ! -x /usr/bin/time ]; then die "To measure with: sudo apt-get install hyperfine time"; fi
  # A thousand connections at once, at both ends.
  ulimit -n 4096
  if have mackerel-plugin-gostats; then
    tool=gostats
    one="mackerel-plugin-gostats -port \$PORT -path=/stats -metric-key-prefix=gostats.\$PORT"
  else
    say "mackerel-plugin-gostats is not on PATH, so curl takes its place."
    tool=curl
    one="curl -s http://localhost:\$PORT/stats"
  fi
  export MACKEREL_AGENT_PLUGIN_META='' MACKEREL_PLUGIN_WORKDIR=$WORK

  # A hundred apps that work would take most of the time that is measured.
  APP_OPTIONS=(-idle)
  build_app
  if find_docker; then
    start_containers api-{1..10}
    containers 10 50
    start_containers api-{11..100}
    containers 100 50
    remove_containers
  else
    say "  So there are no figures for containers."
  fi
  start_process 1000
  targets 1 200
  targets 100 20
  targets 1000 10
  table
}

# Measures on all $1 containers that run, $2 times.
containers() {
  local filter="--filter label=$LABEL"
  cat > "$WORK/loop.sh" <<END
for PORT in \$(docker ps --format='{{.Ports}}' $filter | cut -f1 -d- | cut -f2 -d:); do
  $one
done
END
  measure "$1 containers" "$1" "$2" "$filter" "sh $WORK/loop.sh"
}

# Measures on the first $1 ports of the local process, $2 times. The loop over a thousand would only take minutes.
targets() {
  local some=("${TARGETS[@]:0:$1}") label="$1 local targets" loop=
  if [ "$1" = 1 ]; then
    label="1 local target"
    loop=${one//\$PORT/${TARGETS[0]#*:}}
  elif [ "$1" = 100 ]; then
    printf 'for PORT in %s; do\n  %s\ndone\n' "${some[*]#*:}" "$one" > "$WORK/loop.sh"
    loop="sh $WORK/loop.sh"
  fi
  measure "$label" "$1" "$2" "${some[*]/#/--target }" "$loop"
}

# Measures case $1, of $2 targets, by $3 runs of each program: ours and the bare one with the options $4, and the loop $5.
# Adds a line per program to $WORK/results: case, program, seconds, seconds of CPU, KiB at the peak.
measure() {
  local names=(ours bare) name
  declare -A commands=([ours]="$PLUGIN run gostats --path /stats $4" [bare]="$BARE --path /stats $4")
  if [ -n "$5" ]; then names+=(loop) commands[loop]=$5; fi
  say "Measuring on $1: ${names[*]}, $3 runs of each"

  local seen
  seen=$(${commands[ours]} | cut -d . -f 2 | sort -u | wc -l)
  [ "$seen" = "$2" ] || die "Only $seen of them give metrics."
  [[ $(${commands[bare]}) = "$2 bodies"* ]] || die "The bare program does not reach all of them."

  local arguments=() round
  for name in "${names[@]}"; do arguments+=(--command-name "$name" "${commands[$name]}"); done
  # In rounds, for a machine is not as fast in one minute as in the next.
  : > "$WORK/rounds"
  for ((round = 0; round < ROUNDS; round++)); do
    hyperfine --shell none --style none --warmup 1 --runs $(($3 / ROUNDS)) --export-csv "$WORK/times" "${arguments[@]}" \
      > "$WORK/hyperfine" 2>&1 || die "$(cat "$WORK/hyperfine")"
    cat "$WORK/times" >> "$WORK/rounds"
  done
  for name in "${names[@]}"; do
    # shellcheck disable=SC2086 # a command with its arguments
    /usr/bin/time -f %M -o "$WORK/peak" ${commands[$name]} > /dev/null 2>&1
    # shellcheck disable=SC2016 # columns, for awk
    printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$name" "$(middle "$name" '$4')" "$(middle "$name" '$5 + $6')" "$(cat "$WORK/peak")" \
      >> "$WORK/results"
  done
}

# The middle one of all rounds' values $2 (of hyperfine's columns) for the program $1.
middle() {
  awk -F , -v name="$1" "\$1 == name {print $2}" "$WORK/rounds" | sort -g | awk '{value[NR] = $1} END {print value[int((NR + 1) / 2)]}'
}

# Ours beside the others. The goals stand beside the figures that they are about; none decides on the exit status.
table() {
  say
  say "Wall is the median of $ROUNDS rounds' medians, CPU that of their means. Ratios are ours to theirs; a goal is the most they should be."
  say
  awk -F '\t' -v tool="$tool" '
    function ms(seconds) { return sprintf("%.1f ms", seconds * 1000) }
    function row(program, who, goal) {
      printf "%-19s %-26s %10s %10s %9s", label, program, ms(wall[on, who]), ms(cpu[on, who]), sprintf("%.1f MiB", peak[on, who] / 1024)
      if (who == "ours") printf "%15s", ""
      else printf "%8.2f%7.2f", wall[on, "ours"] / wall[on, who], cpu[on, "ours"] / cpu[on, who]
      print goal ? "   " goal : ""
      label = ""
    }
    $1 != cases[count] { cases[++count] = $1 }
    { wall[$1, $2] = $3; cpu[$1, $2] = $4; peak[$1, $2] = $5 }
    END {
      printf "%-19s %-26s %10s %10s %9s%8s%7s   %s\n", "", "", "WALL", "CPU", "PEAK", "WALL", "CPU", "GOAL"
      for (i = 1; i <= count; i++) {
        label = on = cases[i]; all = on == "100 containers"; one = on == "1 local target"
        row("mackerel-plugin-wasm", "ours", all ? "peak 25 MiB" : "")
        if ((on, "loop") in wall) row((one ? "" : "shell loop, ") tool, "loop", all ? "wall 0.17, CPU 0.10" : one ? "wall 1.50" : "")
        row("bare native program", "bare", all ? "wall 1.15" : "")
      }
      printf "\n1000 local targets take %.1f times the wall and %.1f times the CPU of 100. The goal is 12.\n",
        wall[on, "ours"] / wall["100 local targets", "ours"], cpu[on, "ours"] / cpu["100 local targets", "ours"]
    }' "$WORK/results"
}

main
