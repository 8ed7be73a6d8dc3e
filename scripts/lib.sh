# shellcheck shell=bash
# lib.sh: functions that the other scripts share: find a Docker engine, run the app in containers and processes, and
# clean up at exit. It is sourced, and changes to the repository's root.
#
# Everything that the scripts create has $RUN in its name or label, or is in $WORK. They touch nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PLUGIN=${PLUGIN:-$PWD/target/release/mackerel-plugin-wasm}
WORK=$(mktemp -d)
RUN=${WORK: -4} RUN=${RUN,,}
LABEL=mackerel-plugin-wasm.run=$RUN
IMAGE=mackerel-plugin-wasm-app:$RUN
PROCESSES=()

say() { echo "$*"; }
die() { say "$@" >&2; exit 1; }
have() { command -v "$1" >/dev/null; }

# Runs a command that Ctrl-C must not interrupt halfway, such as the start of an engine or the removal of a container.
whole() { setsid --wait "$@"; }

# Runs at every exit. A command that fails does not stop it.
clean_up() {
  set +e
  trap '' INT TERM
  [ ${#PROCESSES[@]} = 0 ] || kill "${PROCESSES[@]}"
  if [ -e "$WORK/image" ]; then
    remove_containers
    whole docker rmi "$IMAGE"
  fi >/dev/null 2>&1
  whole scripts/engine.sh stop "$WORK/engine"
  rm -rf "$WORK"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- a Docker engine -------------------------------------------------------------------------------------------------

# Finds the engine that the docker command would use, or starts a private one if possible. Sets DOCKER_HOST and prints
# the engine. Prints the reason and fails if there is none.
find_engine() {
  if have docker && [ -z "${DOCKER_HOST:-}" ]; then
    DOCKER_HOST=$(docker context inspect --format '{{.Endpoints.docker.Host}}')
  fi
  export DOCKER_HOST=${DOCKER_HOST:-unix:///var/run/docker.sock}
  if engine_answers; then
    say "Docker engine: the one at $DOCKER_HOST."
  elif ! have dockerd || [ "$(id -u)" != 0 ]; then
    say "Docker engine: no local engine responds at $DOCKER_HOST. Starting a private one needs root and dockerd."
    say "  To install it on Debian or Ubuntu: sudo apt-get install docker.io"
    return 1
  else
    say "Docker engine: no local engine responds at $DOCKER_HOST. Starting a private one, which stops at the end."
    whole scripts/engine.sh start "$WORK/engine" || return 1
    export DOCKER_HOST=unix://$WORK/engine/docker.sock
  fi
}

# An engine on another machine is not used, because it would publish ports there. Without the docker command, a socket
# that can be written to is assumed to work.
engine_answers() {
  case $DOCKER_HOST in
    unix://* | *://127.0.0.1:* | *://localhost:* | *://\[::1\]:*) ;;
    *) return 1 ;;
  esac
  if have docker; then timeout 10 docker version >/dev/null 2>&1; else [ -w "${DOCKER_HOST#unix://}" ]; fi
}

# Finds an engine for scripts that start containers with the docker command.
find_docker() { find_engine && { have docker || { say "  The docker command is missing."; return 1; }; }; }

# --- the app ---------------------------------------------------------------------------------------------------------

# Builds the app as a static program, $WORK/app/app, which runs in an empty image.
build_app() {
  mkdir -p "$WORK/app"
  if have go; then
    say "App: the Go program of tests/app, with real runtime.MemStats."
    (cd tests/app && CGO_ENABLED=0 go build -buildvcs=false -o "$WORK/app/app" .)
  else
    say "App: Go is missing; using a small stand-in with invented values (tests/src/bin/stand-in.rs)."
    rustc --edition 2024 -O -C target-feature=+crt-static -o "$WORK/app/app" tests/src/bin/stand-in.rs
  fi
}

# Options of the app, for every container and process.
APP_OPTIONS=()

# Starts one container of the app for each argument, named NAME-RUN, on a dynamic port of loopback, and waits until all
# of them listen.
start_containers() {
  if [ ! -e "$WORK/image" ]; then
    touch "$WORK/image"
    tar -C "$WORK/app" -c app |
      docker import --change 'ENTRYPOINT ["/app"]' --change 'EXPOSE 8080' --change "LABEL $LABEL" - "$IMAGE" >/dev/null
  fi
  local names=("${@/%/-$RUN}") name
  printf '%s\n' "${names[@]}" | xargs -P 4 -I {} docker create --name {} -p 127.0.0.1::8080 "$IMAGE" "${APP_OPTIONS[@]}" >/dev/null
  # An engine does not know the ports of other programs, and gives up after ten ports that are in use. The next attempt
  # continues after them.
  start "${names[@]}" 2>/dev/null || start "${names[@]}" 2>/dev/null || start "${names[@]}"
  for name in "${names[@]}"; do
    wait_for "container $name listens" listening "$name"
  done
}

start() { printf '%s\n' "$@" | xargs -P 4 -n 5 docker start >/dev/null; }

remove_containers() { docker ps -aq --filter "label=$LABEL" | whole xargs -r docker rm -f >/dev/null; }

listening() { [ -n "$(docker logs "$1" 2>/dev/null)" ]; }

# Starts the app as a local process on $1 dynamic ports, and adds them to TARGETS as HOST:PORT.
TARGETS=()
start_process() {
  local addresses=$WORK/addresses.${#PROCESSES[@]} ports=()
  # The stand-in always has one port, and no such option.
  [ "$1" = 1 ] || ports=(-ports "$1")
  : > "$addresses"
  "$WORK/app/app" -listen 127.0.0.1:0 "${ports[@]}" "${APP_OPTIONS[@]}" > "$addresses" &
  PROCESSES+=($!)
  wait_for "the app listens" has_lines "$1" "$addresses"
  mapfile -t -O ${#TARGETS[@]} TARGETS < "$addresses"
}

has_lines() { [ "$(wc -l < "$2")" = "$1" ]; }

# Waits until the command in the further arguments succeeds, at most 20 s. $1 describes it.
wait_for() {
  local what=$1
  shift
  for _ in {1..200}; do
    if "$@"; then return; fi
    sleep 0.1
  done
  die "timed out after 20s: $what"
}
