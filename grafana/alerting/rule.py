"""What a rule is: a recorded series or an alert with its severity, texts, runbook and board."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from grafana.alerting.parameters import GRAFANA_URL, RUNBOOK_URL

Severity = Literal["critical", "warning", "info"]
Board = Literal[
    "perfsdk-overview",
    "perfsdk-service",
    "perfsdk-time",
    "perfsdk-databases",
    "perfsdk-caches",
    "perfsdk-workers",
    "perfsdk-slo",
    "perfsdk-telemetry",
]
Rule = dict[str, object]

JOB = ("cluster", "namespace", "job")
"""The labels of a service, which every aggregation keeps; one that does not exist is left out."""


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One alert.

    `labels` are those of the result that the link hands to the board as variables; `window` is
    the time range that the link opens. In `summary` and `description` stand Prometheus's
    templates: `{{ $labels.job }}`, `{{ $value | humanizePercentage }}`.
    """

    name: str
    expr: str
    severity: Severity
    summary: str
    description: str
    board: Board
    hold: str = ""
    """How long the expression is true before the alert fires."""
    window: str = "3h"
    labels: Mapping[str, str] = field(default_factory=dict)
    variables: Sequence[str] = JOB

    def rule(self) -> Rule:
        """As Prometheus reads it."""
        rule: Rule = {"alert": self.name, "expr": self.expr}
        if self.hold:
            rule["for"] = self.hold
        rule["labels"] = {"severity": self.severity, **self.labels}
        rule["annotations"] = {
            "summary": self.summary,
            "description": self.description,
            "runbook_url": f"{RUNBOOK_URL}#{self.name.lower()}",
            "dashboard_url": self._link(),
        }
        return rule

    def _link(self) -> str:
        # A label that is absent is left out: an empty value would choose series without it.
        chosen = "".join(
            f"{{{{ with $labels.{label} }}}}&var-{variable}={{{{ . | urlquery }}}}{{{{ end }}}}"
            for label, variable in ((label, _variable(label)) for label in self.variables)
        )
        return f"{GRAFANA_URL}/d/{self.board}?from=now-{self.window}&to=now{chosen}"


def _variable(label: str) -> str:
    """The variable of the boards that chooses by a label."""
    return {"http_route": "route"}.get(label, label)


def record(name: str, expr: str, **labels: str) -> Rule:
    """A series that is computed once and then read by alerts and boards."""
    rule: Rule = {"record": name, "expr": expr}
    if labels:
        rule["labels"] = labels
    return rule


def group(name: str, rules: Sequence[Rule], *, interval: str = "") -> Rule:
    """Rules that are evaluated one after the other; by default as often as the server says."""
    head: Rule = {"name": name}
    if interval:
        head["interval"] = interval
    return {**head, "rules": list(rules)}
