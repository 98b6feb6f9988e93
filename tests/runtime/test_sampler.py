"""One thread samples while the process records, and once more when it exits."""

import asyncio
import os
import threading

import pytest

from perfsdk import guard, instrument, instrumentation, uninstrument
from perfsdk.integrations import INTEGRATIONS
from perfsdk.runtime.sampler import Sampler
from perfsdk.testing import Recording
from tests.frameworks.driving import answering, ask, part, start
from tests.servers import wait_until
from tests.store.processes import in_child, run

OFTEN_SECONDS = 0.01
PLAIN = answering(start(), part())


@pytest.fixture
def sampler():
    """A sampler that samples often, stopped at the end."""
    made = Sampler(OFTEN_SECONDS)
    yield made
    made.stop()


def threads():
    """The sampler threads of this process that run."""
    return [thread for thread in threading.enumerate() if thread.name == "perfsdk-sampler"]


def gone():
    """Whether no sampler thread runs any more."""
    return not threads()


def test_it_samples_until_it_is_stopped(sampler):
    """Again and again, in the order of registration, also what is registered later."""
    calls = []
    sampler.register(lambda: calls.append("first"))
    sampler.start()
    wait_until(lambda: len(calls) > 2)
    sampler.register(lambda: calls.append("second"))
    wait_until(lambda: "second" in calls)
    position = calls.index("second")
    assert "first" == calls[position - 1]
    sampler.stop()
    wait_until(gone)
    before = len(calls)
    sampler.sample()
    assert before + 2 == len(calls)


def test_it_starts_once(sampler):
    """However often, by however many threads, it is started."""
    barrier = threading.Barrier(8)

    def begin():
        barrier.wait()
        sampler.start()

    starting = [threading.Thread(target=begin) for _ in range(8)]
    for thread in starting:
        thread.start()
    for thread in starting:
        thread.join()
    sampler.start()
    assert 1 == len(threads())
    assert threads()[0].daemon


def test_it_can_be_started_again(sampler):
    """After it was stopped there is one thread again, not two."""
    calls = []
    sampler.register(lambda: calls.append(None))
    sampler.start()
    sampler.stop()
    wait_until(gone)
    sampler.start()
    assert 1 == len(threads())
    calls.clear()
    wait_until(lambda: calls)


@pytest.mark.usefixtures("swallow_errors")
def test_one_that_raises_is_reported_and_the_others_run(sampler, monkeypatch, caplog):
    """Each time it is counted; it is said once; the thread goes on."""
    counted, calls = [], []
    monkeypatch.setattr(guard, "count_error", counted.append)

    def broken():
        raise ValueError

    sampler.register(broken)
    sampler.register(lambda: calls.append(None))
    sampler.start()
    wait_until(lambda: len(calls) > 2)
    sampler.stop()
    wait_until(gone)
    assert {"sampler"} == set(counted)
    assert len(calls) == len(counted)
    assert 1 == len(caplog.messages)


def test_a_child_has_a_thread_of_its_own(sampler):
    """When it starts the sampler: a fork does not copy threads."""
    sampler.start()

    def child():
        before = len(threads())
        sampler.start()
        return before, len(threads())

    assert [0, 1] == in_child(child)


def test_a_stopped_sampler_does_nothing_at_exit(perfsdk_dir):
    """A running one samples once more, after everything else of the program."""
    script = """
from perfsdk.runtime.sampler import Sampler
for name in ("stopped", "running"):
    sampler = Sampler(3600)
    sampler.register(lambda name=name: print("sampled", name))
    sampler.start()
    if name == "stopped":
        sampler.stop()
print("end of the program")
"""
    assert "end of the program\nsampled running\n" == run(script).stdout


# --- as `instrument` uses it ---


@pytest.fixture
def measured(monkeypatch):
    """`instrument`, without integrations and sampling seldom; undone at the end."""
    monkeypatch.setenv("PERFSDK_DISABLED_INTEGRATIONS", ",".join(INTEGRATIONS))
    monkeypatch.setenv("PERFSDK_SAMPLE_INTERVAL_SECONDS", "3600")
    yield instrument
    uninstrument()


async def test_it_runs_from_the_first_record_to_uninstrument(measured):
    """A process that serves nothing has no thread."""
    app = measured(PLAIN)
    assert gone()
    await ask(app)
    assert 1 == len(threads())
    await ask(app)
    assert 1 == len(threads())
    uninstrument(app)
    wait_until(gone)


async def test_in_a_forked_worker_it_runs_when_that_records(measured):
    """Not before; the parent's is untouched."""
    app = measured(PLAIN)
    await ask(app)

    def child():
        before = len(threads())
        asyncio.run(ask(app))
        return before, len(threads())

    loop = asyncio.get_running_loop()
    assert [0, 1] == await loop.run_in_executor(None, in_child, child)
    assert 1 == len(threads())


async def test_what_it_samples(measured, perfsdk_dir):
    """How many series there are, and a new file when the old one is gone."""
    app = measured(PLAIN)
    await ask(app)
    name = "http_server_request_duration_seconds"
    with Recording(perfsdk_dir) as recording:
        assert 0 == recording.value("perfsdk_series")
        instrumentation._running.sampler.sample()
        assert 1 == recording.value("perfsdk_series", metric=name)
        for path in perfsdk_dir.iterdir():
            path.unlink()
        instrumentation._running.sampler.sample()
        assert 1 == recording.value("perfsdk_series", metric=name)
        assert 1 == recording.count(name)


SERVER = """
import asyncio, os, sys, perfsdk
os.environ["PERFSDK_SAMPLE_INTERVAL_SECONDS"] = "3600"
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
async def send(message): ...
app = perfsdk.instrument(app)
asyncio.run(app({"type": "http", "method": "GET"}, None, send))
"""


@pytest.mark.parametrize(
    ("end", "sampled"), [("", 1), ("sys.exit(0)", 1), ("os._exit(0)", 0)], ids=repr
)
def test_a_process_that_exits_samples_once_more(end, sampled, perfsdk_dir):
    """What is read rather than observed is written at the end; the rest is there anyway."""
    run(SERVER + end)
    name = "http_server_request_duration_seconds"
    with Recording(perfsdk_dir) as recording:
        assert sampled == recording.value("perfsdk_series", metric=name)
        assert 1 == recording.count(name)


def test_processes_exit_at_once(perfsdk_dir):
    """The thread keeps no process from ending, also one that forked while it ran."""
    forking = "pid = os.fork()\nif pid: os.waitpid(pid, 0)\n"
    run(SERVER + forking)
    assert os.listdir(perfsdk_dir)
