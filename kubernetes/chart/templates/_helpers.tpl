{{/* Names, labels and other parts that several manifests use. */}}

{{- define "starlink-telemetry.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* At most 52 characters, because the name with "-0" or a revision appended is the value of a label, which has at most 63. */}}
{{- define "starlink-telemetry.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- $name := include "starlink-telemetry.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "starlink-telemetry.selectorLabels" -}}
app.kubernetes.io/name: {{ include "starlink-telemetry.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "starlink-telemetry.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "starlink-telemetry.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "starlink-telemetry.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "starlink-telemetry.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "starlink-telemetry.image" -}}
{{- with .Values.image }}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) }}
{{- end }}
{{- end }}
{{- end }}

{{/* "true" for a pair, else nothing. Fails if the two pods would share something that each must have alone. */}}
{{- define "starlink-telemetry.isPair" -}}
{{- $secrets := concat .Values.credentials.existingSecrets .Values.accounts.existingSecrets }}
{{- if eq (int .Values.replicas) 2 }}
{{- if .Values.demo }}
{{- fail "replicas: the demo has one pod; a pair needs two service accounts" }}
{{- end }}
{{- if or (ne (len $secrets) 2) (ne (len (uniq $secrets)) 2) (and .Values.credentials.existingSecrets .Values.accounts.existingSecrets) }}
{{- fail "replicas: a pair needs credentials.existingSecrets or accounts.existingSecrets, a list of two different Secrets with different service accounts: pods with one service account would each receive only a part of the rows" }}
{{- end }}
{{- if or .Values.accounts.existingSecret .Values.accounts.file .Values.credentials.existingSecret .Values.credentials.clientId .Values.credentials.clientSecret }}
{{- fail "replicas: a pair takes its credentials from the lists existingSecrets only: remove the other values of credentials and accounts" }}
{{- end }}
{{- if .Values.persistence.existingClaim }}
{{- fail "persistence.existingClaim: the pods of a pair cannot share a volume: leave it unset, and the StatefulSet creates a claim for each" }}
{{- end }}
{{- true }}
{{- else if $secrets }}
{{- fail "existingSecrets: set replicas to 2 for a pair, or use existingSecret" }}
{{- end }}
{{- end }}

{{/* The settings of the service, as JSON. The pods of a pair share Starlink's limit of 250 requests a minute. */}}
{{- define "starlink-telemetry.settings" -}}
{{- $settings := .Values.settings }}
{{- if include "starlink-telemetry.isPair" . }}
{{- $polls := int (default 100 .Values.settings.POLLS_PER_MINUTE) }}
{{- if gt $polls 100 }}
{{- fail (printf "settings.POLLS_PER_MINUTE (%d): at most 100 for each pod of a pair, because Starlink allows 250 requests a minute to a Starlink account" $polls) }}
{{- end }}
{{- $settings = merge (dict "POLLS_PER_MINUTE" $polls) $settings }}
{{- end }}
{{- toJson $settings }}
{{- end }}

{{/* The affinity of the pods: that of the values, and for a pair a required anti-affinity. */}}
{{- define "starlink-telemetry.affinity" -}}
{{- $affinity := .Values.affinity | default dict }}
{{- if and (include "starlink-telemetry.isPair" .) (not $affinity.podAntiAffinity) }}
{{- $labels := merge (dict "app.kubernetes.io/component" "exporter") (include "starlink-telemetry.selectorLabels" . | fromYaml) }}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" $labels) }}
{{- $affinity = merge (dict "podAntiAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $term))) $affinity }}
{{- end }}
{{- with $affinity }}{{ toYaml . }}{{ end }}
{{- end }}

{{/* The Secrets with the accounts files, one for each pod, as JSON; an empty list if there is one service account. */}}
{{- define "starlink-telemetry.accounts" -}}
{{- if .Values.demo }}
{{- list | toJson }}
{{- else if and (include "starlink-telemetry.isPair" .) .Values.accounts.existingSecrets }}
{{- .Values.accounts.existingSecrets | toJson }}
{{- else if or .Values.accounts.existingSecret .Values.accounts.file }}
{{- with .Values.credentials }}
{{- if or .existingSecret .clientId .clientSecret }}
{{- fail "accounts: the service takes its accounts from the accounts file only: remove the values of credentials" }}
{{- end }}
{{- end }}
{{- list (.Values.accounts.existingSecret | default (printf "%s-accounts" (include "starlink-telemetry.fullname" .))) | toJson }}
{{- else }}
{{- list | toJson }}
{{- end }}
{{- end }}

{{/* The Secrets with the credentials, one for each pod, as JSON; an empty list if the credentials are not in such a Secret. */}}
{{- define "starlink-telemetry.credentials" -}}
{{- if or .Values.demo (include "starlink-telemetry.accounts" . | fromJsonArray) }}
{{- list | toJson }}
{{- else if include "starlink-telemetry.isPair" . }}
{{- .Values.credentials.existingSecrets | toJson }}
{{- else if .Values.credentials.existingSecret }}
{{- list .Values.credentials.existingSecret | toJson }}
{{- else if and .Values.credentials.clientId .Values.credentials.clientSecret }}
{{- list (include "starlink-telemetry.fullname" .) | toJson }}
{{- else }}
{{- $elsewhere := not (empty .Values.extraEnvFrom) }}
{{- range .Values.extraEnv }}
{{- if regexMatch "^(CLIENT_SECRET(_FILE)?|ACCOUNTS_FILE)$" .name }}{{ $elsewhere = true }}{{ end }}
{{- end }}
{{- if not $elsewhere }}
{{- fail "no credentials: set credentials.existingSecret to a Secret with the keys client-id and client-secret, accounts.existingSecret to one with an accounts file, or demo=true for a simulated account" }}
{{- end }}
{{- list | toJson }}
{{- end }}
{{- end }}

{{/* The Secret with the file of the destinations of remote write; nothing if there is none. */}}
{{- define "starlink-telemetry.remoteWrite" -}}
{{- if .Values.remoteWrite.existingSecret }}
{{- if .Values.remoteWrite.file }}
{{- fail "remoteWrite: set existingSecret or file, not both" }}
{{- end }}
{{- .Values.remoteWrite.existingSecret }}
{{- else if .Values.remoteWrite.file }}
{{- printf "%s-remote-write" (include "starlink-telemetry.fullname" .) }}
{{- end }}
{{- end }}

{{/* "true" if there is a destination of remote write, and so a journal; else nothing. */}}
{{- define "starlink-telemetry.hasJournal" -}}
{{- $file := include "starlink-telemetry.remoteWrite" . }}
{{- $elsewhere := .Values.settings.REMOTE_WRITE_URL }}
{{- range .Values.extraEnv }}
{{- if regexMatch "^REMOTE_WRITE_(URL|FILE)$" .name }}{{ $elsewhere = .name }}{{ end }}
{{- end }}
{{- if and $file $elsewhere }}
{{- fail "remoteWrite: there is also REMOTE_WRITE_URL or REMOTE_WRITE_FILE in settings or extraEnv: the destinations must be in one place" }}
{{- end }}
{{- if or $file $elsewhere }}
{{- if and .Values.journal.existingClaim (include "starlink-telemetry.isPair" .) }}
{{- fail "journal.existingClaim: the pods of a pair cannot share a volume: leave it unset, and the StatefulSet creates a claim for each" }}
{{- end }}
{{- true }}
{{- end }}
{{- end }}

{{- define "starlink-telemetry.names" -}}
{{- if .Values.names.existingConfigMap }}
{{- .Values.names.existingConfigMap }}
{{- else if .Values.names.csv }}
{{- printf "%s-names" (include "starlink-telemetry.fullname" .) }}
{{- end }}
{{- end }}

{{/* A duration in Prometheus's notation, in milliseconds. */}}
{{- define "starlink-telemetry.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 "w" 604800000 }}
{{- $total := 0 }}
{{- range regexFindAll "[0-9]+(ms|s|m|h|d|w)" . -1 }}
{{- $unit := regexFind "[a-z]+$" . }}
{{- $total = add $total (mul (trimSuffix $unit . | int64) (get $units $unit)) }}
{{- end }}
{{- $total }}
{{- end }}

{{/* The timeout of a scrape. The Prometheus Operator drops a target whose timeout is longer than its interval. */}}
{{- define "starlink-telemetry.scrapeTimeout" -}}
{{- $interval := include "starlink-telemetry.milliseconds" .monitor.interval | int64 }}
{{- if not $interval }}
{{- fail (printf "%s.interval (%s) is not a duration: use for example 20s" .name .monitor.interval) }}
{{- end }}
{{- $timeout := .monitor.scrapeTimeout | default (gt $interval 10000 | ternary "10s" .monitor.interval) }}
{{- if gt (include "starlink-telemetry.milliseconds" $timeout | int64) $interval }}
{{- fail (printf "%s.scrapeTimeout (%s) is longer than %s.interval (%s), and the Prometheus Operator would drop the target: leave scrapeTimeout unset, or set it to at most %s" .name $timeout .name .monitor.interval .monitor.interval) }}
{{- end }}
{{- $timeout }}
{{- end }}

{{/* Fails for a text that is too large for a ConfigMap or Secret, which may have at most 1 MiB of data. */}}
{{- define "starlink-telemetry.fits" -}}
{{- if gt (len .text) 1000000 }}
{{- fail (printf "%s: %d bytes, and one Kubernetes object should hold at most 1000000: %s" .what (len .text) .instead) }}
{{- end }}
{{- end }}

{{/* The endpoints of both kinds of monitor: a list with one entry for each shard. */}}
{{- define "starlink-telemetry.endpoints" -}}
{{- $monitor := .monitor }}
{{- $instance := .instance }}
{{- $shards := int $monitor.shards }}
{{- $timeout := include "starlink-telemetry.scrapeTimeout" . }}
{{- range $shard := until $shards }}
- port: metrics
  path: /metrics
  {{- if or $monitor.collect (gt $shards 1) }}
  params:
    {{- with $monitor.collect }}
    "collect[]": {{ toJson . }}
    {{- end }}
    {{- if gt $shards 1 }}
    shard: [{{ $shard | quote }}]
    total_shards: [{{ $shards | quote }}]
    {{- end }}
  {{- end }}
  {{- with $monitor.scheme }}
  scheme: {{ . }}
  {{- end }}
  {{- with $monitor.tlsConfig }}
  tlsConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $monitor.basicAuth }}
  basicAuth:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  interval: {{ $monitor.interval }}
  scrapeTimeout: {{ $timeout }}
  relabelings:
    # By default `instance` is the address of the pod, which changes with each restart and would start
    # new series. This name stays the same.
    - sourceLabels: [{{ $instance }}]
      targetLabel: instance
    {{- if gt $shards 1 }}
    # Without it, Prometheus would treat the targets as one, because their job and instance are the same.
    - targetLabel: shard
      replacement: {{ $shard | quote }}
    {{- end }}
    {{- with $monitor.relabelings }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $monitor.metricRelabelings }}
  metricRelabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
