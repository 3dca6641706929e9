#!/usr/bin/env python3
"""Runs the PromQL of documents on a real server, where several exporters export each device under different names.

Usage: queries.py SERVER FILE...

A block of ```promql holds queries, with an empty line between two; each must return data. A query in backquotes within a sentence must
at least be accepted by SERVER. ID stands for a terminal's deviceID in both. A query that joins starlink_device_name must return as many
series when no device has a name.
"""

import re
import sys

from expressions import Server, patiently

BLOCK = re.compile(r"^```promql\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
# One of our metrics, or a selector without a name.
LOOKS_LIKE_PROMQL = re.compile(r"\bstarlink[_:]|\bprocess_\w|^(\{|up\b|ALERTS\b)")
# Placeholders and ellipses in prose, paths, settings, log levels, and a sample with its value.
NO_QUERY = re.compile(r"[<…]|(?<! )/|/(?! )|^[A-Z_]+=|^starlink_info,|_$|\*$|[}\w] \d+$|=debug$")


def queries(text):
    """The queries of a document, each with whether it must have data."""
    for block in BLOCK.findall(text):
        for query in re.split(r"\n\s*\n", block):
            yield re.sub(r"^#.*\n?", "", query, flags=re.MULTILINE).strip(), True
    for span in SPAN.findall(BLOCK.sub("", text)):
        if LOOKS_LIKE_PROMQL.search(span) and not NO_QUERY.search(span):
            yield span, False


def check(server, query, needs_data):
    """The errors of a query."""
    try:
        found = server.series(query, False)
    except ValueError as error:
        return [f"{query} is refused: {error}"]
    if needs_data and not found:
        return [f"{query} has no data"]
    if needs_data and "starlink_device_name" in query:
        nameless = query.replace("starlink_device_name", 'starlink_device_name{name="no such name"}')
        without = server.series(nameless, False)
        if len(without) != len(found):
            return [f"{query} gives {len(found)} series, and {len(without)} where no device has a name"]
    return []


def main(url, files):
    server = Server(url)
    online = 'starlink_online{device_type="UserTerminal"}'
    if patiently(lambda: not server.series(online, False)):
        sys.exit("failed: the server has no terminal")
    terminal = server.series(online, False)[0]["deviceID"]
    objections, count, with_data = [], 0, 0
    for file in files:
        with open(file, encoding="utf-8") as opened:
            found = list(dict.fromkeys(queries(opened.read())))
        for query, needs_data in found:
            query = re.sub(r"\bID\b", terminal, query)
            count, with_data = count + 1, with_data + needs_data
            objections += [f"{file}: {text}" for text in patiently(lambda query=query, needs_data=needs_data: check(server, query, needs_data))]
    if not with_data:
        objections.append("no document has a block of PromQL")
    if objections:
        sys.exit("failed:\n  " + "\n  ".join(objections))
    print(f"queries: {count} of {len(files)} documents are accepted, {with_data} of them return data")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
