{{/* What PodMonitor and ServiceMonitor have in common. */}}
{{- define "perfsdk-chart.monitorSpec" -}}
{{- with .jobLabel }}
jobLabel: {{ . }}
{{- end }}
selector:
  {{- toYaml .selector | nindent 2 }}
namespaceSelector:
  {{- if .namespaces }}
  matchNames:
    {{- toYaml .namespaces | nindent 4 }}
  {{- else }}
  any: true
  {{- end }}
{{- with .sampleLimit }}
sampleLimit: {{ . | int64 }}
{{- end }}
{{- if ne .histograms "server" }}
scrapeNativeHistograms: {{ ne .histograms "classic" }}
{{- if ne .histograms "classic" }}
scrapeClassicHistograms: {{ eq .histograms "both" }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "perfsdk-chart.endpoint" -}}
port: {{ .port }}
path: {{ .path }}
scheme: {{ .scheme }}
{{- with .interval }}
interval: {{ . }}
{{- end }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- range $field := list "tlsConfig" "basicAuth" "relabelings" "metricRelabelings" }}
{{- with index $ $field }}
{{ $field }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}
