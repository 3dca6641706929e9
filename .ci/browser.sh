#!/usr/bin/env bash
# Tests the page in a real headless Chromium, also behind a real nginx: browser.sh BINARY [--pictures DIR]. Installs what it needs:
# Debian's chromium and nginx, and playwright-core and axe-core from npm below target/.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=.ci/machine.sh
. .ci/machine.sh

usage() {
  echo "usage: .ci/browser.sh BINARY [--pictures DIR]" >&2
  exit 2
}

[[ $# -eq 1 || ($# -eq 3 && $2 == --pictures) ]] || usage
binary=$(realpath "$1")
pictures=${3:+$(realpath --canonicalize-missing "$3")}

install_modules() {
  local folder=target/browser
  mkdir -p "$folder"
  [[ -e $folder/package.json ]] || echo '{"private":true}' >"$folder/package.json"
  npm install --prefix "$folder" --no-save --ignore-scripts --no-audit --no-fund --silent playwright-core@1.64.1 axe-core@4.14.1
}

install_programs chromium nginx -- chromium fonts-dejavu-core nginx-light
install_modules
BROWSER_MODULES=$PWD/target/browser
CHROMIUM=$(command -v chromium)
export BROWSER_MODULES CHROMIUM

# A hanging test fails.
timeout --kill-after=10 300 node .ci/browser/main.mjs "$binary" ${pictures:+"$pictures"}
