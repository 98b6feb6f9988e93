"""Alerts on what callers see beside the objectives: tail, lost traffic, new errors, more calls."""

from grafana.alerting import names
from grafana.alerting.expressions import OF_JOB, busy
from grafana.alerting.parameters import MIN_REQUESTS, P99_SECONDS, TRAFFIC_KEPT
from grafana.alerting.rule import JOB, Alert


def alerts() -> list[Alert]:
    """All of them, the most urgent first."""
    return [_traffic(), _p99(), _calls(), _errors(), _not_measured()]


def _traffic() -> Alert:
    last_week = f"avg_over_time({names.REQUESTS}[1h] offset 1w)"
    now = f"({names.REQUESTS} or 0 * {last_week})"
    return Alert(
        name="PerfsdkTrafficDropped",
        # It is still scraped: who removes a service is not told that nobody calls it.
        expr=(
            f"{now}\n/ ({last_week} > {MIN_REQUESTS})\n< {TRAFFIC_KEPT}\n"
            f"and {OF_JOB} {names.WORKERS}"
        ),
        severity="warning",
        hold="15m",
        summary="{{ $labels.job }} gets much less traffic than a week ago",
        description=(
            "{{ $labels.job }} gets {{ $value | humanizePercentage }} of the requests that it got"
            " at this time a week ago."
        ),
        board="perfsdk-service",
    )


def _p99() -> Alert:
    return Alert(
        name="PerfsdkLatencyP99High",
        expr=f"{names.P99} > {P99_SECONDS}\nand on () vector({P99_SECONDS}) > 0\n{busy()}",
        severity="warning",
        hold="10m",
        summary="P99 of {{ $labels.job }} is {{ $value | humanizeDuration }}",
        description=(
            "One request in a hundred to {{ $labels.job }} takes longer than"
            f" {{{{ $value | humanizeDuration }}}}; the limit is {P99_SECONDS} s."
        ),
        board="perfsdk-service",
    )


def _calls() -> Alert:
    """An N+1 query that a release brought: by how much, not by the number of calls alone."""
    calls, route = names.ROUTE_DB_CALLS, f"on ({', '.join((*JOB, 'http_route'))})"
    return Alert(
        name="PerfsdkDatabaseCallsGrew",
        expr=(
            f"{calls} > 2 * avg_over_time({calls}[1h] offset 1d)\n"
            f"and {calls} > 5\n"
            f"and {route} {names.ROUTE_REQUESTS} > {MIN_REQUESTS}"
        ),
        severity="warning",
        hold="10m",
        summary="{{ $labels.http_route }} makes more than twice the database calls of yesterday",
        description=(
            "A request of {{ $labels.http_route }} of {{ $labels.job }} makes"
            ' {{ $value | printf "%.1f" }} database calls; a day ago it was less than half of'
            " that. So begins an N+1 query."
        ),
        board="perfsdk-databases",
        variables=(*JOB, "http_route"),
    )


def _errors() -> Alert:
    known = f"max_over_time({names.ERRORS}[1d] offset 1h) > 0"
    error = f"on ({', '.join((*JOB, 'error_type'))})"
    return Alert(
        name="PerfsdkNewError",
        # A service that was not there a day ago has had no time to show its usual errors.
        expr=(
            f"{names.ERRORS} > 0\n"
            f"unless {error} ({known})\n"
            f"and {OF_JOB} {names.REQUESTS} offset 1d\n"
            f"{busy()}"
        ),
        severity="info",
        hold="2m",
        summary="{{ $labels.job }} fails with {{ $labels.error_type }}, which is new",
        description=(
            "Requests of {{ $labels.job }} end with {{ $labels.error_type }}, which was not seen"
            " between one hour and one day ago."
        ),
        board="perfsdk-service",
    )


def _not_measured() -> Alert:
    return Alert(
        name="PerfsdkObjectiveNotMeasured",
        expr=f"{names.REQUESTS} > 0\nunless {OF_JOB} {names.SLOW}",
        severity="info",
        hold="30m",
        summary="The latency of {{ $labels.job }} cannot be held against its objective",
        description=(
            "No bucket of the request durations of {{ $labels.job }} ends at the threshold of the"
            " latency objective: nothing is known of slow requests, and no alert on them fires."
        ),
        board="perfsdk-telemetry",
    )
