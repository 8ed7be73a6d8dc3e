#!/usr/bin/env bash
# engine.sh start|stop DIR: a private Docker engine, for tests and demos on a machine where none is running.
#
# start DIR   starts dockerd with all that it keeps under DIR, and waits until it answers at unix://DIR/docker.sock stop
# DIR    ends exactly that dockerd, and removes DIR and what else it left install     installs Debian's docker.io where
# there is no dockerd, and its podman, redis-server, docker-registry and shellcheck,
#               which some tests want, where there are none
#
# It lives beside any other engine: it has a bridge of its own, in a range that RFC 2544 keeps for benchmarks, and it
# leaves the firewall and the routing of the machine alone. So its containers reach nothing outside, and their published
# ports answer on the machine itself, through docker-proxy, which is all that is needed here. All of it needs root.
set -euo pipefail

say() { echo "engine: $*"; }
die() { say "$@" >&2; exit 1; }

start() {
  command -v dockerd >/dev/null || die "dockerd is missing: sudo apt-get install docker.io"
  command -v ip >/dev/null || die "the command ip is missing: sudo apt-get install iproute2"
  mkdir -p "$1"
  local dir bridge subnet
  dir=$(cd "$1" && pwd)
  [ ! -e "$dir/pid" ] || die "there is an engine in $dir already"
  subnet=$(free_subnet)
  bridge=mpw-${subnet//./-}
  ip link add "$bridge" type bridge
  echo "$bridge" > "$dir/bridge"
  ip address add "$subnet.1/24" dev "$bridge"
  ip link set "$bridge" up

  # A configuration of its own keeps out that of the machine's engine.
  cat > "$dir/daemon.json" <<END
{
  "data-root": "$dir/data", "exec-root": "$dir/exec", "pidfile": "$dir/pid", "hosts": ["unix://$dir/docker.sock"],
  "bridge": "$bridge", "iptables": false, "ip-masq": false, "ip-forward": false, "shutdown-timeout": 5
}
END
  : > "$dir/log"
  # A session of its own keeps Ctrl-C on the terminal away: who started it ends it with `stop`.
  setsid dockerd --config-file "$dir/daemon.json" < /dev/null > "$dir/log" 2>&1 &
  for _ in {1..600}; do
    # The socket is there before anyone answers on it: the log tells.
    if grep -q "API listen on $dir/docker.sock" "$dir/log"; then
      say "a private Docker engine answers at unix://$dir/docker.sock"
      return
    fi
    kill -0 $! 2>/dev/null || break
    sleep 0.1
  done
  tail -n 20 "$dir/log" >&2
  stop "$dir"
  die "dockerd does not start; the end of its log is above"
}

stop() {
  [ -d "$1" ] || return 0
  local dir pid mounted bridge
  dir=$(cd "$1" && pwd)
  pid=$(cat "$dir/pid" 2>/dev/null || true)
  # A pid may be another's by now.
  if [ -n "$pid" ] && grep -qF "$dir/daemon.json" "/proc/$pid/cmdline" 2>/dev/null; then
    kill "$pid"
    for _ in {1..300}; do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.1
    done
    ! kill -0 "$pid" 2>/dev/null || die "dockerd (pid $pid) has not ended within 30 s; $dir is left as it is"
  fi
  # Network namespaces and layers that dockerd left mounted, the innermost first.
  while read -r mounted; do
    umount "$mounted"
  done < <(awk -v dir="$dir/" 'index($5, dir) == 1 {print $5}' /proc/self/mountinfo | sort -r)
  # Its bridge, and those of networks that were made in it and not removed, as its database names them.
  while read -r bridge; do
    if [ -e "/sys/class/net/$bridge" ]; then ip link delete "$bridge"; fi
  done < <(grep -aohE '^mpw-.*|br-[0-9a-f]{12}' "$dir/bridge" "$dir/data/network/files/local-kv.db" 2>/dev/null)
  rm -rf --one-file-system "$dir"
}

# The first of 198.18.0 to 198.19.255 that no interface here uses.
free_subnet() {
  local used number
  used=$(ip -4 -o address)
  for ((number = 0; number < 512; number++)); do
    local subnet=198.$((18 + number / 256)).$((number % 256))
    if [[ $used != *" $subnet."* ]]; then echo $subnet; return; fi
  done
  die "198.18.0.0/15 is used up: are there bridges of engines long gone?"
}

install() {
  local missing=()
  command -v dockerd >/dev/null || missing+=(docker.io iproute2)
  command -v podman >/dev/null || missing+=(podman containernetworking-plugins)
  # Beside Docker, and for Podman if the machine has version 1 of the control groups, which crun refuses.
  command -v runc >/dev/null || missing+=(runc)
  command -v redis-server >/dev/null || missing+=(redis-server)
  command -v docker-registry >/dev/null || missing+=(docker-registry)
  command -v shellcheck >/dev/null || missing+=(shellcheck)
  [ ${#missing[@]} != 0 ] || return 0
  say "installing Debian's ${missing[*]}"
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
}

case ${1:-} in
  start | stop) [ $# = 2 ] || die "usage: engine.sh $1 DIR" ;;
  install) ;;
  *) die "usage: engine.sh start DIR | stop DIR | install" ;;
esac
[ "$(id -u)" = 0 ] || die "this needs root"
"$@"
