# shellcheck shell=bash
# lib.sh: what demo.sh, test.sh and bench.sh share: a Docker engine, the app in containers and processes, and an end
# that leaves nothing behind. To be sourced; goes to the repository's root.
#
# All that is made carries a name or label with $RUN in it, or lies in $WORK. Nothing else is ever touched.
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

# Runs a command out of the reach of Ctrl-C, for what has to be whole: an engine started, a container removed.
whole() { setsid --wait "$@"; }

# Every end comes through here, and goes on to the end whatever fails on the way.
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

# Finds the engine that the docker command would use, else starts a private one where that is possible. Sets DOCKER_HOST
# for all that follows, and says which one it is. Fails, and says why, where there is none.
find_engine() {
  if have docker && [ -z "${DOCKER_HOST:-}" ]; then
    DOCKER_HOST=$(docker context inspect --format '{{.Endpoints.docker.Host}}')
  fi
  export DOCKER_HOST=${DOCKER_HOST:-unix:///var/run/docker.sock}
  if engine_answers; then
    say "Docker engine: the one at $DOCKER_HOST."
  elif ! have dockerd || [ "$(id -u)" != 0 ]; then
    say "Docker engine: none of this machine answers at $DOCKER_HOST, and to start a private one takes root and dockerd."
    say "  To have one, on Debian and Ubuntu: sudo apt-get install docker.io"
    return 1
  else
    say "Docker engine: none of this machine answers at $DOCKER_HOST, so a private one is started, and ended with this run."
    whole scripts/engine.sh start "$WORK/engine" || return 1
    export DOCKER_HOST=unix://$WORK/engine/docker.sock
  fi
}

# One of another machine would publish its ports there. Without the docker command, a socket is taken at its word.
engine_answers() {
  case $DOCKER_HOST in
    unix://* | *://127.0.0.1:* | *://localhost:* | *://\[::1\]:*) ;;
    *) return 1 ;;
  esac
  if have docker; then timeout 10 docker version >/dev/null 2>&1; else [ -w "${DOCKER_HOST#unix://}" ]; fi
}

# The same for who starts containers by the docker command.
find_docker() { find_engine && { have docker || { say "  But there is no docker command."; return 1; }; }; }

# --- the app ---------------------------------------------------------------------------------------------------------

# Builds the app, as a static program that runs in an empty image: $WORK/app/app.
build_app() {
  mkdir -p "$WORK/app"
  if have go; then
    say "App: the Go program of tests/app, with real runtime.MemStats."
    (cd tests/app && CGO_ENABLED=0 go build -buildvcs=false -o "$WORK/app/app" .)
  else
    say "App: Go is not installed, so a small stand-in (tests/src/bin/stand-in.rs) with figures of its own takes its place."
    rustc --edition 2024 -O -C target-feature=+crt-static -o "$WORK/app/app" tests/src/bin/stand-in.rs
  fi
}

# Further options of the app, for all that is started.
APP_OPTIONS=()

# Starts containers of the app, named $1-RUN and so on, each on a port that the engine chooses, and waits until they
# listen. On loopback alone, for no one else has to reach them; ports are chosen in the same way.
start_containers() {
  if [ ! -e "$WORK/image" ]; then
    touch "$WORK/image"
    tar -C "$WORK/app" -c app |
      docker import --change 'ENTRYPOINT ["/app"]' --change 'EXPOSE 8080' --change "LABEL $LABEL" - "$IMAGE" >/dev/null
  fi
  local names=("${@/%/-$RUN}") name
  printf '%s\n' "${names[@]}" | xargs -P 4 -I {} docker create --name {} -p 127.0.0.1::8080 "$IMAGE" "${APP_OPTIONS[@]}" >/dev/null
  # An engine gives up after ten ports that are taken, for it knows only its own. It goes on behind them the next time.
  start "${names[@]}" 2>/dev/null || start "${names[@]}" 2>/dev/null || start "${names[@]}"
  for name in "${names[@]}"; do
    wait_for "container $name listens" listening "$name"
  done
}

start() { printf '%s\n' "$@" | xargs -P 4 -n 5 docker start >/dev/null; }

remove_containers() { docker ps -aq --filter "label=$LABEL" | whole xargs -r docker rm -f >/dev/null; }

listening() { [ -n "$(docker logs "$1" 2>/dev/null)" ]; }

# Starts the app as a process of this machine, on $1 ports of its own that the kernel chooses. Adds them to TARGETS, as
# HOST:PORT.
TARGETS=()
start_process() {
  local addresses=$WORK/addresses.${#PROCESSES[@]} ports=()
  # The stand-in has one port, and no option for it.
  [ "$1" = 1 ] || ports=(-ports "$1")
  : > "$addresses"
  "$WORK/app/app" -listen 127.0.0.1:0 "${ports[@]}" "${APP_OPTIONS[@]}" > "$addresses" &
  PROCESSES+=($!)
  wait_for "the app listens" has_lines "$1" "$addresses"
  mapfile -t -O ${#TARGETS[@]} TARGETS < "$addresses"
}

has_lines() { [ "$(wc -l < "$2")" = "$1" ]; }

# Waits until the command after $1 is true, for 20 s. $1 says what that means.
wait_for() {
  local what=$1
  shift
  for _ in {1..200}; do
    if "$@"; then return; fi
    sleep 0.1
  done
  die "waited for 20 s in vain: $what"
}
