"""The report reads well at any width, plain where it is no terminal, and as JSON."""

import io
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from perfsdk.cli.demo import wording
from perfsdk.cli.demo.answers import answer
from perfsdk.cli.demo.load import Sent
from perfsdk.cli.demo.page import parse_page
from perfsdk.cli.demo.report import as_data, print_answers, print_comparison

GOLDEN_REPORT = Path(__file__).with_name("golden_report.txt")


def printed(show, *arguments, width=100, **console):
    """What `show` prints on a console that is no terminal, without spaces at line ends."""
    output = io.StringIO()
    show(Console(file=output, width=width, **console), *arguments)
    return re.sub(" +$", "", output.getvalue(), flags=re.MULTILINE)


def test_the_report_is_the_golden_one(answers, sent):
    """Three tables, their findings and the comparison, to the letter."""
    report = printed(print_answers, answers) + printed(print_comparison, answers, sent)
    assert GOLDEN_REPORT.read_text() == report


@pytest.mark.parametrize("width", [80, 100])
def test_no_table_is_cut_or_wrapped(answers, width):
    """The longest line of the tables fits into 80 columns as into 100."""
    findings = set(wording.findings(answers))
    shown = printed(print_answers, answers, width=width).splitlines()
    for line in printed(print_answers, answers, width=300).splitlines():
        if line.removeprefix(" ") not in findings:
            assert len(line) <= width
            assert line in shown


def test_colours_mark_what_matters(answers):
    """Failures are red, a good hit rate is green, a poor one red, bottlenecks yellow."""
    shown = printed(
        print_answers, answers, force_terminal=True, color_system="standard", no_color=False
    )
    red, green, yellow = (f"\x1b\\[{code}m *" for code in ("31", "32", "1;33"))
    assert re.search(f"{red}10 %", shown)
    assert re.search(f"{red}0 %", shown)
    assert re.search(f"{green}90 %", shown)
    assert re.search(f"{yellow}80 %", shown)


def test_a_page_without_caches_says_so():
    """An empty table would look like a fault of the report."""
    assert "no cache was asked" in printed(print_answers, answer(parse_page("")))


def test_missing_requests_are_told(answers):
    """A page that does not hold what was answered is no secret."""
    sent = Sent(answers=Counter({("GET /orders", 200): 1105}), unanswered=2)
    shown = printed(print_comparison, answers, sent)
    assert "1,105 answers to the load, 1,104 requests on the page" in shown
    assert "2 requests had no answer." in shown


def test_the_data_is_json_with_plain_numbers(answers, sent):
    """Every figure of the tables is in the data, durations in seconds."""
    data = json.loads(json.dumps(as_data(answers, sent)))
    assert {"200": 90, "503": 10} == data["sent"]["answers"]["GET /orders"]
    orders = data["latencies"][1]
    assert ("GET /orders", 100, 10, 0.01) == (
        orders["route"],
        orders["requests"],
        orders["failed"],
        orders["p50_seconds"],
    )
    assert {"requests": 50, "seconds": {"app": 2.0, "db": 196.0}} == data["times"][0]["tail"]
    assert 0.905 == data["caches"][0]["hit_rate"]
