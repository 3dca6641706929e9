#!/usr/bin/env python3
"""Compares the Prometheus rules with their tests and runbooks, which promtool does not do.

Usage: rules.py DIRECTORY RUNBOOKS. DIRECTORY has rules/ and tests/. RUNBOOKS has a heading of level 3 for each alert, below it a line with
severity and `for`, and an index with the same.
"""

import re
import sys
from pathlib import Path

import yaml

SEVERITIES = {"critical", "warning", "info"}
ANNOTATIONS = {"summary", "description", "runbook_url"}
RECORD = re.compile(r"starlink:[a-z0-9_]+:[a-z0-9]+")
# A family about devices, service lines, data pools or Starlink accounts, not about the exporter.
ABOUT_DEVICES = re.compile(r"\bstarlink_(?!exporter_|up\b)\w+")
METRIC = re.compile(r"\b(starlink[_:][A-Za-z0-9_:]+|up|process_[a-z_]+)\b")


def load(paths):
    for path in sorted(paths):
        yield path, yaml.safe_load(path.read_text(encoding="utf-8"))


def main():
    home, runbooks = Path(sys.argv[1]), Path(sys.argv[2])
    rules = [
        rule
        for _, file in load(home.glob("rules/*.yml"))
        for group in file["groups"]
        for rule in group["rules"]
    ]
    alerts = {rule["alert"]: rule for rule in rules if "alert" in rule}
    records = {}
    for rule in rules:
        if "record" in rule:
            records[rule["record"]] = f"{records.get(rule['record'], '')} {rule['expr']}"
    tests = [
        (path.name, test)
        for path, file in load(home.glob("tests/*_test.yml"))
        for test in file["tests"]
    ]
    objections = [
        *check_alerts(rules, alerts, runbooks.name),
        *check_runbooks(alerts, runbooks.read_text(encoding="utf-8")),
        *check_records(records, tests),
        *check_tests(alerts, records, tests),
    ]
    for objection in objections:
        print(f"failed: {objection}", file=sys.stderr)
    if objections or not alerts or not records:
        sys.exit(1)
    print(f"rules: {len(alerts)} alerts and {len(records)} recorded names, each with its tests; each alert has a runbook")


def check_alerts(rules, alerts, runbooks):
    if len(alerts) != sum("alert" in rule for rule in rules):
        yield "two alerts have one name"
    for name, rule in alerts.items():
        severity = rule.get("labels", {}).get("severity")
        if severity not in SEVERITIES:
            yield f"{name} has the severity {severity}, which is none of {sorted(SEVERITIES)}"
        annotations = rule.get("annotations", {})
        if set(annotations) != ANNOTATIONS or not all(annotations.values()):
            yield f"{name} has not exactly the annotations {sorted(ANNOTATIONS)}"
        # The anchor of a heading, as GitHub and GitLab generate it.
        if annotations.get("runbook_url") != f"docs/{runbooks}#{name.lower()}":
            yield f"{name} has the runbook_url {annotations.get('runbook_url')}, which is not its own"


def check_runbooks(alerts, text):
    # Other headings of this level have spaces.
    sections = re.findall(r"^### (\w+)$", text, re.MULTILINE)
    for name in sorted({name for name in sections if sections.count(name) > 1}):
        yield f"there are two runbooks {name}"
    for name in sorted(set(sections) - set(alerts)):
        yield f"the runbook {name} belongs to no alert"
    for name in sorted(set(alerts) - set(sections)):
        yield f"{name} has no runbook"
    for name, rule in alerts.items():
        severity, wait = rule["labels"]["severity"], rule.get("for")
        head = f"### {name}\n\n*{severity}, {f'after {wait}' if wait else 'at once'}*\n"
        if head not in text:
            yield f"the runbook {name} does not begin with {head.splitlines()[-1]}"
        if f"| [{name}](#{name.lower()}) | {severity} | {wait or 'at once'} | " not in text:
            yield f"the index of the runbooks lacks {name}, or has another severity or time"


def check_records(records, tests):
    tested = {
        name
        for _, test in tests
        for case in test.get("promql_expr_test", [])
        if case.get("exp_samples")
        for name in METRIC.findall(case["expr"])
    }
    for name in sorted(records):
        if not RECORD.fullmatch(name):
            yield f"{name} is not of the form starlink:metric:operation"
        if name not in tested:
            yield f"{name} has no test"


def expanded(expression, records):
    """The expression with those of the recorded series that it uses."""
    return " ".join([expression, *(records[name] for name in METRIC.findall(expression) if name in records)])


def is_known_twice(series):
    """Whether two instances have the same series about a device, a service line, a data pool or a Starlink account."""
    found = [re.sub(r'(instance|job)="[^"]*",?', "", entry) for entry in series if ABOUT_DEVICES.match(entry)]
    return len(set(found)) < len(found)


def check_tests(alerts, records, tests):
    expressions = {name: expanded(rule["expr"], records) for name, rule in alerts.items()}
    fires, rests, fires_once = set(), set(), set()
    for file, test in tests:
        series = [entry["series"] for entry in test["input_series"]]
        for case in test.get("alert_rule_test", []):
            name = case["alertname"]
            if name not in alerts:
                # promtool would treat it as an alert that does not fire.
                yield f"{file} tests {name}, which does not exist"
            elif case["exp_alerts"]:
                fires.add(name)
                if is_known_twice(series) and len(case["exp_alerts"]) == 1:
                    fires_once.add(name)
            elif asks_for(expressions[name], series):
                rests.add(name)
    for name in alerts:
        if name not in fires:
            yield f"{name} has no test in which it fires"
        if ABOUT_DEVICES.search(expressions[name]) and name not in fires_once:
            yield f"{name} is not about the exporter, and has no test in which two exporters know the same and it fires once"
        if name not in rests:
            yield f"{name} has no test in which there is what it looks at and it does not fire"


def asks_for(expression, series):
    """Whether one of the series belongs to a metric that the expression names, completely or by its prefix."""
    # A metric that only masks others does not count, unless the expression names nothing else.
    metrics = set(METRIC.findall(expression)) - {"starlink_exporter_catching_up", "starlink_device_account"} or {"starlink_exporter_catching_up"}
    return any(entry.startswith(metric) for entry in series for metric in metrics)


main()
