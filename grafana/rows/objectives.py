"""Objectives: the error budgets that are left, how fast they burn, and the alerts that fire."""

from grafana import fields, promql
from grafana.dashboard import Line, Row
from grafana.fields import Json
from grafana.panels import query, timeseries
from grafana.tables import Column, table

BY = ("sloth_service", "sloth_slo")
LEGEND = "{{sloth_service}} {{sloth_slo}}"
NONE = "The recording rules are not loaded, or no service was called"
BUDGET_LEFT = fields.good_above(0.2, 0.5)
PAGE, TICKET = (14.4, 6.0), (3.0, 1.0)
"""Burn rates: the alerts page at these over 1 h and 6 h, and open a ticket over 1 d and 3 d."""


def row() -> Row:
    """Every objective, and what fires."""
    return Row(
        title="Budgets", lines=[Line(8, [_table(), _firing()], (15, 9)), Line(9, [_left(), _now()])]
    )


def burning() -> Row:
    """How fast, over the windows of the alerts."""
    return Row(title="How fast they burn", lines=[Line(9, [_burning("1h"), _burning("6h")])])


def _objective(name: str, function: str = "max") -> str:
    return promql.aggregate(function, promql.recorded(name), BY)


def _table() -> Json:
    return table(
        "Every objective",
        "Each objective over 30 days, as far as there is history. 'Budget left' is the part of"
        " the errors that the objective allows and that were not made yet; at 0 % releases wait."
        " 'Burn' is 1 when the budget lasts exactly 30 days.",
        [
            Column(title="Service", label="sloth_service"),
            Column(title="Objective", label="sloth_slo", width=120),
            Column(
                title="Wanted",
                expr=_objective("slo:objective:ratio"),
                unit="percentunit",
                decimals=3,
                width=100,
            ),
            Column(
                title="Reached",
                expr=f"1 - {_objective('slo:sli_error:ratio_rate30d')}",
                unit="percentunit",
                decimals=3,
                width=100,
            ),
            Column(
                title="Budget left",
                expr=_objective("slo:period_error_budget_remaining:ratio", "min"),
                unit="percentunit",
                decimals=1,
                steps=BUDGET_LEFT,
                width=110,
            ),
            Column(
                title="Burn",
                expr=_objective("slo:current_burn_rate:ratio"),
                decimals=2,
                steps=fields.bad_above(TICKET[1], PAGE[1]),
                width=90,
            ),
        ],
        sort_by="Burn",
        none=NONE,
    )


def _firing() -> Json:
    alerts = promql.recorded("ALERTS", 'alertstate="firing"', 'alertname=~"Perfsdk.+"')
    return table(
        "Alerts that fire",
        "Alerts of perfsdk that fire now. Each has a runbook: what it means and what to do first.",
        [
            Column(title="Alert", label="alertname"),
            Column(title="Service", label="job", width=130),
            Column(title="Severity", label="severity", width=100),
            Column(
                title="Firing",
                expr=promql.aggregate("count", alerts, ("alertname", "job", "severity")),
                hidden=True,
            ),
        ],
        sort_by="Severity",
        none="None",
    )


def _left() -> Json:
    return timeseries(
        "Error budget left",
        "The part of the budget of 30 days that is left. A slope that never ends is burnt slowly"
        " by something that always fails; a step is an incident.",
        [query(_objective("slo:period_error_budget_remaining:ratio", "min"), LEGEND)],
        unit="percentunit",
        maximum=1,
        none=NONE,
    )


def _now() -> Json:
    return timeseries(
        "Errors against the objective",
        "The share of requests that missed each objective: failed, or were slower than it wants."
        " Above the part that the objective allows, the budget is burnt.",
        [query(_objective("slo:sli_error:ratio_rate5m"), LEGEND)],
        unit="percentunit",
        none=NONE,
    )


def _burning(window: str) -> Json:
    page, ticket = (PAGE[0], TICKET[0]) if window == "1h" else (PAGE[1], TICKET[1])
    rate = promql.aggregate(
        "max",
        f"{promql.recorded(f'slo:sli_error:ratio_rate{window}')}"
        f" / on (sloth_id, cluster, namespace, job) group_left ()"
        f" {promql.recorded('slo:error_budget:ratio')}",
        BY,
    )
    return timeseries(
        f"Burn rate over {window}",
        f"How many times faster than in 30 days the budget burns, over {window}. From {page:g}"
        f" on somebody is paged, if the shorter window agrees; {ticket:g} over a longer time is"
        " a ticket.",
        [query(rate, LEGEND)],
        unit="short",
        reach=page,
        limits=(ticket, page),
        none=NONE,
    )
