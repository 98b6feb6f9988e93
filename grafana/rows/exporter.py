"""The sidecar: is it scraped, in time, and does it read all that the workers write?"""

from grafana import fields, promql
from grafana.dashboard import Line, Row
from grafana.fields import Json
from grafana.panels import query, stat, timeseries
from grafana.tables import Column, table
from perfsdk.catalog import Metric

# What Prometheus itself says of every target, and what the exporter says of itself.
UP = Metric(name="up", kind="gauge", help="")
DURATION = Metric(name="scrape_duration_seconds", kind="gauge", help="")
SAMPLES = Metric(name="scrape_samples_scraped", kind="gauge", help="")
READING = Metric(name="perfsdk_exporter_scrape_duration_seconds", kind="gauge", help="")
SEGMENTS = Metric(name="perfsdk_exporter_segments", kind="gauge", help="", labels=("state",))
SERIES = Metric(name="perfsdk_exporter_series", kind="gauge", help="")
LEFT_OUT = Metric(
    name="perfsdk_exporter_series_left_out", kind="gauge", help="", labels=("reason",)
)
REAPED = Metric(name="perfsdk_exporter_segments_reaped_total", kind="counter", help="")
DROPPED = Metric(name="perfsdk_exporter_archive_series_dropped_total", kind="counter", help="")
DAMAGED = Metric(name="perfsdk_exporter_archives_damaged_total", kind="counter", help="")
FAILURES = Metric(name="perfsdk_exporter_reaping_failures_total", kind="counter", help="")
PROCESSOR = Metric(name="perfsdk_exporter_process_cpu_seconds_total", kind="counter", help="")
MEMORY = Metric(name="perfsdk_exporter_process_resident_memory_bytes", kind="gauge", help="")
BUILD = Metric(
    name="perfsdk_exporter_build_info",
    kind="gauge",
    help="",
    labels=("version", "pythonversion"),
)
METRICS = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
OF_PROMETHEUS = (UP, DURATION, SAMPLES)

BY = ("instance",)
LEGEND = "{{instance}}"
NONE = "No exporter is scraped"


def row() -> Row:
    """Scrapes, segments and what they cost."""
    return Row(
        title="The sidecar",
        lines=[
            Line(4, _numbers()),
            Line(8, [_scrapes(), _segments(), _samples()]),
            Line(8, [_processor(), _memory(), _versions()]),
        ],
    )


def _numbers() -> list[Json]:
    """Six numbers; all but the first two are 0 when all is well."""
    return [
        stat(
            "Exporters up",
            "Exporters that Prometheus reaches now. 0: their numbers are the last that were seen.",
            promql.or_zero(promql.gauge(UP)),
            unit="short",
            steps=fields.good_above(1, 1),
        ),
        stat(
            "Longest scrape",
            "The longest scrape now. Near the scrape timeout samples get lost: give it more time,"
            " or fewer series.",
            promql.gauge(DURATION, function="max"),
            unit="s",
            steps=fields.bad_above(2.0, 8.0),
        ),
        _alarm(
            "Unreadable segments",
            "Files that the exporter cannot read: their workers are missing in all numbers. Its"
            " log names them.",
            promql.gauge(SEGMENTS, 'state="unreadable"'),
        ),
        _alarm(
            "Series left out",
            "Series of workers that are not on the page, since another of the same name is in the"
            " way: usually two versions of the application that describe a metric differently.",
            promql.gauge(LEFT_OUT),
        ),
        _alarm(
            "Damaged archives",
            "Archives of ended workers that could not be read and were put aside, in the chosen"
            " time: what ended workers had counted is lost.",
            promql.grown(DAMAGED),
            course=False,
        ),
        _alarm(
            "Failed passes",
            "Passes over the directory that failed, in the chosen time; the next one tries again."
            " Usually a directory that is full.",
            promql.grown(FAILURES),
            course=False,
        ),
    ]


def _alarm(title: str, description: str, expr: str, *, course: bool = True) -> Json:
    return stat(
        title,
        description,
        promql.or_zero(expr),
        unit="short",
        decimals=0,
        steps=fields.bad_from(1),
        course=course,
        alarm=True,
    )


def _scrapes() -> Json:
    return timeseries(
        "Time of a scrape",
        "How long Prometheus waited for the page; dashed: how long the exporter read and added"
        " up for it. The rest is rendering, compression and the network.",
        [
            query(promql.gauge(DURATION, by=BY, function="max"), LEGEND),
            query(promql.gauge(READING, by=BY, function="max"), f"{LEGEND} reading"),
        ],
        unit="s",
        dashed=["B"],
        none=NONE,
    )


def _segments() -> Json:
    return timeseries(
        "Segments by state",
        "Files of workers: 'live' is a running one, 'dead' has ended and is folded into the"
        " archive soon. Dead ones that pile up: the exporter may not write into the directory."
        " Dashed: those folded, a second.",
        [
            query(promql.gauge(SEGMENTS, by=("state",)), "{{state}}"),
            query(promql.rate(REAPED), "folded"),
        ],
        unit="short",
        dashed=["B"],
        none=NONE,
    )


def _samples() -> Json:
    return timeseries(
        "Samples of a scrape",
        "Samples that Prometheus took from each exporter, and the series behind them; a histogram"
        " is one series and many samples. A line that only climbs is a label without bound.",
        [
            query(promql.gauge(SAMPLES, by=BY, function="max"), f"{LEGEND} samples"),
            query(promql.gauge(SERIES, by=BY, function="max"), f"{LEGEND} series"),
            query(promql.rate(DROPPED), "let go of by the archive"),
        ],
        unit="short",
        none=NONE,
    )


def _processor() -> Json:
    return timeseries(
        "Processor of the exporter",
        "Processors that each exporter keeps busy. Much more than others of the same size: too"
        " many scrape it, or too often.",
        [query(promql.rate(PROCESSOR, by=BY), LEGEND)],
        unit="short",
        none=NONE,
    )


def _memory() -> Json:
    return timeseries(
        "Memory of the exporter",
        "Memory of each exporter that is in RAM. It follows the number of series; its limit in"
        " Kubernetes must stay above.",
        [query(promql.gauge(MEMORY, by=BY), LEGEND)],
        unit="bytes",
        none=NONE,
    )


def _versions() -> Json:
    return table(
        "Exporters by version",
        "Exporters by their version and Python. Two versions for long: a deployment that did not"
        " reach every machine.",
        [
            Column(title="Version", label="version"),
            Column(title="Python", label="pythonversion"),
            Column(
                title="Exporters",
                expr=promql.gauge(BUILD, by=("version", "pythonversion")),
                decimals=0,
                width=100,
            ),
        ],
        sort_by="Exporters",
        none=NONE,
    )
