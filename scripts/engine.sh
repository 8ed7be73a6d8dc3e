#!/usr/bin/env bash
# engine.sh start DIR | stop DIR | install: a private Docker engine, for tests and demos on a machine without one.
#
#   start DIR  starts dockerd with all its files under DIR, and waits until it responds at unix://DIR/docker.sock
#   stop DIR   ends that dockerd, and removes DIR and everything else that it created
#   install    installs Debian's docker.io, podman, catatonit, uidmap, slirp4netns, runc, docker-registry, openssl,
#              tmux, shellcheck and time, and the servers redis-server, nginx-light, memcached, php-fpm, postgresql and
#              uwsgi-core, if missing. It starts no server
#
# It can run beside another engine: it has its own bridge, in a range that RFC 2544 reserves for benchmarks, and does
# not change the firewall or the routing. Its containers therefore reach nothing outside, and their published ports
# respond on this machine only, through docker-proxy, which is enough here. Everything needs root.
set -euo pipefail

say() { echo "engine: $*"; }
die() { say "$@" >&2; exit 1; }

start() {
  command -v dockerd >/dev/null || die "dockerd is missing: sudo apt-get install docker.io"
  command -v ip >/dev/null || die "the command ip is missing: sudo apt-get install iproute2"
  mkdir -p "$1"
  local dir bridge subnet
  dir=$(cd "$1" && pwd)
  [ ! -e "$dir/pid" ] || die "an engine already exists in $dir"
  subnet=$(free_subnet)
  bridge=mpw-${subnet//./-}
  # Without an address of its own, a bridge has that of one of its ports, and a new one when containers come and go.
  # Running containers then send responses to the old one for some seconds.
  # shellcheck disable=SC2086 # words: the numbers of the subnet
  ip link add "$bridge" address "$(printf '02:42:%02x:%02x:%02x:01' ${subnet//./ })" type bridge
  echo "$bridge" > "$dir/bridge"
  ip address add "$subnet.1/24" dev "$bridge"
  ip link set "$bridge" up

  # With its own configuration file, dockerd does not read that of the machine's engine.
  cat > "$dir/daemon.json" <<END
{
  "data-root": "$dir/data", "exec-root": "$dir/exec", "pidfile": "$dir/pid", "hosts": ["unix://$dir/docker.sock"],
  "bridge": "$bridge", "iptables": false, "ip-masq": false, "ip-forward": false, "shutdown-timeout": 5
}
END
  : > "$dir/log"
  # In its own session it does not receive Ctrl-C from the terminal. The caller ends it with `stop`.
  setsid dockerd --config-file "$dir/daemon.json" < /dev/null > "$dir/log" 2>&1 &
  for _ in {1..600}; do
    # The socket exists before dockerd accepts requests; the log line comes after.
    if grep -q "API listen on $dir/docker.sock" "$dir/log"; then
      say "a private Docker engine responds at unix://$dir/docker.sock"
      return
    fi
    kill -0 $! 2>/dev/null || break
    sleep 0.1
  done
  tail -n 20 "$dir/log" >&2
  stop "$dir"
  die "dockerd failed to start; the end of its log is above"
}

stop() {
  [ -d "$1" ] || return 0
  local dir pid mounted bridge
  dir=$(cd "$1" && pwd)
  pid=$(cat "$dir/pid" 2>/dev/null || true)
  # The pid can belong to another process by now.
  if [ -n "$pid" ] && grep -qF "$dir/daemon.json" "/proc/$pid/cmdline" 2>/dev/null; then
    kill "$pid"
    for _ in {1..300}; do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.1
    done
    ! kill -0 "$pid" 2>/dev/null || die "dockerd (pid $pid) did not end within 30 s; $dir is kept"
  fi
  # Network namespaces and layers that are still mounted, the innermost first.
  while read -r mounted; do
    umount "$mounted"
  done < <(awk -v dir="$dir/" 'index($5, dir) == 1 {print $5}' /proc/self/mountinfo | sort -r)
  # Its bridge, and those of networks that were not removed; their names are in its database.
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
  die "no free subnet in 198.18.0.0/15: remove bridges of engines that no longer run (ip link delete mpw-…)"
}

install() {
  local missing=()
  command -v dockerd >/dev/null || missing+=(docker.io iproute2)
  command -v podman >/dev/null || missing+=(podman containernetworking-plugins)
  command -v catatonit >/dev/null || missing+=(catatonit)
  # Podman of a user without privileges needs both.
  command -v newuidmap >/dev/null || missing+=(uidmap)
  command -v slirp4netns >/dev/null || missing+=(slirp4netns)
  # Podman needs it on machines with cgroups v1, which crun refuses.
  command -v runc >/dev/null || missing+=(runc)
  command -v redis-server >/dev/null || missing+=(redis-server)
  command -v nginx >/dev/null || missing+=(nginx-light)
  command -v memcached >/dev/null || missing+=(memcached)
  compgen -c php-fpm >/dev/null || missing+=(php-fpm)
  command -v uwsgi-core >/dev/null || missing+=(uwsgi-core)
  compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || missing+=(postgresql)
  command -v docker-registry >/dev/null || missing+=(docker-registry)
  command -v openssl >/dev/null || missing+=(openssl)
  command -v tmux >/dev/null || missing+=(tmux)
  command -v shellcheck >/dev/null || missing+=(shellcheck)
  [ -x /usr/bin/time ] || missing+=(time)
  [ ${#missing[@]} != 0 ] || return 0
  say "installing Debian's ${missing[*]}"
  # Debian's packages start their servers, unless a policy forbids it.
  local policy=/usr/sbin/policy-rc.d failed=0
  if [ -e $policy ]; then policy=; else printf '#!/bin/sh\nexit 101\n' > $policy; chmod 755 $policy; fi
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null || failed=1
  [ -z "$policy" ] || rm $policy
  return $failed
}

case ${1:-} in
  start | stop) [ $# = 2 ] || die "usage: engine.sh $1 DIR" ;;
  install) ;;
  *) die "usage: engine.sh start DIR | stop DIR | install" ;;
esac
[ "$(id -u)" = 0 ] || die "this needs root"
"$@"
