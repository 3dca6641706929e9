#!/usr/bin/env bash
# Runs a test of tests/it/outgoing.rs with a real proxy, tinyproxy.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=.ci/machine.sh
. .ci/machine.sh

work=$(mktemp -d)
port=$(free_port)
readonly work port

# The credentials are those of tests/it/outgoing.rs.
cat >"$work/tinyproxy.conf" <<END
Port $port
Listen 127.0.0.1
Allow 127.0.0.1
Timeout 60
MaxClients 20
BasicAuth user needleword
LogLevel Connect
END

tinyproxy -d -c "$work/tinyproxy.conf" >"$work/log" 2>&1 &
proxy=$!
trap 'kill "$proxy" 2>/dev/null || true; wait "$proxy" 2>/dev/null || true; rm -r "$work"' EXIT

for ((tries = 0; ; tries++)); do
  kill -0 "$proxy" || { cat "$work/log"; exit 1; }
  (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
  ((tries < 100)) || { echo "tinyproxy does not listen" >&2; exit 1; }
  sleep 0.1
done

STARLINK_TEST_PROXY=127.0.0.1:$port cargo test --locked --test it -- --exact outgoing::a_proxy_with_authentication_opens_the_tunnel
grep -E 'CONNECT localhost:[0-9]+ HTTP/1.1' "$work/log" | sort | uniq -c || {
  echo "tinyproxy was not asked for a tunnel" >&2
  exit 1
}
