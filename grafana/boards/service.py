"""The board of one service: is it well, what is wrong, which routes are slow or fail?"""

from grafana.boards.variables import annotations, variables
from grafana.dashboard import dashboard
from grafana.fields import Json
from grafana.rows import bodies, delivery, health, last_week, problems, requests


def build() -> Json:
    """The dashboard as Grafana imports it."""
    return dashboard(
        uid="perfsdk-service",
        title="perfsdk / HTTP service",
        description=(
            "One service over all its workers: is it well, what is wrong, and which routes are"
            " slow, fail, or take most of the time."
        ),
        variables=variables(route=True),
        annotations=annotations(),
        rows=[
            health.row(),
            problems.row(),
            requests.row(),
            last_week.row(),
            delivery.row(),
            bodies.row(),
        ],
    )
