"""Whatever fails inside perfsdk, a WebSocket goes on as it would without it."""

import asyncio
import os

import pytest

from perfsdk import instrumentation, uninstrument
from perfsdk.catalog import WEBSOCKET_CLOSES
from perfsdk.frameworks.websocket import Connection
from tests.frameworks.websocket_driver import (
    ACTIVE,
    CLOSE,
    CONNECT,
    LASTED,
    MESSAGES,
    connected,
    converse,
    disconnect,
    echo,
    read_closes,
    sending,
    text,
    websocket_scope,
)

TALKS = [(), (text("raise"),), (text(), disconnect()), (text("close 4001"),), (text("return"),)]
APPS = [echo, sending(CLOSE)]


async def outcome(app, talk):
    """What a client and the server see of a connection."""
    sent, error = await asyncio.wait_for(converse(app, *talk), 10)
    return sent, type(error)


def exit_code(child):
    """Wait for the end of a child."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.usefixtures("swallow_errors")
@pytest.mark.parametrize(
    "name",
    [
        "__init__",
        "failed",
        "returned",
        "_accept",
        "_turn_away",
        "_stop",
        "_end",
        "_find_template",
        "_count_close",
        "_label",
    ],
)
async def test_a_failing_function_of_ours(name, measured, monkeypatch, recording):
    """Client and server see nothing of it; it is counted."""
    talks = [(app, talk) for app in APPS for talk in TALKS if talk or app is not echo]
    bare = [await outcome(app, talk) for app, talk in talks]

    def fail(*_, **__):
        raise RuntimeError("inside perfsdk")

    monkeypatch.setattr(Connection, name, fail)
    assert bare == [await outcome(measured(app), talk) for app, talk in talks]
    assert 0 < recording.value("perfsdk_internal_errors_total")


@pytest.mark.usefixtures("swallow_errors")
async def test_a_route_that_cannot_be_found(measured, monkeypatch, recording):
    """The connection is open, and not counted."""
    app = measured(echo)

    def fail(*_):
        raise RuntimeError("inside perfsdk")

    monkeypatch.setattr(app, "find_route", fail)
    assert 3 == len((await converse(app, text(), text("close")))[0])
    assert {} == read_closes(recording)


async def test_uninstrument_with_an_open_connection(measured, recording):
    """It goes on; the segment is closed, so it is seen no more, and instrumenting again works."""
    app = measured(echo)
    async with connected(app) as (task, says, sent):
        uninstrument(app)
        measured(echo)
        says.put_nowait(text())
        assert "hello" == (await sent.get())["text"]
        says.put_nowait(disconnect())
        await task
    assert {} == read_closes(recording)


async def test_a_full_segment(measured, recording):
    """Nothing is recorded, and nothing is seen of it."""
    app = measured(echo, segment_size_bytes=1 << 20)
    closes = instrumentation._running.recorder.counter(WEBSOCKET_CLOSES)
    while closes[f"{len(closes)} {'x' * 100}", "1000"]:
        pass
    sent, error = await converse(app, text(), text("close"))
    assert (3, None) == (len(sent), error)
    assert 0 == recording.count(LASTED)
    assert 0 < recording.value("perfsdk_dropped_series_total", metric=MESSAGES)


async def test_a_fork_with_an_open_connection(measured, recording):
    """A child that ends its copy of it counts nothing: the connection is its parent's."""
    app = measured(echo)
    async with connected(app) as (task, says, _):
        child = os.fork()
        if child == 0:
            try:
                task.get_coro().throw(ValueError)
            except ValueError:
                os._exit(0)
            finally:
                os._exit(1)
        assert 0 == exit_code(child)
        assert {} == read_closes(recording)
        assert 1 == recording.value(ACTIVE)
        says.put_nowait(disconnect())
        await task
    assert 0 == recording.value(ACTIVE)
    assert {("<unresolved>", "1000"): 1} == read_closes(recording)


async def test_a_child_counts_its_own(measured, recording):
    """A connection that a child accepts after the fork is counted there, and added up."""
    app = measured(echo)
    await converse(app, text(), disconnect())
    incoming = iter([CONNECT, text(), disconnect()])

    async def receive():
        return next(incoming)

    async def send(message):
        pass

    child = os.fork()
    if child == 0:
        code = 1
        try:
            app(websocket_scope(), receive, send).send(None)  # the loop is the parent's
        except StopIteration:
            code = 0
        finally:
            os._exit(code)
    assert 0 == exit_code(child)
    assert {("<unresolved>", "1000"): 2} == read_closes(recording)
    assert 2 == recording.value(MESSAGES, direction="received")
    assert 2 == recording.value(MESSAGES, direction="sent")
    assert 0 == recording.value(ACTIVE)
