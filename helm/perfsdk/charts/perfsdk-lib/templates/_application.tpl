{{/* Items for `env` of the application's container. */}}
{{- define "perfsdk.env" -}}
{{- $values := include "perfsdk.values" . | fromYaml -}}
{{- if $values.enabled -}}
- name: OTEL_SERVICE_NAME
  value: {{ include "perfsdk.serviceName" . | quote }}
- name: PERFSDK_DIR
  value: {{ include "perfsdk.directory" . | quote }}
- name: PERFSDK_DIR_MODE
  value: {{ $values.directory.mode | quote }}
{{- range $name, $value := $values.application.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- else -}}
- name: PERFSDK_ENABLED
  value: "0"
{{- end -}}
{{- end -}}

{{/* Labels of the pod, by which the monitors of the chart perfsdk select it. */}}
{{- define "perfsdk.podLabels" -}}
{{- if (include "perfsdk.values" . | fromYaml).enabled -}}
perfsdk-sidecar: "true"
{{- end -}}
{{- end -}}

{{/* Annotations of the pod, for a Prometheus that finds its targets by them; often empty. */}}
{{- define "perfsdk.podAnnotations" -}}
{{- $values := include "perfsdk.values" . | fromYaml -}}
{{- if and $values.enabled $values.scrapeAnnotations -}}
prometheus.io/path: {{ $values.sidecar.telemetryPath | quote }}
prometheus.io/port: {{ $values.sidecar.port | int | quote }}
prometheus.io/scheme: {{ $values.sidecar.webConfig.scheme | lower | quote }}
prometheus.io/scrape: "true"
{{- end -}}
{{- end -}}

{{/* `securityContext` of the pod: the group through which two users share the directory. */}}
{{- define "perfsdk.podSecurityContext" -}}
{{- $values := include "perfsdk.values" . | fromYaml -}}
{{- with $values.directory.fsGroup -}}
fsGroup: {{ . | int64 }}
fsGroupChangePolicy: OnRootMismatch
{{ end -}}
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- end -}}
