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
    defaultMode: 288 # 0440
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
