#!/usr/bin/env python3
"""Parses the metrics of a running service with the parsers of prometheus_client.

Usage: parse.py URL, where URL is the service's /metrics. Needs the package prometheus_client.

OpenMetrics is parsed by the strict parser of the specification (families in one piece, units, suffixes, the final # EOF), the text
format by the one for 0.0.4. The script fails if a parser reports an error, if a series appears twice, if there is no telemetry, or
if the two formats do not have the same series.
"""

import sys
import urllib.request
from collections import Counter

from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client import parser as text

# Accept, Content-Type and parser of the two formats for scrapers.
FORMATS = {
    "openmetrics": (
        "application/openmetrics-text;version=1.0.0",
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        openmetrics.text_string_to_metric_families,
    ),
    "text": (
        "text/plain;version=0.0.4",
        "text/plain; version=0.0.4; charset=utf-8",
        text.text_string_to_metric_families,
    ),
}


def fail(message):
    sys.exit(f"failed: {message}")


def fetch(url, accept, content_type):
    """The body of a scrape as text."""
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as response:
        if response.headers["Content-Type"] != content_type:
            fail(f"the response to {accept} has {response.headers['Content-Type']}")
        return response.read().decode("utf-8")


def parse(name, body, parser):
    """All samples, as pairs of name and labels."""
    try:
        families = list(parser(body))
    except ValueError as error:
        fail(f"{name}: {error}")
    twice = [family for family, count in Counter(family.name for family in families).items() if count > 1]
    if twice:
        fail(f"{name}: families in several pieces: {twice}")
    undocumented = [family.name for family in families if not family.documentation or family.type == "unknown"]
    if undocumented:
        fail(f"{name}: without HELP or TYPE: {undocumented}")
    samples = [
        (sample.name, tuple(sorted(sample.labels.items()))) for family in families for sample in family.samples
    ]
    twice = [sample for sample, count in Counter(samples).items() if count > 1]
    if twice:
        fail(f"{name}: duplicate series: {twice}")
    if any(sample.timestamp is not None for family in families for sample in family.samples):
        fail(f"{name}: a sample carries a timestamp")
    lines = sum(not line.startswith("#") for line in body.split("\n") if line)
    if len(samples) != lines:
        fail(f"{name}: {lines} lines, but the parser has found {len(samples)} samples")
    if not any(sample == "starlink_online" for sample, _ in samples):
        fail(f"{name}: no telemetry")
    return set(samples)


def scrape(url):
    """The samples of each format."""
    return {
        name: parse(name, fetch(url, accept, content_type), parser)
        for name, (accept, content_type, parser) in FORMATS.items()
    }


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    # Series may change between two scrapes, so a difference is an error only if it occurs every time.
    for _ in range(10):
        found = scrape(sys.argv[1])
        different = found["openmetrics"] ^ found["text"]
        if not different:
            print(f"prometheus_client: {len(found['text'])} samples, the same in both formats")
            return
    fail(f"the formats do not name the same series: {sorted(different)[:5]}")


if __name__ == "__main__":
    main()
