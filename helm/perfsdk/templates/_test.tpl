{{/* What `helm test` asks for, the demo's page unless another is named; nothing without either. */}}
{{- define "perfsdk-chart.testUrl" -}}
{{- $sidecar := .Values.perfsdk.sidecar -}}
{{- if .Values.test.url -}}
{{- .Values.test.url -}}
{{- else if and .Values.demo.enabled .Values.perfsdk.enabled -}}
{{- printf "%s://%s:%d%s" (lower $sidecar.webConfig.scheme) (include "perfsdk-chart.demoName" .) (int $sidecar.port) $sidecar.telemetryPath -}}
{{- end -}}
{{- end -}}

{{- define "perfsdk-chart.testImage" -}}
{{- if .Values.test.image -}}
{{- .Values.test.image -}}
{{- else if .Values.demo.enabled -}}
{{- include "perfsdk-chart.demoImage" . -}}
{{- else -}}
{{- fail "test.image is empty: name an image with python, that of the exporter for one" -}}
{{- end -}}
{{- end -}}
