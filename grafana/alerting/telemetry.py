"""Alerts on the measuring itself: without it every other alert is silent."""

from grafana.alerting import names
from grafana.alerting.expressions import OF_JOB, rate, series, total
from grafana.alerting.parameters import SCRAPE_TIMEOUT
from grafana.alerting.rule import JOB, Alert
from perfsdk import catalog

EXPORTER = "perfsdk_exporter_build_info"
INSTANCE = (*JOB, "instance")
OF_INSTANCE = f"on ({', '.join(INSTANCE)})"


def alerts() -> list[Alert]:
    """All of them, the most urgent first."""
    return [
        _target_down(),
        _absent(),
        _unreadable(),
        _reaping(),
        _near_timeout(),
        _dropped(),
        _left_out(),
        _internal(),
        _integration(),
    ]


def _target_down() -> Alert:
    # Which targets are ours is known from when they answered: of all instances of a job together.
    ours = f"last_over_time({names.WORKERS}[1d])"
    return Alert(
        name="PerfsdkTargetDown",
        expr=f"{series('up')} == 0\nand {OF_JOB} {ours}",
        severity="warning",
        hold="5m",
        summary="{{ $labels.instance }} of {{ $labels.job }} does not answer",
        description=(
            "Prometheus has not been able to scrape the exporter of {{ $labels.instance }} for 5"
            " minutes. It may be gone with its application."
        ),
        board="perfsdk-telemetry",
        variables=INSTANCE,
    )


def _absent() -> Alert:
    return Alert(
        name="PerfsdkTelemetryAbsent",
        expr=(
            f"{total(series(EXPORTER), 'instance', function='max')}\n"
            f"unless {OF_INSTANCE} {series(catalog.WORKERS.name)} > 0"
        ),
        severity="warning",
        hold="10m",
        summary="{{ $labels.instance }} of {{ $labels.job }} has an exporter and no application",
        description=(
            "The exporter of {{ $labels.instance }} answers, but for 10 minutes no living process"
            " has recorded anything: the application does not run, is not instrumented, or writes"
            " elsewhere."
        ),
        board="perfsdk-telemetry",
        variables=INSTANCE,
    )


def _unreadable() -> Alert:
    segments = series("perfsdk_exporter_segments", 'state="unreadable"')
    return Alert(
        name="PerfsdkSegmentsUnreadable",
        expr=f"{total(segments, 'instance')} > 0",
        severity="warning",
        hold="10m",
        summary="The exporter of {{ $labels.instance }} cannot read what workers wrote",
        description=(
            "{{ $value }} files of workers of {{ $labels.job }} cannot be read; what they count is"
            " missing from every number."
        ),
        board="perfsdk-telemetry",
        variables=INSTANCE,
    )


def _reaping() -> Alert:
    failures = rate("perfsdk_exporter_reaping_failures_total", over="15m")
    damaged = rate("perfsdk_exporter_archives_damaged_total", over="15m")
    return Alert(
        name="PerfsdkReapingFails",
        expr=f"{total(failures, 'instance')} > 0\nor\n{total(damaged, 'instance')} > 0",
        severity="warning",
        # Longer than the window of the rate: the next pass has not mended it.
        hold="20m",
        summary="The exporter of {{ $labels.instance }} cannot keep what ended workers counted",
        description=(
            "Files of ended workers of {{ $labels.job }} are not folded into the archive, or the"
            " archive was damaged: the directory fills, and counters may fall."
        ),
        board="perfsdk-telemetry",
        variables=INSTANCE,
    )


def _near_timeout() -> Alert:
    ours = total(series(EXPORTER), "instance", function="max")
    return Alert(
        name="PerfsdkScrapeNearTimeout",
        expr=(
            f"{series('scrape_duration_seconds')} > 0.8 * {SCRAPE_TIMEOUT}\n"
            f"and {OF_INSTANCE} {ours}"
        ),
        severity="warning",
        hold="10m",
        summary="A scrape of {{ $labels.instance }} takes almost as long as it may",
        description=(
            "A scrape of {{ $labels.instance }} takes {{ $value | humanizeDuration }}; after"
            f" {SCRAPE_TIMEOUT} s Prometheus gives up and there are gaps."
        ),
        board="perfsdk-telemetry",
        variables=INSTANCE,
    )


def _dropped() -> Alert:
    grown = rate(catalog.DROPPED_SERIES.name, over="10m")
    return Alert(
        name="PerfsdkSeriesDropped",
        expr=f"{total(grown, 'metric', 'label')} > 0",
        severity="warning",
        hold="15m",
        summary="{{ $labels.job }} has more series of {{ $labels.metric }} than may be",
        description=(
            "A bound on {{ $labels.metric }} of {{ $labels.job }} is reached (label"
            " '{{ $labels.label }}'): what is new counts in the series '<overflow>', or is lost."
        ),
        board="perfsdk-telemetry",
    )


def _left_out() -> Alert:
    left = series("perfsdk_exporter_series_left_out")
    return Alert(
        name="PerfsdkSeriesLeftOut",
        expr=f"{total(left, 'instance', 'reason')} > 0",
        severity="info",
        hold="30m",
        summary="The page of {{ $labels.instance }} is not complete",
        description=(
            "{{ $value }} series that workers recorded are not on the exporter's page:"
            " {{ $labels.reason }}."
        ),
        board="perfsdk-telemetry",
        variables=INSTANCE,
    )


def _internal() -> Alert:
    grown = rate(catalog.INTERNAL_ERRORS.name, over="10m")
    return Alert(
        name="PerfsdkInternalErrors",
        expr=f"{total(grown, 'where')} > 0",
        severity="info",
        summary="perfsdk has errors of its own in {{ $labels.job }}",
        description=(
            "{{ $value | humanize }} errors a second inside of perfsdk, in '{{ $labels.where }}',"
            " were kept from {{ $labels.job }}; what it measures there may be incomplete."
        ),
        board="perfsdk-telemetry",
    )


def _integration() -> Alert:
    failed = series(catalog.INTEGRATION_INFO.name, 'status="failed"')
    return Alert(
        name="PerfsdkIntegrationFailed",
        expr=f"{total(failed, 'library', 'version', function='max')} > 0",
        severity="info",
        hold="10m",
        summary="{{ $labels.library }} is not measured in {{ $labels.job }}",
        description=(
            "perfsdk could not instrument {{ $labels.library }} {{ $labels.version }} of"
            " {{ $labels.job }}: the metrics of this library are missing."
        ),
        board="perfsdk-telemetry",
    )
