# Functions for the machine: installing Debian's packages without starting their daemons, Debian's mirror, a free port. Sourced by
# .ci/run and by checks.
# shellcheck shell=bash

# locked COMMAND...: runs a command of apt while no other one runs. Checks can run at the same time, and apt fails if its lists or archives are locked.
locked() (
  exec {lock}>/run/lock/starlink-telemetry-ci
  flock "$lock"
  # Processes that packages leave running must not keep the lock.
  "$@" {lock}>&-
)

# Runs a command with a policy-rc.d that prevents packages from starting their daemons.
install_without_starting() (
  policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
  fi
  "$@"
)

# install_programs PROGRAM... -- PACKAGE...: installs the packages if one of the programs is missing. Returns a failure, with nothing
# installed, if the packages are not available; a failed installation ends the whole run.
install_programs() {
  local -a programs=()
  while [[ $1 != -- ]]; do
    programs+=("$1")
    shift
  done
  shift
  hash "${programs[@]}" 2>/dev/null && return
  export DEBIAN_FRONTEND=noninteractive
  local -a install=(apt-get install --quiet --yes --no-install-recommends "$@")
  locked apt-get update --quiet || true
  locked "${install[@]}" --download-only || return 1
  locked install_without_starting "${install[@]}" || exit 1
}

# The release and the mirror of Debian that apt uses.
mirror() {
  local codename
  codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
  # shellcheck disable=SC2016 # the dollars are apt's
  echo "$codename" "$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' "Codename: $codename" |
    awk '$2 == "main" { print $1; exit }')"
}

free_port() {
  python3 -c 'import socket
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    print(s.getsockname()[1])'
}
