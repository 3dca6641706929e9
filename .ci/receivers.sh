#!/usr/bin/env bash
# Checks remote write with real receivers: Prometheus and VictoriaMetrics servers and vmagent, of this release of Debian and of a newer one.
# Each is configured as docs/HISTORY.md says, and must have every sample of every row after restarts and a kill, and of a pair each once; a
# Prometheus that scrapes and gets rows has nothing twice; and remote write is compared with a vmagent that scrapes.
# Usage: .ci/receivers.sh; needs cargo, installs Debian's prometheus and victoria-metrics, and downloads newer ones to target/.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=.ci/machine.sh
. .ci/machine.sh

# The release of Debian that has Prometheus 3 and vmagent 1.145. It changes, so no versions are compared.
readonly NEWER=forky
readonly PACKAGES=(prometheus victoria-metrics)

receivers=$PWD/target/receivers
readonly receivers

# apt with a configuration, lists and a cache of its own, so that the system is not changed.
apt() {
  local command=$1
  shift
  "$command" --option Dir::State="$receivers/apt/state" --option Dir::State::status=/dev/null --option Dir::Cache="$receivers/apt/cache" \
    --option Dir::Etc::SourceList="$receivers/apt/sources.list" --option Dir::Etc::SourceParts=/dev/null \
    --option Acquire::Languages=none --option APT::Sandbox::User=root "$@"
}

# Downloads the newer programs, unless they are there, and unpacks them without installing.
download_newer() {
  local url package
  [[ ! -x $receivers/newer/usr/bin/prometheus || ! -x $receivers/newer/usr/bin/vmagent ]] || return 0
  read -r _ url < <(mirror)
  [[ -n $url ]] || return 1
  rm -rf "$receivers"
  mkdir -p "$receivers/apt/state/lists/partial" "$receivers/apt/cache/archives/partial" "$receivers/packages"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $url $NEWER main" >"$receivers/apt/sources.list"
  apt apt-get update --quiet && (cd "$receivers/packages" && apt apt-get download --quiet "${PACKAGES[@]}") || return 1
  for package in "$receivers"/packages/*.deb; do
    dpkg -x "$package" "$receivers/unpacked" || return 1
  done
  mv "$receivers/unpacked" "$receivers/newer"
  rm -r "$receivers/apt" "$receivers/packages"
}

# Links the programs at the places where the tests look for them.
link_programs() {
  local program
  mkdir -p "$receivers/programs/old" "$receivers/programs/new"
  for program in prometheus victoria-metrics vmagent; do
    ln -sf "$(command -v "$program")" "$receivers/programs/old/$program"
    ln -sf "$receivers/newer/usr/bin/$program" "$receivers/programs/new/$program"
  done
}

skip() {
  echo "skipped: $*"
  [[ ${CI:-} != true ]]
  exit
}

install_programs prometheus victoria-metrics vmagent -- "${PACKAGES[@]}" ||
  skip "real receivers: Debian's packages ${PACKAGES[*]} cannot be installed here"
download_newer || skip "real receivers: the packages ${PACKAGES[*]} of Debian's $NEWER cannot be downloaded here"
link_programs
for program in "$receivers"/programs/*/prometheus; do
  "$program" --version 2>&1 | head -n 1
done
RECEIVERS=$receivers/programs cargo test --locked --test it history::real -- --nocapture
