#!/usr/bin/env bash
# Checks and runs the unit with a real systemd: boots a minimal Debian in a container, with the unit and the binary installed as in
# docs/SYSTEMD.md. Usage: .ci/systemd.sh [BINARY]. Needs root, Debian's packages, curl and python3; other tools are installed.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=.ci/machine.sh
. .ci/machine.sh

binary=$(realpath "${1:-${CARGO_TARGET_DIR:-target}/release/starlink-telemetry}")
work=$(mktemp -d)
root=$work/root
readonly binary work root
readonly UNIT=starlink-telemetry.service
# The highest accepted exposure of 100. The access that the service needs (network, /proc/stat) costs 11.
readonly EXPOSURE=11
machine=

fail() {
  echo "failed: $*" >&2
  if [[ -n $machine ]]; then
    inside journalctl --no-pager --lines 30 --unit "$UNIT" >&2 || true
  elif [[ -s $work/log ]]; then
    tail -n 40 "$work/log" >&2
  fi
  exit 1
}

# shellcheck disable=SC2317,SC2329 # run by the trap below
clean_up() {
  local tries
  if [[ -n $machine ]]; then
    # systemd-nspawn shuts the container down on this signal.
    kill -TERM "$machine" 2>/dev/null || true
    for ((tries = 0; tries < 100; tries++)); do
      kill -0 "$machine" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL "$machine" 2>/dev/null || true
    wait "$machine" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

# A Debian of this machine's release, from apt's mirror.
make_root() {
  local codename url
  read -r codename url < <(mirror)
  [[ -n $url ]] || fail "apt has no source of $codename's main section"
  debootstrap --variant=minbase --include=systemd,procps "$codename" "$root" "$url" >"$work/log" 2>&1 || fail "debootstrap"
}

# As in docs/SYSTEMD.md, except for the address to listen on and the URL of Starlink.
install_unit() {
  install -m 755 "$binary" "$root/usr/local/bin/starlink-telemetry"
  install -m 644 "systemd/$UNIT" "$root/etc/systemd/system/$UNIT"
  install -d -m 755 "$root/etc/starlink-telemetry"
  install -m 600 .env.example "$root/etc/starlink-telemetry/settings"
  # URLs without Starlink and without a receiver: the service runs and logs the failures.
  printf '%s\n' CLIENT_ID=nobody API_URL=http://127.0.0.1:9 METRICS_ADDRESS=127.0.0.1 "METRICS_PORT=$port" \
    JOURNAL_DIR=/var/lib/starlink-telemetry/journal REMOTE_WRITE_URL=http://127.0.0.1:9/api/v1/write \
    >>"$root/etc/starlink-telemetry/settings"
  (umask 077 && echo a-secret >"$root/etc/starlink-telemetry/client-secret")
  systemctl --root="$root" enable --quiet "$UNIT"
}

judge_unit() {
  chroot "$root" systemd-analyze verify "/etc/systemd/system/$UNIT" >"$work/log" 2>&1 || fail "systemd-analyze verify"
  # It exits with 0 even if it warns about unknown lines.
  [[ ! -s $work/log ]] || fail "systemd-analyze verify prints warnings"
  chroot "$root" systemd-analyze security --offline=yes --threshold="$EXPOSURE" "/etc/systemd/system/$UNIT" >"$work/log" 2>&1 ||
    fail "the unit's exposure is too high"
  grep -o 'Overall exposure level.*' "$work/log"
}

# inside COMMAND...: runs a command in the booted container.
inside() {
  local leader
  leader=$(pgrep --parent "$machine" | head -n 1)
  nsenter --target "$leader" --mount --uts --ipc --pid "$@"
}

property() {
  inside systemctl show --property "$1" --value "$UNIT"
}

# wait_for WHAT COMMAND...
wait_for() {
  local deadline=$((SECONDS + 60)) what=$1
  shift
  until "$@" >/dev/null 2>&1; do
    kill -0 "$machine" 2>/dev/null || {
      machine=
      fail "the machine ended while waiting for $what"
    }
    ((SECONDS < deadline)) || fail "gave up waiting for $what"
    sleep 0.2
  done
}

# expect WHAT IS WANTED
expect() {
  [[ $2 == "$3" ]] || fail "$1 is \"$2\", not \"$3\""
}

answers() {
  curl --silent --fail --max-time 5 --output /dev/null "http://127.0.0.1:$port/$1"
}

# has_metric PATTERN
has_metric() {
  # Not in a pipe: grep ends at the first match, and then curl fails to write the rest.
  curl --silent --fail --max-time 5 --output "$work/metrics" "http://127.0.0.1:$port/metrics" && grep -q "$1" "$work/metrics"
}

has_telemetry() {
  has_metric '^starlink_online{'
}

has_reloaded() {
  inside journalctl --no-pager --unit "$UNIT" >"$work/journal" && grep -q 'reloading files' "$work/journal"
}

restarted_once() {
  [[ $(property NRestarts) == 1 ]] && answers livez
}

run_unit() {
  systemd-nspawn --boot --quiet --register=no --keep-unit --link-journal=no --resolv-conf=off --timezone=off \
    --machine "starlink-ci-$$" --directory "$root" --console=pipe >"$work/log" 2>&1 &
  machine=$!
  wait_for "/livez" answers livez
  local pid status
  pid=$(property MainPID)
  status=$(inside cat "/proc/$pid/status")
  [[ $(awk '$1 == "Uid:" { print $2 }' <<<"$status") -ge 61184 ]] || fail "the user is not a dynamic user of systemd"
  expect "the capabilities" "$(awk '$1 == "CapEff:" || $1 == "CapBnd:" { print $2 }' <<<"$status" | sort -u)" 0000000000000000
  expect "the system calls' filter" "$(awk '$1 == "Seccomp:" { print $2 }' <<<"$status")" 2
  has_metric '^process_start_time_seconds ' || fail "the start time of the process is missing"

  inside systemctl reload "$UNIT"
  wait_for "a reload of the files" has_reloaded
  expect "the number of restarts after a reload" "$(property NRestarts)" 0

  inside systemctl kill --kill-who=main --signal=KILL "$UNIT"
  wait_for "a restart after the process was killed" restarted_once

  inside systemctl stop "$UNIT"
  expect "the result of a stop" "$(property Result)" success
  expect "the state file's mode" "$(inside stat --format %a /var/lib/private/starlink-telemetry/state)" 600
  expect "the mode of the journals' directory" "$(inside stat --format %a /var/lib/private/starlink-telemetry/journal/default)" 700

  # The demo, which has telemetry, with the same hardening.
  inside mkdir -p "/run/systemd/system/$UNIT.d"
  printf '[Service]\nExecStart=\nExecStart=/usr/local/bin/starlink-telemetry demo\n' | inside tee "/run/systemd/system/$UNIT.d/demo.conf" >/dev/null
  inside systemctl daemon-reload
  inside systemctl start "$UNIT"
  wait_for "telemetry of the demo" has_telemetry
  inside systemctl stop "$UNIT"
  inside rm -r "/run/systemd/system/$UNIT.d"
  inside systemctl daemon-reload

  # With a wrong setting it exits with 2 and is not restarted.
  echo BATCH_SIZE=0 | inside tee -a /etc/starlink-telemetry/settings >/dev/null
  inside systemctl start "$UNIT" || true
  wait_for "the end of a service with a wrong setting" inside systemctl is-failed --quiet "$UNIT"
  expect "the exit code" "$(property ExecMainStatus)" 2
  echo "ran: as a dynamic user, restarted after a kill, kept its state, ran the demo, and was not restarted with a wrong setting"
}

if ((EUID != 0)); then
  fail "booting a container needs root"
fi
if ! install_programs debootstrap systemd-nspawn curl -- debootstrap systemd-container curl; then
  [[ ${CI:-} != true ]] || fail "debootstrap and systemd-nspawn cannot be installed here"
  echo "skipped: debootstrap and systemd-nspawn cannot be installed here"
  exit 0
fi
port=$(free_port)
readonly port

make_root
install_unit
judge_unit
run_unit
