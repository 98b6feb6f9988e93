"""The rule files by name: with numbers to use as they are, and as templates for the chart."""

from collections.abc import Mapping
from pathlib import Path

from grafana.alerting import aggregations, objectives, requests, storage, telemetry, workers
from grafana.alerting.parameters import Value, chosen, filled, for_helm
from grafana.alerting.rule import Alert, Rule, group
from grafana.alerting.yaml_text import document

RULES = Path(__file__).resolve().parent.parent / "rules"
TEMPLATES = RULES / "helm"
NOT_BY_HAND = "# Written by grafana/build.py: change grafana/alerting/ and run it.\n"
SUFFIX = ".rules.yaml"


def rule_files(values: Mapping[str, Value] | None = None) -> dict[str, str]:
    """The text of every rule file, with these values for parameters and defaults for the rest.

    Raises:
        ValueError: a value is not one that its parameter takes.
    """
    every = chosen(values or {})
    return {name: filled(text, every) for name, text in _texts().items()}


def helm_templates() -> dict[str, str]:
    """The same files for Helm's `tpl`, with the chart's values in the place of numbers."""
    return {f"{name}.tpl": for_helm(text) for name, text in _texts().items()}


def alert_groups() -> dict[str, list[Alert]]:
    """Every alert, by the group in which it is evaluated."""
    return {
        "perfsdk-objectives": objectives.alerts(),
        "perfsdk-requests": requests.alerts(),
        "perfsdk-storage": storage.alerts(),
        "perfsdk-workers": workers.alerts(),
        "perfsdk-telemetry": telemetry.alerts(),
    }


def _texts() -> dict[str, str]:
    alerts = [
        group(f"{name}-alerts", [alert.rule() for alert in found])
        for name, found in alert_groups().items()
    ]
    files: dict[str, list[Rule]] = {
        "perfsdk-aggregations": aggregations.groups(),
        "perfsdk-objectives": objectives.groups(),
        "perfsdk-alerts": alerts,
    }
    return {
        f"{name}{SUFFIX}": NOT_BY_HAND + document({"groups": groups})
        for name, groups in files.items()
    }
