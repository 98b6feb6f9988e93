"""What became of each test of a run, and in what two runs differ."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET


class Difference(NamedTuple):
    """One test that ended in another way; None where it did not run."""

    test: str
    bare: str | None
    measured: str | None


def read_outcomes(report: Path) -> dict[str, str]:
    """Each test of a JUnit report, and whether it `passed`, `failed`, or was `skipped`.

    Tests of one name are numbered. An error around a test is a failure.
    """
    outcomes: dict[str, str] = {}
    seen: Counter[str] = Counter()
    for case in ET.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        seen[name] += 1
        if seen[name] > 1:
            name += f" ({seen[name]})"
        outcomes[name] = _outcome(case)
    return outcomes


def _outcome(case: ET.Element) -> str:
    kinds = {child.tag for child in case}
    if kinds & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in kinds else "passed"


def differences(bare: dict[str, str], measured: dict[str, str]) -> list[Difference]:
    """The tests that did not end in the same way, by name."""
    return [
        Difference(test, bare.get(test), measured.get(test))
        for test in sorted(bare.keys() | measured.keys())
        if bare.get(test) != measured.get(test)
    ]
