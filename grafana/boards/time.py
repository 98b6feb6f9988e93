"""The board that takes requests apart: where does their time go?"""

from grafana.boards.variables import annotations, variables
from grafana.dashboard import dashboard
from grafana.fields import Json
from grafana.rows import spent


def build() -> Json:
    """The dashboard as Grafana imports it."""
    return dashboard(
        uid="perfsdk-time",
        title="perfsdk / Where the time goes",
        description=(
            "What part of a request is the application, the database, the cache, another"
            " service or waiting for a connection, and what makes slow requests slow."
        ),
        variables=variables(route=True),
        annotations=annotations(),
        rows=[spent.row()],
    )
