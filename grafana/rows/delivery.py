"""Delivery: what happens before a request is taken, while a body streams, and after it."""

from grafana import fields, promql
from grafana.dashboard import Line, Row
from grafana.fields import Json
from grafana.panels import query, timeseries
from grafana.promql import ROUTE
from grafana.tables import Column, table
from perfsdk import catalog

FIRST_BYTE = catalog.HTTP_SERVER_TIME_TO_FIRST_BYTE
QUEUE = catalog.HTTP_SERVER_REQUEST_QUEUE_DURATION
BACKGROUND = catalog.BACKGROUND_TASK_DURATION
BY_ROUTE = ("http_route",)
LEGEND = "{{http_route}}"
QUANTILES = (0.5, 0.95, 0.99)


def row() -> Row:
    """Waiting before the application, first bytes, work after the last byte, WebSockets."""
    return Row(
        title="Queue, streams, background work and WebSockets",
        collapsed=True,
        lines=[
            Line(8, [_queue(), _first_byte(), _uncompressed()]),
            Line(8, [_background_seconds(), _background()]),
            Line(8, [_connections(), _messages()]),
            Line(8, [_connection_seconds(), _closes()]),
        ],
    )


def _queue() -> Json:
    return timeseries(
        "Time in the queue",
        "From the proxy that took the request to the application. When it grows while the"
        " requests themselves stay fast, there are too few workers.",
        [query(promql.busy(promql.quantile(q, QUEUE)), f"P{q * 100:g}") for q in QUANTILES],
        unit="s",
        none="No proxy is trusted to say when a request came",
    )


def _first_byte() -> Json:
    return timeseries(
        "Time to first byte, P95",
        "95 % of the streamed responses of a route sent the first part of their body within this"
        " time. What comes later is the stream itself.",
        [query(promql.busy(promql.quantile(0.95, FIRST_BYTE, ROUTE, by=BY_ROUTE)), LEGEND)],
        unit="s",
        none="No streamed responses of the chosen routes",
    )


def _uncompressed() -> Json:
    return timeseries(
        "Bytes sent uncompressed",
        "Bytes a second of text, JSON and the like, in bodies of 1 KiB and more, that no"
        " Content-Encoding made smaller. Fine where the proxy compresses; else this is what"
        " compression would save most of.",
        [query(promql.rate(catalog.HTTP_SERVER_UNCOMPRESSED, ROUTE, by=BY_ROUTE), LEGEND)],
        unit="Bps",
        none="Nothing of the chosen routes",
    )


def _background_seconds() -> Json:
    return timeseries(
        "Background work by route",
        "Seconds of work after the last byte, each second. At 1 it keeps one worker busy all the"
        " time: a synchronous worker answers nobody meanwhile.",
        [query(promql.amount(BACKGROUND, ROUTE, by=BY_ROUTE), LEGEND)],
        unit="short",
        stacked=True,
        none="No work after responses of the chosen routes",
    )


def _background() -> Json:
    over = promql.over_all(*BY_ROUTE)
    return table(
        "Background work",
        "Work of a request after its last byte: tasks, and what is cleaned up after the response."
        " An exception there is in no answer: the client was told that all is well.",
        [
            Column(title="Route", label="http_route"),
            Column(
                title="A second",
                expr=promql.observations(BACKGROUND, ROUTE, **over),
                unit="reqps",
                width=100,
            ),
            Column(
                title="P95",
                expr=promql.busy(promql.quantile(0.95, BACKGROUND, ROUTE, **over)),
                unit="s",
            ),
            Column(
                title="Exceptions",
                expr=promql.grown(catalog.BACKGROUND_TASK_EXCEPTIONS, ROUTE, by=BY_ROUTE),
                decimals=0,
                steps=fields.bad_from(1),
                width=110,
            ),
        ],
        sort_by="Exceptions",
        none="No work after responses of the chosen routes",
    )


def _connections() -> Json:
    return timeseries(
        "WebSocket connections",
        "WebSocket connections that are open, by route. A step down is a restart or a proxy that"
        " closed them; what only climbs is never closed.",
        [query(promql.gauge(catalog.WEBSOCKET_ACTIVE, ROUTE, by=BY_ROUTE), LEGEND)],
        unit="short",
        none="No WebSocket connections",
    )


def _messages() -> Json:
    by = ("http_route", "direction")
    return timeseries(
        "WebSocket messages",
        "Messages a second, by route and direction.",
        [
            query(
                promql.rate(catalog.WEBSOCKET_MESSAGES, ROUTE, by=by), f"{LEGEND} {{{{direction}}}}"
            )
        ],
        unit="short",
        none="No WebSocket connections",
    )


def _connection_seconds() -> Json:
    median = promql.quantile(0.5, catalog.WEBSOCKET_DURATION, ROUTE, by=BY_ROUTE)
    return timeseries(
        "WebSocket connections, median duration",
        "Half of the connections of a route that ended were open for longer. Seconds where it"
        " should be hours: clients connect again and again.",
        [query(promql.busy(median), LEGEND)],
        unit="s",
        none="No WebSocket connections",
    )


def _closes() -> Json:
    by = ("http_route", "close_code")
    return table(
        "WebSocket closes",
        "How connections ended in the chosen time. 1000 and 1001 are regular, 1005 a client that"
        " said nothing, 1006 a connection that broke, 1011 an exception, 1012 a restart;"
        " 'rejected' was never accepted.",
        [
            Column(title="Route", label="http_route"),
            Column(title="Code", label="close_code", width=100),
            Column(
                title="Times",
                expr=promql.grown(catalog.WEBSOCKET_CLOSES, ROUTE, by=by),
                decimals=0,
                width=90,
            ),
        ],
        sort_by="Times",
        none="No WebSocket connections",
    )
