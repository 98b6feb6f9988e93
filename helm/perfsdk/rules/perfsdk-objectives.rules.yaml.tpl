# Written by grafana/build.py: change grafana/alerting/ and run it.
groups:
  - name: perfsdk-slo-availability
    rules:
      - record: slo:sli_error:ratio_rate5m
        expr: |-
          label_replace(
            label_replace(
              job:http_server_requests_failed:rate5m
              /
              (job:http_server_requests:rate5m > 0),
              "sloth_service", "$1", "job", "(.*)"
            ),
            "sloth_id", "$1-availability", "job", "(.*)"
          )
        labels:
          sloth_slo: availability
          sloth_window: "5m"
      - record: slo:sli_error:ratio_rate30m
        expr: |-
          label_replace(
            label_replace(
              sum_over_time(job:http_server_requests_failed:rate5m[30m])
              /
              (sum_over_time(job:http_server_requests:rate5m[30m]) > 0),
              "sloth_service", "$1", "job", "(.*)"
            ),
            "sloth_id", "$1-availability", "job", "(.*)"
          )
        labels:
          sloth_slo: availability
          sloth_window: "30m"
      - record: slo:sli_error:ratio_rate1h
        expr: |-
          label_replace(
            label_replace(
              sum_over_time(job:http_server_requests_failed:rate5m[1h])
              /
              (sum_over_time(job:http_server_requests:rate5m[1h]) > 0),
              "sloth_service", "$1", "job", "(.*)"
            ),
            "sloth_id", "$1-availability", "job", "(.*)"
          )
        labels:
          sloth_slo: availability
          sloth_window: "1h"
      - record: slo:sli_error:ratio_rate2h
        expr: |-
          label_replace(
            label_replace(
              sum_over_time(job:http_server_requests_failed:rate5m[2h])
              /
              (sum_over_time(job:http_server_requests:rate5m[2h]) > 0),
              "sloth_service", "$1", "job", "(.*)"
            ),
            "sloth_id", "$1-availability", "job", "(.*)"
          )
        labels:
          sloth_slo: availability
          sloth_window: "2h"
      - record: slo:sli_error:ratio_rate6h
        expr: |-
          label_replace(
            label_replace(
              sum_over_time(job:http_server_requests_failed:rate5m[6h])
              /
              (sum_over_time(job:http_server_requests:rate5m[6h]) > 0),
              "sloth_service", "$1", "job", "(.*)"
            ),
            "sloth_id", "$1-availability", "job", "(.*)"
          )
        labels:
          sloth_slo: availability
          sloth_window: "6h"
  - name: perfsdk-slo-availability-period
    interval: "2m"
    rules:
      - record: slo:sli_error:ratio_rate1d
        expr: |-
          label_replace(
            label_replace(
              sum_over_time(job:http_server_requests_failed:rate5m[1d])
              /
              (sum_over_time(job:http_server_requests:rate5m[1d]) > 0),
              "sloth_service", "$1", "job", "(.*)"
            ),
            "sloth_id", "$1-availability", "job", "(.*)"
          )
        labels:
          sloth_slo: availability
          sloth_window: "1d"
      - record: slo:sli_error:ratio_rate3d
        expr: |-
          label_replace(
            label_replace(
              sum_over_time(job:http_server_requests_failed:rate5m[3d])
              /
              (sum_over_time(job:http_server_requests:rate5m[3d]) > 0),
              "sloth_service", "$1", "job", "(.*)"
            ),
            "sloth_id", "$1-availability", "job", "(.*)"
          )
        labels:
          sloth_slo: availability
          sloth_window: "3d"
      - record: slo:sli_error:ratio_rate30d
        expr: |-
          label_replace(
            label_replace(
              sum_over_time(job:http_server_requests_failed:rate5m[30d])
              /
              (sum_over_time(job:http_server_requests:rate5m[30d]) > 0),
              "sloth_service", "$1", "job", "(.*)"
            ),
            "sloth_id", "$1-availability", "job", "(.*)"
          )
        labels:
          sloth_slo: availability
          sloth_window: "30d"
      - record: slo:objective:ratio
        expr: |-
          label_replace(
            label_replace(
              {{ .Values.rules.parameters.availabilityObjective }} * group by (cluster, namespace, job) (last_over_time(job:perfsdk_workers:sum[1h])),
              "sloth_service", "$1", "job", "(.*)"
            ),
            "sloth_id", "$1-availability", "job", "(.*)"
          )
        labels:
          sloth_slo: availability
      - record: slo:error_budget:ratio
        expr: |-
          label_replace(
            label_replace(
              (1 - {{ .Values.rules.parameters.availabilityObjective }}) * group by (cluster, namespace, job) (last_over_time(job:perfsdk_workers:sum[1h])),
              "sloth_service", "$1", "job", "(.*)"
            ),
            "sloth_id", "$1-availability", "job", "(.*)"
          )
        labels:
          sloth_slo: availability
      - record: slo:time_period:days
        expr: |-
          label_replace(
            label_replace(
              30 * group by (cluster, namespace, job) (last_over_time(job:perfsdk_workers:sum[1h])),
              "sloth_service", "$1", "job", "(.*)"
            ),
            "sloth_id", "$1-availability", "job", "(.*)"
          )
        labels:
          sloth_slo: availability
      - record: slo:current_burn_rate:ratio
        expr: |-
          slo:sli_error:ratio_rate5m{sloth_slo="availability"}
          / on (cluster, namespace, job, sloth_service, sloth_slo, sloth_id) slo:error_budget:ratio{sloth_slo="availability"}
        labels:
          sloth_slo: availability
      - record: slo:period_burn_rate:ratio
        expr: |-
          slo:sli_error:ratio_rate30d{sloth_slo="availability"}
          / on (cluster, namespace, job, sloth_service, sloth_slo, sloth_id) slo:error_budget:ratio{sloth_slo="availability"}
        labels:
          sloth_slo: availability
      - record: slo:period_error_budget_remaining:ratio
        expr: |-
          1 - slo:period_burn_rate:ratio{sloth_slo="availability"}
        labels:
          sloth_slo: availability
      - record: sloth_slo_info
        expr: |-
          label_replace(
            label_replace(
              group by (cluster, namespace, job) (last_over_time(job:perfsdk_workers:sum[1h])),
              "sloth_service", "$1", "job", "(.*)"
            ),
            "sloth_id", "$1-availability", "job", "(.*)"
          )
        labels:
          sloth_slo: availability
          sloth_mode: perfsdk
          sloth_spec: prometheus/v1
          sloth_version: perfsdk
  - name: perfsdk-slo-latency
    rules:
      - record: slo:sli_error:ratio_rate5m
        expr: |-
          label_replace(
            label_replace(
              job:http_server_requests_slow:rate5m
              /
              (job:http_server_requests:rate5m > 0),
              "sloth_service", "$1", "job", "(.*)"
            ),
            "sloth_id", "$1-latency", "job", "(.*)"
          )
        labels:
          sloth_slo: latency
          sloth_window: "5m"
      - record: slo:sli_error:ratio_rate30m
        expr: |-
          label_replace(
            label_replace(
              sum_over_time(job:http_server_requests_slow:rate5m[30m])
              /
              (sum_over_time(job:http_server_requests:rate5m[30m]) > 0),
              "sloth_service", "$1", "job", "(.*)"
            ),
            "sloth_id", "$1-latency", "job", "(.*)"
          )
        labels:
          sloth_slo: latency
          sloth_window: "30m"
      - record: slo:sli_error:ratio_rate1h
        expr: |-
          label_replace(
            label_replace(
              sum_over_time(job:http_server_requests_slow:rate5m[1h])
              /
              (sum_over_time(job:http_server_requests:rate5m[1h]) > 0),
              "sloth_service", "$1", "job", "(.*)"
            ),
            "sloth_id", "$1-latency", "job", "(.*)"
          )
        labels:
          sloth_slo: latency
          sloth_window: "1h"
      - record: slo:sli_error:ratio_rate2h
        expr: |-
          label_replace(
            label_replace(
              sum_over_time(job:http_server_requests_slow:rate5m[2h])
              /
              (sum_over_time(job:http_server_requests:rate5m[2h]) > 0),
              "sloth_service", "$1", "job", "(.*)"
            ),
            "sloth_id", "$1-latency", "job", "(.*)"
          )
        labels:
          sloth_slo: latency
          sloth_window: "2h"
      - record: slo:sli_error:ratio_rate6h
        expr: |-
          label_replace(
            label_replace(
              sum_over_time(job:http_server_requests_slow:rate5m[6h])
              /
              (sum_over_time(job:http_server_requests:rate5m[6h]) > 0),
              "sloth_service", "$1", "job", "(.*)"
            ),
            "sloth_id", "$1-latency", "job", "(.*)"
          )
        labels:
          sloth_slo: latency
          sloth_window: "6h"
  - name: perfsdk-slo-latency-period
    interval: "2m"
    rules:
      - record: slo:sli_error:ratio_rate1d
        expr: |-
          label_replace(
            label_replace(
              sum_over_time(job:http_server_requests_slow:rate5m[1d])
              /
              (sum_over_time(job:http_server_requests:rate5m[1d]) > 0),
              "sloth_service", "$1", "job", "(.*)"
            ),
            "sloth_id", "$1-latency", "job", "(.*)"
          )
        labels:
          sloth_slo: latency
          sloth_window: "1d"
      - record: slo:sli_error:ratio_rate3d
        expr: |-
          label_replace(
            label_replace(
              sum_over_time(job:http_server_requests_slow:rate5m[3d])
              /
              (sum_over_time(job:http_server_requests:rate5m[3d]) > 0),
              "sloth_service", "$1", "job", "(.*)"
            ),
            "sloth_id", "$1-latency", "job", "(.*)"
          )
        labels:
          sloth_slo: latency
          sloth_window: "3d"
      - record: slo:sli_error:ratio_rate30d
        expr: |-
          label_replace(
            label_replace(
              sum_over_time(job:http_server_requests_slow:rate5m[30d])
              /
              (sum_over_time(job:http_server_requests:rate5m[30d]) > 0),
              "sloth_service", "$1", "job", "(.*)"
            ),
            "sloth_id", "$1-latency", "job", "(.*)"
          )
        labels:
          sloth_slo: latency
          sloth_window: "30d"
      - record: slo:objective:ratio
        expr: |-
          label_replace(
            label_replace(
              {{ .Values.rules.parameters.latencyObjective }} * group by (cluster, namespace, job) (last_over_time(job:perfsdk_workers:sum[1h])),
              "sloth_service", "$1", "job", "(.*)"
            ),
            "sloth_id", "$1-latency", "job", "(.*)"
          )
        labels:
          sloth_slo: latency
      - record: slo:error_budget:ratio
        expr: |-
          label_replace(
            label_replace(
              (1 - {{ .Values.rules.parameters.latencyObjective }}) * group by (cluster, namespace, job) (last_over_time(job:perfsdk_workers:sum[1h])),
              "sloth_service", "$1", "job", "(.*)"
            ),
            "sloth_id", "$1-latency", "job", "(.*)"
          )
        labels:
          sloth_slo: latency
      - record: slo:time_period:days
        expr: |-
          label_replace(
            label_replace(
              30 * group by (cluster, namespace, job) (last_over_time(job:perfsdk_workers:sum[1h])),
              "sloth_service", "$1", "job", "(.*)"
            ),
            "sloth_id", "$1-latency", "job", "(.*)"
          )
        labels:
          sloth_slo: latency
      - record: slo:current_burn_rate:ratio
        expr: |-
          slo:sli_error:ratio_rate5m{sloth_slo="latency"}
          / on (cluster, namespace, job, sloth_service, sloth_slo, sloth_id) slo:error_budget:ratio{sloth_slo="latency"}
        labels:
          sloth_slo: latency
      - record: slo:period_burn_rate:ratio
        expr: |-
          slo:sli_error:ratio_rate30d{sloth_slo="latency"}
          / on (cluster, namespace, job, sloth_service, sloth_slo, sloth_id) slo:error_budget:ratio{sloth_slo="latency"}
        labels:
          sloth_slo: latency
      - record: slo:period_error_budget_remaining:ratio
        expr: |-
          1 - slo:period_burn_rate:ratio{sloth_slo="latency"}
        labels:
          sloth_slo: latency
      - record: sloth_slo_info
        expr: |-
          label_replace(
            label_replace(
              group by (cluster, namespace, job) (last_over_time(job:perfsdk_workers:sum[1h])),
              "sloth_service", "$1", "job", "(.*)"
            ),
            "sloth_id", "$1-latency", "job", "(.*)"
          )
        labels:
          sloth_slo: latency
          sloth_mode: perfsdk
          sloth_spec: prometheus/v1
          sloth_version: perfsdk
