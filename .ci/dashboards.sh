#!/usr/bin/env bash
# Checks expressions and line protocol on real servers: runs every expression of the dashboards, rules and documents on Prometheus and
# VictoriaMetrics servers that scrape the demo, and writes the demo's line protocol to InfluxDB.
# Usage: .ci/dashboards.sh [BINARY]; needs python3, installs Debian's prometheus, victoria-metrics, influxdb and curl.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=.ci/machine.sh
. .ci/machine.sh

.ci/expressions.py lint
if ! install_programs prometheus promtool victoria-metrics influxd curl -- prometheus victoria-metrics influxdb curl; then
  echo "skipped: expressions on real servers: Debian's packages prometheus, victoria-metrics and influxdb cannot be installed here"
  [[ ${CI:-} != true ]]
  exit
fi

# shellcheck source=.ci/lib.sh
. .ci/lib.sh
readonly RULES=$PWD/Docker/prometheus/rules
[[ -d $RULES ]] || fail "there is no folder $RULES"

# Two demos, because everything must work with and without names, inventory and remote write. Both have routers and a state file.
start_demos() {
  cat >"$work/names.csv" <<'CSV'
deviceID,name,group
ut01000000-00000000-00aa0001,MV Albatross,North
ut01000000-00000000-00aa0002,"Depot ""South"", roof",Depots
ut01000000-00000000-00aa0003,MV Cormorant,North
CSV
  # A terminal that was never heard is offline after STALE_AFTER.
  local -a settings=(INCLUDE_ROUTERS=true STATE_INTERVAL=2 STALE_AFTER=20)
  start_demo nameless "${settings[@]}" INVENTORY=off STATE_FILE="$work/nameless.state"
  nameless=${service#http://}
  start_receiver
  demo_options=(--remote-write)
  start_demo named "${settings[@]}" STATE_FILE="$work/named.state" NAMES_FILE="$work/names.csv" \
    JOURNAL_DIR="$work/journal" REMOTE_WRITE_URL="$receiver/api/v1/write" REMOTE_WRITE_OUT_OF_ORDER_WINDOW=unlimited
  named=${service#http://}
}

# Receives what the demo with names sends.
start_receiver() {
  local port
  port=$(free_port)
  receiver=http://127.0.0.1:$port
  victoria-metrics -storageDataPath="$work/received" -httpListenAddr="127.0.0.1:$port" -memory.allowedBytes=128MB >"$work/receiver.log" 2>&1 &
  pids+=($!)
  wait_for 30 "the receiver" answers "$receiver/health"
}

# The demo has few of the alerts that the rules use, and no suspended account. A static target has all of them, so that the rules can be
# evaluated.
start_alerts() {
  local port
  port=$(free_port)
  alerts=127.0.0.1:$port
  mkdir "$work/alerts"
  .ci/expressions.py alerts "$RULES"/*.yml >"$work/alerts/metrics"
  python3 -m http.server --bind 127.0.0.1 --directory "$work/alerts" "$port" >"$work/alerts.log" 2>&1 &
  pids+=($!)
  wait_for 30 "the target with all alerts" answers "http://$alerts/metrics"
}

# Two exporters with the same devices, in two jobs: one scrape of the demo with names and routers, served twice, with other names and
# accounts in the second. They are static, so that the results for both can be compared with those for one. A third one imitates a version
# without accounts and inventory.
start_copies() {
  local port copy
  port=$(free_port)
  copies=127.0.0.1:$port
  service=http://$named
  wait_for 60 "a moment at which the demo has all that dashboards show" is_complete
  for copy in one two older; do
    mkdir -p "$work/copies/$copy"
    cp "$work/complete" "$work/copies/$copy/metrics"
  done
  sed -i -E -e '/^starlink_device_name/s/name="([^"\\]*)/name="Other \1/' -e 's/([{,]account=")/\1Other /' "$work/copies/two/metrics"
  sed -i -E -e '/^(# [A-Z]+ )?starlink_(device_account|exporter_account_up|terminal_info|router_terminal|service_line_|data_pool_|account_|exporter_inventory_|exporter_journal_|exporter_remote_write_)/d' -e 's/\{account="[^"]*"\}//' -e 's/([{,])account="[^"]*",/\1/' \
    "$work/copies/older/metrics"
  ! grep account= "$work/copies/older/metrics" || fail "the older exporter has accounts"
  python3 -m http.server --bind 127.0.0.1 --directory "$work/copies" "$port" >"$work/copies.log" 2>&1 &
  pids+=($!)
  wait_for 30 "the copies" answers "http://$copies/two/metrics"
}

# Saves a scrape in which the first terminal is online with an alert, and which contains names, routers, addresses, an inventory, a terminal that was never heard,
# and a written state file.
is_complete() {
  local pattern
  scrape "$TEXT" >"$work/complete"
  for pattern in '_device_name\{' '_alert_active_.*UserTerminal' '_Clients\{' '_Ipv4_numeric' '_WanRxBytes\{' '_exporter_state_last_write' \
    '_terminal_info\{' '_service_line_info\{' '_service_line_data_used_bytes\{' '_data_pool_used_bytes\{' '_account_info\{'; do
    grep -qE "^starlink$pattern" "$work/complete" || return 1
  done
  has_never_heard
}

# Whether a terminal in the saved scrape is offline without a last report.
has_never_heard() {
  awk '
    /^starlink_online\{/ && / 0$/ { match($0, /deviceID="[^"]*"/); offline[substr($0, RSTART, RLENGTH)] }
    /^starlink_last_report_timestamp_seconds\{/ { match($0, /deviceID="[^"]*"/); heard[substr($0, RSTART, RLENGTH)] }
    END { for (id in offline) if (!(id in heard)) never++; exit !never }' "$work/complete"
}

# The shipped rules, with a short interval, so that the first evaluation is soon.
copy_rules() {
  local file
  mkdir "$work/rules"
  for file in "$RULES"/*.yml; do
    sed -E 's/^( +interval:).*/\1 1s/' "$file" >"$work/rules/${file##*/}"
  done
}

configure_scrapes() {
  cat >"$work/scrape.yml" <<YAML
scrape_configs:
  - job_name: starlink
    scrape_interval: 1s
    scrape_timeout: 1s
    static_configs:
      - targets: ["$named", "$nameless"]
  - job_name: copy
    scrape_interval: 1s
    scrape_timeout: 1s
    metrics_path: /one/metrics
    static_configs:
      - targets: ["$copies"]
        labels: {instance: one}
  - job_name: twin
    scrape_interval: 1s
    scrape_timeout: 1s
    metrics_path: /two/metrics
    static_configs:
      - targets: ["$copies"]
        labels: {instance: two}
YAML
  cp "$work/scrape.yml" "$work/prometheus.yml"
  # Not on Prometheus, where all series that rules read must have the labels that their texts use.
  cat >>"$work/scrape.yml" <<YAML
  - job_name: older
    scrape_interval: 1s
    scrape_timeout: 1s
    metrics_path: /older/metrics
    static_configs:
      - targets: ["$copies"]
        labels: {instance: older}
YAML
  start_alerts
  copy_rules
  cat >>"$work/prometheus.yml" <<YAML
  - job_name: alerts
    scrape_interval: 1s
    scrape_timeout: 1s
    static_configs:
      - targets: ["$alerts"]
global: {evaluation_interval: 1s}
rule_files: ["$work/rules/*.yml"]
YAML
}

# start_victoria_metrics CONFIGURATION [OPTION]...
start_victoria_metrics() {
  local configuration=$1 port
  shift
  port=$(free_port)
  server=http://127.0.0.1:$port
  # Without latencyOffset, data of the last 30 s would not be returned.
  victoria-metrics -promscrape.config="$work/$configuration.yml" -storageDataPath="$work/victoria-metrics-$port" -httpListenAddr="127.0.0.1:$port" \
    -search.latencyOffset=0s -memory.allowedBytes=256MB "$@" >"$work/victoria-metrics.log" 2>&1 &
  pids+=($!)
  wait_for 30 "VictoriaMetrics" answers "$server/health"
}

# Checks the limit of vmagent and VictoriaMetrics in README.md: 17 MB exceed it, and the option raises it.
check_scrape_size() {
  local option
  option=$(grep -o -- '-promscrape.maxScrapeSize=[0-9A-Za-z]*' README.md) || fail "README.md does not name the limit of vmagent"
  mkdir -p "$work/copies/large"
  awk 'BEGIN {
    for (n = 0; n < 10000; n++)
      for (line = 0; line < 17; line++)
        printf "starlink_Field%d_of_a_terminal{device_type=\"UserTerminal\",deviceID=\"ut01000000-00000000-%08x\"} 1.25\n", line, n
  }' >"$work/copies/large/metrics"
  cat >"$work/large.yml" <<YAML
scrape_configs:
  - job_name: large
    scrape_interval: 2s
    metrics_path: /large/metrics
    static_configs:
      - targets: ["$copies"]
YAML
  start_victoria_metrics large
  wait_for 30 "a scrape that is too large" is_up 0
  start_victoria_metrics large "$option"
  wait_for 60 "a large scrape with $option" is_up 1
  echo "VictoriaMetrics: accepts $(wc -c <"$work/copies/large/metrics") bytes only with $option"
}

# is_up VALUE: whether `up` of the large target has this value.
is_up() {
  curl --silent --fail --max-time 5 --output "$work/up" --data-urlencode 'query=up{job="large"}' "$server/api/v1/query" &&
    grep -qE "\"value\":\[[0-9.]+,\"$1\"\]" "$work/up"
}

start_influxdb() {
  local port rpc
  port=$(free_port)
  rpc=$(free_port)
  influxdb=http://127.0.0.1:$port
  env INFLUXDB_REPORTING_DISABLED=true INFLUXDB_BIND_ADDRESS="127.0.0.1:$rpc" INFLUXDB_HTTP_BIND_ADDRESS="127.0.0.1:$port" \
    INFLUXDB_META_DIR="$work/influxdb/meta" INFLUXDB_DATA_DIR="$work/influxdb/data" INFLUXDB_DATA_WAL_DIR="$work/influxdb/wal" \
    influxd run -config /dev/null >"$work/influxdb.log" 2>&1 &
  pids+=($!)
  wait_for 30 "InfluxDB" answers "$influxdb/ping"
}

# ask_influxdb QUERY: the only value of the result.
ask_influxdb() {
  curl --silent --show-error --fail --max-time 10 --data-urlencode "q=$1" "$influxdb/query?db=starlink" |
    python3 -c 'import json, sys
result = json.load(sys.stdin)["results"][0]
print(result["series"][0]["values"][0][-1] if "series" in result else result.get("error", ""))'
}

# Each line of starlink_info in the mixed format must become one point in InfluxDB, with all fields.
check_line_protocol() {
  local lines found
  start_influxdb
  curl --silent --show-error --fail --max-time 10 "$service/metrics?format=mixed" | grep '^starlink_info,' >"$work/lines" ||
    fail "there is no line protocol in the mixed format"
  ask_influxdb "CREATE DATABASE starlink" >/dev/null
  curl --silent --show-error --fail-with-body --max-time 10 --data-binary @"$work/lines" "$influxdb/write?db=starlink" >"$work/write.log" ||
    fail "InfluxDB rejects the line protocol"
  lines=$(wc -l <"$work/lines")
  found=$(ask_influxdb "SHOW SERIES EXACT CARDINALITY")
  [[ $found == "$lines" ]] || fail "InfluxDB has $found of $lines devices"
  lines=$(grep -c 'countrycode="' "$work/lines")
  found=$(ask_influxdb "SELECT COUNT(countrycode) FROM starlink_info")
  [[ $found == "$lines" ]] || fail "InfluxDB has $found of $lines devices with a country"
  echo "InfluxDB: accepted $(wc -l <"$work/lines") lines of starlink_info"
}

start_demos
start_copies
configure_scrapes
echo "Prometheus:"
start_prometheus
.ci/expressions.py dashboards "$server" "$named"
.ci/expressions.py dashboards "$server" "$nameless" nameless
.ci/twice.py "$server" one two
.ci/expressions.py rules "$server"
.ci/queries.py "$server" README.md docs/ACCOUNTS.md docs/HIGH_AVAILABILITY.md docs/RUNBOOKS.md docs/METRICS.md docs/INVENTORY.md
echo "VictoriaMetrics:"
start_victoria_metrics scrape
.ci/expressions.py series "$server" "$named"
.ci/expressions.py dashboards "$server" "$named"
.ci/expressions.py dashboards "$server" older older
.ci/twice.py "$server" one two
.ci/expressions.py silent "$receiver"
check_line_protocol
check_scrape_size
