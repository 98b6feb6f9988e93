{{/* The container of the exporter, an item of a list; which list it is for depends on `native`. */}}
{{- define "perfsdk.sidecar" -}}
{{- $sidecar := (include "perfsdk.values" . | fromYaml).sidecar -}}
- name: {{ $sidecar.name }}
  image: {{ include "perfsdk.image" . | quote }}
  imagePullPolicy: {{ $sidecar.image.pullPolicy }}
  {{- if $sidecar.native }}
  restartPolicy: Always
  {{- end }}
  args:
    {{- include "perfsdk.args" . | nindent 4 }}
  {{- with $sidecar.extraEnv }}
  env:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  ports:
    {{- include "perfsdk.ports" . | nindent 4 }}
  {{- with include "perfsdk.probes" . }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with $sidecar.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml $sidecar.securityContext | nindent 4 }}
  volumeMounts:
    {{- include "perfsdk.volumeMount" . | nindent 4 }}
    {{- if $sidecar.webConfig.secretName }}
    - name: perfsdk-web-config
      mountPath: /etc/perfsdk
      readOnly: true
    {{- end }}
{{- end -}}

{{/* Items for `initContainers`: the sidecar where it is native, else nothing. */}}
{{- define "perfsdk.initContainers" -}}
{{- $values := include "perfsdk.values" . | fromYaml -}}
{{- if and $values.enabled $values.sidecar.native -}}
{{- $root := .root | default . -}}
{{- /* An older cluster would wait for its end before it starts the application. */ -}}
{{- if semverCompare "<1.29.0-0" $root.Capabilities.KubeVersion.Version -}}
{{- fail (printf "Kubernetes %s has no native sidecars: set perfsdk.sidecar.native to false" $root.Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- include "perfsdk.sidecar" . -}}
{{- end -}}
{{- end -}}

{{/* Items for `containers`: the sidecar where it is not native, else nothing. */}}
{{- define "perfsdk.containers" -}}
{{- $values := include "perfsdk.values" . | fromYaml -}}
{{- if and $values.enabled (not $values.sidecar.native) -}}
{{- include "perfsdk.sidecar" . -}}
{{- end -}}
{{- end -}}

{{- define "perfsdk.args" -}}
{{- $sidecar := (include "perfsdk.values" . | fromYaml).sidecar -}}
- --dir={{ include "perfsdk.directory" . }}
- --web.listen-address=:{{ $sidecar.port | int }}
- --web.telemetry-path={{ $sidecar.telemetryPath }}
- --archive.retention={{ $sidecar.archiveRetention }}
- --log.level={{ $sidecar.logLevel }}
- --log.format={{ $sidecar.logFormat }}
{{- if $sidecar.queries }}
- --web.queries
{{- end }}
{{- if $sidecar.webConfig.secretName }}
- --web.config.file=/etc/perfsdk/{{ $sidecar.webConfig.key }}
{{- end }}
{{- with $sidecar.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Items for `ports` of the sidecar. */}}
{{- define "perfsdk.ports" -}}
{{- $sidecar := (include "perfsdk.values" . | fromYaml).sidecar -}}
- name: {{ $sidecar.portName }}
  containerPort: {{ $sidecar.port | int }}
  protocol: TCP
{{- end -}}

{{/* Items for `ports` of a Service, for a ServiceMonitor. */}}
{{- define "perfsdk.servicePort" -}}
{{- $values := include "perfsdk.values" . | fromYaml -}}
{{- if $values.enabled -}}
- name: {{ $values.sidecar.portName }}
  port: {{ $values.sidecar.port | int }}
  protocol: TCP
  targetPort: {{ $values.sidecar.portName }}
{{- end -}}
{{- end -}}
