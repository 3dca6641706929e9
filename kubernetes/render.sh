#!/usr/bin/env bash
# Generates the chart's copies of the rule files and dashboards, and the plain manifests for use without Helm.
# Usage: kubernetes/render.sh; HELM names the program if it is not "helm". CI generates them again and compares.
#
# Copies are necessary, because Helm reads no file outside the chart. Symbolic links are no alternative: Helm warns about each of them at
# every command, Flux and Argo CD reject links that leave the chart, and a checkout on Windows replaces them by files with a path in them.
set -euo pipefail
cd "$(dirname "$0")"

copy() {
  local from=$1 to=$2 file
  shift 2
  mkdir -p "$to"
  rm -f "$to"/*
  for file in "$from"/$1; do
    # Unit tests of rules are not copied.
    [[ ! -e $file || $file == *_test.yml ]] || cp "$file" "$to"
  done
}

# A placeholder that is removed below: kubectl then uses the namespace of its context.
readonly NAMESPACE=left-out

# render FILE TEMPLATE VALUES...: writes one manifest, with the chart's comments and without the lines that apply only to a release by Helm.
render() {
  local file=$1 template=$2
  shift 2
  "${HELM:-helm}" template starlink-telemetry chart --namespace "$NAMESPACE" --show-only "templates/$template" "$@" |
    sed -e '/^---$/d' -e '/^# Source: /d' -e '/^ *helm\.sh\/chart: /d' -e '/^ *app\.kubernetes\.io\/managed-by: /d' \
      -e "/^ *namespace: $NAMESPACE\$/d" |
    sed -e '1a # Generated from kubernetes/chart by kubernetes/render.sh: change it there.' >"$file"
}

copy ../Docker/prometheus/rules chart/files/rules '*.yml'
copy ../Docker/grafana/dashboards chart/files/dashboards '*.json'

readonly -a SECRET=(--set credentials.existingSecret=starlink-telemetry)
render serviceaccount.yaml serviceaccount.yaml "${SECRET[@]}"
render service.yaml service.yaml "${SECRET[@]}"
render statefulset.yaml statefulset.yaml "${SECRET[@]}"
render servicemonitor.yaml servicemonitor.yaml "${SECRET[@]}" --set serviceMonitor.enabled=true
render prometheusrule.yaml prometheusrule.yaml "${SECRET[@]}" --set prometheusRule.enabled=true
# The component with remote write: the same StatefulSet with a journal.
render history/statefulset.yaml statefulset.yaml "${SECRET[@]}" --set remoteWrite.existingSecret=starlink-destinations
render secret.yaml secret.yaml \
  --set credentials.clientId=CLIENT_ID_OF_THE_SERVICE_ACCOUNT --set credentials.clientSecret=CLIENT_SECRET_OF_THE_SERVICE_ACCOUNT
