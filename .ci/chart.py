#!/usr/bin/env python3
"""Checks the output of Helm and kubectl. Run by .ci/chart.sh.

chart.py without-operator FILE...  prints what Kubernetes itself defines
chart.py check FILE...             checks the Prometheus Operator's schemas and the rules of the chart
chart.py repository                checks that versions, settings and values are consistent in the repository
chart.py run BINARY FILE...        whether the service accepts the settings of the pods, and responds to their probes
"""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request

import yaml

CHART = pathlib.Path("kubernetes/chart")
RULES = pathlib.Path("Docker/prometheus/rules")
DASHBOARDS = pathlib.Path("Docker/grafana/dashboards")
OPERATOR = "monitoring.coreos.com/v1"
# The URL of the runbooks in kubernetes/chart/ci/full-values.yaml.
RUNBOOKS = "https://runbooks.example/starlink/"
ACCOUNTS = "accounts: [{name: north, client_id: id-1, client_secret: a-secret}]\n"
DESTINATIONS = "remote_write: [{name: prometheus, url: 'http://prometheus:9090/api/v1/write', out_of_order_window: 33h}]\n"
# A bcrypt hash of a random password for a web configuration.
WEB_CONFIG = "basic_auth_users:\n  prometheus: $2b$10$M4wieFmDLcDJENtO6VDGs.AUVS9kRwe35UvckDOlwcqN9qEnR1IgO\n"


class Wrong(Exception):
    """A failed check."""


def must(holds, message):
    if not holds:
        raise Wrong(message)


def documents(files):
    for file in files:
        for document in yaml.safe_load_all(pathlib.Path(file).read_text()):
            if document:
                yield file, document


def without_operator(files):
    for _, document in documents(files):
        if document["apiVersion"] != OPERATOR:
            print("---")
            print(yaml.safe_dump(document))


def lost(given, kept, path=""):
    """The paths in `given` that the schema does not define. Kubernetes would drop them silently."""
    if isinstance(given, dict):
        for key, value in given.items():
            if not isinstance(kept, dict) or key not in kept:
                yield f"{path}.{key}"
            else:
                yield from lost(value, kept[key], f"{path}.{key}")
    elif isinstance(given, list):
        for index, value in enumerate(given):
            yield from lost(value, kept[index], f"{path}[{index}]")


def check_operator(document):
    from cloudcoil.models.prometheus_operator import v1

    model = getattr(v1, document["kind"]).model_validate(document)
    unknown = list(lost(document["spec"], model.model_dump(mode="json", by_alias=True, exclude_unset=True)["spec"]))
    must(not unknown, f"unknown to the Prometheus Operator: {', '.join(unknown)}")


def check_stateful_set(document):
    spec = document["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    must(spec["replicas"] in (1, 2), f"{spec['replicas']} replicas")
    must(spec["podManagementPolicy"] == "Parallel", "a pod that never became ready would not be replaced")
    must(spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items(), "the selector misses the pod")
    must(pod["automountServiceAccountToken"] is False, "a token is mounted")
    must(pod["enableServiceLinks"] is False, "Services come into the environment")
    must(pod["securityContext"]["runAsNonRoot"] is True, "may run as root")
    must(pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, "no seccomp profile")
    must(
        container["securityContext"]
        == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
        "the container is not hardened",
    )
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    names = [entry["name"] for entry in container["env"]]
    must(len(names) == len(set(names)), "a variable is set twice")
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    must(ports["metrics"] == int(environment["METRICS_PORT"]), "the port is not METRICS_PORT")
    must(("probes" in ports) == ("PROBES_PORT" in environment) == ("WEB_CONFIG_FILE" in environment), "probes could not come in")
    for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        asked = container[probe]["httpGet"]
        must(asked == {"path": path, "port": "probes" if "probes" in ports else "metrics"}, f"{probe} asks {asked}")
    # Every mount has a volume, and every volume a mount.
    volumes = {volume["name"] for volume in pod.get("volumes", [])} | {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])}
    mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
    must(volumes == mounts, f"volumes {sorted(volumes)}, mounts {sorted(mounts)}")
    writable = {mount["mountPath"] for mount in container.get("volumeMounts", []) if not mount.get("readOnly")}
    wanted = {"/var/lib/starlink-telemetry"} if "STATE_FILE" in environment else set()
    wanted |= {environment["JOURNAL_DIR"].rsplit("/", 1)[0]} if "JOURNAL_DIR" in environment else set()
    must(writable == wanted, f"can write to {writable}, not to {wanted}")
    must(("JOURNAL_DIR" in environment) == bool({"REMOTE_WRITE_URL", "REMOTE_WRITE_FILE"} & set(environment)), "a journal without destinations, or destinations without a journal")
    must("REMOTE_WRITE_FILE" not in environment or environment["REMOTE_WRITE_FILE"].rsplit("/", 1)[0] in {mount["mountPath"] for mount in container["volumeMounts"]}, "the destinations are not mounted")
    must(not any(mount.get("subPath") for mount in container.get("volumeMounts", [])), "a subPath never sees a change")


    if spec["replicas"] == 2:
        check_pair(document["metadata"]["name"], pod, environment)


def check_pair(name, pod, environment):
    """What two pods of one template must not share."""
    if "ACCOUNTS_FILE" in environment:
        check_pair_of_accounts(name, pod, environment)
    else:
        check_pair_of_credentials(name, pod, environment)
    names = list(environment)
    for variable in names:
        if "$(POD_NAME)" in (environment[variable] or ""):
            must(names.index("POD_NAME") < names.index(variable), f"{variable} uses $(POD_NAME) before it is set")
    must(int(environment["POLLS_PER_MINUTE"]) <= 100, "the pods of a pair poll more often than Starlink allows")
    (term,) = pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    must(term["topologyKey"] == "kubernetes.io/hostname", "both pods may be on one node")
    must(not any("persistentVolumeClaim" in volume for volume in pod["volumes"]), "both pods have one volume")


def check_pair_of_credentials(name, pod, environment):
    (projected,) = [volume["projected"] for volume in pod["volumes"] if "projected" in volume]
    folders = {}
    for source in projected["sources"]:
        must(source["secret"]["optional"], "a missing Secret would keep the other pod from starting")
        for item in source["secret"]["items"]:
            folder, file = item["path"].split("/")
            folders.setdefault(folder, {})[file] = source["secret"]["name"]
    must(set(folders) == {f"{name}-0", f"{name}-1"}, f"the folders with credentials are {sorted(folders)}")
    for folder, files in folders.items():
        must(set(files) == {"client-id", "client-secret"} and len(set(files.values())) == 1, f"{folder} has {files}")
    must(len({files["client-id"] for files in folders.values()}) == 2, "both pods have one service account")
    for variable in ("CLIENT_ID_FILE", "CLIENT_SECRET_FILE"):
        must("/$(POD_NAME)/" in environment[variable], f"{variable} is the same in both pods")


def check_pair_of_accounts(name, pod, environment):
    (container,) = pod["containers"]
    secrets = {volume["name"]: volume["secret"] for volume in pod["volumes"] if volume["name"].startswith("accounts-")}
    must(all(secret["optional"] for secret in secrets.values()), "a missing Secret would keep the other pod from starting")
    must(len({secret["secretName"] for secret in secrets.values()}) == 2, "both pods have one accounts file")
    paths = {mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] in secrets}
    folder = environment["ACCOUNTS_FILE"].rsplit("/", 1)[0]
    must(paths == {folder.replace("$(POD_NAME)", f"{name}-{ordinal}") for ordinal in (0, 1)}, f"{folder} is not in {sorted(paths)}")


def rule_files():
    """The groups of all rule files, in the order of the chart."""
    files = sorted(file for file in RULES.glob("*.yml") if not file.name.endswith("_test.yml"))
    return [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]


def check_rules(document):
    groups = [group for group in document["spec"]["groups"] if group["name"] != "mine"]
    for group in groups:
        for rule in group["rules"]:
            # Added to each alert by the values of the tests.
            if "alert" in rule and "labels" in rule and rule["labels"].get("team") == "network":
                del rule["labels"]["team"]
                link = rule["annotations"]["runbook_url"]
                must(link.startswith(f"{RUNBOOKS}docs/"), f"{rule['alert']} links to {link}")
                rule["annotations"]["runbook_url"] = link.removeprefix(RUNBOOKS)
    must(groups == rule_files(), "the rules are not those of the rule files")


def check_dashboard(document):
    ((name, text),) = document["data"].items()
    file = DASHBOARDS / name.removeprefix("starlink-telemetry-").removeprefix("starlink-")
    must(text == file.read_text(), f"{name} is not {file}")
    json.loads(text)


def check_together(file, found):
    """Checks that involve all manifests of a file."""
    sets = [document for document in found if document["kind"] == "StatefulSet"]
    services = [document for document in found if document["kind"] == "Service"]
    if not sets:
        return
    (stateful,), (service,) = sets, services
    labels = stateful["spec"]["template"]["metadata"]["labels"]
    must(service["metadata"]["name"] == stateful["spec"]["serviceName"], "the StatefulSet names another Service")
    must(service["spec"]["selector"].items() <= labels.items(), "the Service misses the pod")
    ports = {port["name"] for port in stateful["spec"]["template"]["spec"]["containers"][0]["ports"]}
    must({port["targetPort"] for port in service["spec"]["ports"]} == ports, "the Service has other ports than the pod")
    account = stateful["spec"]["template"]["spec"]["serviceAccountName"]
    accounts = [document["metadata"]["name"] for document in found if document["kind"] == "ServiceAccount"]
    must(accounts == ([] if account == "default" else [account]), f"the account {account} is not made")
    if stateful["spec"]["replicas"] == 2:
        (term,) = stateful["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        must(term["labelSelector"]["matchLabels"].items() <= labels.items(), "the anti-affinity misses the pod")
        must(any(document["kind"] == "PodDisruptionBudget" for document in found), "a drain may take both pods")
    for document in found:
        kind, spec = document["kind"], document.get("spec", {})
        if kind == "ServiceMonitor":
            instances = {relabeling["sourceLabels"][0] for one in spec["endpoints"] for relabeling in one["relabelings"] if relabeling["targetLabel"] == "instance"}
            wanted = "pod" if stateful["spec"]["replicas"] == 2 else "service"
            must(instances == {f"__meta_kubernetes_{wanted}_name"}, f"instance is {instances}")
            must(spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items(), "the ServiceMonitor misses the Service")
            monitored = spec["endpoints"]
        elif kind == "PodMonitor":
            must(spec["selector"]["matchLabels"].items() <= labels.items(), "the PodMonitor misses the pod")
            monitored = spec["podMetricsEndpoints"]
        else:
            monitored = []
        for endpoint in monitored:
            must(endpoint["port"] == "metrics", f"{kind} scrapes {endpoint['port']}")
        if kind == "NetworkPolicy":
            must(spec["podSelector"]["matchLabels"].items() <= labels.items(), "the NetworkPolicy misses the pod")
            must(all(rule.get("from") for rule in spec["ingress"]), "a rule without peers allows everyone")
            must(all(rule.get("ports") for rule in spec["egress"]), "a rule without ports allows all of them")
            anywhere = {port["port"] for rule in spec["egress"] if not rule.get("to") for port in rule["ports"]}
            must(anywhere <= {53, 443, 3128}, f"the ports {sorted(anywhere)} may be reached anywhere")
        if kind == "PodDisruptionBudget":
            must(spec["selector"]["matchLabels"].items() <= labels.items(), "the PodDisruptionBudget misses the pod")
            must(spec["maxUnavailable"] == 1 and "minAvailable" not in spec, "a drain would be blocked")
        if kind == "Pod" and "helm.sh/hook" in document["metadata"].get("annotations", {}):
            must(not service["spec"]["selector"].items() <= document["metadata"]["labels"].items(), "the Service takes the test for the service")


def check(files):
    kinds = {}
    by_file = {}
    for file, document in documents(files):
        kind = document["kind"]
        place = f"{pathlib.Path(file).name}: {kind} {document['metadata']['name']}"
        try:
            if document["apiVersion"] == OPERATOR:
                check_operator(document)
            if kind == "StatefulSet":
                check_stateful_set(document)
            elif kind == "PrometheusRule":
                check_rules(document)
            elif kind == "ConfigMap" and "grafana_dashboard" in document["metadata"].get("labels", {}):
                check_dashboard(document)
        except (Wrong, ValueError) as error:
            raise Wrong(f"{place}: {error}") from error
        kinds[kind] = kinds.get(kind, 0) + 1
        by_file.setdefault(file, []).append(document)
    for file, found in by_file.items():
        try:
            check_together(file, found)
        except Wrong as error:
            raise Wrong(f"{pathlib.Path(file).name}: {error}") from error
        dashboards = sum(document["kind"] == "ConfigMap" and "grafana_dashboard" in document["metadata"].get("labels", {}) for document in found)
        must(dashboards in (0, len(list(DASHBOARDS.glob("*.json")))), f"{file} has {dashboards} dashboards")
    print("checked:", ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))


# Settings that the chart sets from other values than `settings`.
OWN_SETTINGS = {
    "CLIENT_ID", "CLIENT_ID_FILE", "CLIENT_SECRET", "CLIENT_SECRET_FILE", "ACCOUNTS_FILE",
    "METRICS_PORT", "PROBES_PORT", "WEB_CONFIG_FILE", "STATE_FILE", "NAMES_FILE", "REMOTE_WRITE_FILE", "JOURNAL_DIR",
}


def repository(_):
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = tomllib.loads(pathlib.Path("Cargo.toml").read_text())["package"]["version"]
    # A tag is a release of both.
    for key in ("version", "appVersion"):
        must(chart[key] == version, f"Chart.yaml has {key} {chart[key]}, Cargo.toml has version {version}")
    (image,) = yaml.safe_load(pathlib.Path("kubernetes/kustomization.yaml").read_text())["images"]
    must(image["newTag"] == version, f"kustomization.yaml has the tag {image['newTag']}, Cargo.toml has version {version}")

    schema = json.loads((CHART / "values.schema.json").read_text())
    known = set(schema["properties"]["settings"]["properties"])
    settings = set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", pathlib.Path(".env.example").read_text(), re.M))
    must(settings <= known | OWN_SETTINGS, f"values.schema.json lacks the settings {sorted(settings - known - OWN_SETTINGS)}")
    must(known <= settings, f"values.schema.json has settings that the service has not: {sorted(known - settings)}")
    must(not known & OWN_SETTINGS, f"settings that the chart sets itself: {sorted(known & OWN_SETTINGS)}")

    # Each value has a row in the chart's README, and a default.
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    readme = (CHART / "README.md").read_text()
    for key in sorted(set(schema["properties"]) - {"global", "enabled"}):
        must(key in values, f"values.yaml has no {key}")
        inner = schema["properties"][key].get("properties", {})
        rows = [f"`{key}.{name}`" for name in inner if name in (values[key] or {})] if key != "settings" else []
        if "$ref" in schema["properties"][key] or re.search("Probe$", key) or not rows:
            rows = [f"`{key}`"]
        for row in rows:
            must(row in readme, f"the chart's README.md does not name {row}")
    print(f"agreed: version {version}, {len(known)} settings, {len(values)} values")


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def status(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def environment_of(container, pod_name, found, root):
    """The environment of the container of a pod, with its files in `root` instead of their mount points."""
    mounted = {
        "CLIENT_ID_FILE": "an-id",
        "CLIENT_SECRET_FILE": "a-secret",
        "ACCOUNTS_FILE": next((next(iter(document["stringData"].values())) for document in found if document["metadata"]["name"].endswith("-accounts")), ACCOUNTS),
        "WEB_CONFIG_FILE": WEB_CONFIG,
        "NAMES_FILE": next((next(iter(document["data"].values())) for document in found if document["metadata"]["name"].endswith("-names")), "deviceID,name,group\n"),
        "REMOTE_WRITE_FILE": next((next(iter(document["stringData"].values())) for document in found if document["metadata"]["name"].endswith("-remote-write")), DESTINATIONS),
        "STATE_FILE": None,
        "JOURNAL_DIR": None,
    }
    environment = {entry["name"]: entry["value"].replace("$(POD_NAME)", pod_name) for entry in container["env"] if "value" in entry}
    for name, content in mounted.items():
        if name in environment:
            path = root / environment[name].lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is not None:
                path.write_text(content)
            environment[name] = str(path)
    return environment


def run_service(arguments):
    binary, *files = arguments
    binary = os.path.abspath(binary)
    accepted = demos = 0
    by_file = {}
    for file, document in documents(files):
        by_file.setdefault(file, []).append(document)
    for file, found in by_file.items():
        for document in found:
            if document["kind"] != "StatefulSet":
                continue
            (container,) = document["spec"]["template"]["spec"]["containers"]
            # All pods of a set have the same environment, but for the name.
            pod_name = f"{document['metadata']['name']}-{document['spec']['replicas'] - 1}"
            with tempfile.TemporaryDirectory() as directory:
                root = pathlib.Path(directory)
                environment = environment_of(container, pod_name, found, root)
                if container.get("args", [])[:1] == ["demo"]:
                    run_demo(binary, container, environment, directory, found)
                    demos += 1
                    continue
                result = subprocess.run([binary, "check-config"], env=environment, cwd=directory, capture_output=True, text=True, timeout=30)
                must(result.returncode == 0, f"{pathlib.Path(file).name}: the service does not accept its settings:\n{result.stdout}{result.stderr}")
                accepted += 1
    must(accepted and demos, "nothing was run")
    print(f"accepted: the settings of {accepted} StatefulSets; {demos} demo ran, and responded to its probes and the chart's test")


def run_demo(binary, container, environment, directory, found):
    port = free_port()
    environment |= {"METRICS_PORT": str(port), "METRICS_ADDRESS": "127.0.0.1"}
    service = subprocess.Popen([binary, *container["args"]], env=environment, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            path = container[probe]["httpGet"]["path"]
            deadline = time.monotonic() + 30
            while status(port, path) != 200:
                must(service.poll() is None, "the demo ended")
                must(time.monotonic() < deadline, f"{path}, which {probe} requests, does not respond")
                time.sleep(0.1)
        # The command of `helm test`, with the address of this machine.
        (test,) = [document for document in found if document["kind"] == "Pod"]
        (asking,) = test["spec"]["containers"]
        command = [*asking["command"], *(re.sub(r"^http://[^/]*", f"http://127.0.0.1:{port}", argument) for argument in asking["args"])]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
        must(result.returncode == 0, f"the chart's test fails: {result.stderr}")
        # The command must fail if the service is not reachable, or if one of its responses is wrong.
        for old, new in ((f":{port}/", f":{free_port()}/"), ("/livez", "/nowhere"), ("/metrics", "/nowhere")):
            broken = ["0" if argument == "5" else argument.replace(old, new) for argument in command]
            must(broken != command, f"the chart's test does not ask for {old}")
            must(subprocess.run(broken, capture_output=True, timeout=60).returncode != 0, f"the chart's test passes with {new} instead of {old}")
    finally:
        service.terminate()
        service.wait(10)


ACTIONS = {"without-operator": without_operator, "check": check, "repository": repository, "run": run_service}

if __name__ == "__main__":
    try:
        ACTIONS[sys.argv[1]](sys.argv[2:])
    except Wrong as error:
        sys.exit(f"failed: {error}")
