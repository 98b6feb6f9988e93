"""Alerts on worker processes: those that die again and again, or run out of something."""

from grafana.alerting.expressions import series, total
from grafana.alerting.parameters import FDS_USED, RESTARTS
from grafana.alerting.rule import JOB, Alert
from perfsdk import catalog

# Other processes export metrics of the same names, without this label.
OURS = 'worker!=""'
INSTANCE = (*JOB, "instance")


def alerts() -> list[Alert]:
    """All of them, the most urgent first."""
    return [_restarts(), _descriptors(), _memory()]


def _restarts() -> Alert:
    starts = f"changes({series(catalog.PROCESS_START_TIME.name, OURS)}[15m])"
    return Alert(
        name="PerfsdkWorkersRestart",
        expr=f"{total(starts, 'instance')} > {RESTARTS}",
        severity="warning",
        summary="Workers of {{ $labels.job }} are started again and again",
        description=(
            "{{ $value }} workers of {{ $labels.instance }} were started again within 15 minutes."
        ),
        board="perfsdk-workers",
        variables=INSTANCE,
    )


def _descriptors() -> Alert:
    used, most = (
        series(metric.name, OURS) for metric in (catalog.PROCESS_OPEN_FDS, catalog.PROCESS_MAX_FDS)
    )
    return Alert(
        name="PerfsdkFileDescriptorsNearLimit",
        expr=f"{total(f'{used} / {most}', 'instance', function='max')} > {FDS_USED}",
        severity="warning",
        hold="5m",
        summary="A worker of {{ $labels.job }} runs out of file descriptors",
        description=(
            "A worker of {{ $labels.instance }} has {{ $value | humanizePercentage }} of the file"
            " descriptors open that it may have; with none left it accepts no connection."
        ),
        board="perfsdk-workers",
        variables=INSTANCE,
    )


def _memory() -> Alert:
    memory = series(catalog.PROCESS_RESIDENT_MEMORY.name, OURS)
    soon = f"predict_linear({memory}[3h], 12 * 3600)"
    # A worker that starts grows for a while, and a replaced one is not the one before.
    settled = f"(time() - {series(catalog.PROCESS_START_TIME.name, OURS)}) > 4 * 3600"
    return Alert(
        name="PerfsdkMemoryGrows",
        expr=total(
            f"({soon} > 2 * {memory} and {soon} - {memory} > 256 * 1024 * 1024)\nand {settled}",
            "instance",
            function="max",
        ),
        severity="info",
        hold="1h",
        window="12h",
        summary="A worker of {{ $labels.job }} needs more and more memory",
        description=(
            "As it grew for three hours, a worker of {{ $labels.instance }} holds"
            " {{ $value | humanize1024 }}B in twelve hours, more than twice of what it holds now."
        ),
        board="perfsdk-workers",
        variables=INSTANCE,
    )
