{{- /* Labels of everything but CRDs. */ -}}
{{- define "sluice.labels" -}}
app.kubernetes.io/part-of: sluice
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* The image, by its digest where there is one. */ -}}
{{- define "sluice.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- /* A setting as an argument: texts as they are, numbers without an exponent. */ -}}
{{- define "sluice.argument" -}}
{{- printf "--%s=%s" (kebabcase .name) (kindIs "string" .value | ternary .value (toJson .value)) -}}
{{- end }}

{{- /* The settings as arguments; the Prometheus is in the environment. */ -}}
{{- define "sluice.arguments" -}}
- run
{{- range $name, $value := omit .Values.settings "prometheusUrl" }}
{{- if kindIs "slice" $value }}
{{- range $value }}
- {{ include "sluice.argument" (dict "name" $name "value" .) | quote }}
{{- end }}
{{- else if kindIs "bool" $value }}
{{- if $value }}
- --{{ kebabcase $name }}
{{- end }}
{{- else if not (kindIs "invalid" $value) }}
- {{ include "sluice.argument" (dict "name" $name "value" $value) | quote }}
{{- end }}
{{- end }}
{{- if .Values.audit.signingKey.secretName }}
- --audit-key=/etc/sluice/audit-key/audit-key.pem
{{- end }}
{{- end }}
