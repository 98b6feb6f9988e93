"""Every metric once: name, kind, unit, help, labels, buckets and how processes are aggregated.

Names are OpenTelemetry's semantic conventions in Prometheus spelling wherever a convention
exists. All durations are seconds, all sizes bytes. Dashboards, rules and documentation are
tested against this file.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
Merge = Literal["sum", "min", "max", "newest", "oldest", "worker"]
ExemplarSource = Literal["", "current span", "observer"]
Page = Literal["metrics", "queries"]

HTTP14 = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
DB14 = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
CACHE12 = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
BYTES = (256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0, 16777216.0)
ROWS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4)
COUNT = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)

OVERFLOW = "<overflow>"
"""The value of every label of the one series that takes what a bound turned away."""

LABEL_BOUNDS = {
    "http_route": 2000,
    "db_collection_name": 200,
    "db_client_connection_pool_name": 50,
    "cache_name": 50,
    "error_type": 50,
}
"""How many values a label may take in one process; what is over becomes `<overflow>`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric as the page shows it.

    `bounds` are the upper bounds of a histogram's classic buckets without `+Inf`. `native` adds
    exponential buckets of schema 3. `merge` says how the values of several processes become
    one: counters and histograms always sum; a gauge of kind `oldest` holds a start time on the
    monotonic clock (0: none) and is shown as an age in seconds. `exemplars` says who tells the
    span of an observation: it is the current one, or whoever observes gives it; "": it has none.
    `page` is where the exporter shows it; `label_length` is how many characters of a label's
    value are kept.
    """

    name: str
    kind: Kind
    help: str
    unit: str = ""
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    merge: Merge = "sum"
    native: bool = False
    exemplars: ExemplarSource = ""
    max_series: int = 2000
    page: Page = "metrics"
    label_length: int = 120


HTTP_SERVER_REQUEST_DURATION = Metric(
    name="http_server_request_duration_seconds",
    kind="histogram",
    unit="seconds",
    help="Time from the first event of a request to the end of the send of its last body byte.",
    labels=("http_request_method", "http_route", "http_response_status_code", "error_type"),
    bounds=HTTP14,
    native=True,
    exemplars="observer",
    max_series=10_000,
)
HTTP_SERVER_ACTIVE_REQUESTS = Metric(
    name="http_server_active_requests",
    kind="gauge",
    help="Requests being served now.",
    labels=("http_request_method",),
)
HTTP_SERVER_OLDEST_REQUEST_AGE = Metric(
    name="http_server_oldest_request_age_seconds",
    kind="gauge",
    unit="seconds",
    help="Age of the oldest request being served; 0 when there is none.",
    merge="oldest",
)
HTTP_SERVER_REQUEST_BODY_SIZE = Metric(
    name="http_server_request_body_size_bytes",
    kind="histogram",
    unit="bytes",
    help="Body bytes really received for a request.",
    labels=("http_request_method", "http_route"),
    bounds=BYTES,
)
HTTP_SERVER_RESPONSE_BODY_SIZE = Metric(
    name="http_server_response_body_size_bytes",
    kind="histogram",
    unit="bytes",
    help="Body bytes really sent for a request.",
    labels=("http_request_method", "http_route"),
    bounds=BYTES,
)

COMPONENTS = ("app", "db", "cache", "http_client", "pool_wait")
BANDS = ("typical", "tail")

HTTP_SERVER_REQUEST_COMPONENT = Metric(
    name="http_server_request_component_seconds_total",
    kind="counter",
    unit="seconds",
    help="Where the time of requests went; the components of a request add up to its duration.",
    labels=("http_route", "component", "band"),
)
HTTP_SERVER_REQUEST_BAND = Metric(
    name="http_server_request_band_total",
    kind="counter",
    help="Requests by band; tail is slower than the recent 95th percentile of the route.",
    labels=("http_route", "band"),
)
HTTP_SERVER_REQUEST_DB_CALLS = Metric(
    name="http_server_request_db_calls",
    kind="histogram",
    help="Database operations of one request.",
    labels=("http_route",),
    bounds=COUNT,
)
HTTP_SERVER_REQUEST_CACHE_CALLS = Metric(
    name="http_server_request_cache_calls",
    kind="histogram",
    help="Cache operations of one request.",
    labels=("http_route",),
    bounds=COUNT,
)

HTTP_SERVER_TIME_TO_FIRST_BYTE = Metric(
    name="http_server_time_to_first_byte_seconds",
    kind="histogram",
    unit="seconds",
    help="Time to the first part of a streamed body that is not empty; streamed responses only.",
    labels=("http_route",),
    bounds=HTTP14,
)
HTTP_SERVER_UNCOMPRESSED = Metric(
    name="http_server_uncompressed_bytes_total",
    kind="counter",
    unit="bytes",
    help="Body bytes of compressible types sent as they are, of bodies of 1 KiB and more.",
    labels=("http_route",),
)
HTTP_SERVER_REQUEST_QUEUE_DURATION = Metric(
    name="http_server_request_queue_duration_seconds",
    kind="histogram",
    unit="seconds",
    help="Time from the proxy, as it says in X-Request-Start, to the application.",
    bounds=HTTP14,
)
BACKGROUND_TASK_DURATION = Metric(
    name="background_task_duration_seconds",
    kind="histogram",
    unit="seconds",
    help="Work of a request after its last body byte, of a millisecond and more.",
    labels=("http_route",),
    bounds=HTTP14,
)
BACKGROUND_TASK_EXCEPTIONS = Metric(
    name="background_task_exceptions_total",
    kind="counter",
    help="Exceptions that work after the last body byte raised.",
    labels=("http_route",),
)
WEBSOCKET_ACTIVE = Metric(
    name="websocket_server_active_connections",
    kind="gauge",
    help="WebSocket connections that are open.",
    labels=("http_route",),
)
WEBSOCKET_DURATION = Metric(
    name="websocket_server_connection_duration_seconds",
    kind="histogram",
    unit="seconds",
    help="Time from the acceptance of a WebSocket connection to its end.",
    labels=("http_route",),
    bounds=HTTP14,
)
WEBSOCKET_MESSAGES = Metric(
    name="websocket_server_messages_total",
    kind="counter",
    help="WebSocket messages, by direction: received or sent.",
    labels=("http_route", "direction"),
)
WEBSOCKET_CLOSES = Metric(
    name="websocket_server_closes_total",
    kind="counter",
    help="WebSocket connections that ended, by close code; rejected: never accepted.",
    labels=("http_route", "close_code"),
)

DB_CLIENT_OPERATION_DURATION = Metric(
    name="db_client_operation_duration_seconds",
    kind="histogram",
    unit="seconds",
    help="Time of one database operation as the application sees it; a batch is one.",
    labels=(
        "db_system_name",
        "db_namespace",
        "db_operation_name",
        "db_collection_name",
        "error_type",
    ),
    bounds=DB14,
    native=True,
    exemplars="current span",
)

DB_CLIENT_RETURNED_ROWS = Metric(
    name="db_client_response_returned_rows",
    kind="histogram",
    help="Rows that a statement returned, or one fetch of a cursor; never rows affected.",
    labels=("db_system_name", "db_operation_name", "db_collection_name"),
    bounds=ROWS,
)
FINDINGS = (
    "n_plus_one",
    "duplicate_query",
    "select_star",
    "wide_select",
    "unbounded_select",
    "unfiltered_write",
    "deep_offset",
    "large_result",
    "slow",
    "blocking_in_loop",
)
DB_CLIENT_QUERY_FINDINGS = Metric(
    name="db_client_query_findings_total",
    kind="counter",
    help="Requests in which a statement was found to hurt, by kind; the log names the line.",
    labels=("kind", "http_route", "db_system_name"),
)
POOL = "db_client_connection_pool_name"
DB_CLIENT_CONNECTIONS = Metric(
    name="db_client_connections",
    kind="gauge",
    help="Connections of a pool, used or idle.",
    labels=(POOL, "db_client_connection_state"),
)
DB_CLIENT_CONNECTION_MAX = Metric(
    name="db_client_connection_max",
    kind="gauge",
    help="Connections that a pool may open; absent where there is no limit.",
    labels=(POOL,),
)
DB_CLIENT_CONNECTION_IDLE_MAX = Metric(
    name="db_client_connection_idle_max",
    kind="gauge",
    help="Idle connections that a pool keeps at most.",
    labels=(POOL,),
)
DB_CLIENT_CONNECTION_IDLE_MIN = Metric(
    name="db_client_connection_idle_min",
    kind="gauge",
    help="Idle connections that a pool keeps at least.",
    labels=(POOL,),
)
DB_CLIENT_CONNECTION_PENDING = Metric(
    name="db_client_connection_pending_requests",
    kind="gauge",
    help="Callers that wait for a connection of the pool now.",
    labels=(POOL,),
)
DB_CLIENT_CONNECTION_WAIT_TIME = Metric(
    name="db_client_connection_wait_time_seconds",
    kind="histogram",
    unit="seconds",
    help="Time it took to get a connection from the pool, making it included.",
    labels=(POOL,),
    bounds=DB14,
)
DB_CLIENT_CONNECTION_USE_TIME = Metric(
    name="db_client_connection_use_time_seconds",
    kind="histogram",
    unit="seconds",
    help="Time between taking a connection from the pool and giving it back.",
    labels=(POOL,),
    bounds=DB14,
)
DB_CLIENT_CONNECTION_CREATE_TIME = Metric(
    name="db_client_connection_create_time_seconds",
    kind="histogram",
    unit="seconds",
    help="Time it took a pool to open a connection.",
    labels=(POOL,),
    bounds=DB14,
)
DB_CLIENT_CONNECTION_TIMEOUTS = Metric(
    name="db_client_connection_timeouts_total",
    kind="counter",
    help="Callers that gave up waiting for a connection of the pool.",
    labels=(POOL,),
)

QUERY_LABELS = ("db_system_name", "db_namespace", "query_summary", "call_site")
QUERY_LABEL_LENGTH = 500
MAX_QUERIES = 200


def _of_queries(
    name: str, text: str, *, unit: str = "", more_labels: tuple[str, ...] = ()
) -> Metric:
    """A counter of the table of queries."""
    return Metric(
        name=name,
        kind="counter",
        help=text,
        unit=unit,
        labels=QUERY_LABELS + more_labels,
        max_series=MAX_QUERIES,
        page="queries",
        label_length=QUERY_LABEL_LENGTH,
    )


QUERY_CALLS = _of_queries("perfsdk_query_calls_total", "Calls of a statement.")
QUERY_SECONDS = _of_queries(
    "perfsdk_query_seconds_total", "Time of the calls of a statement.", unit="seconds"
)
QUERY_ERRORS = _of_queries("perfsdk_query_errors_total", "Calls of a statement that raised.")
QUERY_ROWS = _of_queries(
    "perfsdk_query_rows_total", "Rows that a statement returned; never rows affected."
)
QUERY_PARAMETER_SETS = _of_queries(
    "perfsdk_query_parameter_sets_total",
    "Sets of parameters that the batches of a statement consisted of.",
)
QUERY_FINDINGS = _of_queries(
    "perfsdk_query_findings_total",
    "Requests in which a statement was found to hurt, by kind.",
    more_labels=("kind", "http_route"),
)

CACHE_FINDING_KINDS = (
    "stampede",
    "get_in_loop",
    "no_ttl",
    "large_value",
    "miss_not_filled",
)
CACHE_REQUESTS = Metric(
    name="cache_requests_total",
    kind="counter",
    help="Keys looked up, by result; the hit rate is hits over all.",
    labels=("cache_system", "cache_name", "cache_result"),
)
CACHE_OPERATION_DURATION = Metric(
    name="cache_operation_duration_seconds",
    kind="histogram",
    unit="seconds",
    help="Time of one cache operation as the application sees it; a pipeline is one.",
    labels=("cache_system", "cache_name", "cache_operation", "error_type"),
    bounds=CACHE12,
    native=True,
)
CACHE_LOAD_DURATION = Metric(
    name="cache_load_duration_seconds",
    kind="histogram",
    unit="seconds",
    help="What a miss costs: the time of the loader.",
    labels=("cache_system", "cache_name"),
    bounds=HTTP14,
)
CACHE_WRITES = Metric(
    name="cache_writes_total",
    kind="counter",
    help="Values written, by what the request shows of why.",
    labels=("cache_system", "cache_name", "cache_pattern"),
)
CACHE_REMOVALS = Metric(
    name="cache_removals_total",
    kind="counter",
    help="Entries removed: explicit, expired, evicted; cleared counts calls that empty a cache.",
    labels=("cache_system", "cache_name", "reason"),
)
CACHE_FINDINGS = Metric(
    name="cache_findings_total",
    kind="counter",
    help="Requests in which a use of a cache was found to hurt, by kind.",
    labels=("kind", "cache_name"),
)
CACHE_ENTRIES = Metric(
    name="cache_entries",
    kind="gauge",
    help="Entries held by in-process caches.",
    labels=("cache_system", "cache_name"),
)
CACHE_MAX_ENTRIES = Metric(
    name="cache_max_entries",
    kind="gauge",
    help="Entries that in-process caches may hold.",
    labels=("cache_system", "cache_name"),
)

PROCESS_CPU_SECONDS = Metric(
    name="process_cpu_seconds_total",
    kind="counter",
    unit="seconds",
    help="Processor time, of user and system, of the processes that had this worker number.",
    labels=("worker",),
)
PROCESS_RESIDENT_MEMORY = Metric(
    name="process_resident_memory_bytes",
    kind="gauge",
    unit="bytes",
    help="Memory of the worker that is in RAM; what it shares with others is in it.",
    labels=("worker",),
    merge="worker",
)
PROCESS_VIRTUAL_MEMORY = Metric(
    name="process_virtual_memory_bytes",
    kind="gauge",
    unit="bytes",
    help="Address space of the worker.",
    labels=("worker",),
    merge="worker",
)
PROCESS_START_TIME = Metric(
    name="process_start_time_seconds",
    kind="gauge",
    unit="seconds",
    help="When the worker was started, in seconds since the epoch.",
    labels=("worker",),
    merge="worker",
)
PROCESS_OPEN_FDS = Metric(
    name="process_open_fds",
    kind="gauge",
    help="File descriptors that the worker has open.",
    labels=("worker",),
    merge="worker",
)
PROCESS_MAX_FDS = Metric(
    name="process_max_fds",
    kind="gauge",
    help="File descriptors that the worker may have open.",
    labels=("worker",),
    merge="worker",
)
PYTHON_INFO = Metric(
    name="python_info",
    kind="gauge",
    help="The Python that runs the worker; always 1.",
    labels=("worker", "implementation", "major", "minor", "patchlevel", "version"),
    merge="worker",
)

WORKERS = Metric(
    name="perfsdk_workers",
    kind="gauge",
    help="Live processes that record.",
)
INTEGRATION_INFO = Metric(
    name="perfsdk_integration_info",
    kind="gauge",
    help="Integrations and their status: active, unsupported, failed or disabled.",
    labels=("library", "version", "status"),
    merge="max",
)
UNRESOLVED_ROUTES = Metric(
    name="perfsdk_unresolved_routes_total",
    kind="counter",
    help="Requests whose route tells no template, by the class of the route.",
    labels=("framework", "route"),
    max_series=100,
)
INTERNAL_ERRORS = Metric(
    name="perfsdk_internal_errors_total",
    kind="counter",
    help="Errors inside the SDK that were kept from the application.",
    labels=("where",),
)
SERIES = Metric(
    name="perfsdk_series",
    kind="gauge",
    help="Series that live processes hold.",
    labels=("metric",),
)
DROPPED_SERIES = Metric(
    name="perfsdk_dropped_series_total",
    kind="counter",
    help="Series turned away by a bound; their values are in the overflow series or lost.",
    labels=("metric", "label"),
)

METRICS = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
