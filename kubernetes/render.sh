#!/usr/bin/env bash
# Makes what is made: the chart's copies of the rule files and dashboards, and the plain manifests for those without Helm.
# Usage: kubernetes/render.sh; HELM names the program if it is not "helm". CI makes them once more and compares.
#
# Copies, because Helm reads no file outside the chart. Symbolic links would spare them, but Helm warns of each at every command, Flux
# and Argo CD refuse those that leave the chart, and a checkout on Windows has files with a path in them instead.
set -euo pipefail
cd "$(dirname "$0")"

copy() {
  local from=$1 to=$2 file
  shift 2
  mkdir -p "$to"
  rm -f "$to"/*
  for file in "$from"/$1; do
    # Unit tests of rules are no rules.
    [[ ! -e $file || $file == *_test.yml ]] || cp "$file" "$to"
  done
}

# A namespace that stands for none: the manifests go where kubectl's context says.
readonly NAMESPACE=left-out

# render FILE TEMPLATE VALUES...: one manifest, with the chart's comments and without what is true only of a release by Helm.
render() {
  local file=$1 template=$2
  shift 2
  "${HELM:-helm}" template starlink-telemetry chart --namespace "$NAMESPACE" --show-only "templates/$template" "$@" |
    sed -e '/^---$/d' -e '/^# Source: /d' -e '/^ *helm\.sh\/chart: /d' -e '/^ *app\.kubernetes\.io\/managed-by: /d' \
      -e "/^ *namespace: $NAMESPACE\$/d" |
    sed -e '1a # Made from kubernetes/chart by kubernetes/render.sh: change it there.' >"$file"
}

copy ../Docker/prometheus/rules chart/files/rules '*.yml'
copy ../Docker/grafana/dashboards chart/files/dashboards '*.json'

readonly -a SECRET=(--set credentials.existingSecret=starlink-telemetry)
render serviceaccount.yaml serviceaccount.yaml "${SECRET[@]}"
render service.yaml service.yaml "${SECRET[@]}"
render statefulset.yaml statefulset.yaml "${SECRET[@]}"
render servicemonitor.yaml servicemonitor.yaml "${SECRET[@]}" --set serviceMonitor.enabled=true
render prometheusrule.yaml prometheusrule.yaml "${SECRET[@]}" --set prometheusRule.enabled=true
render secret.yaml secret.yaml \
  --set credentials.clientId=CLIENT_ID_OF_THE_SERVICE_ACCOUNT --set credentials.clientSecret=CLIENT_SECRET_OF_THE_SERVICE_ACCOUNT
