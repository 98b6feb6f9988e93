"""What became of each test of a run, and in what two runs differ."""

from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET


class Case(NamedTuple):
    """The file of a test, relative to the suite, and its name in there."""

    file: str
    name: str


class Difference(NamedTuple):
    """One test that ended in another way; None where it did not run."""

    test: Case
    bare: str | None
    measured: str | None


def read_outcomes(report: Path) -> dict[Case, str]:
    """Each test of a JUnit report (xunit1), and whether it `passed`, `failed`, or was `skipped`.

    An error around a test is a failure, one of its reports is enough.
    """
    outcomes: dict[Case, str] = {}
    for case in ET.parse(report).iter("testcase"):
        test = Case(case.get("file", ""), f"{case.get('classname')}::{case.get('name')}")
        if outcomes.get(test) != "failed":
            outcomes[test] = _outcome(case)
    return outcomes


def _outcome(case: ET.Element) -> str:
    kinds = {child.tag for child in case}
    if kinds & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in kinds else "passed"


def differences(bare: dict[Case, str], measured: dict[Case, str]) -> list[Difference]:
    """The tests that did not end in the same way, by name."""
    return [
        Difference(test, bare.get(test), measured.get(test))
        for test in sorted(bare.keys() | measured.keys())
        if bare.get(test) != measured.get(test)
    ]
