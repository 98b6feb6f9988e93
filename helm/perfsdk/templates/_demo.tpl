{{- define "perfsdk-chart.demoName" -}}
{{ include "perfsdk-chart.fullname" . }}-demo
{{- end -}}

{{- define "perfsdk-chart.demoLabels" -}}
app.kubernetes.io/name: perfsdk-demo
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "perfsdk-chart.demoImage" -}}
{{- $missing := "demo.image.repository is empty: build the target demo of exporter/Dockerfile, push it, and name it here" -}}
{{- printf "%s:%s" (required $missing .Values.demo.image.repository) .Values.demo.image.tag -}}
{{- end -}}

{{/* Passes the Pod Security Standard "restricted". */}}
{{- define "perfsdk-chart.restricted" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
runAsGroup: {{ . }}
runAsNonRoot: true
runAsUser: {{ . }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}
