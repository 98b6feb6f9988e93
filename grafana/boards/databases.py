"""The board of databases: which query is it, and is there a connection to ask it by?"""

from grafana.boards.variables import annotations, variables
from grafana.dashboard import dashboard
from grafana.fields import Json
from grafana.rows import database, queries


def build() -> Json:
    """The dashboard as Grafana imports it."""
    return dashboard(
        uid="perfsdk-databases",
        title="perfsdk / Databases and pools",
        description=(
            "What the service asks its databases, which statements take the time or fail,"
            " what was found to hurt, and who waits for a connection."
        ),
        variables=variables(route=True),
        annotations=annotations(),
        rows=[
            database.health(),
            queries.problems(),
            database.row(),
            queries.row(),
            queries.pools(),
        ],
    )
