#!/usr/bin/env python3
"""Makes variants of the unit tests of the rules, with the series that the exporter writes remotely. Their results must be the same.

Usage: written.py DIRECTORY OUTPUT. DIRECTORY has rules/ and tests/, OUTPUT gets the variants.

Two variants of each test: `both` has the scraped series and their written copies, `written` has the copies alone. A written series has the job
starlink-telemetry. Series of rows have no instance, so exporters with the same device share them, and a sample only where the device reported.
What the exporter itself knows has an instance.

Left out are alerts about exporters, which are raised for each instance, and tests of backlogs: a scrape shows old rows at the time of the scrape,
so the rules ignore them, but they are written at their own time.
"""

import re
import sys
from pathlib import Path

import yaml

JOB = "starlink-telemetry"
# Families of rows. All other families are what the exporter itself knows.
OF_ROWS = re.compile(r"starlink_([A-Z]\w*|alert_active_\w+|info|latitude|longitude|last_report_timestamp_seconds)$")
# The last values are kept in a scrape while the device is silent, and in a receiver until the lookback of 5 minutes.
KEPT = ("starlink_info", "starlink_latitude", "starlink_longitude")
REPORT = "starlink_last_report_timestamp_seconds"
# What differs, by the name of the test and the variant.
DIFFERENT = {
    # Exporters share the last report in written series, so it does not say which of them has the newest rows.
    ("a terminal that moved, and an outage of its new account", "both"): ["StarlinkTerminalOffline"],
    ("a terminal that moved, and an outage of its new account", "written"): ["StarlinkTerminalOffline"],
    # Texts of silent terminals are kept in scrapes alone, and so are terminals whose account is not known.
    ("two instances with the same terminals", "written"): [
        "starlink:fleet_terminals:count",
        "starlink:fleet_software:count",
        "starlink:fleet_country:count",
    ],
    # When the line is active again, the terminal has been silent for hours, and only scrapes still have its last report.
    ("an offline terminal whose line is deactivated", "written"): ["StarlinkTerminalOffline", "StarlinkTerminalNeverHeard"],
}
# Labels of targets.
TARGET = ("job", "instance", "cluster", "namespace")
TOKEN = re.compile(r"(_|stale|[-+]?[0-9.]+(?:e[-+]?[0-9]+)?|[-+]?Inf|NaN)(?:([-+][0-9.]+(?:e[-+]?[0-9]+)?))?(?:x([0-9]+))?$", re.IGNORECASE)


def values_of(text):
    """The samples of a series in promtool's notation; None where there is none."""
    samples = []
    for token in text.split():
        first, step, times = TOKEN.match(token).groups()
        if first == "_":
            samples += [None] * int(times or 1)
        elif first == "stale":
            samples.append("stale")
        else:
            samples += [float(first) + float(step or 0) * index for index in range(int(times or 0) + 1)]
    return samples


def text_of(samples):
    """The same, with equal neighbours as one token."""
    tokens, index = [], 0
    while index < len(samples):
        end = index
        while end < len(samples) and samples[end] == samples[index]:
            end += 1
        value, count = samples[index], end - index
        if value is None:
            tokens.append(f"_x{count}")
        elif value == "stale":
            tokens += ["stale"] * count
        else:
            tokens.append(f"{value!r}x{count - 1}")
        index = end
    return " ".join(tokens)


def parsed(series):
    name, labels = re.fullmatch(r"(\w+)(?:\{(.*)\})?", series).groups()
    return name, dict(re.findall(r'(\w+)="((?:\\.|[^"\\])*)"', labels or ""))


def spelled(name, labels):
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}"


def exporter(labels):
    return tuple(labels.get(key, "") for key in TARGET)


def at(samples, index):
    value = samples[index] if index < len(samples) else None
    return None if value == "stale" else value


class Test:
    """The series of a test, by what the copies need to know."""

    def __init__(self, entries):
        self.series = [(*parsed(entry["series"]), values_of(str(entry["values"]))) for entry in entries]
        self.reports = {
            (exporter(labels), labels["deviceID"]): samples for name, labels, samples in self.series if name == REPORT
        }

    def has_backlog(self):
        return any(name == "starlink_exporter_catching_up" and 1 in samples for name, _, samples in self.series)

    def rows(self, name, labels, samples):
        """The samples of a written series of rows."""
        reports = self.reports.get((exporter(labels), labels.get("deviceID")))
        written = []
        for index, sample in enumerate(samples):
            is_new = not reports or index == 0 or at(reports, index) != at(reports, index - 1)
            is_written = is_new or (name != REPORT and name not in KEPT)
            written.append(sample if is_written else None)
        return written

    def newest(self, labels, index):
        return at(self.reports.get((exporter(labels), labels.get("deviceID")), []), index) or float("-inf")

    def copies(self, instance):
        """The written series. `instance` makes the label of an exporter's own series."""
        own, shared = [], {}
        for name, labels, samples in self.series:
            if name in ("up", "ALERTS") or ":" in name:
                continue
            if not OF_ROWS.match(name):
                own.append((spelled(name, {**labels, "job": JOB, "instance": instance(labels.get("instance", ""))}), samples))
                continue
            kept = {key: value for key, value in labels.items() if key not in TARGET}
            shared.setdefault(spelled(name, {**kept, "job": JOB}), []).append((labels, self.rows(name, labels, samples)))
        for series, copies in shared.items():
            length = max(len(samples) for _, samples in copies)
            merged = []
            for index in range(length):
                present = [(self.newest(labels, index), samples[index]) for labels, samples in copies if index < len(samples) and samples[index] is not None]
                # Of several exporters, the one with the newest report.
                merged.append(max(present, key=lambda one: one[0])[1] if present else None)
            own.append((series, merged))
        return [{"series": series, "values": text_of(samples)} for series, samples in own]


def is_about_exporter(case):
    return any("instance" in alert.get("exp_labels", {}) for alert in case["exp_alerts"])


def variants(test, about_exporters):
    read = Test(test["input_series"])
    if read.has_backlog():
        return
    for name, series in (
        ("both", test["input_series"] + read.copies(lambda instance: f"host-of-{instance}")),
        ("written", read.copies(lambda instance: instance)),
    ):
        allowed = DIFFERENT.get((test["name"], name), ())
        cases = [case for case in test.get("alert_rule_test", []) if case["alertname"] not in (*about_exporters, *allowed)]
        cases = {
            "alert_rule_test": cases,
            "promql_expr_test": [case for case in test.get("promql_expr_test", []) if "instance" not in str(case) and case["expr"] not in allowed],
        }
        if any(cases.values()):
            yield name, {**test, "name": f"{test['name']} ({name})", "input_series": series, **cases}


def main(home, output):
    home, output = Path(home).resolve(), Path(output)
    tests = {path: yaml.safe_load(path.read_text("utf-8")) for path in sorted(home.glob("tests/*_test.yml"))}
    cases = [case for file in tests.values() for test in file["tests"] for case in test.get("alert_rule_test", [])]
    about_exporters = {case["alertname"] for case in cases if is_about_exporter(case)}
    count = 0
    for path, file in tests.items():
        made = {}
        for test in file["tests"]:
            for name, variant in variants(test, about_exporters):
                made.setdefault(name, []).append(variant)
        for name, found in made.items():
            rules = [str((path.parent / rule).resolve()) for rule in file["rule_files"]]
            text = yaml.safe_dump({**file, "rule_files": rules, "tests": found}, sort_keys=False, width=1000)
            (output / f"{path.stem.removesuffix('_test')}_{name}_test.yml").write_text(text, "utf-8")
            count += len(found)
    print(f"written: {count} variants of tests")


main(*sys.argv[1:])
