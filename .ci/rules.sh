#!/usr/bin/env bash
# Checks the rules for Prometheus: their syntax, their unit tests, also with series that are written remotely, that every alert has tests and a
# runbook, and that README.md's command makes the links to the runbooks absolute. Also checks the results of the queries in docs/HISTORY.md.
# Needs promtool (Debian's package prometheus), and a python that has PyYAML: CI_PYTHON names it, else it is python3.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly home=Docker/prometheus
declare -ar rules=("$home"/rules/*.yml) tests=("$home"/tests/*_test.yml)

fail() {
  echo "failed: $*" >&2
  exit 1
}

hash promtool 2>/dev/null || fail "promtool is not installed: it is in Debian's package prometheus"
[[ -e ${rules[0]} && -e ${tests[0]} ]] || fail "there are no rules, or no tests, below $home"

# promtool does not report a pattern in rule_files that matches nothing.
found=$(promtool check config "$home/prometheus.yml") || fail "$home/prometheus.yml: $found"
[[ $found == *"SUCCESS: ${#rules[@]} rule files found"* ]] ||
  fail "$home/prometheus.yml does not load the ${#rules[@]} files of $home/rules"
promtool check rules "${rules[@]}"
"${CI_PYTHON:-python3}" .ci/rules.py "$home" docs/RUNBOOKS.md

PYTHONPATH=.ci "${CI_PYTHON:-python3}" -B -c 'import sys
from pathlib import Path
from queries import queries
squeeze = lambda text: "".join(text.split())
tests = squeeze(Path(".ci/history_test.yml").read_text("utf-8"))
found = [query for query, is_block in queries(Path("docs/HISTORY.md").read_text("utf-8")) if is_block]
missing = [query for query in found if squeeze(query) not in tests]
if missing or not found:
    sys.exit("failed: .ci/history_test.yml lacks these queries of docs/HISTORY.md:\n" + "\n\n".join(missing))
print(f"queries: {len(found)} of docs/HISTORY.md have tests")'

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

# The same tests with the series that the exporter writes remotely, beside those of a scrape and without them.
mkdir "$copy/written"
"${CI_PYTHON:-python3}" .ci/written.py "$home" "$copy/written"

# Two files at a time, because promtool reads them one after the other, which takes minutes. It collects garbage less often than Go's default of
# 100, because a quarter of its time is for that.
declare -ar all=("${tests[@]}" .ci/history_test.yml "$copy"/written/*_test.yml)
# shellcheck disable=SC2016 # the dollars are the inner shell's
printf '%s\0' "${all[@]}" | GOGC=400 xargs -0 -n 1 -P 2 bash -c 'found=$(promtool test rules "$0" 2>&1) || { echo "$found" >&2; exit 1; }' ||
  fail "promtool's tests"
echo "tests: those of ${#all[@]} files pass"

cp "$home/rules/starlink.alerts.yml" "$copy"
command=$(grep -m 1 "^sed -i 's|runbook_url: " README.md) || fail "README.md has no command for the links to the runbooks"
(cd "$copy" && bash -euo pipefail -c "$command")
promtool check rules "$copy/starlink.alerts.yml" >"$copy/log" || fail "$(cat "$copy/log")"
[[ $(grep -c '  runbook_url: https://.*/docs/RUNBOOKS.md#' "$copy/starlink.alerts.yml") == $(grep -c '  - alert: ' "$copy/starlink.alerts.yml") ]] ||
  fail "README.md's command does not make every link to a runbook absolute"
echo "links: absolute after README.md's command"
