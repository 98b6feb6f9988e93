"""The board of worker processes."""

from grafana.boards.variables import annotations, variables
from grafana.dashboard import dashboard
from grafana.fields import Json
from grafana.rows import workers


def build() -> Json:
    """The dashboard as Grafana imports it."""
    return dashboard(
        uid="perfsdk-workers",
        title="perfsdk / Python workers",
        description=(
            "Every worker process: its processor, memory and open files, and whether it was"
            " started again."
        ),
        variables=variables(),
        annotations=annotations(),
        rows=[workers.row()],
    )
