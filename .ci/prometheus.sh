#!/usr/bin/env bash
# Checks the service with Prometheus's own tools: the text format with promtool, scrapes with a real server.
# Usage: .ci/prometheus.sh [BINARY]; needs prometheus, promtool, curl, openssl and python3.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=.ci/lib.sh
. .ci/lib.sh

allowlist=$PWD/.ci/promtool-allowlist.txt
documented=$PWD/docs/METRICS.md
parsers=$PWD/.ci/parse.py
readonly allowlist documented parsers

# The preferred format of a Prometheus server; the sample count must not depend on the format.
readonly OPENMETRICS='application/openmetrics-text;version=1.0.0'
readonly JOB='{job="starlink"}'

# A password for the check and its hash, as created by `htpasswd -nbBC 10`.
readonly PASSWORD=scrape-me
# shellcheck disable=SC2016 # the dollars are bcrypt's
readonly HASH='$2b$10$M4wieFmDLcDJENtO6VDGs.AUVS9kRwe35UvckDOlwcqN9qEnR1IgO'

# The number of sample lines in a body on standard input.
count_samples() {
  awk '!/^#/ { count++ } END { print count + 0 }'
}

# query EXPRESSION: the value of the only series of the result, or nothing.
query() {
  promtool query instant "$server" "$1" 2>>"$work/promtool.log" | sed -E 's/.* => ([^ ]+) @.*/\1/'
}

# promtool exits with 0 (no findings), 3 (lints only) or another code (cannot be parsed).
check_with_promtool() {
  local code=0
  scrape "$TEXT" >"$work/metrics.txt" || fail "the service did not respond"
  promtool check metrics <"$work/metrics.txt" >"$work/lints.log" 2>&1 || code=$?
  ((code == 0 || code == 3)) || fail "promtool cannot read the text format (exit code $code)"
  if grep -vxE -f <(grep -v -e '^#' -e '^$' "$allowlist") "$work/lints.log" >"$work/unexpected.log"; then
    fail "promtool reports lints that are not in .ci/promtool-allowlist.txt"
  fi
  echo "promtool: $(count_samples <"$work/metrics.txt") samples, $(wc -l <"$work/lints.log") expected lints"
}

# The command in README.md that pipes a scrape to promtool. Without its parameter the format is mixed, which promtool cannot read.
check_pipe() {
  local pipe code=0
  pipe=$(grep -m 1 '^curl .*?format=prometheus.* | promtool check metrics$' README.md) || fail "README.md has no pipe to promtool"
  pipe=${pipe/http:\/\/localhost:9100/$service}
  bash -uo pipefail -c "$pipe" >"$work/pipe.log" 2>&1 || code=$?
  ((code == 0 || code == 3)) || fail "README.md's pipe to promtool ends with $code"
  bash -uo pipefail -c "${pipe/\?format=prometheus/}" >"$work/mixed.log" 2>&1 || code=$?
  ((code == 1)) || fail "promtool can read the mixed format, so README.md's advice is out of date"
  echo "promtool: reads what README.md pipes to it"
}

# Checks the numbers of series and bytes of a terminal and of a router in README.md.
check_sizes() {
  local kind series bytes
  for kind in 'UserTerminal 20 2300' 'Router 30 3000'; do
    read -r kind series bytes <<<"$kind"
    awk -v kind="device_type=\"$kind\"" -v series="$series" -v bytes="$bytes" '
      index($0, kind) { match($0, /deviceID="[^"]*"/); seen[substr($0, RSTART, RLENGTH)]; lines++; size += length($0) + 1 }
      END {
        for (id in seen) devices++
        printf "%s: %.1f series and %.0f bytes each\n", kind, lines / devices, size / devices
        exit !(lines / devices > 0.75 * series && lines / devices < 1.25 * series && size / devices > 0.75 * bytes && size / devices < 1.25 * bytes)
      }' "$work/metrics.txt" || fail "README.md has other sizes of a device: $series series and $bytes bytes"
  done
}

# Neither promtool nor the server detects a series that appears twice in a body.
check_unique() {
  grep -v '^#' "$work/metrics.txt" | sed 's/ [^ ]*$//' | sort | uniq -d >"$work/twice.log"
  [[ ! -s $work/twice.log ]] || fail "a series appears twice in one body"
}

# Parses both formats with prometheus_client; PARSER_PYTHON names a python that has it.
check_with_other_parsers() {
  [[ -n ${PARSER_PYTHON:-} ]] || return 0
  "$PARSER_PYTHON" "$parsers" "$service/metrics" || fail "prometheus_client cannot read the service"
}

# Every family must be in docs/METRICS.md, except telemetry fields and alerts, whose names come from Starlink.
check_documented() {
  local family
  while read -r family; do
    # shellcheck disable=SC2016 # the backquotes are Markdown's
    grep -qF -- '`'"$family"'`' "$documented" || fail "docs/METRICS.md does not name the metric $family"
  done < <(awk '$1 == "#" && $2 == "TYPE" && $3 !~ /^starlink_([A-Z]|alert_active_)/ { print $3 }' "$work/metrics.txt")
}

# A service with TLS, client certificates and passwords, and probes on a separate port: curl is accepted only with all credentials.
start_guarded() {
  local port probes
  port=$(free_port)
  probes=$(free_port)
  guarded=localhost:$port
  make_certificates
  printf '%s' "$PASSWORD" >"$work/password"
  cat >"$work/web.yml" <<YAML
tls_server_config:
  cert_file: server.pem
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  min_version: TLS13
http_server_config:
  headers:
    X-Frame-Options: deny
basic_auth_users:
  prometheus: $HASH
YAML
  export PROBES_PORT=$probes
  (cd "$work" && METRICS_ADDRESS=127.0.0.1 METRICS_PORT=$port WEB_CONFIG_FILE=$work/web.yml exec "$binary" demo) >"$work/guarded.log" 2>&1 &
  pids+=($!)
  wait_for 30 "the guarded /readyz" answers "http://127.0.0.1:$probes/readyz"
  (cd "$work" && METRICS_ADDRESS=127.0.0.1 WEB_CONFIG_FILE=$work/web.yml "$binary" healthcheck) || fail "healthcheck is refused"
  unset PROBES_PORT

  local -a ca=(--cacert "$work/ca.pem") certificate=(--cert "$work/client.pem" --key "$work/client.key")
  [[ $(status "${ca[@]}" "${certificate[@]}" --user "prometheus:$PASSWORD") == 200 ]] || fail "curl is refused"
  [[ $(status "${ca[@]}" "${certificate[@]}" --user prometheus:wrong) == 401 ]] || fail "a wrong password is accepted"
  [[ $(status "${ca[@]}" "${certificate[@]}") == 401 ]] || fail "a request without a password is accepted"
  [[ $(status "${ca[@]}" --user "prometheus:$PASSWORD") == 000 ]] || fail "a connection without a client certificate is accepted"
  [[ $(status "${certificate[@]}" --user "prometheus:$PASSWORD") == 000 ]] || fail "curl trusts the certificate of an unknown authority"
  [[ $(status --tls-max 1.2 "${ca[@]}" "${certificate[@]}") == 000 ]] || fail "TLS 1.2 is accepted"
  echo "curl: is accepted only with certificate and password"
}

# The status of a request to the protected service; 000 without a connection.
status() {
  curl --silent --max-time 10 --output /dev/null --write-out '%{http_code}' "$@" "https://$guarded/metrics" || true
}

# Creates an authority and two certificates signed by it.
make_certificates() {
  local name
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=authority \
    -keyout "$work/ca.key" -out "$work/ca.pem" 2>>"$work/openssl.log"
  for name in server client; do
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$name" \
      -keyout "$work/$name.key" -out "$work/$name.csr" 2>>"$work/openssl.log"
    openssl x509 -req -days 2 -in "$work/$name.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -CAcreateserial \
      -extfile <(echo subjectAltName=DNS:localhost) -out "$work/$name.pem" 2>>"$work/openssl.log"
  done
}

configure_prometheus() {
  cat >"$work/prometheus.yml" <<YAML
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
  - job_name: starlink
    static_configs:
      - targets: ["${service#http://}"]
  - job_name: guarded
    scheme: https
    tls_config: {ca_file: "$work/ca.pem", cert_file: "$work/client.pem", key_file: "$work/client.key"}
    basic_auth: {username: prometheus, password_file: "$work/password"}
    static_configs:
      - targets: ["$guarded"]
YAML
}

is_up() {
  [[ $(query "up$JOB") == 1 ]]
}

gets_in() {
  [[ $(query 'up{job="guarded"}') == 1 && $(query 'count(starlink_online{job="guarded"})') -gt 0 ]]
}

# Succeeds once a scrape that started after the time $1 is stored; sets `scraped` to its sample count.
scraped_since() {
  scraped=$(query "scrape_samples_scraped$JOB and timestamp(scrape_samples_scraped$JOB) > $1")
  [[ -n $scraped ]]
}

# The demo's series change. So a scrape must be found between two bodies of the service, all three with the same number of samples.
check_sample_counts() {
  local deadline=$((SECONDS + 60)) before after
  while ((SECONDS < deadline)); do
    before=$(scrape "$OPENMETRICS" | count_samples)
    wait_for 15 "a scrape" scraped_since "$(date +%s.%3N)"
    after=$(scrape "$OPENMETRICS" | count_samples)
    if ((before == after && before == scraped)); then
      echo "Prometheus: up, and scraped the $scraped samples that the service has"
      return
    fi
  done
  fail "Prometheus scraped $scraped samples, the service had $before before and $after after"
}

start_demo demo INCLUDE_ROUTERS=true
check_with_promtool
check_pipe
check_sizes
check_unique
check_with_other_parsers
check_documented
start_guarded
configure_prometheus
start_prometheus
wait_for 30 "up == 1" is_up
check_sample_counts
wait_for 30 "a scrape with certificate and password" gets_in
echo "Prometheus: scrapes over TLS with certificate and password"
