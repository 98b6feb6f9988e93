{{- define "perfsdk-chart.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- $combined := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- .Values.fullnameOverride | default $combined | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "perfsdk-chart.labels" -}}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_")
  "app.kubernetes.io/name" (.Values.nameOverride | default .Chart.Name)
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service -}}
{{- toYaml (merge $own .Values.commonLabels) -}}
{{- end -}}

{{/* The metadata of an object: (dict "root" $ "name" "" "of" .Values.podMonitor "labels" (dict)). */}}
{{- define "perfsdk-chart.metadata" -}}
{{- $labels := include "perfsdk-chart.labels" .root | fromYaml -}}
name: {{ .name }}
namespace: {{ .of.namespace | default .root.Release.Namespace }}
labels:
  {{- toYaml (mergeOverwrite $labels (.labels | default dict) (.of.labels | default dict)) | nindent 2 }}
{{- with mergeOverwrite (dict) (.annotations | default dict) (.of.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* "true" or nothing: whether objects of the Prometheus Operator are made. */}}
{{- define "perfsdk-chart.wanted" -}}
{{- $has := .root.Capabilities.APIVersions.Has "monitoring.coreos.com/v1" -}}
{{- if or (eq (toString .enabled) "true") (and (eq (toString .enabled) "auto") $has) -}}true{{- end -}}
{{- end -}}

{{- define "perfsdk-chart.testLabels" -}}
app.kubernetes.io/component: test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
