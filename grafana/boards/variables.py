"""What every board lets choose, and what it marks on its curves."""

from grafana import promql
from grafana.dashboard import annotation, datasource_variable, label_variable, min_step_variable
from grafana.fields import ORANGE, PURPLE, Json
from perfsdk import catalog

# It is there from the first scrape on, whatever the application does.
PRESENT = catalog.WORKERS.name
# Every request is in it, and it is not stored as a native histogram.
REQUESTS = f"{catalog.HTTP_SERVER_RESPONSE_BODY_SIZE.name}_count"
STARTED_SECONDS = 60


def variables(*, route: bool = False, instance: bool = True) -> list[Json]:
    """Data source, cluster, namespace and job, on most boards the instance, on some the route."""
    chosen = [promql.SERVICE[:length] for length in range(4)]
    present = [f"{PRESENT}{{{','.join(matchers)}}}" if matchers else PRESENT for matchers in chosen]
    found = [
        datasource_variable(),
        # Few have several clusters in one data source: they choose by ?var-cluster=.
        label_variable("cluster", "Cluster", present[0], "cluster", everything=".*", hidden=True),
        label_variable("namespace", "Namespace", present[1], "namespace", everything=".*"),
        label_variable("job", "Job", present[2], "job", everything=".+"),
    ]
    if instance:
        found.append(
            label_variable("instance", "Instance", present[3], "instance", everything=".+")
        )
    if route:
        series = promql.selector(REQUESTS)
        found.append(label_variable("route", "Route", series, "http_route", everything=".*"))
    return [*found, min_step_variable("15s", "30s", "1m", "2m", "5m", default="30s")]


def annotations() -> list[Json]:
    """Starts of all workers of an instance, as after a deployment, and alerts that fire."""
    started = promql.recorded(catalog.PROCESS_START_TIME.name)
    youngest = promql.aggregate("min", started, ("job", "instance"))
    alerts = promql.recorded("ALERTS", 'alertstate="firing"', 'alertname=~"Perfsdk.+"')
    return [
        annotation(
            "Starts",
            f"time() - {youngest} < {STARTED_SECONDS}",
            title="All workers started",
            text="{{job}} {{instance}}",
            colour=PURPLE,
        ),
        annotation(
            "Alerts",
            promql.aggregate("max", alerts, ("alertname", "job", "severity")),
            title="{{alertname}}",
            text="{{job}} {{severity}}",
            colour=ORANGE,
        ),
    ]
