"""The committed dashboards: what their code builds, well formed, and true to the catalog."""

import itertools
import json
import re
import subprocess
import sys

import pytest

from grafana.build import FOLDER, dashboards, not_current
from tests.grafana.boards import panels, variables

COMMITTED = sorted(path.name for path in FOLDER.glob("*.json"))
# As Grafana's list of units spells them.
UNITS = {"Bps", "bytes", "none", "ops", "percentunit", "reqps", "s", "short"}
SIZE_LIMIT_BYTES = (
    256 * 1024
)  # `kubectl apply` keeps a copy in an annotation, which may be no longer


@pytest.fixture(params=COMMITTED)
def board(request):
    """Each committed dashboard."""
    return json.loads((FOLDER / request.param).read_text())


def test_the_committed_files_are_what_the_code_builds():
    """Nobody edited the JSON by hand, forgot to build it, or left an old file."""
    assert "perfsdk-service.json" in COMMITTED
    assert [] == not_current(dashboards())


def test_a_file_that_differs_is_missing_or_is_left_over_is_named(tmp_path):
    """The check sees a changed file, one that is not there, and one that nothing builds."""
    (tmp_path / "same.json").write_text("{}")
    (tmp_path / "changed.json").write_text("{}")
    (tmp_path / "old.json").write_text("{}")
    built = {"same.json": "{}", "changed.json": "{ }", "missing.json": "{}"}
    assert ["changed.json", "missing.json", "old.json"] == not_current(built, tmp_path)


def test_the_command_runs_from_any_folder(tmp_path):
    """`python grafana/build.py --check` needs no installation and no working directory."""
    command = [sys.executable, "-S", FOLDER.parent / "build.py", "--check"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (0, "", "") == (result.returncode, result.stdout, result.stderr)


def test_a_dashboard_can_be_imported_and_provisioned(board):
    """No id of a server, a stable uid, not editable, small enough for a ConfigMap."""
    assert board["id"] is None
    assert "version" not in board
    assert re.fullmatch("perfsdk-[a-z]+", board["uid"])
    assert len(board["uid"]) <= 40
    assert board["editable"] is False
    assert "__inputs" not in board
    assert "${DS_" not in json.dumps(board)
    assert (FOLDER / f"{board['uid']}.json").stat().st_size < SIZE_LIMIT_BYTES


def test_ids_and_references_are_unique(board):
    """Links lead to one panel, and no query hides another one of its panel."""
    everything = [*board["panels"], *(p for row in board["panels"] for p in row.get("panels", []))]
    ids = [panel["id"] for panel in everything]
    assert sorted(set(ids)) == sorted(ids)
    for panel in panels(board):
        letters = [target["refId"] for target in panel["targets"]]
        assert [chr(ord("A") + index) for index in range(len(letters))] == letters


def test_panels_do_not_overlap(board):
    """Every cell of the grid belongs to one panel; collapsed rows are grids of their own."""
    for group in [board["panels"], *(row.get("panels", []) for row in board["panels"])]:
        cells = [cell for panel in group for cell in covered(panel["gridPos"])]
        assert len(set(cells)) == len(cells)
        assert all(0 <= x < 24 for x, _ in cells)


def covered(place):
    """The cells of the grid that a panel lies on."""
    across = range(place["x"], place["x"] + place["w"])
    return itertools.product(across, range(place["y"], place["y"] + place["h"]))


def test_every_panel_explains_itself(board):
    """Title, description, a known unit, and words for the case that there is nothing to show."""
    for panel in panels(board):
        defaults = panel["fieldConfig"]["defaults"]
        assert re.fullmatch(r"[A-Z].*[^.]", panel["title"])
        assert re.fullmatch(r"[A-Z0-9].{40,}\.", panel["description"]), panel["title"]
        assert defaults["noValue"], panel["title"]
        overrides = [p for o in panel["fieldConfig"]["overrides"] for p in o["properties"]]
        units = {defaults["unit"], *(p["value"] for p in overrides if p["id"] == "unit")}
        assert units <= UNITS, panel["title"]


def test_titles_are_unique(board):
    """A person can say which panel they mean."""
    titles = [panel["title"] for panel in panels(board)]
    assert sorted(set(titles)) == sorted(titles)


def test_a_description_names_panels_that_exist(board):
    """What stands in quotes after `see` is the title of a panel, of a row or of a variable."""
    titles = {panel["title"] for panel in [*board["panels"], *panels(board)]}
    for panel in panels(board):
        for name in re.findall(r"(?:see|read|with) '([^']+)'", panel["description"]):
            assert name in titles, panel["title"]


def test_legends_are_shown(board):
    """A curve without a name tells nothing."""
    for panel in panels(board):
        if panel["type"] == "timeseries":
            assert panel["options"]["legend"]["showLegend"]
            assert all(target["legendFormat"] for target in panel["targets"])


def test_stats_and_coloured_columns_have_ordered_thresholds(board):
    """Colours change at rising values, from the lowest, which has none."""
    for panel in panels(board):
        config = panel["fieldConfig"]
        found = [p["value"] for o in config["overrides"] for p in o["properties"]]
        found = [value for value in found if isinstance(value, dict) and "steps" in value]
        assert panel["type"] != "stat" or "thresholds" in config["defaults"]
        for thresholds in [
            *found,
            config["defaults"].get("thresholds", {"steps": [{"value": None}]}),
        ]:
            values = [step["value"] for step in thresholds["steps"]]
            assert values[0] is None
            assert sorted(values[1:]) == values[1:]


def test_everything_asks_the_chosen_data_source(board):
    """Panels, queries and variables alike: it is found wherever the file is imported."""
    parts = [*variables(board, "query").values()]
    for panel in panels(board):
        parts += [panel, *panel["targets"]]
    expected = {"type": "prometheus", "uid": "${datasource}"}
    assert all(expected == part["datasource"] for part in parts)
    assert "prometheus" == variables(board, "datasource")["datasource"]["query"]


def test_variables_offer_everything_and_are_read_again(board):
    """All is the default, matches series without the label, and new values show up."""
    queried = variables(board, "query")
    assert {"cluster", "namespace", "job"} <= set(queried)
    assert set(queried) <= {"cluster", "namespace", "job", "instance", "route"}
    assert {2} == {variable["refresh"] for variable in queried.values()}
    assert all(variable["multi"] and variable["includeAll"] for variable in queried.values())
    assert {"$__all"} == {v["current"]["value"][0] for v in queried.values()}
    everything = {name: variable["allValue"] for name, variable in queried.items()}
    assert {".+"} == {everything[name] for name in ("job", "instance") if name in everything}
    may_lack = ("cluster", "namespace", "route")
    assert {".*"} == {everything[name] for name in may_lack if name in everything}
