"""Health: the numbers that tell in one look whether the service does its work."""

from grafana import fields, promql
from grafana.dashboard import Line, Row
from grafana.fields import Json
from grafana.panels import stat
from perfsdk import catalog

DURATION = catalog.HTTP_SERVER_REQUEST_DURATION
QUIET = "no requests"


def row() -> Row:
    """Eight numbers of the whole service, whatever routes are chosen."""
    panels = [
        stat(
            "Requests",
            "Requests a second over all routes and workers. A fall to half of the usual while"
            " clients are well means that they do not get here: look at the load balancer.",
            promql.or_zero(promql.observations(DURATION)),
            unit="reqps",
            steps=fields.NEUTRAL,
        ),
        stat(
            "Failed",
            "Share of requests that failed: 5xx, or an error other than a client that left."
            " Yellow from 1 %, red from 5 %. Which routes: see 'Failing routes' below.",
            promql.failed_share(),
            unit="percentunit",
            decimals=2,
            steps=fields.FAILED,
        ),
        _quantile("P50", 0.5, "Half of all requests", "what most people feel", (0.25, 1.0)),
        _quantile("P95", 0.95, "95 % of all requests", "one in twenty is slower", (0.5, 2.0)),
        _quantile(
            "P99",
            0.99,
            "99 % of all requests",
            "one in a hundred is slower, and a page of many requests meets it often",
            (1.0, 4.0),
        ),
        stat(
            "In flight",
            "Requests being served now. Growing at a steady rate of requests means that they are"
            " answered more slowly than they come: find the component that grew below.",
            promql.gauge(catalog.HTTP_SERVER_ACTIVE_REQUESTS),
            unit="short",
            steps=fields.NEUTRAL,
        ),
        stat(
            "Oldest request",
            "Age of the oldest request being served. A request that hangs shows here before it"
            " is over, which is when all other panels learn of it. Yellow from 10 s, red from"
            " 60 s.",
            promql.gauge(catalog.HTTP_SERVER_OLDEST_REQUEST_AGE, function="max"),
            unit="s",
            steps=fields.bad_above(10.0, 60.0),
        ),
        stat(
            "Workers",
            "Live worker processes that record. Fewer than were started: some have died, or have"
            " not served anything yet. 0: none lives, or the exporter is not scraped, and the"
            " other numbers are the last that were seen.",
            promql.or_zero(promql.gauge(catalog.WORKERS)),
            unit="short",
            steps=fields.good_above(1, 1),
        ),
    ]
    return Row(title="Health", lines=[Line(4, panels)])


def _quantile(name: str, q: float, who: str, meaning: str, limits: tuple[float, float]) -> Json:
    return stat(
        name,
        f"{who} were answered within this time: {meaning}. Yellow from {limits[0]:g} s, red from"
        f" {limits[1]:g} s. The routes behind it: see 'Slowest routes'.",
        promql.quantile(q, DURATION),
        unit="s",
        steps=fields.bad_above(*limits),
        quiet=QUIET,
    )
