"""Findings: counted by route, logged once by the sampler, allowed where they are meant."""

import asyncio
import contextvars
import functools
import inspect
import logging
from typing import NamedTuple

import pytest

import perfsdk
from perfsdk import guard
from perfsdk.catalog import CACHE_FINDING_KINDS, FINDINGS
from perfsdk.findings import ADVICE, MAX_KNOWN, MAX_WAITING, Findings, allowed
from perfsdk.request import Queries
from perfsdk.testing import Recording


class Statement(NamedTuple):
    """What findings show of one."""

    system: str
    summary: str


@pytest.fixture
def recording(tmp_path):
    """Where the values go."""
    with Recording(tmp_path / "recording") as recording:
        yield recording


def queries(*kinds, summary="SELECT ?"):
    """A request with these findings in one statement."""
    made = Queries()
    statement = Statement("sqlite", summary)
    made.findings = {(statement, kind): "shop.py:7 in page" for kind in kinds}
    return made


def test_every_kind_has_an_advice():
    """And there is none for what is no kind."""
    assert {*FINDINGS, *CACHE_FINDING_KINDS} == set(ADVICE)


def test_they_are_counted_by_route_and_logged_once(recording, caplog):
    """The log comes with the sample: it names the route, the line, the statement, and the cure."""
    findings = Findings(recording.recorder)
    told = []
    findings.tell = lambda statement, kind, route: told.append((statement.summary, kind, route))
    for _ in range(3):
        findings.record("/orders", queries("n_plus_one", "slow"))
    assert [] == caplog.records
    with caplog.at_level(logging.WARNING):
        recording.recorder.sample()
        findings.record("/orders", queries("slow"))
        recording.recorder.sample()
    assert 2 == len(caplog.messages)
    for part in ("n_plus_one", "/orders", "shop.py:7 in page", "SELECT ?", ADVICE["n_plus_one"]):
        assert part in caplog.messages[0]
    name = "db_client_query_findings_total"
    assert 3 == recording.value(name, kind="n_plus_one", http_route="/orders")
    assert 4 == recording.value(name, kind="slow", db_system_name="sqlite")
    assert ("SELECT ?", "slow", "/orders") == told[-1]


def test_each_route_and_statement_is_logged(recording, caplog):
    """They are findings of their own."""
    findings = Findings(recording.recorder)
    for route in ("/a", "/b"):
        for summary in ("SELECT ?", "SELECT a"):
            findings.record(route, queries("slow", summary=summary))
    with caplog.at_level(logging.WARNING):
        recording.recorder.sample()
    assert 4 == len(caplog.messages)


def test_what_is_remembered_is_bounded(recording, caplog):
    """What comes after is counted, not logged."""
    findings = Findings(recording.recorder)
    for number in range(MAX_KNOWN):
        findings.record("/", queries("slow", summary=f"SELECT a{number}"))
    recording.recorder.sample()
    caplog.clear()
    findings.record("/", queries("slow", summary="SELECT b"))
    recording.recorder.sample()
    assert [] == caplog.messages
    assert MAX_KNOWN + 1 == recording.value("db_client_query_findings_total", kind="slow")


@pytest.mark.usefixtures("swallow_errors")
def test_errors_of_ours_are_kept_from_the_request(recording):
    """They are counted by place."""
    errors = []
    guard.count_error = errors.append
    findings = Findings(recording.recorder)
    findings.tell = lambda *_: 1 / 0
    findings.record("/", queries("slow"))
    assert ["findings.record"] == errors


def test_what_waits_for_the_log_is_bounded(recording, caplog):
    """The newest are logged."""
    findings = Findings(recording.recorder)
    for number in range(MAX_WAITING * 2):
        findings.record("/", queries("slow", summary=f"SELECT a{number}"))
    with caplog.at_level(logging.WARNING):
        recording.recorder.sample()
    assert MAX_WAITING == len(caplog.messages)


@pytest.mark.parametrize("kinds", [(), ("n+1",), ("slow", "fast")])
def test_kinds_that_do_not_exist_are_refused(kinds):
    """With the names of all that do."""
    with pytest.raises(ValueError, match=r"allow: .* is not one of n_plus_one, "):
        perfsdk.allow(*kinds)


def test_allowing_in_a_block_and_in_a_function():
    """It adds to what is allowed outside, and ends with the block."""

    @perfsdk.allow("slow")
    def function(value):
        return allowed.get(), value

    with perfsdk.allow("n_plus_one"):
        assert ({"n_plus_one", "slow"}, 7) == function(7)
        assert {"n_plus_one"} == allowed.get()
    assert frozenset() == allowed.get()
    assert "function" == function.__name__


def test_allowing_ends_with_an_exception():
    """Which passes."""
    with pytest.raises(KeyError), perfsdk.allow("slow"):
        raise KeyError
    assert frozenset() == allowed.get()


def test_one_block_may_be_entered_again():
    """Inside itself, as a decorated function that calls itself does."""
    block = perfsdk.allow("slow")
    with block, perfsdk.allow("n_plus_one"):
        with block:
            assert {"slow", "n_plus_one"} == allowed.get()
        assert {"slow", "n_plus_one"} == allowed.get()
    assert frozenset() == allowed.get()


async def test_one_block_for_several_tasks():
    """Each leaves it in its own time; what is allowed is its own."""
    block = perfsdk.allow("slow")
    entered = asyncio.Event()

    async def first():
        with block:
            await entered.wait()
            assert {"slow"} == allowed.get()
        return allowed.get()

    async def second():
        with block:
            entered.set()
            await asyncio.sleep(0)
        return allowed.get()

    assert [frozenset(), frozenset()] == await asyncio.gather(first(), second())


def test_a_block_that_is_left_in_another_context():
    """As a dependency that yields in a thread of a pool: it does not raise, and nothing stays."""

    def dependency():
        with perfsdk.allow("slow"):
            yield

    generator = dependency()
    contextvars.copy_context().run(next, generator)
    with perfsdk.allow("n_plus_one"):
        generator.close()
        assert {"n_plus_one"} == allowed.get()
    assert frozenset() == allowed.get()


async def test_allowing_holds_in_tasks_started_inside():
    """Also when they run on after the block."""

    async def work():
        await asyncio.sleep(0)
        return allowed.get()

    with perfsdk.allow("slow"):
        task = asyncio.create_task(work())
    assert {"slow"} == await task
    assert frozenset() == allowed.get()


async def test_allowing_in_a_coroutine_function():
    """It stays one."""

    @perfsdk.allow("slow")
    async def function():
        return allowed.get()

    assert inspect.iscoroutinefunction(function)
    assert {"slow"} == await function()


def test_generator_functions_cannot_be_decorated():
    """Their calls run later, when they are iterated: nothing would be allowed there."""

    def generate():
        yield 1

    async def generate_async():
        yield 1

    for function in (generate, generate_async, functools.partial(generate)):
        with pytest.raises(TypeError, match=r"^allow: .*generate.* put `with perfsdk\.allow\("):
            perfsdk.allow("slow")(function)
    with perfsdk.allow("slow"):
        assert [1] == list(generate())
