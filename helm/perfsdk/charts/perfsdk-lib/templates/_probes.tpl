{{/* The probes of the sidecar, those that are on. */}}
{{- define "perfsdk.probes" -}}
{{- $probes := (include "perfsdk.values" . | fromYaml).sidecar.probes -}}
{{- if $probes.liveness -}}
livenessProbe:
  {{- include "perfsdk.probe" (list . "/-/healthy") | nindent 2 }}
{{- end }}
{{- if $probes.readiness }}
readinessProbe:
  {{- include "perfsdk.probe" (list . "/-/ready") | nindent 2 }}
{{- end -}}
{{- end -}}

{{- define "perfsdk.probe" -}}
{{- $sidecar := (include "perfsdk.values" (index . 0) | fromYaml).sidecar -}}
httpGet:
  path: {{ index . 1 }}
  port: {{ $sidecar.portName }}
  scheme: {{ $sidecar.webConfig.scheme }}
  {{- with $sidecar.webConfig.probeHeaders }}
  httpHeaders:
    {{- toYaml . | nindent 4 }}
  {{- end }}
periodSeconds: {{ $sidecar.probes.periodSeconds | int }}
timeoutSeconds: {{ $sidecar.probes.timeoutSeconds | int }}
failureThreshold: {{ $sidecar.probes.failureThreshold | int }}
{{- end -}}
