#!/usr/bin/env bash
# Tests the binary on hosts with one or both address families, in network namespaces: the addresses it listens on, connections to Starlink
# and to a proxy whose first address drops packets, and the errors if nothing responds. All traffic is between two namespaces, not on the
# internet. Needs root. Usage: .ci/namespaces.sh [BINARY]
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=.ci/lib.sh
. .ci/lib.sh

# The namespaces of the service's host and of its peers.
readonly HERE=slt-here-$$ THERE=slt-there-$$
# The addresses of both ends, and addresses that drop packets.
readonly HERE4=192.0.2.1 THERE4=192.0.2.2 HOLE4=198.51.100.9
readonly HERE6=2001:db8:1::1 THERE6=2001:db8:1::2 HOLE6=2001:db8:dead::9
readonly PORT=9100

install_programs curl openssl -- curl openssl || fail "curl or openssl cannot be installed here"

# shellcheck disable=SC2317,SC2329 # run by the trap below
clean_up() {
  stop_everything
  local name
  for name in "$HERE" "$THERE"; do
    ip netns delete "$name" 2>/dev/null || true
    rm -rf "/etc/netns/$name"
  done
}
trap clean_up EXIT

# within NAMESPACE COMMAND...: runs a command. Names are resolved only by /etc/netns/NAMESPACE/hosts.
within() {
  ip netns exec "$@"
}

# begin FAMILIES: creates two connected namespaces with IPv4 (4), IPv6 (6) or both (46).
begin() {
  local name
  for name in "$HERE" "$THERE"; do
    ip netns add "$name"
    ip -n "$name" link set lo up
    mkdir -p "/etc/netns/$name"
    echo 'hosts: files' >"/etc/netns/$name/nsswitch.conf"
    # Without duplicate address detection, which would delay the addresses.
    within "$name" sysctl -q -w net.ipv6.conf.default.accept_dad=0
  done
  ip -n "$HERE" link add cable type veth peer name cable netns "$THERE"
  if [[ $1 == *4* ]]; then
    ip -n "$HERE" addr add "$HERE4/24" dev cable
    ip -n "$THERE" addr add "$THERE4/24" dev cable
  else
    # Without IPv4, also on loopback.
    ip -n "$HERE" addr flush dev lo scope host 2>/dev/null || true
    ip -n "$HERE" -4 addr del 127.0.0.1/8 dev lo 2>/dev/null || true
  fi
  if [[ $1 == *6* ]]; then
    ip -n "$HERE" -6 addr replace ::1/128 dev lo
    ip -n "$HERE" addr add "$HERE6/64" dev cable nodad
    ip -n "$THERE" addr add "$THERE6/64" dev cable nodad
  else
    within "$HERE" sysctl -q -w net.ipv6.conf.all.disable_ipv6=1
  fi
  ip -n "$HERE" link set cable up
  ip -n "$THERE" link set cable up
  if [[ $1 == *4* ]]; then
    ip -n "$HERE" route add "$HOLE4/32" via "$THERE4"
    ip -n "$THERE" route add blackhole "$HOLE4/32"
  fi
  if [[ $1 == *6* ]]; then
    ip -n "$HERE" -6 route add "$HOLE6/128" via "$THERE6"
    ip -n "$THERE" -6 route add blackhole "$HOLE6/128"
  fi
}

# finish: ends the processes of a scene and deletes its namespaces.
finish() {
  local pid name
  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  pids=()
  for name in "$HERE" "$THERE"; do
    ip netns delete "$name"
    rm -rf "/etc/netns/$name"
  done
}

# names ADDRESS... : sets the addresses of starlink.test and proxy.test in HERE, in this order.
names() {
  local address
  for address in "$@"; do
    echo "$address starlink.test proxy.test"
  done >"/etc/netns/$HERE/hosts"
  printf '%s starlink.test\n' "$THERE4" "$THERE6" >"/etc/netns/$THERE/hosts"
}

# is_open ADDRESS PORT: whether the port accepts connections, in THERE.
is_open() {
  within "$THERE" bash -c "exec 3<>/dev/tcp/$1/$2" 2>/dev/null
}

# starlink ADDRESS: starts Starlink's API on port 443 of THERE.
starlink() {
  ip netns exec "$THERE" python3 .ci/namespaces.py starlink "$1" 443 "$work/starlink.pem" "$work/starlink.key" >>"$work/starlink.log" 2>&1 &
  pids+=($!)
  wait_for 10 "Starlink at $1" is_open "$1" 443
}

# proxy ADDRESS: starts a proxy in THERE.
proxy() {
  ip netns exec "$THERE" python3 .ci/namespaces.py proxy "$1" 3128 "$work/tunnels" >>"$work/proxy.log" 2>&1 &
  pids+=($!)
  wait_for 10 "the proxy at $1" is_open "$1" 3128
}

# run_binary [SETTING=VALUE]... ARGUMENT...: runs the binary in HERE, in a directory without .env.
run_binary() {
  local -a settings=()
  while [[ $# -gt 0 && $1 == *=* ]]; do
    settings+=("$1")
    shift
  done
  (cd "$work" && within "$HERE" env CLIENT_ID=id CLIENT_SECRET=secret BATCH_SIZE=1000 MAX_LINGER=1000 API_URL=https://starlink.test/api/public \
    API_CA_FILE="$work/authority.pem" METRICS_PORT="$PORT" "${settings[@]}" "$binary" "$@")
}

# serve [SETTING=VALUE]...: starts the service in HERE.
serve() {
  (cd "$work" && exec ip netns exec "$HERE" env CLIENT_ID=id CLIENT_SECRET=secret BATCH_SIZE=1000 MAX_LINGER=1000 \
    API_URL=https://starlink.test/api/public API_CA_FILE="$work/authority.pem" METRICS_PORT="$PORT" "$@" "$binary") >>"$work/service.log" 2>&1 &
  pids+=($!)
}

is_scraped_at() {
  within "$2" curl --silent --fail --globoff --max-time 5 "http://$1:$PORT/metrics?format=prometheus" >"$work/body" && grep -q '^starlink_exporter_build_info' "$work/body"
}

has_polled() {
  within "$HERE" curl --silent --fail --globoff --max-time 5 "http://$1:$PORT/metrics?format=prometheus" >"$work/body" && grep -qx 'starlink_up{account="default"} 1' "$work/body"
}

is_healthy() {
  run_binary healthcheck
}

# Prints the name of the next test.
scene() {
  echo "namespaces: $*"
}

certificates() {
  openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/authority.key" -out "$work/authority.pem" -days 2 -subj '/CN=Authority of a test' 2>/dev/null
  openssl req -newkey rsa:2048 -nodes -keyout "$work/starlink.key" -out "$work/starlink.csr" -subj '/CN=starlink.test' 2>/dev/null
  openssl x509 -req -in "$work/starlink.csr" -CA "$work/authority.pem" -CAkey "$work/authority.key" -CAcreateserial -days 2 \
    -extfile <(echo 'subjectAltName=DNS:starlink.test') -out "$work/starlink.pem" 2>/dev/null
}

# Simulates a kernel without IPv6: creating sockets of the family fails.
without_ipv6_sockets() {
  cat >"$work/no_ipv6.c" <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/socket.h>
int socket(int domain, int type, int protocol) {
  if (domain == AF_INET6) { errno = EAFNOSUPPORT; return -1; }
  int (*real)(int, int, int) = (int (*)(int, int, int))dlsym(RTLD_NEXT, "socket");
  return real(domain, type, protocol);
}
END
  cc -shared -fPIC -o "$work/no_ipv6.so" "$work/no_ipv6.c" -ldl
}

certificates
without_ipv6_sockets

scene "an IPv6-only host"
begin 6
names "$THERE6"
starlink "$THERE6"
serve
wait_for 20 "a scrape over IPv6 from another host" is_scraped_at "[$HERE6]" "$THERE"
wait_for 20 "a poll over IPv6" has_polled "[::1]"
is_healthy || fail "healthcheck on an IPv6-only host"
finish

scene "an IPv4-only host (disable_ipv6), with the default and with ::"
for address in '' ::; do
  begin 4
  names "$THERE4"
  starlink "$THERE4"
  serve METRICS_ADDRESS="$address"
  wait_for 20 "a scrape over IPv4 from another host" is_scraped_at "$HERE4" "$THERE"
  wait_for 20 "a poll over IPv4" has_polled 127.0.0.1
  run_binary METRICS_ADDRESS="$address" healthcheck || fail "healthcheck on an IPv4-only host"
  finish
done

scene "a kernel without AF_INET6"
for address in '' ::; do
  begin 4
  names "$THERE4"
  serve METRICS_ADDRESS="$address" LD_PRELOAD="$work/no_ipv6.so"
  wait_for 20 "a scrape over IPv4 from another host" is_scraped_at "$HERE4" "$THERE"
  run_binary METRICS_ADDRESS="$address" LD_PRELOAD="$work/no_ipv6.so" healthcheck || fail "healthcheck without AF_INET6"
  finish
done
begin 4
names "$THERE4"
code=0
run_binary METRICS_ADDRESS=::1 LD_PRELOAD="$work/no_ipv6.so" >"$work/refused" 2>&1 || code=$?
[[ $code == 1 ]] || fail "exit code $code although the address is not available"
grep -q 'does not support IPv6' "$work/refused" || fail "the error does not name the family: $(cat "$work/refused")"
finish

scene "bindv6only=1"
for address in '' ::; do
  begin 46
  names "$THERE4"
  within "$HERE" sysctl -q -w net.ipv6.bindv6only=1
  serve METRICS_ADDRESS="$address"
  wait_for 20 "a scrape over IPv4" is_scraped_at "$HERE4" "$THERE"
  wait_for 20 "a scrape over IPv6" is_scraped_at "[$HERE6]" "$THERE"
  finish
done

scene "Starlink's first address is a black hole"
for addresses in "$HOLE6 $THERE4" "$HOLE6 $HOLE4 $THERE6" "$HOLE4 $THERE6"; do
  begin 46
  # shellcheck disable=SC2086 # a list
  names $addresses
  starlink "${addresses##* }"
  serve
  wait_for 20 "a poll past $addresses" has_polled 127.0.0.1
  run_binary check-config --connect >"$work/check" 2>&1 || fail "check-config --connect past $addresses: $(cat "$work/check")"
  finish
done

scene "the proxy's first address drops packets"
begin 46
names "$HOLE6" "$THERE4"
starlink "$THERE4"
proxy "$THERE4"
serve HTTPS_PROXY=http://proxy.test:3128
wait_for 20 "a poll through the proxy" has_polled 127.0.0.1
grep -qx 'starlink.test:443' "$work/tunnels" || fail "the proxy was not asked"
finish

scene "nothing answers"
begin 46
names "$HOLE6" "$HOLE4"
code=0
run_binary check-config --connect >"$work/check" 2>&1 || code=$?
[[ $code == 1 ]] || fail "exit code $code although nothing responds"
for part in starlink.test "\[$HOLE6\]:443: no response" "$HOLE4:443: no response"; do
  grep -q "$part" "$work/check" || fail "the error lacks $part: $(cat "$work/check")"
done
code=0
run_binary HTTPS_PROXY=http://proxy.test:3128 check-config --connect >"$work/check" 2>&1 || code=$?
for part in 'the proxy proxy.test' "\[$HOLE6\]:3128: no response" "$HOLE4:3128: no response"; do
  grep -q "$part" "$work/check" || fail "the error lacks $part: $(cat "$work/check")"
done
code=0
run_binary API_URL=https://unknown.test/api/public check-config --connect >"$work/check" 2>&1 || code=$?
grep -q 'cannot resolve unknown.test' "$work/check" || fail "the error does not name the host: $(cat "$work/check")"
finish

echo "namespaces: all tests passed"
