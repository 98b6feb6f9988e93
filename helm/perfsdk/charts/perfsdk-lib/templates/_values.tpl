{{/*
The values of this library for one workload, as YAML. The context of every template here is `.` of
your chart or, for a workload of its own settings, `dict "root" . "values" .Values.worker.perfsdk`.
*/}}
{{- define "perfsdk.values" -}}
{{- $root := .root | default . -}}
{{- $base := dict -}}
{{- range $key := list "perfsdk" "perfsdk-lib" -}}
{{- $found := index $root.Values $key | default dict -}}
{{- if and (not $base) (kindIs "map" $found) (hasKey $found "sidecar") -}}
{{- $base = $found -}}
{{- end -}}
{{- end -}}
{{- if not $base -}}
{{- fail "perfsdk-lib is no dependency of this chart: add it to Chart.yaml with `alias: perfsdk` and run `helm dependency build`" -}}
{{- end -}}
{{- toYaml (mustMergeOverwrite (deepCopy $base) (deepCopy (.values | default dict))) -}}
{{- end -}}

{{- define "perfsdk.serviceName" -}}
{{- $root := .root | default . -}}
{{- $values := include "perfsdk.values" . | fromYaml -}}
{{- $values.service | default $root.Chart.Name -}}
{{- end -}}

{{/* Where processes write: below the mount, so that it has an owner and a mode of its own. */}}
{{- define "perfsdk.directory" -}}
{{- $values := include "perfsdk.values" . | fromYaml -}}
{{- printf "%s/segments" $values.directory.mountPath -}}
{{- end -}}

{{- define "perfsdk.image" -}}
{{- $image := (include "perfsdk.values" . | fromYaml).sidecar.image -}}
{{- $missing := "perfsdk.sidecar.image.repository is empty: build exporter/Dockerfile, push it, and name it here" -}}
{{- $repository := required $missing $image.repository -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (toString $image.tag) -}}
{{- end -}}
{{- end -}}
