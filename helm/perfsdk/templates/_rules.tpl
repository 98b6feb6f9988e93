{{/* The groups of a rule file less the alerts that are not wanted, each alert with further labels. */}}
{{- define "perfsdk-chart.groups" -}}
{{- $groups := list -}}
{{- range $group := .groups -}}
{{- $rules := list -}}
{{- range $rule := $group.rules -}}
{{- if and $rule.alert $.values.alertLabels -}}
{{- $_ := set $rule "labels" (mergeOverwrite (dict) ($rule.labels | default dict) $.values.alertLabels) -}}
{{- end -}}
{{- if not (and $rule.alert (has $rule.alert $.values.exclude)) -}}
{{- $rules = append $rules $rule -}}
{{- end -}}
{{- end -}}
{{- if $rules -}}
{{- $groups = append $groups (set $group "rules" $rules) -}}
{{- end -}}
{{- end -}}
{{- toYaml $groups -}}
{{- end -}}
