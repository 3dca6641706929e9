#!/usr/bin/env python3
"""Checks that a device that several exporters export counts once in every panel about devices.

Usage: twice.py SERVER ONE OTHER

ONE and OTHER are instances with the same static series on SERVER; names and accounts have a prefix in OTHER. What a
panel shows of both must be what it shows of one, value by value: of all accounts, and of ONE's account alone.
"""

import itertools
import re
import sys
import time

from expressions import BUILT_IN, Server, options, panels_of, patiently, read_dashboards, substitute

# The prefix that .ci/dashboards.sh adds to names and accounts of the second exporter. Either one may be shown, but only one.
PREFIX = re.compile("^Other ")
# The dashboards about devices and service lines. The other one is about exporters and shows each exporter.
ABOUT_DEVICES = ("fleet.json", "terminal.json", "lines.json")


def values_of(server, board, instances, account):
    """Values for the dashboard's variables: the first option of each."""
    values = {}
    for variable in board["templating"]["list"]:
        if variable["type"] == "datasource":
            continue
        if variable["name"] == "instance":
            values["instance"] = "(" + "|".join(map(re.escape, instances)) + ")"
            continue
        if variable["name"] == "account":
            values["account"] = account
            continue
        values[variable["name"]] = options(server, variable, values)[0]
    return {**BUILT_IN, **values}


def result(server, expression, at):
    """The result of an expression at a time: the labels and the value of each series, in a fixed order."""
    # Without nocache, VictoriaMetrics shifts times that are close to now.
    data = server.get("query", query=expression, time=at, nocache=1)["result"]
    # The last digits of sums depend on the order of addition.
    return sorted(
        (sorted((label, PREFIX.sub("", value)) for label, value in one["metric"].items()), f"{float(one['value'][1]):.9g}") for one in data
    )


def main(url, one, other):
    server = Server(url)
    if patiently(lambda: [name for name in (one, other) if not server.series(f'starlink_online{{instance="{name}"}}', False)]):
        sys.exit(f"failed: the server has not both {one} and {other}")
    account = server.series(f'starlink_up{{instance="{one}"}}', False)[0]["account"]
    at = time.time()
    count, objections = 0, []
    for name, accounts in itertools.product(ABOUT_DEVICES, (".*", account)):
        board = read_dashboards()[name]
        once, both = (values_of(server, board, instances, accounts) for instances in ([one], [one, other]))
        for panel in panels_of(board):
            for target in panel["targets"]:
                place = f"{name}: {panel['title']}: {target['refId']}, accounts {accounts}"
                count += 1
                try:
                    first, second = (result(server, substitute(target["expr"], values), at) for values in (once, both))
                except ValueError as error:
                    objections.append(f"{place}: {error}")
                    continue
                if str(first) != str(second):
                    objections.append(f"{place}: with one exporter {str(first)[:120]}, with two {str(second)[:120]}")
    if objections or not count:
        sys.exit("failed:\n  " + "\n  ".join(objections))
    print(f"devices: {count} expressions of dashboards show the same when two exporters know each device, of all accounts and of one")


if __name__ == "__main__":
    main(*sys.argv[1:])
