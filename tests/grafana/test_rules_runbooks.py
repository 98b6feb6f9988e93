"""Whoever is woken by an alert is told what it means, where to look and what to do."""

import json
import re

from grafana.alerting.files import RULES
from grafana.alerting.parameters import PARAMETERS
from tests.grafana.boards import panels
from tests.grafana.recorded import FIRES_WITHIN_MINUTES
from tests.grafana.rule_history import ALERTS

GRAFANA = RULES.parent
BOARDS = {p.stem: json.loads(p.read_text()) for p in (GRAFANA / "dashboards").glob("*.json")}
TEXT = (GRAFANA / "runbooks.md").read_text()
PARTS = ["Means", "Look first", "Likely", "Do", "Silence"]
SEEN = "It looked like"
RECORDED = {alert for alerts in FIRES_WITHIN_MINUTES.values() for alert in alerts}


def runbooks():
    """The text of each section by its title."""
    sections = re.split(r"^### (\w+)\n", TEXT, flags=re.MULTILINE)
    return dict(zip(sections[1::2], sections[2::2], strict=True))


def on_boards():
    """Everything that a person can look for: boards, rows, panels, columns and variables."""
    found = set()
    for board in BOARDS.values():
        found |= {title(board), *(variable["label"] for variable in board["templating"]["list"])}
        found |= {panel["title"] for panel in [*board["panels"], *panels(board)]}
        for panel in panels(board):
            for step in panel.get("transformations", []):
                found |= set(step["options"].get("renameByName", {}).values())
    return found


def title(board):
    """The title without what all have in common."""
    return board["title"].removeprefix("perfsdk / ")


def test_every_alert_is_explained_and_leads_somewhere():
    """Severity, texts, a section of the runbooks, and a board that can be asked for its labels."""
    for alert in ALERTS.values():
        annotations = {"summary", "description", "runbook_url", "dashboard_url"}
        assert annotations == set(alert.rule()["annotations"])
        assert re.fullmatch("Perfsdk[A-Z][A-Za-z0-9]+", alert.name)
        assert alert.severity in {"critical", "warning", "info"}
        assert alert.description.endswith("."), alert.name
        assert not alert.summary.endswith("."), alert.name
        variables = {variable["name"] for variable in BOARDS[alert.board]["templating"]["list"]}
        asked = re.findall(r"&var-(\w+)=", alert.rule()["annotations"]["dashboard_url"])
        assert {"cluster", "namespace", "job"} <= set(asked) <= variables, alert.name


def test_every_alert_has_a_runbook():
    """One section for each alert, none for another, each with the same parts.

    A sixth part tells of the recordings of those that have some.
    """
    assert set(ALERTS) == set(runbooks())
    for name, text in runbooks().items():
        expected = [*PARTS, SEEN] if name in RECORDED else PARTS
        assert expected == re.findall(r"^\*\*([A-Z][a-z ]+)\*\*", text, re.MULTILINE), name
        assert 250 < len(text) < 2000, name


def test_a_runbook_begins_at_the_board_that_the_link_opens():
    """What is named is there: the board first, and then panels by their titles."""
    for name, text in runbooks().items():
        first = re.search(r"^\*\*Look first\*\*: \*([^*]+)\*:? ", text, re.MULTILINE)
        assert title(BOARDS[ALERTS[name].board]) == first[1], name
    named = set(re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", TEXT)) - {*PARTS, SEEN}
    assert set() == named - on_boards()


def test_runbooks_lead_to_what_exists():
    """Links inside the file go to sections; alerts and parameters that are named exist."""
    anchors = {name.lower() for name in runbooks()}
    assert set(re.findall(r"\(#(\w+)\)", TEXT)) <= anchors
    assert set(re.findall(r"Perfsdk\w+", TEXT)) <= set(ALERTS)
    parameters = {parameter.name for parameter in PARAMETERS}
    assert set(re.findall(r"`([a-z]+[A-Z]\w+)`", TEXT)) <= parameters
