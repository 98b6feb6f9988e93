"""The board of all services: which one needs a look?"""

from grafana.boards.variables import annotations, variables
from grafana.dashboard import dashboard
from grafana.fields import Json
from grafana.rows import services


def build() -> Json:
    """The dashboard as Grafana imports it."""
    return dashboard(
        uid="perfsdk-overview",
        title="perfsdk / Services",
        description=(
            "All services side by side: which one fails, is slow, is busy, or has lost workers?"
        ),
        variables=variables(),
        annotations=annotations(),
        rows=[services.row(), services.courses()],
    )
