"""The labels of requests that no application chooses, and those that the user adds."""

from collections.abc import Mapping
from dataclasses import replace

from perfsdk import guard
from perfsdk.catalog import HTTP_SERVER_REQUEST_DURATION, Metric
from perfsdk.settings import Settings

METHODS = {
    method: method
    for method in (
        "CONNECT DELETE GET HEAD OPTIONS PATCH POST PUT QUERY TRACE".split()  # noqa: SIM905 - reads as the list it is
    )
}
OTHER = "_OTHER"

UNMATCHED = "<unmatched>"
REDIRECT = "<redirect>"
UNROUTED = "<unrouted>"
UNRESOLVED = "<unresolved>"

CLIENT_DISCONNECT = "client_disconnect"
NO_RESPONSE = "no_response"
CLIENT_CLOSED_REQUEST = 499


class RouteLabels:
    """The labels of the setting `route_labels`, which `perfsdk.label` gives a request.

    `none` are their values for a request that was given none.
    """

    def __init__(self, allowed: Mapping[str, tuple[str, ...]]) -> None:
        self._allowed = allowed
        self.none = ("",) * len(allowed)

    def values(self, given: Mapping[str, object]) -> tuple[str, ...]:
        """What a request was given, as the setting has it."""
        if not given.keys() <= self._allowed.keys():
            guard.log_once(
                "route_labels",
                "perfsdk: label() was given %s; the setting route_labels knows %s",
                ", ".join(sorted(given)),
                ", ".join(self._allowed) or "none",
            )
        return tuple(
            _value(given.get(name, ""), allowed) for name, allowed in self._allowed.items()
        )


def _value(value: object, allowed: tuple[str, ...]) -> str:
    if isinstance(value, str) and (value == "" or value in allowed):
        return value
    return OTHER


def duration_metric(settings: Settings) -> Metric:
    """The duration of requests, with the labels and the objectives of the user."""
    metric = HTTP_SERVER_REQUEST_DURATION
    objective = settings.latency_objective
    objectives = objective.values() if isinstance(objective, Mapping) else [objective or 0.0]
    bounds = {float(seconds) for seconds in objectives if seconds}
    return replace(
        metric,
        labels=(*metric.labels, *settings.route_labels),
        bounds=tuple(sorted({*metric.bounds, *bounds})),
    )
