{{- define "ehpc.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "ehpc.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "ehpc.name" .) .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name (include "ehpc.name" .) | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "ehpc.selector" -}}
app.kubernetes.io/name: {{ include "ehpc.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ehpc.labels" -}}
{{ include "ehpc.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "ehpc.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "ehpc.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "ehpc.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end }}

{{- define "ehpc.secret" -}}
{{- if .Values.demo.enabled -}}
{{ include "ehpc.fullname" . }}
{{- else -}}
{{ default (include "ehpc.fullname" .) .Values.secret.existing }}
{{- end -}}
{{- end }}

{{- define "ehpc.scheme" -}}
{{ ternary "https" "http" .Values.web.tls }}
{{- end }}

{{/* The program's configuration, as a map in JSON. */}}
{{- define "ehpc.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if .Values.demo.enabled -}}
{{- $account := dict
      "endpoint" (printf "http://%s-simulator:18080" (include "ehpc.fullname" .))
      "access_key_id_file" "/run/secrets/ehpc/EHPC_ACCESS_KEY_ID"
      "secret_access_key_file" "/run/secrets/ehpc/EHPC_SECRET_ACCESS_KEY"
      "quota" (dict "requests" 20000) -}}
{{- $clusters := list
      (dict "name" "demo-1" "cluster_id" "ehpc-qmmvigwe" "zone" "jinan1a")
      (dict "name" "demo-2" "cluster_id" "hpc-n2yopbte" "zone" "jinan1a")
      (dict "name" "demo-3" "cluster_id" "ehpc-k3v8xw1d" "zone" "jn1a")
      (dict "name" "demo-4" "cluster_id" "ehpc-7tb2mz5c" "zone" "jn1a") -}}
{{- $config = dict
      "accounts" (list $account)
      "clusters" $clusters
      "collection" (dict "interval" "5s" "audit_interval" "1m") -}}
{{- else if not (or $config.clusters (include "ehpc.discovers" $config.accounts)) -}}
{{- fail "config.clusters is empty: name the clusters to watch, as values.yaml shows, or set demo.enabled=true for a simulated cloud" -}}
{{- end -}}
{{- range $number, $account := $config.accounts -}}
{{- if not (regexMatch "^([$][{][A-Za-z_][A-Za-z0-9_]*[}])?$" (default "" $account.secret_access_key)) -}}
{{- fail (printf "config.accounts[%d].secret_access_key would be readable in a ConfigMap: put it into secret.data, or into the Secret that secret.existing names, and write secret_access_key_file: /run/secrets/ehpc/KEY" $number) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $config "state" (dict "path" "/var/lib/ehpc-exporter") -}}
{{- toJson $config -}}
{{- end }}

{{/* The milliseconds of a duration such as 1m30s. */}}
{{- define "ehpc.milliseconds" -}}
{{- $sum := 0 -}}
{{- range regexFindAll "[0-9]+[a-z]+" . -1 -}}
{{- $unit := regexFind "[a-z]+" . -}}
{{- $sum = add $sum (mul (trimSuffix $unit .) (get (dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000) $unit)) -}}
{{- end -}}
{{ $sum }}
{{- end }}

{{/* Something, if an account finds clusters by itself. */}}
{{- define "ehpc.discovers" -}}
{{- range . }}{{ if .discovery }}yes{{ end }}{{ end -}}
{{- end }}

{{/* The ports at which the accounts' endpoints listen, as a list in JSON. */}}
{{- define "ehpc.endpointPorts" -}}
{{- $ports := list -}}
{{- range (include "ehpc.config" . | fromJson).accounts -}}
{{- $url := urlParse .endpoint -}}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) -}}
{{- $ports = append $ports (int (default (ternary 80 443 (eq $url.scheme "http")) $port)) -}}
{{- end -}}
{{- $ports | uniq | sortAlpha | toJson -}}
{{- end }}

{{/* How the path is asked for, and what the values say of it. A kubelet that has no password asks from
within. */}}
{{- define "ehpc.probe" -}}
{{- $path := print (index . 0).Values.web.routePrefix (index . 1) -}}
{{- $probe := index . 2 -}}
{{- with index . 0 -}}
{{- if or $probe.httpGet $probe.exec $probe.tcpSocket -}}
{{- else if .Values.web.existingSecret -}}
exec:
  command: [python3, /opt/ehpc-exporter/healthcheck.py, "{{ include "ehpc.scheme" . }}://127.0.0.1:10046{{ $path }}"]
{{ else -}}
httpGet:
  path: {{ $path }}
  port: metrics
{{ end -}}
{{- end -}}
{{- toYaml $probe -}}
{{- end }}
