"""The board of the measuring itself."""

from grafana.boards.variables import annotations, variables
from grafana.dashboard import dashboard
from grafana.fields import Json
from grafana.rows import exporter, telemetry


def build() -> Json:
    """The dashboard as Grafana imports it."""
    return dashboard(
        uid="perfsdk-telemetry",
        title="perfsdk / Telemetry",
        description=(
            "Whether the measuring itself is well: scrapes, segments, series, and what the"
            " SDK could not do."
        ),
        variables=variables(),
        annotations=annotations(),
        rows=[exporter.row(), telemetry.row()],
    )
