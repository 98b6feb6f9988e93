"""Objectives under Sloth's names, and the alerts on how fast their budgets burn."""

from dataclasses import dataclass

from grafana.alerting import expressions as promql
from grafana.alerting import names
from grafana.alerting.parameters import (
    AVAILABILITY_OBJECTIVE,
    LATENCY_OBJECTIVE,
    LATENCY_SECONDS,
    Parameter,
)
from grafana.alerting.rule import JOB, Alert, Rule, group, record

WINDOWS = ("5m", "30m", "1h", "2h", "6h")
LONG_WINDOWS = ("1d", "3d")
PERIOD = "30d"
PERIOD_DAYS = 30
PERCENT = "{{{{ {} | humanizePercentage }}}}"
IDENTITY = (*JOB, "sloth_service", "sloth_slo", "sloth_id")


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The share of a service's requests that must be good over 30 days."""

    slo: str
    bad: str
    """The recorded rate of bad requests."""
    target: Parameter
    wide: bool = False
    """Its budget may be so large that it cannot burn as fast as the factors of alerts say."""


AVAILABILITY = Objective(slo="availability", bad=names.FAILED, target=AVAILABILITY_OBJECTIVE)
LATENCY = Objective(slo="latency", bad=names.SLOW, target=LATENCY_OBJECTIVE, wide=True)
OBJECTIVES = (AVAILABILITY, LATENCY)


@dataclass(frozen=True)
class Burn:
    """How fast a budget burns: a factor of the even pace, in a short and in a long window."""

    short: str
    long: str
    factor: float


PAGE = (Burn("5m", "1h", 14.4), Burn("30m", "6h", 6))
TICKET = (Burn("2h", "1d", 3), Burn("6h", "3d", 1))


def groups() -> list[Rule]:
    """For each objective the error ratios, and what is derived of them."""
    return [
        one
        for objective in OBJECTIVES
        for one in (
            group(f"perfsdk-slo-{objective.slo}", _ratios(objective)),
            # Days of samples are not read more often than they change; the lookback is 5 min.
            group(f"perfsdk-slo-{objective.slo}-period", _period(objective), interval="2m"),
        )
    ]


def _ratios(objective: Objective) -> list[Rule]:
    return [_ratio(objective, window) for window in WINDOWS]


def _ratio(objective: Objective, window: str) -> Rule:
    """Requests weigh alike: bad over all of the window, not the average of its shares."""
    over = "" if window == "5m" else window
    bad, everything = (
        f"sum_over_time({name}[{over}])" if over else name
        for name in (objective.bad, names.REQUESTS)
    )
    return _recorded(
        objective,
        f"slo:sli_error:ratio_rate{window}",
        f"{bad}\n/\n({everything} > 0)",
        sloth_window=window,
    )


def _period(objective: Objective) -> list[Rule]:
    target = str(objective.target)
    # As long as it is scraped, in whatever state: a budget is also shown to a quiet service.
    exists = f"group by ({', '.join(JOB)}) (last_over_time({names.WORKERS}[1h]))"
    budget = f"on ({', '.join(IDENTITY)}) slo:error_budget:ratio{_of(objective)}"
    month = f"slo:sli_error:ratio_rate{PERIOD}{_of(objective)}"
    return [
        *(_ratio(objective, window) for window in (*LONG_WINDOWS, PERIOD)),
        _recorded(objective, "slo:objective:ratio", f"{target} * {exists}"),
        _recorded(objective, "slo:error_budget:ratio", f"(1 - {target}) * {exists}"),
        _recorded(objective, "slo:time_period:days", f"{PERIOD_DAYS} * {exists}"),
        record(
            "slo:current_burn_rate:ratio",
            f"slo:sli_error:ratio_rate5m{_of(objective)}\n/ {budget}",
            sloth_slo=objective.slo,
        ),
        record("slo:period_burn_rate:ratio", f"{month}\n/ {budget}", sloth_slo=objective.slo),
        record(
            "slo:period_error_budget_remaining:ratio",
            f"1 - slo:period_burn_rate:ratio{_of(objective)}",
            sloth_slo=objective.slo,
        ),
        _recorded(
            objective,
            "sloth_slo_info",
            exists,
            sloth_mode="perfsdk",
            sloth_spec="prometheus/v1",
            sloth_version="perfsdk",
        ),
    ]


def _recorded(objective: Objective, name: str, expr: str, **labels: str) -> Rule:
    """A rule whose result bears Sloth's labels: service, objective, and both in one."""
    service = f'label_replace(\n{promql.indented(expr)},\n  "sloth_service", "$1", "job", "(.*)"\n)'
    identity = (
        f"label_replace(\n{promql.indented(service)},\n"
        f'  "sloth_id", "$1-{objective.slo}", "job", "(.*)"\n)'
    )
    return record(name, identity, sloth_slo=objective.slo, **labels)


def _of(objective: Objective) -> str:
    return f'{{sloth_slo="{objective.slo}"}}'


def alerts() -> list[Alert]:
    """A page and a ticket for each objective."""
    return [
        Alert(
            name="PerfsdkErrorBudgetBurnPage",
            expr=_burning(AVAILABILITY, PAGE),
            severity="critical",
            hold="2m",
            labels={"sloth_severity": "page"},
            summary="{{ $labels.job }} fails so often that its error budget is soon spent",
            description=(
                "{{ $value | humanizePercentage }} of the requests of {{ $labels.job }} fail;"
                f" {PERCENT.format(AVAILABILITY_OBJECTIVE)} must succeed."
                " At this pace the budget of 30 days is"
                " spent in 5 days or less."
            ),
            board="perfsdk-service",
        ),
        Alert(
            name="PerfsdkErrorBudgetBurnTicket",
            expr=_burning(AVAILABILITY, TICKET),
            severity="warning",
            hold="15m",
            labels={"sloth_severity": "ticket"},
            summary="{{ $labels.job }} fails more often than its objective allows",
            description=(
                "{{ $value | humanizePercentage }} of the requests of {{ $labels.job }} fail;"
                f" {PERCENT.format(AVAILABILITY_OBJECTIVE)} must succeed."
                " At this pace the budget of 30 days is"
                " spent before they are over."
            ),
            board="perfsdk-slo",
            window="3d",
        ),
        Alert(
            name="PerfsdkLatencyBudgetBurnPage",
            expr=_burning(LATENCY, PAGE),
            severity="critical",
            hold="2m",
            labels={"sloth_severity": "page"},
            summary="{{ $labels.job }} is far too slow for most of its requests",
            description=(
                "{{ $value | humanizePercentage }} of the requests of {{ $labels.job }} take"
                f" more than {LATENCY_SECONDS} s; {PERCENT.format(LATENCY_OBJECTIVE)} must not."
            ),
            board="perfsdk-time",
        ),
        Alert(
            name="PerfsdkLatencyBudgetBurnTicket",
            expr=_burning(LATENCY, TICKET),
            severity="warning",
            hold="15m",
            labels={"sloth_severity": "ticket"},
            summary="{{ $labels.job }} is slower than its objective allows",
            description=(
                "{{ $value | humanizePercentage }} of the requests of {{ $labels.job }} take"
                f" more than {LATENCY_SECONDS} s; {PERCENT.format(LATENCY_OBJECTIVE)} must not."
            ),
            board="perfsdk-slo",
            window="3d",
        ),
    ]


def _burning(objective: Objective, burns: tuple[Burn, Burn]) -> str:
    """Over the threshold in both windows: much was lost, and it is still being lost."""
    parts = [
        f"max without (sloth_window) (\n"
        f"    {_ratio_over(objective, burn, burn.short)}\n"
        f"    and ignoring (sloth_window)\n"
        f"    {_ratio_over(objective, burn, burn.long)}\n"
        f"  )"
        for burn in burns
    ]
    either = "\n  or\n  ".join(parts)
    return f"(\n  {either}\n)\n{promql.busy()}"


def _ratio_over(objective: Objective, burn: Burn, window: str) -> str:
    threshold = f"{burn.factor:g} * (1 - {objective.target})"
    if objective.wide:
        # No more than all requests can be bad: at most halfway from the budget to all of them.
        threshold = f"scalar(clamp_max(vector({threshold}), 1 - {objective.target} / 2))"
    return f"slo:sli_error:ratio_rate{window}{_of(objective)} > {threshold}"
