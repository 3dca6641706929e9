# What the checks with real programs share: a folder of their own, processes that end with them, the demo, a Prometheus server.
# Sourced, from the repository's root, with the arguments of the check: the first one is the binary.
# shellcheck shell=bash
# shellcheck source=.ci/machine.sh
. .ci/machine.sh

binary=$(realpath "${1:-${CARGO_TARGET_DIR:-target}/release/starlink-telemetry}")
work=$(mktemp -d)
readonly binary work
declare -a pids=()

# The text format, for what is read here.
readonly TEXT='text/plain;version=0.0.4'

fail() {
  echo "failed: $*" >&2
  tail -n 20 "$work"/*.log >&2
  exit 1
}

# shellcheck disable=SC2317,SC2329 # run by the trap below
stop_everything() {
  local pid tries
  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null || continue
    for ((tries = 0; tries < 100; tries++)); do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap stop_everything EXIT
trap 'exit 1' INT TERM

# wait_for SECONDS WHAT COMMAND...: until COMMAND succeeds; a process that ended is not waited for.
wait_for() {
  local deadline=$((SECONDS + $1)) what=$2 pid
  shift 2
  until "$@"; do
    for pid in "${pids[@]}"; do
      kill -0 "$pid" 2>/dev/null || fail "process $pid ended while waiting for $what"
    done
    ((SECONDS < deadline)) || fail "gave up waiting for $what"
    sleep 0.2
  done
}

answers() {
  curl --silent --fail --max-time 5 --output /dev/null "$1"
}

# scrape ACCEPT: the service's body in the format asked for.
scrape() {
  curl --silent --show-error --fail --max-time 10 --header "Accept: $1" "$service/metrics"
}

# start_demo NAME [SETTING=VALUE]...: the demo on a port of its own; its address is then in `service`.
start_demo() {
  local name=$1 port
  shift
  port=$(free_port)
  service=http://127.0.0.1:$port
  # From an empty directory, so that no .env of the work tree has a say.
  (cd "$work" && exec env METRICS_ADDRESS=127.0.0.1 METRICS_PORT="$port" "$@" "$binary" demo) >"$work/$name.log" 2>&1 &
  pids+=($!)
  wait_for 30 "the /readyz of $name" answers "$service/readyz"
  wait_for 30 "telemetry in $name" has_telemetry
}

has_telemetry() {
  # Not in a pipe: grep ends at the first match, and curl fails when nothing reads the rest.
  scrape "$TEXT" >"$work/telemetry" 2>/dev/null && grep -q '^starlink_online{' "$work/telemetry"
}

# A Prometheus server with the configuration that stands in prometheus.yml; its address is then in `server`.
start_prometheus() {
  local port
  port=$(free_port)
  server=http://127.0.0.1:$port
  prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" \
    --web.listen-address="127.0.0.1:$port" >"$work/prometheus.log" 2>&1 &
  pids+=($!)
  wait_for 30 "the Prometheus server" answers "$server/-/ready"
}
