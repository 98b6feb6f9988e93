# Written by grafana/build.py: change grafana/alerting/ and run it.
groups:
  - name: perfsdk-objectives-alerts
    rules:
      - alert: PerfsdkErrorBudgetBurnPage
        expr: |-
          (
            max without (sloth_window) (
              slo:sli_error:ratio_rate5m{sloth_slo="availability"} > 14.4 * (1 - {{ .Values.rules.parameters.availabilityObjective }})
              and ignoring (sloth_window)
              slo:sli_error:ratio_rate1h{sloth_slo="availability"} > 14.4 * (1 - {{ .Values.rules.parameters.availabilityObjective }})
            )
            or
            max without (sloth_window) (
              slo:sli_error:ratio_rate30m{sloth_slo="availability"} > 6 * (1 - {{ .Values.rules.parameters.availabilityObjective }})
              and ignoring (sloth_window)
              slo:sli_error:ratio_rate6h{sloth_slo="availability"} > 6 * (1 - {{ .Values.rules.parameters.availabilityObjective }})
            )
          )
          and on (cluster, namespace, job) avg_over_time(job:http_server_requests:rate5m[1h]) > {{ .Values.rules.parameters.minRequestsPerSecond }}
        for: "2m"
        labels:
          severity: critical
          sloth_severity: page
        annotations:
          summary: "{{ "{{" }} $labels.job }} fails so often that its error budget is soon spent"
          description: "{{ "{{" }} $value | humanizePercentage }} of the requests of {{ "{{" }} $labels.job }} fail; {{ "{{" }} {{ .Values.rules.parameters.availabilityObjective }} | humanizePercentage }} must succeed. At this pace the budget of 30 days is spent in 5 days or less."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdkerrorbudgetburnpage"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-service?from=now-3h&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
      - alert: PerfsdkErrorBudgetBurnTicket
        expr: |-
          (
            max without (sloth_window) (
              slo:sli_error:ratio_rate2h{sloth_slo="availability"} > 3 * (1 - {{ .Values.rules.parameters.availabilityObjective }})
              and ignoring (sloth_window)
              slo:sli_error:ratio_rate1d{sloth_slo="availability"} > 3 * (1 - {{ .Values.rules.parameters.availabilityObjective }})
            )
            or
            max without (sloth_window) (
              slo:sli_error:ratio_rate6h{sloth_slo="availability"} > 1 * (1 - {{ .Values.rules.parameters.availabilityObjective }})
              and ignoring (sloth_window)
              slo:sli_error:ratio_rate3d{sloth_slo="availability"} > 1 * (1 - {{ .Values.rules.parameters.availabilityObjective }})
            )
          )
          and on (cluster, namespace, job) avg_over_time(job:http_server_requests:rate5m[1h]) > {{ .Values.rules.parameters.minRequestsPerSecond }}
        for: "15m"
        labels:
          severity: warning
          sloth_severity: ticket
        annotations:
          summary: "{{ "{{" }} $labels.job }} fails more often than its objective allows"
          description: "{{ "{{" }} $value | humanizePercentage }} of the requests of {{ "{{" }} $labels.job }} fail; {{ "{{" }} {{ .Values.rules.parameters.availabilityObjective }} | humanizePercentage }} must succeed. At this pace the budget of 30 days is spent before they are over."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdkerrorbudgetburnticket"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-slo?from=now-3d&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
      - alert: PerfsdkLatencyBudgetBurnPage
        expr: |-
          (
            max without (sloth_window) (
              slo:sli_error:ratio_rate5m{sloth_slo="latency"} > scalar(clamp_max(vector(14.4 * (1 - {{ .Values.rules.parameters.latencyObjective }})), 1 - {{ .Values.rules.parameters.latencyObjective }} / 2))
              and ignoring (sloth_window)
              slo:sli_error:ratio_rate1h{sloth_slo="latency"} > scalar(clamp_max(vector(14.4 * (1 - {{ .Values.rules.parameters.latencyObjective }})), 1 - {{ .Values.rules.parameters.latencyObjective }} / 2))
            )
            or
            max without (sloth_window) (
              slo:sli_error:ratio_rate30m{sloth_slo="latency"} > scalar(clamp_max(vector(6 * (1 - {{ .Values.rules.parameters.latencyObjective }})), 1 - {{ .Values.rules.parameters.latencyObjective }} / 2))
              and ignoring (sloth_window)
              slo:sli_error:ratio_rate6h{sloth_slo="latency"} > scalar(clamp_max(vector(6 * (1 - {{ .Values.rules.parameters.latencyObjective }})), 1 - {{ .Values.rules.parameters.latencyObjective }} / 2))
            )
          )
          and on (cluster, namespace, job) avg_over_time(job:http_server_requests:rate5m[1h]) > {{ .Values.rules.parameters.minRequestsPerSecond }}
        for: "2m"
        labels:
          severity: critical
          sloth_severity: page
        annotations:
          summary: "{{ "{{" }} $labels.job }} is far too slow for most of its requests"
          description: "{{ "{{" }} $value | humanizePercentage }} of the requests of {{ "{{" }} $labels.job }} take more than {{ .Values.rules.parameters.latencySeconds }} s; {{ "{{" }} {{ .Values.rules.parameters.latencyObjective }} | humanizePercentage }} must not."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdklatencybudgetburnpage"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-time?from=now-3h&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
      - alert: PerfsdkLatencyBudgetBurnTicket
        expr: |-
          (
            max without (sloth_window) (
              slo:sli_error:ratio_rate2h{sloth_slo="latency"} > scalar(clamp_max(vector(3 * (1 - {{ .Values.rules.parameters.latencyObjective }})), 1 - {{ .Values.rules.parameters.latencyObjective }} / 2))
              and ignoring (sloth_window)
              slo:sli_error:ratio_rate1d{sloth_slo="latency"} > scalar(clamp_max(vector(3 * (1 - {{ .Values.rules.parameters.latencyObjective }})), 1 - {{ .Values.rules.parameters.latencyObjective }} / 2))
            )
            or
            max without (sloth_window) (
              slo:sli_error:ratio_rate6h{sloth_slo="latency"} > scalar(clamp_max(vector(1 * (1 - {{ .Values.rules.parameters.latencyObjective }})), 1 - {{ .Values.rules.parameters.latencyObjective }} / 2))
              and ignoring (sloth_window)
              slo:sli_error:ratio_rate3d{sloth_slo="latency"} > scalar(clamp_max(vector(1 * (1 - {{ .Values.rules.parameters.latencyObjective }})), 1 - {{ .Values.rules.parameters.latencyObjective }} / 2))
            )
          )
          and on (cluster, namespace, job) avg_over_time(job:http_server_requests:rate5m[1h]) > {{ .Values.rules.parameters.minRequestsPerSecond }}
        for: "15m"
        labels:
          severity: warning
          sloth_severity: ticket
        annotations:
          summary: "{{ "{{" }} $labels.job }} is slower than its objective allows"
          description: "{{ "{{" }} $value | humanizePercentage }} of the requests of {{ "{{" }} $labels.job }} take more than {{ .Values.rules.parameters.latencySeconds }} s; {{ "{{" }} {{ .Values.rules.parameters.latencyObjective }} | humanizePercentage }} must not."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdklatencybudgetburnticket"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-slo?from=now-3d&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
  - name: perfsdk-requests-alerts
    rules:
      - alert: PerfsdkTrafficDropped
        expr: |-
          (job:http_server_requests:rate5m or 0 * avg_over_time(job:http_server_requests:rate5m[1h] offset 1w))
          / (avg_over_time(job:http_server_requests:rate5m[1h] offset 1w) > {{ .Values.rules.parameters.minRequestsPerSecond }})
          < {{ .Values.rules.parameters.trafficKept }}
          and on (cluster, namespace, job) job:perfsdk_workers:sum
        for: "15m"
        labels:
          severity: warning
        annotations:
          summary: "{{ "{{" }} $labels.job }} gets much less traffic than a week ago"
          description: "{{ "{{" }} $labels.job }} gets {{ "{{" }} $value | humanizePercentage }} of the requests that it got at this time a week ago."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdktrafficdropped"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-service?from=now-3h&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
      - alert: PerfsdkLatencyP99High
        expr: |-
          job:http_server_request_duration_seconds:p99_5m > {{ .Values.rules.parameters.p99Seconds }}
          and on () vector({{ .Values.rules.parameters.p99Seconds }}) > 0
          and on (cluster, namespace, job) avg_over_time(job:http_server_requests:rate5m[1h]) > {{ .Values.rules.parameters.minRequestsPerSecond }}
        for: "10m"
        labels:
          severity: warning
        annotations:
          summary: "P99 of {{ "{{" }} $labels.job }} is {{ "{{" }} $value | humanizeDuration }}"
          description: "One request in a hundred to {{ "{{" }} $labels.job }} takes longer than {{ "{{" }} $value | humanizeDuration }}; the limit is {{ .Values.rules.parameters.p99Seconds }} s."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdklatencyp99high"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-service?from=now-3h&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
      - alert: PerfsdkDatabaseCallsGrew
        expr: |-
          job_route:http_server_request_db_calls:avg5m > 2 * avg_over_time(job_route:http_server_request_db_calls:avg5m[1h] offset 1d)
          and job_route:http_server_request_db_calls:avg5m > 5
          and on (cluster, namespace, job, http_route) job_route:http_server_requests:rate5m > {{ .Values.rules.parameters.minRequestsPerSecond }}
        for: "10m"
        labels:
          severity: warning
        annotations:
          summary: "{{ "{{" }} $labels.http_route }} makes more than twice the database calls of yesterday"
          description: "A request of {{ "{{" }} $labels.http_route }} of {{ "{{" }} $labels.job }} makes {{ "{{" }} $value | printf \"%.1f\" }} database calls; a day ago it was less than half of that. So begins an N+1 query."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdkdatabasecallsgrew"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-databases?from=now-3h&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.http_route }}&var-route={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
      - alert: PerfsdkNewError
        expr: |-
          job_error:http_server_requests:rate5m > 0
          unless on (cluster, namespace, job, error_type) (max_over_time(job_error:http_server_requests:rate5m[1d] offset 1h) > 0)
          and on (cluster, namespace, job) job:http_server_requests:rate5m offset 1d
          and on (cluster, namespace, job) avg_over_time(job:http_server_requests:rate5m[1h]) > {{ .Values.rules.parameters.minRequestsPerSecond }}
        for: "2m"
        labels:
          severity: info
        annotations:
          summary: "{{ "{{" }} $labels.job }} fails with {{ "{{" }} $labels.error_type }}, which is new"
          description: "Requests of {{ "{{" }} $labels.job }} end with {{ "{{" }} $labels.error_type }}, which was not seen between one hour and one day ago."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdknewerror"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-service?from=now-3h&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
      - alert: PerfsdkObjectiveNotMeasured
        expr: |-
          job:http_server_requests:rate5m > 0
          unless on (cluster, namespace, job) job:http_server_requests_slow:rate5m
        for: "30m"
        labels:
          severity: info
        annotations:
          summary: "The latency of {{ "{{" }} $labels.job }} cannot be held against its objective"
          description: "No bucket of the request durations of {{ "{{" }} $labels.job }} ends at the threshold of the latency objective: nothing is known of slow requests, and no alert on them fires."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdkobjectivenotmeasured"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-telemetry?from=now-3h&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
  - name: perfsdk-storage-alerts
    rules:
      - alert: PerfsdkPoolSaturated
        expr: |-
          (sum by (cluster, namespace, job, instance, db_client_connection_pool_name) (
            db_client_connections{db_client_connection_state="used",{{ .Values.rules.parameters.selector }}}
          ) / (sum by (cluster, namespace, job, instance, db_client_connection_pool_name) (
            db_client_connection_max{{ "{" }}{{ .Values.rules.parameters.selector }}}
          ) > 0)) > {{ .Values.rules.parameters.poolUsed }}
          or
          sum by (cluster, namespace, job, instance, db_client_connection_pool_name) (
            db_client_connection_pending_requests{{ "{" }}{{ .Values.rules.parameters.selector }}}
          ) > 0
        for: "5m"
        labels:
          severity: warning
        annotations:
          summary: "Connection pool {{ "{{" }} $labels.db_client_connection_pool_name }} of {{ "{{" }} $labels.job }} is used up"
          description: "For 5 minutes nearly all connections of the pool {{ "{{" }} $labels.db_client_connection_pool_name }} of {{ "{{" }} $labels.instance }} are in use, or callers wait for one."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdkpoolsaturated"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-databases?from=now-3h&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.instance }}&var-instance={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
      - alert: PerfsdkPoolTimeouts
        expr: |-
          sum by (cluster, namespace, job, db_client_connection_pool_name) (
            rate(db_client_connection_timeouts_total{{ "{" }}{{ .Values.rules.parameters.selector }}}[5m])
          ) > 0
        for: "10m"
        labels:
          severity: critical
        annotations:
          summary: "Callers of {{ "{{" }} $labels.job }} get no connection to {{ "{{" }} $labels.db_client_connection_pool_name }}"
          description: "{{ "{{" }} $value | humanize }} callers a second give up waiting for a connection of the pool {{ "{{" }} $labels.db_client_connection_pool_name }}; their requests fail."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdkpooltimeouts"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-databases?from=now-3h&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
      - alert: PerfsdkDatabaseErrors
        expr: |-
          job_db:db_client_operations_failed:rate5m / (job_db:db_client_operations:rate5m > 0) > {{ .Values.rules.parameters.databaseErrors }}
          and job_db:db_client_operations:rate5m > {{ .Values.rules.parameters.minOperationsPerSecond }}
        for: "5m"
        labels:
          severity: warning
        annotations:
          summary: "Database operations of {{ "{{" }} $labels.job }} on {{ "{{" }} $labels.db_system_name }} {{ "{{" }} $labels.db_namespace }} fail"
          description: "{{ "{{" }} $value | humanizePercentage }} of the operations of {{ "{{" }} $labels.job }} on {{ "{{" }} $labels.db_system_name }} {{ "{{" }} $labels.db_namespace }} raise an error."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdkdatabaseerrors"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-databases?from=now-3h&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
      - alert: PerfsdkDatabaseSlow
        expr: |-
          job_db:db_client_operation_duration_seconds:p95_5m > 2 * (avg_over_time(job_db:db_client_operation_duration_seconds:p95_5m[1h] offset 1w) or avg_over_time(job_db:db_client_operation_duration_seconds:p95_5m[1h] offset 1d))
          and job_db:db_client_operation_duration_seconds:p95_5m > {{ .Values.rules.parameters.databaseSeconds }}
          and job_db:db_client_operations:rate5m > {{ .Values.rules.parameters.minOperationsPerSecond }}
        for: "10m"
        labels:
          severity: warning
        annotations:
          summary: "Database operations of {{ "{{" }} $labels.job }} on {{ "{{" }} $labels.db_system_name }} {{ "{{" }} $labels.db_namespace }} became slow"
          description: "P95 of the operations of {{ "{{" }} $labels.job }} on {{ "{{" }} $labels.db_system_name }} {{ "{{" }} $labels.db_namespace }} is {{ "{{" }} $value | humanizeDuration }}, more than twice that of a week ago (of a day ago, where there is no week)."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdkdatabaseslow"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-databases?from=now-3h&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
      - alert: PerfsdkCacheHitRatioDropped
        expr: |-
          job_cache:cache_hits:rate5m / (job_cache:cache_requests:rate5m > 0) < 0.5 * (sum_over_time(job_cache:cache_hits:rate5m[1d]) / (sum_over_time(job_cache:cache_requests:rate5m[1d]) > 0))
          and job_cache:cache_requests:rate5m > {{ .Values.rules.parameters.minOperationsPerSecond }}
        for: "5m"
        labels:
          severity: warning
        annotations:
          summary: "Cache {{ "{{" }} $labels.cache_system }} {{ "{{" }} $labels.cache_name }} of {{ "{{" }} $labels.job }} hits half as often as usual"
          description: "{{ "{{" }} $value | humanizePercentage }} of the lookups in {{ "{{" }} $labels.cache_system }} {{ "{{" }} $labels.cache_name }} hit, less than half of the last day's share: what they miss is loaded from behind the cache."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdkcachehitratiodropped"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-caches?from=now-3h&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
      - alert: PerfsdkCacheErrors
        expr: |-
          job_cache:cache_operations_failed:rate5m / (job_cache:cache_operations:rate5m > 0) > {{ .Values.rules.parameters.cacheErrors }}
          and job_cache:cache_operations:rate5m > {{ .Values.rules.parameters.minOperationsPerSecond }}
        for: "5m"
        labels:
          severity: warning
        annotations:
          summary: "Calls of {{ "{{" }} $labels.job }} to the cache {{ "{{" }} $labels.cache_system }} {{ "{{" }} $labels.cache_name }} fail"
          description: "{{ "{{" }} $value | humanizePercentage }} of the calls to {{ "{{" }} $labels.cache_system }} {{ "{{" }} $labels.cache_name }} raise an error; their requests pay for a miss, or fail."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdkcacheerrors"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-caches?from=now-3h&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
  - name: perfsdk-workers-alerts
    rules:
      - alert: PerfsdkWorkersRestart
        expr: |-
          sum by (cluster, namespace, job, instance) (
            changes(process_start_time_seconds{worker!="",{{ .Values.rules.parameters.selector }}}[15m])
          ) > {{ .Values.rules.parameters.restarts }}
        labels:
          severity: warning
        annotations:
          summary: "Workers of {{ "{{" }} $labels.job }} are started again and again"
          description: "{{ "{{" }} $value }} workers of {{ "{{" }} $labels.instance }} were started again within 15 minutes."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdkworkersrestart"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-workers?from=now-3h&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.instance }}&var-instance={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
      - alert: PerfsdkFileDescriptorsNearLimit
        expr: |-
          max by (cluster, namespace, job, instance) (
            process_open_fds{worker!="",{{ .Values.rules.parameters.selector }}} / process_max_fds{worker!="",{{ .Values.rules.parameters.selector }}}
          ) > {{ .Values.rules.parameters.fdsUsed }}
        for: "5m"
        labels:
          severity: warning
        annotations:
          summary: "A worker of {{ "{{" }} $labels.job }} runs out of file descriptors"
          description: "A worker of {{ "{{" }} $labels.instance }} has {{ "{{" }} $value | humanizePercentage }} of the file descriptors open that it may have; with none left it accepts no connection."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdkfiledescriptorsnearlimit"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-workers?from=now-3h&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.instance }}&var-instance={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
      - alert: PerfsdkMemoryGrows
        expr: |-
          max by (cluster, namespace, job, instance) (
            (predict_linear(process_resident_memory_bytes{worker!="",{{ .Values.rules.parameters.selector }}}[3h], 12 * 3600) > 2 * process_resident_memory_bytes{worker!="",{{ .Values.rules.parameters.selector }}} and predict_linear(process_resident_memory_bytes{worker!="",{{ .Values.rules.parameters.selector }}}[3h], 12 * 3600) - process_resident_memory_bytes{worker!="",{{ .Values.rules.parameters.selector }}} > 256 * 1024 * 1024)
            and (time() - process_start_time_seconds{worker!="",{{ .Values.rules.parameters.selector }}}) > 4 * 3600
          )
        for: "1h"
        labels:
          severity: info
        annotations:
          summary: "A worker of {{ "{{" }} $labels.job }} needs more and more memory"
          description: "As it grew for three hours, a worker of {{ "{{" }} $labels.instance }} holds {{ "{{" }} $value | humanize1024 }}B in twelve hours, more than twice of what it holds now."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdkmemorygrows"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-workers?from=now-12h&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.instance }}&var-instance={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
  - name: perfsdk-telemetry-alerts
    rules:
      - alert: PerfsdkTargetDown
        expr: |-
          up{{ "{" }}{{ .Values.rules.parameters.selector }}} == 0
          and on (cluster, namespace, job) last_over_time(job:perfsdk_workers:sum[1d])
        for: "5m"
        labels:
          severity: warning
        annotations:
          summary: "{{ "{{" }} $labels.instance }} of {{ "{{" }} $labels.job }} does not answer"
          description: "Prometheus has not been able to scrape the exporter of {{ "{{" }} $labels.instance }} for 5 minutes. It may be gone with its application."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdktargetdown"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-telemetry?from=now-3h&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.instance }}&var-instance={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
      - alert: PerfsdkTelemetryAbsent
        expr: |-
          max by (cluster, namespace, job, instance) (
            perfsdk_exporter_build_info{{ "{" }}{{ .Values.rules.parameters.selector }}}
          )
          unless on (cluster, namespace, job, instance) perfsdk_workers{{ "{" }}{{ .Values.rules.parameters.selector }}} > 0
        for: "10m"
        labels:
          severity: warning
        annotations:
          summary: "{{ "{{" }} $labels.instance }} of {{ "{{" }} $labels.job }} has an exporter and no application"
          description: "The exporter of {{ "{{" }} $labels.instance }} answers, but for 10 minutes no living process has recorded anything: the application does not run, is not instrumented, or writes elsewhere."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdktelemetryabsent"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-telemetry?from=now-3h&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.instance }}&var-instance={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
      - alert: PerfsdkSegmentsUnreadable
        expr: |-
          sum by (cluster, namespace, job, instance) (
            perfsdk_exporter_segments{state="unreadable",{{ .Values.rules.parameters.selector }}}
          ) > 0
        for: "10m"
        labels:
          severity: warning
        annotations:
          summary: "The exporter of {{ "{{" }} $labels.instance }} cannot read what workers wrote"
          description: "{{ "{{" }} $value }} files of workers of {{ "{{" }} $labels.job }} cannot be read; what they count is missing from every number."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdksegmentsunreadable"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-telemetry?from=now-3h&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.instance }}&var-instance={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
      - alert: PerfsdkReapingFails
        expr: |-
          sum by (cluster, namespace, job, instance) (
            rate(perfsdk_exporter_reaping_failures_total{{ "{" }}{{ .Values.rules.parameters.selector }}}[15m])
          ) > 0
          or
          sum by (cluster, namespace, job, instance) (
            rate(perfsdk_exporter_archives_damaged_total{{ "{" }}{{ .Values.rules.parameters.selector }}}[15m])
          ) > 0
        for: "20m"
        labels:
          severity: warning
        annotations:
          summary: "The exporter of {{ "{{" }} $labels.instance }} cannot keep what ended workers counted"
          description: "Files of ended workers of {{ "{{" }} $labels.job }} are not folded into the archive, or the archive was damaged: the directory fills, and counters may fall."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdkreapingfails"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-telemetry?from=now-3h&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.instance }}&var-instance={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
      - alert: PerfsdkScrapeNearTimeout
        expr: |-
          scrape_duration_seconds{{ "{" }}{{ .Values.rules.parameters.selector }}} > 0.8 * {{ .Values.rules.parameters.scrapeTimeoutSeconds }}
          and on (cluster, namespace, job, instance) max by (cluster, namespace, job, instance) (
            perfsdk_exporter_build_info{{ "{" }}{{ .Values.rules.parameters.selector }}}
          )
        for: "10m"
        labels:
          severity: warning
        annotations:
          summary: "A scrape of {{ "{{" }} $labels.instance }} takes almost as long as it may"
          description: "A scrape of {{ "{{" }} $labels.instance }} takes {{ "{{" }} $value | humanizeDuration }}; after {{ .Values.rules.parameters.scrapeTimeoutSeconds }} s Prometheus gives up and there are gaps."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdkscrapeneartimeout"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-telemetry?from=now-3h&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.instance }}&var-instance={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
      - alert: PerfsdkSeriesDropped
        expr: |-
          sum by (cluster, namespace, job, metric, label) (
            rate(perfsdk_dropped_series_total{{ "{" }}{{ .Values.rules.parameters.selector }}}[10m])
          ) > 0
        for: "15m"
        labels:
          severity: warning
        annotations:
          summary: "{{ "{{" }} $labels.job }} has more series of {{ "{{" }} $labels.metric }} than may be"
          description: "A bound on {{ "{{" }} $labels.metric }} of {{ "{{" }} $labels.job }} is reached (label '{{ "{{" }} $labels.label }}'): what is new counts in the series '<overflow>', or is lost."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdkseriesdropped"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-telemetry?from=now-3h&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
      - alert: PerfsdkSeriesLeftOut
        expr: |-
          sum by (cluster, namespace, job, instance, reason) (
            perfsdk_exporter_series_left_out{{ "{" }}{{ .Values.rules.parameters.selector }}}
          ) > 0
        for: "30m"
        labels:
          severity: info
        annotations:
          summary: "The page of {{ "{{" }} $labels.instance }} is not complete"
          description: "{{ "{{" }} $value }} series that workers recorded are not on the exporter's page: {{ "{{" }} $labels.reason }}."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdkseriesleftout"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-telemetry?from=now-3h&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.instance }}&var-instance={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
      - alert: PerfsdkInternalErrors
        expr: |-
          sum by (cluster, namespace, job, where) (
            rate(perfsdk_internal_errors_total{{ "{" }}{{ .Values.rules.parameters.selector }}}[10m])
          ) > 0
        labels:
          severity: info
        annotations:
          summary: "perfsdk has errors of its own in {{ "{{" }} $labels.job }}"
          description: "{{ "{{" }} $value | humanize }} errors a second inside of perfsdk, in '{{ "{{" }} $labels.where }}', were kept from {{ "{{" }} $labels.job }}; what it measures there may be incomplete."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdkinternalerrors"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-telemetry?from=now-3h&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
      - alert: PerfsdkIntegrationFailed
        expr: |-
          max by (cluster, namespace, job, library, version) (
            perfsdk_integration_info{status="failed",{{ .Values.rules.parameters.selector }}}
          ) > 0
        for: "10m"
        labels:
          severity: info
        annotations:
          summary: "{{ "{{" }} $labels.library }} is not measured in {{ "{{" }} $labels.job }}"
          description: "perfsdk could not instrument {{ "{{" }} $labels.library }} {{ "{{" }} $labels.version }} of {{ "{{" }} $labels.job }}: the metrics of this library are missing."
          runbook_url: "{{ .Values.rules.parameters.runbookUrl }}#perfsdkintegrationfailed"
          dashboard_url: "{{ .Values.rules.parameters.grafanaUrl }}/d/perfsdk-telemetry?from=now-3h&to=now{{ "{{" }} with $labels.cluster }}&var-cluster={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.namespace }}&var-namespace={{ "{{" }} . | urlquery }}{{ "{{" }} end }}{{ "{{" }} with $labels.job }}&var-job={{ "{{" }} . | urlquery }}{{ "{{" }} end }}"
