"""The board of service level objectives: how much budget is left?"""

from grafana.boards.variables import annotations, variables
from grafana.dashboard import dashboard
from grafana.fields import Json
from grafana.rows import objectives


def build() -> Json:
    """The dashboard as Grafana imports it."""
    return dashboard(
        uid="perfsdk-slo",
        title="perfsdk / Objectives",
        description=(
            "How much of the error budget of each objective is left, how fast it burns, and"
            " which alerts fire. It reads the series of the recording rules."
        ),
        variables=variables(instance=False),
        annotations=annotations(),
        rows=[objectives.row(), objectives.burning()],
    )
