#!/usr/bin/env python3
"""Checks the dashboards in Docker/grafana/dashboards, and every expression of theirs and of the rules against a real server.

Usage: expressions.py lint
       expressions.py dashboards SERVER INSTANCE [nameless|older]
       expressions.py rules SERVER
       expressions.py series SERVER INSTANCE
       expressions.py silent SERVER
       expressions.py alerts FILE...

lint reads the files alone: nothing is fixed to one installation, every panel says what it shows and in what unit, none lies on
another, and every link and variable leads somewhere.

dashboards asks SERVER (Prometheus, or what speaks its HTTP API) for everything that Grafana would, as it would for the exporter
INSTANCE: each must return data, the labels that legends, columns and links name must be there. "nameless" says that INSTANCE has no
starlink_device_name and no inventory; "older" that it is of a version without accounts, too: nothing has a label account. What has no data then is in
expressions-allowlist.txt. The variable account is given its values, and with "older" what Grafana makes of All.

rules does so for the rules that SERVER has loaded. A recording rule must have data. An alert need not fire: its expression is run with
its comparisons made to filter nothing, so that the labels of its alerts can be seen.

series asks for every series that the exporter INSTANCE has, each with its labels.

silent asks SERVER, which has rows that were written remotely, as if the last one were ten minutes old: what is known of terminals that
are offline must still be shown.

alerts writes a metric for each of Starlink's alerts that the rule files name, for one terminal, and a suspended account with a service
line that ends and a destination that refuses its rows. The demo has few of these alerts, and no such account.
"""

import itertools
import json
import math
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
DASHBOARDS = HERE.parent / "Docker/grafana/dashboards"
COMPOSE = HERE.parent / "docker-compose.yml"
ALLOWLIST = HERE / "expressions-allowlist.txt"

# The allowed types of panels: those of Grafana itself, which need no plugin.
CORE_PANELS = {"bargauge", "geomap", "state-timeline", "stat", "table", "timeseries"}
# Built-in variables of Grafana, with values for a server that scrapes every second.
BUILT_IN = {"__rate_interval": "15s", "__interval": "5s", "__range": "60s"}
BUILT_IN_LINK = {"__url_time_range"}
VARIABLE = re.compile(r"\$(?:\{(\w+)(?:\.\w+)*(?::\w+)?\}|(\w*[A-Za-z_]\w*))")
DEVICE_LABELS = {"device_type", "deviceID"}
PATIENCE_SECONDS = 60


def read_dashboards():
    """All dashboards by file name."""
    boards = {path.name: json.loads(path.read_text("utf-8")) for path in sorted(DASHBOARDS.glob("*.json"))}
    if not boards:
        sys.exit(f"failed: there is no dashboard in {DASHBOARDS}")
    return boards


def panels_of(board):
    """All panels except rows, including those in collapsed rows."""
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def variables_in(text):
    return {braced or bare for braced, bare in VARIABLE.findall(text)}


def renamed(panel):
    """The names of columns after an organize transformation."""
    names = {}
    for transformation in panel.get("transformations", []):
        names.update(transformation["options"].get("renameByName", {}))
    return names


def overridden(panel):
    return [override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]]


# ---------------------------------------------------------------------------------------------------------------------------
# lint


def strings(value):
    """Every string in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for member in value.values():
            yield from strings(member)
    elif isinstance(value, list):
        for member in value:
            yield from strings(member)


def members(value, name):
    """All members with a name, at any depth."""
    if isinstance(value, dict):
        if name in value:
            yield value[name]
        value = list(value.values())
    if isinstance(value, list):
        for member in value:
            yield from members(member, name)


def overlaps(panels):
    """Pairs of panels that overlap on the grid, and panels outside of it."""
    taken = {}
    for panel in panels:
        place = panel["gridPos"]
        if place["x"] < 0 or place["x"] + place["w"] > 24 or place["w"] < 1 or place["h"] < 1:
            yield f"panel {panel['id']} leaves the grid"
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                other = taken.setdefault((x, y), panel["id"])
                if other != panel["id"]:
                    yield f"panels {other} and {panel['id']} overlap"


def lint_panel(panel, known):
    """The errors of a panel in a dashboard with the variables `known`."""
    if panel["type"] not in CORE_PANELS:
        yield f"the type {panel['type']} is not one that Grafana brings along and that is known here"
    for name in ("title", "description"):
        if not panel.get(name, "").strip():
            yield f"no {name}"
    defaults = panel["fieldConfig"]["defaults"]
    if not defaults.get("unit"):
        yield "no unit"
    if not defaults.get("thresholds", {}).get("steps"):
        yield "no thresholds"
    references = [target["refId"] for target in panel["targets"]]
    if len(set(references)) != len(references) or not references:
        yield "no targets, or two with the same refId"
    for target in panel["targets"]:
        if not target.get("expr", "").strip():
            yield f"{target['refId']}: no expression"
        if bool(target.get("instant")) == bool(target.get("range")):
            yield f"{target['refId']}: neither instant nor range, or both"
        for unknown in variables_in(target.get("expr", "")) - known - set(BUILT_IN):
            yield f"{target['refId']}: there is no variable {unknown}"


def lint_links(boards, board):
    """The errors of a dashboard's links."""
    others = [other for other in boards.values() if other is not board]
    by_uid = {other["uid"]: other for other in boards.values()}
    if not board.get("links"):
        yield "no link to the other dashboards"
    for link in board.get("links", []):
        if link["type"] == "dashboards":
            for tag in link["tags"]:
                if not any(tag in other["tags"] for other in others):
                    yield f"no other dashboard has the tag {tag}"
        else:
            yield from lint_url(link.get("url", ""), board, by_uid, None)
    for panel in panels_of(board):
        for links in members(panel, "links"):
            for link in links:
                yield from lint_url(link.get("url", ""), board, by_uid, panel)
        for override in panel["fieldConfig"]["overrides"]:
            for option in override["properties"]:
                if option["id"] == "links":
                    for link in option["value"]:
                        yield from lint_url(link.get("url", ""), board, by_uid, panel)


def lint_url(url, board, by_uid, panel):
    found = re.match(r"/d/([\w-]+)(?:/[\w-]*)?(?:\?(.*))?$", url)
    if not found or found[1] not in by_uid:
        yield f"the link {url!r} leads to no dashboard of ours"
        return
    theirs = {variable["name"] for variable in by_uid[found[1]]["templating"]["list"]}
    for name in re.findall(r"(?:^|&)var-(\w+)=", found[2] or ""):
        if name not in theirs:
            yield f"the link {url!r} sets {name}, which is no variable of its dashboard"
    for field in re.findall(r"\$\{__data\.fields\.([^}]+)\}", url):
        if panel is None or field.strip('"') not in renamed(panel).values():
            yield f"the link {url!r} names the column {field}, which is not there"
    ours = {variable["name"] for variable in board["templating"]["list"]}
    for name in variables_in(url) - ours - BUILT_IN_LINK - {"__data"}:
        yield f"the link {url!r} names the variable {name}, which is not there"


def lint_board(boards, board):
    variables = board["templating"]["list"]
    known = {variable["name"] for variable in variables}
    if not any(variable["type"] == "datasource" and variable["query"] == "prometheus" for variable in variables):
        yield "no variable for a Prometheus data source"
    for source in members(board, "datasource"):
        # The variable has this name too; objects other than data sources have no uid.
        if source != {"type": "prometheus", "uid": "${datasource}"}:
            yield f"a data source that is fixed: {source}"
    for key in ("uid", "title", "description", "tags", "refresh", "schemaVersion"):
        if not board.get(key):
            yield f"no {key}"
    if "id" in board:
        yield "an id, which is an installation's own"
    for other_name, other in boards.items():
        if other is not board:
            for key in ("uid", "title"):
                if other.get(key) == board.get(key):
                    yield f"the same {key} as {other_name}"
    rows = [panel for panel in board["panels"] if panel["type"] == "row"]
    identifiers = [panel["id"] for panel in [*panels_of(board), *rows]]
    for twice in sorted({one for one in identifiers if identifiers.count(one) > 1}):
        yield f"two panels have the id {twice}"
    yield from overlaps(board["panels"])
    for row in rows:
        yield from overlaps(row["panels"])
    account = next((variable for variable in variables if variable["name"] == "account"), {})
    if not (account.get("multi") and account.get("includeAll") and account.get("allValue") == ".*"):
        # Without allValue, All would be the existing accounts, and exclude devices without an account.
        yield "no variable account with several values and with All, which is .*"
    for variable in variables:
        if variable["type"] != "datasource":
            for unknown in variables_in(variable["query"]["query"]) - known - set(BUILT_IN):
                yield f"variable {variable['name']}: there is no variable {unknown}"
    for panel in panels_of(board):
        for objection in lint_panel(panel, known):
            yield f"panel {panel['id']} ({panel.get('title')}): {objection}"
    yield from lint_links(boards, board)


def lint():
    boards = read_dashboards()
    objections = [f"{name}: {text}" for name, board in boards.items() for text in lint_board(boards, board)]
    home = re.search(r"HOME_DASHBOARD_PATH: /etc/grafana/dashboards/(\S+)", COMPOSE.read_text("utf-8"))
    if not home or home[1] not in boards:
        objections.append(f"{COMPOSE.name}: Grafana's home is no dashboard of ours")
    if objections:
        sys.exit("failed:\n  " + "\n  ".join(dict.fromkeys(objections)))
    panels = sum(1 for board in boards.values() for _ in panels_of(board))
    print(f"dashboards: {len(boards)} with {panels} panels, no errors")


# ---------------------------------------------------------------------------------------------------------------------------
# querying a server


class Server:
    """The HTTP API of Prometheus."""

    def __init__(self, url):
        self.url = url

    def get(self, path, **parameters):
        """The data of a response; raises ValueError with the server's message if it reports an error."""
        query = urllib.parse.urlencode(parameters, doseq=True)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=30) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(error.read().decode("utf-8", "replace").strip()) from error

    def series(self, expression, is_range):
        """The labels of each series that has a finite value."""
        now = time.time()
        if is_range:
            data = self.get("query_range", query=expression, start=now - 60, end=now, step=5)
        else:
            data = self.get("query", query=expression, time=now)
        if data["resultType"] == "scalar":
            return [{}]
        return [
            one["metric"]
            for one in data["result"]
            if any(math.isfinite(float(value)) for _, value in one.get("values") or [one["value"]])
        ]


def substitute(text, values):
    def value(found):
        name = found[1] or found[2]
        return values.get(name, BUILT_IN.get(name, found[0]))

    return VARIABLE.sub(value, text)


def options(server, variable, values):
    """The options of a variable, as Grafana determines them."""
    query = substitute(variable["query"]["query"], values)
    if found := re.fullmatch(r"label_values\((.+),\s*(\w+)\)", query):
        texts = server.get(f"label/{found[2]}/values", **{"match[]": found[1]})
    elif found := re.fullmatch(r"query_result\((.+)\)", query):
        texts = [
            "{" + ",".join(f'{key}="{value}"' for key, value in sorted(metric.items())) + "} 1 0"
            for metric in server.series(found[1], False)
        ]
    else:
        raise ValueError(f"{query} is no query that is known here")
    if variable["regex"]:
        pattern = re.compile(variable["regex"].strip("/").replace("(?<", "(?P<"))
        texts = [found["value"] for found in map(pattern.search, texts) if found]
    return list(dict.fromkeys(texts))


def escaped(value):
    """A value in a regular expression within a string of PromQL, in which a backslash is two."""
    return re.escape(value).replace("\\", "\\\\")


def choices(server, board, instance, is_older=False):
    """Values for all variables: one dictionary for each value of the single-value variable."""
    values, several = {}, None
    for variable in board["templating"]["list"]:
        if variable["type"] == "datasource":
            continue
        if is_older and variable["name"] == "account":
            values["account"] = variable["allValue"]
            continue
        found = options(server, variable, values)
        if not found:
            raise ValueError(f"the variable {variable['name']} has no values")
        if variable["name"] == "instance":
            if instance not in found:
                raise ValueError(f"the variable instance does not offer {instance}")
            values["instance"] = instance
        elif variable["multi"]:
            values[variable["name"]] = "(" + "|".join(map(escaped, found)) + ")"
        else:
            several = (variable["name"], found)
    return [{**values, several[0]: one} for one in several[1]] if several else [values]


def legend_names(legend, labels):
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), legend)


def check_panel(server, panel, values, is_older=False):
    """The targets of a panel without data, and references to missing columns."""
    silent, objections, fields = [], [], set()
    for target in panel["targets"]:
        found = server.series(substitute(target["expr"], values), bool(target.get("range")))
        if not found:
            silent.append(target["refId"])
            continue
        legend = target.get("legendFormat", "")
        for label in re.findall(r"\{\{\s*(\w+)\s*\}\}", legend):
            if is_older and label == "account":
                continue
            if not all(label in labels for labels in found):
                objections.append(f"{target['refId']}: its legend names {label}, which is no label of all series")
        if target.get("format") == "table":
            fields |= {"Time", "Value" if len(panel["targets"]) == 1 else f"Value #{target['refId']}"}
            fields |= {label for labels in found for label in labels}
        else:
            fields |= {legend_names(legend, labels) for labels in found}
    if not silent:
        # Otherwise the columns of an expression without data are missing too.
        expected = set(overridden(panel))
        for transformation in panel.get("transformations", []):
            for key in ("renameByName", "excludeByName", "indexByName"):
                expected |= set(transformation["options"].get(key, {}))
        if is_older:
            fields.add("account")
        names = renamed(panel)
        fields |= {names.get(field, field) for field in fields}
        for layer in panel["options"].get("layers", []):
            expected |= {layer["location"]["latitude"], layer["location"]["longitude"]}
            if "field" in layer["config"]["style"]["color"]:
                expected.add(layer["config"]["style"]["color"]["field"])
        objections += [f"names {name}, which no expression gives" for name in sorted(expected - fields)]
    return silent, objections


def check_board(server, name, board, instance, allowed, is_older):
    """The errors of a dashboard now, and the allowlist entries that were used."""
    try:
        candidates = choices(server, board, instance, is_older)
    except ValueError as error:
        return [f"{name}: {error}"], set()
    objections, used = [], set()
    for annotation in board["annotations"]["list"]:
        if not any(server.series(substitute(annotation["expr"], values), True) for values in candidates):
            objections.append(f"{name}: the annotation {annotation['name']} has no data")
    for panel in panels_of(board):
        places = {target["refId"]: f"{name}: {panel['title']}: {target['refId']}" for target in panel["targets"]}
        excused = {reference for reference, place in places.items() if place in allowed or name in allowed}
        best = None
        for values in candidates:
            try:
                silent, wrong = check_panel(server, panel, values, is_older)
            except ValueError as error:
                silent, wrong = [], [f"is refused: {error}"]
            missing = [reference for reference in silent if reference not in excused]
            if best is None or len(missing) + len(wrong) < best[0]:
                best = (len(missing) + len(wrong), missing, wrong, set(silent) & excused)
            if best[0] == 0:
                break
        _, missing, wrong, excused_now = best
        used |= {name if name in allowed else places[reference] for reference in excused_now}
        objections += [f"{places[reference]} has no data" for reference in missing]
        objections += [f"{name}: {panel['title']}: {text}" for text in wrong]
    return objections, used


def patiently(check):
    """The remaining errors of `check`, which is repeated because data arrives late and alerts change."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (objections := check()) and time.monotonic() < deadline:
        time.sleep(1)
    return objections


def check_dashboards(server, instance, lacks=None):
    """`lacks`: "nameless" or "older", for an exporter without names or without accounts."""
    boards = read_dashboards()
    allowed = set()
    if lacks:
        lines = ALLOWLIST.read_text("utf-8").splitlines()
        allowed = {line.removeprefix(f"{lacks}: ") for line in lines if line.startswith(f"{lacks}: ")}
    used = set()

    def check(name):
        objections, silences = check_board(server, name, boards[name], instance, allowed, lacks == "older")
        used.update(silences)
        return objections

    objections = [text for name in boards for text in patiently(lambda name=name: check(name))]
    objections += [f"{line}: has data, or is not there; take it from {ALLOWLIST.name}" for line in sorted(allowed - used)]
    if objections:
        sys.exit("failed:\n  " + "\n  ".join(objections))
    count = sum(len(panel["targets"]) for board in boards.values() for panel in panels_of(board))
    print(f"dashboards: {count} expressions return data for {instance}" + (f", but for {len(used)} that have none where it is {lacks}" if used else ""))


# ---------------------------------------------------------------------------------------------------------------------------
# series


def series_of(instance):
    """All current series of an exporter, as pairs of name and labels."""
    request = urllib.request.Request(f"http://{instance}/metrics", headers={"Accept": "text/plain;version=0.0.4"})
    with urllib.request.urlopen(request, timeout=10) as response:
        lines = response.read().decode("utf-8").split("\n")
    found = set()
    for line in lines:
        if line and not line.startswith("#"):
            name, labels = re.match(r'(\w+)(?:\{(.*)\})? [^ "]+$', line).groups()
            # The three escapes of the format are also escapes of JSON.
            pairs = re.findall(r'(\w+)=("(?:\\.|[^"\\])*")', labels or "")
            # A server does not store a label with an empty value.
            found.add((name, frozenset((label, json.loads(value)) for label, value in pairs if value != '""')))
    return found


def check_series(server, instance):
    count = 0

    def check():
        nonlocal count
        # Read anew each time: what existed for less than a second, between two scrapes of the server, is never stored.
        wanted = series_of(instance)
        count = len(wanted)
        stored = set()
        for labels in server.get("series", **{"match[]": f'{{instance="{instance}"}}'}):
            name = labels.pop("__name__")
            stored.add((name, frozenset(pair for pair in labels.items() if pair[0] not in ("job", "instance"))))
        return sorted(f"{name} {sorted(labels)}" for name, labels in wanted - stored)

    if missing := patiently(check):
        sys.exit(f"failed: of {count} series {len(missing)} are missing, the first: {missing[0]}")
    print(f"series: all {count} of {instance} are there")


# ---------------------------------------------------------------------------------------------------------------------------
# written rows

# What the dashboards show of silent terminals: by file and panel, the references of the expressions that need no metric but those of rows.
OF_SILENT = {
    ("fleet.json", "Terminals by state"): "ABC",
    ("fleet.json", "All terminals"): "AD",
    ("terminal.json", "State"): "A",
    ("terminal.json", "Last report"): "A",
    ("terminal.json", "Details"): "A",
}
# Longer than the lookback of 5 minutes.
SILENT_SECONDS = 600


def check_silent(server):
    report = "starlink_last_report_timestamp_seconds"
    if patiently(lambda: not server.series(report, False)):
        sys.exit("failed: the server has no rows")
    terminal = server.series(f'{report}{{device_type="UserTerminal"}}', False)[0]["deviceID"]
    values = {"instance": ".*", "account": ".*", "terminal": terminal, "__range": "1d"}
    at = time.time() + SILENT_SECONDS

    def ask(expression):
        # Without nocache, VictoriaMetrics shifts times that are close to now.
        return server.get("query", query=expression, time=at, nocache=1)["result"]

    boards = read_dashboards()
    targets = [
        (f"{name}: {title}: {target['refId']}", target["expr"])
        for (name, title), references in OF_SILENT.items()
        for panel in panels_of(boards[name])
        if panel["title"] == title
        for target in panel["targets"]
        if target["refId"] in references
    ]
    objections = [f"{place} has no data of silent terminals" for place, expression in targets if not ask(substitute(expression, values))]
    if ask(report):
        objections.append("the terminals are not silent")
    if objections or len(targets) != sum(map(len, OF_SILENT.values())):
        sys.exit("failed:\n  " + "\n  ".join(objections))
    print(f"dashboards: {len(targets)} expressions have data of silent terminals whose rows were written remotely")


# ---------------------------------------------------------------------------------------------------------------------------
# rules

TOKEN = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`|\{|\}|\(|\)|==|!=|<=|>=|<|>|\w+|\s+|.)""", re.DOTALL)


def relaxed(expression):
    """The expression with comparisons that keep every series (bool), and without what `unless` takes away. Without `offset`: the server
    is younger than that."""
    expression = re.sub(r"\boffset\s+\w+", "", expression)
    result, depth, skipped_at, in_braces = [], 0, None, False
    for token in TOKEN.findall(re.sub(r"#[^\n]*", "", expression)):
        in_braces = (in_braces or token == "{") and token != "}"
        depth += {"(": 1, ")": -1}.get(token, 0)
        if skipped_at is not None and (depth < skipped_at or (depth == skipped_at and token in ("or", "and"))):
            skipped_at = None
        if token == "unless" and skipped_at is None:
            skipped_at = depth
        if skipped_at is None:
            is_comparison = not in_braces and token in ("==", "!=", "<=", ">=", "<", ">")
            result.append(f"{token} bool" if is_comparison else token)
    return re.sub(r"bool\s+bool\b", "bool", "".join(result))


def is_about_devices(expression):
    return bool(re.search(r"\bstarlink_(?!exporter_|up\b|service_line_|data_pool_|account_)\w+", expression))


def check_rule(server, rule):
    """The errors of a rule now."""
    if rule.get("lastError"):
        yield rule["lastError"]
    if rule["type"] == "recording":
        matchers = ",".join(f"{label}={json.dumps(value)}" for label, value in rule.get("labels", {}).items())
        for expression in (rule["query"], f"{rule['name']}{{{matchers}}}"):
            if not server.series(expression, False):
                yield f"{expression} has no data"
        return
    server.series(rule["query"], False)
    found = server.series(relaxed(rule["query"]), False)
    if not found:
        yield f"no series is looked at: {relaxed(rule['query'])} has no data"
    texts = " ".join(strings(rule.get("annotations", {})))
    # The expression of a `with` may have no value.
    promised = set(re.findall(r"\$labels\.(\w+)", texts)) - set(re.findall(r"\{\{ *with \$labels\.(\w+)", texts))
    if is_about_devices(rule["query"]):
        promised |= DEVICE_LABELS
    for label in sorted(promised):
        if not all(label in {**labels, **rule.get("labels", {})} for labels in found):
            yield f"its alerts have no label {label}"


def check_rules(server):
    rules = [rule for group in server.get("rules")["groups"] for rule in group["rules"]]
    if not rules:
        sys.exit("failed: the server has no rules")

    def check(rule):
        # The current state of the rule: an earlier error may be resolved.
        now = [one for group in server.get("rules")["groups"] for one in group["rules"]]
        try:
            return list(check_rule(server, next(one for one in now if (one["name"], one["query"]) == rule)))
        except ValueError as error:
            return [f"is refused: {error}"]

    objections = [
        f"{rule['name']}: {text}" for rule in rules for text in patiently(lambda rule=rule: check((rule["name"], rule["query"])))
    ]
    if objections:
        sys.exit("failed:\n  " + "\n  ".join(objections))
    print(f"rules: {len(rules)}, with data where they record, with their labels where they alert")


def alert_names(text):
    """The families that a text names, literally or as a regular expression of groups and .+."""
    part = r"[a-z0-9_]+|\([a-z0-9_|]+\)\??|\.\+"
    for found in re.finditer(rf"starlink_alert_active_((?:{part})+)", text):
        pieces = [
            piece.strip("()?").split("|") + [""] * piece.endswith("?") if piece.startswith("(") else [piece.replace(".+", "anything")]
            for piece in re.findall(part, found[1])
        ]
        yield from ("starlink_alert_active_" + "".join(chosen) for chosen in itertools.product(*pieces))


def write_alerts(paths):
    names = {name for path in paths for name in alert_names(Path(path).read_text("utf-8"))}
    for name in sorted(names):
        print(f'{name}{{device_type="UserTerminal",deviceID="ut01000000-00000000-00aa0001"}} 1')
    print('starlink_account_info{account="suspended",account_number="ACC-0",account_name="",region="US"} 1')
    print('starlink_account_suspension{account="suspended",reason="PastDueBalance"} 1')
    print('starlink_service_line_end_timestamp_seconds{account="suspended",service_line="AST-0"} 1')
    sender = 'account="suspended",destination="refusing"'
    print(f'starlink_exporter_remote_write_oldest_pending_timestamp_seconds{{{sender}}} 1')
    print(f'starlink_exporter_remote_write_requests_total{{{sender},code="401"}} 1')
    print('starlink_exporter_journal_bytes{account="suspended"} 1')


def main():
    match sys.argv[1:]:
        case ["lint"]:
            lint()
        case ["dashboards", url, instance]:
            check_dashboards(Server(url), instance)
        case ["dashboards", url, instance, "nameless" | "older" as lacks]:
            check_dashboards(Server(url), instance, lacks)
        case ["rules", url]:
            check_rules(Server(url))
        case ["series", url, instance]:
            check_series(Server(url), instance)
        case ["silent", url]:
            check_silent(Server(url))
        case ["alerts", _, *_]:
            write_alerts(sys.argv[2:])
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
