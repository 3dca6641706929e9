#!/usr/bin/env bash
# Runs the commands in README.md and CONTRIBUTING.md, as .ci/readme-commands.txt says, which also has the reasons for those that are not run.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=.ci/lib.sh
. .ci/lib.sh

# Runs a command as a user would, in the repository.
typed() {
  bash -euo pipefail -c "$1"
}

# Starts a command that serves, checks its page and its metrics, and ends it.
serve() {
  local pid port
  port=$(free_port)
  service=http://127.0.0.1:$port
  # With exec, so that there is a single process to end.
  METRICS_ADDRESS=127.0.0.1 METRICS_PORT=$port bash -euo pipefail -c "exec $1" >"$work/serve.log" 2>&1 &
  pid=$!
  pids+=("$pid")
  wait_for 300 "$1" answers "$service/readyz"
  wait_for 30 "telemetry of $1" has_telemetry
  curl --silent --fail --max-time 5 --output "$work/page" "$service/" || fail "$1 shows no page"
  grep -q '<html' "$work/page" || fail "the page of $1 is not HTML"
  kill "$pid"
  wait "$pid" || fail "$1 ended with $?"
  pids=()
}

[[ ! -e .env ]] || fail "there is a .env already, which the commands of README.md would overwrite"
trap 'rm -f .env; stop_everything' EXIT
python3 .ci/readme.py .ci/readme-commands.txt README.md CONTRIBUTING.md >"$work/commands.txt"
while IFS=$'\t' read -r what command <&3; do
  case $what in
    run)
      typed "$command" >"$work/run.log" 2>&1 || fail "$command"
      echo "run: $command"
      ;;
    serve)
      serve "$command"
      echo "served: $command"
      ;;
    *) echo "not run ($what): $command" ;;
  esac
done 3<"$work/commands.txt"

# .env.example with credentials must be a valid configuration.
sed -i -e 's/^CLIENT_ID=.*/CLIENT_ID=id/' -e 's/^CLIENT_SECRET=.*/CLIENT_SECRET=secret/' .env
"$binary" check-config >"$work/config.log" || fail ".env.example is not a valid configuration"
