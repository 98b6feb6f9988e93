# Written by grafana/build.py: change grafana/alerting/ and run it.
groups:
  - name: perfsdk-requests
    rules:
      - record: job:perfsdk_workers:sum
        expr: |-
          sum by (cluster, namespace, job) (
            perfsdk_workers{{ "{" }}{{ .Values.rules.parameters.selector }}}
          )
      - record: job_route:http_server_requests:rate5m
        expr: |-
          sum by (cluster, namespace, job, http_route) (
            rate(http_server_request_duration_seconds_count{{ "{" }}{{ .Values.rules.parameters.selector }}}[5m])
            or
            histogram_count(rate(http_server_request_duration_seconds{{ "{" }}{{ .Values.rules.parameters.selector }}}[5m]))
          )
      - record: job_route:http_server_requests_failed:rate5m
        expr: |-
          sum by (cluster, namespace, job, http_route) (
            rate(http_server_request_duration_seconds_count{http_response_status_code=~"5..",{{ .Values.rules.parameters.selector }}}[5m])
            or
            histogram_count(rate(http_server_request_duration_seconds{http_response_status_code=~"5..",{{ .Values.rules.parameters.selector }}}[5m]))
            or
            rate(http_server_request_duration_seconds_count{error_type!~"|client_disconnect|<overflow>",{{ .Values.rules.parameters.selector }}}[5m])
            or
            histogram_count(rate(http_server_request_duration_seconds{error_type!~"|client_disconnect|<overflow>",{{ .Values.rules.parameters.selector }}}[5m]))
          )
          or
          0 * job_route:http_server_requests:rate5m
      - record: job:http_server_requests:rate5m
        expr: |-
          sum by (cluster, namespace, job) (
            job_route:http_server_requests:rate5m
          )
      - record: job:http_server_requests_failed:rate5m
        expr: |-
          sum by (cluster, namespace, job) (
            job_route:http_server_requests_failed:rate5m
          )
      - record: job:http_server_requests_slow:rate5m
        expr: |-
          clamp_min(
            sum by (cluster, namespace, job) (
              rate(http_server_request_duration_seconds_count{{ "{" }}{{ .Values.rules.parameters.selector }}}[5m])
              or
              histogram_count(rate(http_server_request_duration_seconds{{ "{" }}{{ .Values.rules.parameters.selector }}}[5m]))
            )
            -
            sum by (cluster, namespace, job) (
              sum without (le) (rate(http_server_request_duration_seconds_bucket{le=~"{{ .Values.rules.parameters.latencySeconds }}(\\.0)?",{{ .Values.rules.parameters.selector }}}[5m]))
              or
              histogram_fraction(0, {{ .Values.rules.parameters.latencySeconds }}, rate(http_server_request_duration_seconds{{ "{" }}{{ .Values.rules.parameters.selector }}}[5m]))
                * (histogram_count(rate(http_server_request_duration_seconds{{ "{" }}{{ .Values.rules.parameters.selector }}}[5m])) > 0)
            ),
            0
          )
      - record: job_error:http_server_requests:rate5m
        expr: |-
          sum by (cluster, namespace, job, error_type) (
            rate(http_server_request_duration_seconds_count{error_type!~"|client_disconnect|<overflow>",{{ .Values.rules.parameters.selector }}}[5m])
            or
            histogram_count(rate(http_server_request_duration_seconds{error_type!~"|client_disconnect|<overflow>",{{ .Values.rules.parameters.selector }}}[5m]))
          )
      - record: job_route:http_server_request_db_calls:avg5m
        expr: |-
          sum by (cluster, namespace, job, http_route) (
            rate(http_server_request_db_calls_sum{{ "{" }}{{ .Values.rules.parameters.selector }}}[5m])
          )
          /
          (sum by (cluster, namespace, job, http_route) (
            rate(http_server_request_db_calls_count{{ "{" }}{{ .Values.rules.parameters.selector }}}[5m])
          ) > 0)
  - name: perfsdk-latency
    interval: "1m"
    rules:
      - record: job_route_le:http_server_request_duration_seconds_bucket:rate5m
        expr: |-
          sum by (cluster, namespace, job, http_route, le) (
            rate(http_server_request_duration_seconds_bucket{{ "{" }}{{ .Values.rules.parameters.selector }}}[5m])
          )
      - record: job_le:http_server_request_duration_seconds_bucket:rate5m
        expr: |-
          sum by (cluster, namespace, job, le) (
            job_route_le:http_server_request_duration_seconds_bucket:rate5m
          )
      - record: job_route:http_server_request_duration_seconds:rate5m
        expr: |-
          sum by (cluster, namespace, job, http_route) (
            rate(http_server_request_duration_seconds{{ "{" }}{{ .Values.rules.parameters.selector }}}[5m])
          )
      - record: job:http_server_request_duration_seconds:rate5m
        expr: |-
          sum by (cluster, namespace, job) (
            job_route:http_server_request_duration_seconds:rate5m
          )
      - record: job_route:http_server_request_duration_seconds:p50_5m
        expr: |-
          histogram_quantile(0.5, job_route_le:http_server_request_duration_seconds_bucket:rate5m) >= 0
          or
          histogram_quantile(0.5, job_route:http_server_request_duration_seconds:rate5m) >= 0
      - record: job_route:http_server_request_duration_seconds:p99_5m
        expr: |-
          histogram_quantile(0.99, job_route_le:http_server_request_duration_seconds_bucket:rate5m) >= 0
          or
          histogram_quantile(0.99, job_route:http_server_request_duration_seconds:rate5m) >= 0
      - record: job:http_server_request_duration_seconds:p50_5m
        expr: |-
          histogram_quantile(0.5, job_le:http_server_request_duration_seconds_bucket:rate5m) >= 0
          or
          histogram_quantile(0.5, job:http_server_request_duration_seconds:rate5m) >= 0
      - record: job:http_server_request_duration_seconds:p99_5m
        expr: |-
          histogram_quantile(0.99, job_le:http_server_request_duration_seconds_bucket:rate5m) >= 0
          or
          histogram_quantile(0.99, job:http_server_request_duration_seconds:rate5m) >= 0
  - name: perfsdk-databases
    rules:
      - record: job_db:db_client_operations:rate5m
        expr: |-
          sum by (cluster, namespace, job, db_system_name, db_namespace) (
            rate(db_client_operation_duration_seconds_count{{ "{" }}{{ .Values.rules.parameters.selector }}}[5m])
            or
            histogram_count(rate(db_client_operation_duration_seconds{{ "{" }}{{ .Values.rules.parameters.selector }}}[5m]))
          )
      - record: job_db:db_client_operations_failed:rate5m
        expr: |-
          sum by (cluster, namespace, job, db_system_name, db_namespace) (
            rate(db_client_operation_duration_seconds_count{error_type!="",{{ .Values.rules.parameters.selector }}}[5m])
            or
            histogram_count(rate(db_client_operation_duration_seconds{error_type!="",{{ .Values.rules.parameters.selector }}}[5m]))
          )
          or
          0 * job_db:db_client_operations:rate5m
      - record: job_db:db_client_operation_duration_seconds:p95_5m
        expr: |-
          histogram_quantile(0.95, sum by (cluster, namespace, job, le, db_system_name, db_namespace) (
            rate(db_client_operation_duration_seconds_bucket{{ "{" }}{{ .Values.rules.parameters.selector }}}[5m])
          )) >= 0
          or
          histogram_quantile(0.95, sum by (cluster, namespace, job, db_system_name, db_namespace) (
            rate(db_client_operation_duration_seconds{{ "{" }}{{ .Values.rules.parameters.selector }}}[5m])
          )) >= 0
  - name: perfsdk-caches
    rules:
      - record: job_cache:cache_requests:rate5m
        expr: |-
          sum by (cluster, namespace, job, cache_system, cache_name) (
            rate(cache_requests_total{{ "{" }}{{ .Values.rules.parameters.selector }}}[5m])
          )
      - record: job_cache:cache_hits:rate5m
        expr: |-
          sum by (cluster, namespace, job, cache_system, cache_name) (
            rate(cache_requests_total{cache_result="hit",{{ .Values.rules.parameters.selector }}}[5m])
          )
          or
          0 * job_cache:cache_requests:rate5m
      - record: job_cache:cache_operations:rate5m
        expr: |-
          sum by (cluster, namespace, job, cache_system, cache_name) (
            rate(cache_operation_duration_seconds_count{{ "{" }}{{ .Values.rules.parameters.selector }}}[5m])
            or
            histogram_count(rate(cache_operation_duration_seconds{{ "{" }}{{ .Values.rules.parameters.selector }}}[5m]))
          )
      - record: job_cache:cache_operations_failed:rate5m
        expr: |-
          sum by (cluster, namespace, job, cache_system, cache_name) (
            rate(cache_operation_duration_seconds_count{error_type!="",{{ .Values.rules.parameters.selector }}}[5m])
            or
            histogram_count(rate(cache_operation_duration_seconds{error_type!="",{{ .Values.rules.parameters.selector }}}[5m]))
          )
          or
          0 * job_cache:cache_operations:rate5m
