"""Workers: which process is busy, grows, runs out of descriptors or was started again?"""

from grafana import fields, promql
from grafana.dashboard import Line, Row
from grafana.fields import Json
from grafana.panels import query, timeseries
from grafana.tables import Column, table
from perfsdk import catalog

BY = ("instance", "worker")
PYTHON = ("implementation", "version")
LEGEND = "{{instance}} {{worker}}"
NONE = "No live workers"


def row() -> Row:
    """Figures of each process, which has a small number that its successor takes over."""
    return Row(
        title="Workers",
        lines=[
            Line(8, [_processor(), _memory(), _descriptors()]),
            Line(7, [_table(), _versions()], (16, 8)),
        ],
    )


def _processor() -> Json:
    return timeseries(
        "Processor by worker",
        "Processors that each worker keeps busy. At 1 a worker with the GIL can do no more: its"
        " requests wait, however idle the machine is. One far above the others gets most requests.",
        [query(promql.rate(catalog.PROCESS_CPU_SECONDS, by=BY), LEGEND)],
        unit="short",
        none=NONE,
    )


def _memory() -> Json:
    return timeseries(
        "Memory by worker",
        "Memory of each worker that is in RAM. A line that only climbs, over hours, is a leak;"
        " a fall is a restart.",
        [query(promql.gauge(catalog.PROCESS_RESIDENT_MEMORY, by=BY), LEGEND)],
        unit="bytes",
        none=NONE,
    )


def _descriptors() -> Json:
    used = promql.gauge(catalog.PROCESS_OPEN_FDS, by=BY)
    limit = promql.gauge(catalog.PROCESS_MAX_FDS, by=BY)
    return timeseries(
        "Open files by worker",
        "File descriptors of all that a worker may have. At the limit it accepts no connection"
        " and opens no file: connections that are not closed, or a limit that is too low.",
        [query(promql.each(used, limit), LEGEND)],
        unit="percentunit",
        maximum=1,
        none=NONE,
    )


def _table() -> Json:
    started = promql.gauge(catalog.PROCESS_START_TIME, by=BY, function="max")
    return table(
        "Every worker",
        "Every living worker. A worker that is much younger than the others was started again:"
        " recycled by its server, or dead. Its number is that of the one before; 'Restarts' are"
        " those of the time range, and two between scrapes count once. Many, all the time: read"
        " the log of the server for the reason.",
        [
            Column(title="Instance", label="instance"),
            Column(title="Worker", label="worker", width=90),
            Column(
                title="Age", expr=f"time() - {started}", unit="s", steps=fields.NEUTRAL, width=120
            ),
            Column(title="Restarts", expr=_restarts(), decimals=0, steps=fields.NEUTRAL, width=100),
            Column(
                title="Resident memory",
                expr=promql.gauge(catalog.PROCESS_RESIDENT_MEMORY, by=BY),
                unit="bytes",
                width=140,
            ),
            Column(
                title="Address space",
                expr=promql.gauge(catalog.PROCESS_VIRTUAL_MEMORY, by=BY),
                unit="bytes",
                width=140,
            ),
            Column(
                title="Open files",
                expr=promql.gauge(catalog.PROCESS_OPEN_FDS, by=BY),
                decimals=0,
                width=110,
            ),
        ],
        sort_by="Age",
        none=NONE,
    )


def _restarts() -> str:
    started = promql.selector(catalog.PROCESS_START_TIME.name)
    # A number that nobody took over is no living worker, and would be a row of its own.
    living = f"changes({started}[{promql.ALL}]) and {started}"
    return promql.aggregate("sum", living, BY)


def _versions() -> Json:
    return table(
        "Workers by Python version",
        "Living workers by the Python that runs them. Two versions for long: a deployment that"
        " did not reach every machine.",
        [
            Column(title="Python", label="version"),
            Column(title="Implementation", label="implementation"),
            Column(
                title="Workers",
                expr=promql.gauge(catalog.PYTHON_INFO, by=PYTHON),
                decimals=0,
                width=90,
            ),
        ],
        sort_by="Workers",
        none=NONE,
    )
