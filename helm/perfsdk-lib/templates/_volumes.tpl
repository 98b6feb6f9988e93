{{/* Items for `volumes` of the pod. */}}
{{- define "perfsdk.volume" -}}
{{- $values := include "perfsdk.values" . | fromYaml -}}
{{- if $values.enabled -}}
- name: perfsdk
  emptyDir:
    medium: Memory
    sizeLimit: {{ $values.directory.sizeLimit }}
{{- with $values.sidecar.webConfig.secretName }}
- name: perfsdk-web-config
  secret:
    {{- /* 0440 of the pod's group; without one 0444, or only root could read it. */}}
    defaultMode: {{ ternary 288 292 (not (empty $values.directory.fsGroup)) }}
    secretName: {{ . }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Items for `volumeMounts` of the application's container. */}}
{{- define "perfsdk.volumeMount" -}}
{{- $values := include "perfsdk.values" . | fromYaml -}}
{{- if $values.enabled -}}
- name: perfsdk
  mountPath: {{ $values.directory.mountPath }}
{{- end -}}
{{- end -}}
