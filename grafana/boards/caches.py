"""The board of caches: do they hit, and are they worth it?"""

from grafana.boards.variables import annotations, variables
from grafana.dashboard import dashboard
from grafana.fields import Json
from grafana.rows import caches, worth


def build() -> Json:
    """The dashboard as Grafana imports it."""
    return dashboard(
        uid="perfsdk-caches",
        title="perfsdk / Caches and their worth",
        description=(
            "Hit rates, what a miss costs, what each cache saves, how it is written and what"
            " leaves it."
        ),
        variables=variables(),
        annotations=annotations(),
        rows=[caches.health(), caches.row(), worth.row()],
    )
