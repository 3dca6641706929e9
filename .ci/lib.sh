# Functions of the checks with real programs: a work directory, processes that end with the check, the demo, a Prometheus server.
# Sourced in the repository's root with the arguments of the check; the first one is the binary.
# shellcheck shell=bash
# shellcheck source=.ci/machine.sh
. .ci/machine.sh

binary=$(realpath "${1:-${CARGO_TARGET_DIR:-target}/release/starlink-telemetry}")
work=$(mktemp -d)
readonly binary work
declare -a pids=()

# The Accept header of the text format.
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

# wait_for SECONDS WHAT COMMAND...: waits until COMMAND succeeds; fails immediately if a process has ended.
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

# scrape ACCEPT: scrapes the service in the requested format.
scrape() {
  curl --silent --show-error --fail --max-time 10 --header "Accept: $1" "$service/metrics"
}

# start_demo NAME [SETTING=VALUE]...: starts a demo on a free port, with the options in `demo_options`, and sets `service` to its address.
demo_options=()
start_demo() {
  local name=$1 port
  shift
  port=$(free_port)
  service=http://127.0.0.1:$port
  # In an empty directory, so that a .env of the work tree is not read.
  (cd "$work" && exec env METRICS_ADDRESS=127.0.0.1 METRICS_PORT="$port" "$@" "$binary" demo "${demo_options[@]}") >"$work/$name.log" 2>&1 &
  pids+=($!)
  wait_for 30 "the /readyz of $name" answers "$service/readyz"
  wait_for 30 "telemetry in $name" has_telemetry
}

has_telemetry() {
  # Not in a pipe: grep ends at the first match, and then curl fails to write the rest.
  scrape "$TEXT" >"$work/telemetry" 2>/dev/null && grep -q '^starlink_online{' "$work/telemetry"
}

# Starts a Prometheus server with the configuration in prometheus.yml and sets `server` to its address.
start_prometheus() {
  local port
  port=$(free_port)
  server=http://127.0.0.1:$port
  prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" \
    --web.listen-address="127.0.0.1:$port" >"$work/prometheus.log" 2>&1 &
  pids+=($!)
  wait_for 30 "the Prometheus server" answers "$server/-/ready"
}
