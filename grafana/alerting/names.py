"""The names of recorded series, as `level:metric:operation`; the level says by what it is summed.

Every level has the labels of a service, cluster, namespace and job; `job_route` has http_route
beside them, `job_le` and `job_route_le` the bucket's bound, `job_error` error_type, `job_db`
the system and the database, `job_cache` the system and the cache.
"""

WORKERS = "job:perfsdk_workers:sum"
REQUESTS = "job:http_server_requests:rate5m"
FAILED = "job:http_server_requests_failed:rate5m"
SLOW = "job:http_server_requests_slow:rate5m"
ERRORS = "job_error:http_server_requests:rate5m"
ROUTE_REQUESTS = "job_route:http_server_requests:rate5m"
ROUTE_FAILED = "job_route:http_server_requests_failed:rate5m"
BUCKETS = "job_le:http_server_request_duration_seconds_bucket:rate5m"
ROUTE_BUCKETS = "job_route_le:http_server_request_duration_seconds_bucket:rate5m"
NATIVE = "job:http_server_request_duration_seconds:rate5m"
ROUTE_NATIVE = "job_route:http_server_request_duration_seconds:rate5m"
P50 = "job:http_server_request_duration_seconds:p50_5m"
P99 = "job:http_server_request_duration_seconds:p99_5m"
ROUTE_P50 = "job_route:http_server_request_duration_seconds:p50_5m"
ROUTE_P99 = "job_route:http_server_request_duration_seconds:p99_5m"
ROUTE_DB_CALLS = "job_route:http_server_request_db_calls:avg5m"
OPERATIONS = "job_db:db_client_operations:rate5m"
FAILED_OPERATIONS = "job_db:db_client_operations_failed:rate5m"
OPERATION_P95 = "job_db:db_client_operation_duration_seconds:p95_5m"
LOOKUPS = "job_cache:cache_requests:rate5m"
HITS = "job_cache:cache_hits:rate5m"
CACHE_CALLS = "job_cache:cache_operations:rate5m"
FAILED_CACHE_CALLS = "job_cache:cache_operations_failed:rate5m"
