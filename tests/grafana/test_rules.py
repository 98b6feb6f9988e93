"""The committed rule files: what their code builds, valid, and the same from Helm's templates."""

import re
import subprocess
import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from grafana.alerting.files import RULES, TEMPLATES, helm_templates, rule_files
from grafana.alerting.parameters import HELM_PREFIX, PARAMETERS, chosen, filled
from grafana.alerting.yaml_text import document
from tests.grafana.rule_history import ALERTS
from tests.servers import require

GRAFANA = RULES.parent
OTHER_PARAMETERS = {
    "availabilityObjective": 0.995,
    "latencySeconds": 1,
    "latencyObjective": 0.99,
    "p99Seconds": 2.5,
    "selector": 'job="shop",namespace=~"a|b"',
    "runbookUrl": "https://wiki/runbooks",
}


def test_the_committed_files_are_what_the_code_builds():
    """Nobody edited a rule by hand, forgot to build it, or left an old file."""
    for folder, built in ((RULES, rule_files()), (TEMPLATES, helm_templates())):
        assert built == {p.name: p.read_text() for p in folder.iterdir() if p.is_file()}


@pytest.mark.parametrize("values", [{}, OTHER_PARAMETERS], ids=["defaults", "others"])
def test_promtool_has_nothing_to_say(tmp_path, values):
    """Every file is valid and no rule is there twice, with whatever parameters."""
    program = require("promtool")
    for name, text in rule_files(values).items():
        (tmp_path / name).write_text(text)
    files = sorted(tmp_path.iterdir())
    assert 3 == len(files)
    command = [program, "check", "rules", "--lint=all", "--lint-fatal", *files]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 0 == result.returncode, result.stdout + result.stderr


def test_the_command_writes_rules_with_other_parameters(tmp_path):
    """`--rules-to FOLDER --set NAME=VALUE` needs nothing but Python."""
    assignments = [word for n, v in OTHER_PARAMETERS.items() for word in ("--set", f"{n}={v}")]
    result = built_to(tmp_path / "rules", *assignments)
    assert (0, "") == (result.returncode, result.stderr)
    written = {path.name: path.read_text() for path in (tmp_path / "rules").iterdir()}
    assert rule_files(OTHER_PARAMETERS) == written


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("nonesuch=1", "no such parameter: nonesuch; there are availabilityObjective, "),
        ("latencySeconds=fast", "latencySeconds is a number, not 'fast'"),
        ("latencySeconds=0", "latencySeconds is from 0 to inf (excluded), not 0"),
        (
            "availabilityObjective=99.9",
            "availabilityObjective is from 0.95 to 1 (excluded), not 99.9",
        ),
    ],
)
def test_a_wrong_parameter_is_refused(tmp_path, assignment, words):
    """It is said what is wrong, and nothing is written."""
    result = built_to(tmp_path / "rules", "--set", assignment)
    assert 2 == result.returncode
    assert result.stderr.startswith(words)
    assert [] == list(tmp_path.iterdir())


def built_to(folder, *arguments):
    """The end of the command that writes rules to a folder."""
    command = [sys.executable, "-S", GRAFANA / "build.py", "--rules-to", folder, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@given(
    st.recursive(
        st.text(
            st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="\x85")
        ),
        lambda inside: st.dictionaries(
            st.from_regex("[a-z_]{1,9}", fullmatch=True), inside, min_size=1
        ),
        max_leaves=9,
    )
)
def test_what_is_written_is_read_again(value):
    """The YAML of any texts is read by a parser as what it was made of."""
    content = {"groups": [{"name": "any", "inside": value}], "expr": "a\n  b: #c\nd"}
    assert content == yaml.safe_load(document(content))


def test_helm_makes_the_committed_files_of_the_templates():
    """With the defaults as values a template renders to the rules; with others to those others."""
    for values in ({}, OTHER_PARAMETERS):
        rendered = {
            name.removesuffix(".tpl"): rendered_by_helm(text, chosen(values))
            for name, text in helm_templates().items()
        }
        assert rule_files(values) == rendered


def rendered_by_helm(text, values):
    """The text as Helm's `tpl` renders it, which has to know just two kinds of actions."""

    def result(action):
        if action[1] in ('"{{"', '"{"'):
            return action[1].strip('"')
        assert action[1].startswith(f"{HELM_PREFIX}."), action[0]
        return filled(f"«{action[1].rpartition('.')[2]}»", values)

    return re.sub(r"\{\{ (.*?) \}\}", result, text)


def test_the_readme_tells_every_parameter():
    """Name, default and meaning of each, in the order of the code."""
    text = (GRAFANA / "README.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| `(.+?)` \| (.+) \|$", text, re.MULTILINE)
    shown = [(p.name, filled(str(p), chosen({})), p.meaning) for p in PARAMETERS]
    assert shown == [row for row in rows if row[0] in {p.name for p in PARAMETERS}]
    assert "python grafana/build.py --rules-to" in text
    assert f"{len(ALERTS)} alerts" in text
    assert HELM_PREFIX in text
