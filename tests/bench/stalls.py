"""How long a scrape that the application serves itself holds up its event loop."""

import asyncio
import os
import time
from pathlib import Path

from tests.bench.child import in_child
from tests.bench.figures import BARE, OURS, Report, goal_of, problem, spread, table, turns
from tests.bench.rounds import interleave
from tests.bench.scrapes import PROMETHEUS, Worker, write_prometheus

PATH = "/metrics"
WORKERS, SERIES = 4, 588
"""588 histograms with 17 samples each are a page of 10,000 series."""

TICK_SECONDS = 0.001
IDLE_SECONDS = 0.3
"""How long the loop of the bare application is watched in a turn: longer than a scrape takes."""


async def bare(scope, receive, send):
    """An application that answers at once."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def prepare_bare():
    async def wait():
        await asyncio.sleep(IDLE_SECONDS)

    return wait, lambda: None


def prepare_perfsdk():
    import perfsdk

    app = perfsdk.instrument(bare, metrics_path=PATH)
    living = [Worker(Path(os.environ["PERFSDK_DIR"]), SERIES) for _ in range(WORKERS)]

    def change():
        for worker in living:
            worker.observe()

    return lambda: _scrape(app), change


def prepare_prometheus():
    from prometheus_client import CollectorRegistry, make_asgi_app
    from prometheus_client.multiprocess import MultiProcessCollector

    for pid in range(WORKERS):
        write_prometheus(pid, SERIES)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    app = make_asgi_app(registry)
    return lambda: _scrape(app), lambda: None


async def _scrape(app):
    """One scrape, as Prometheus asks for it."""
    scope = {
        "type": "http", "method": "GET", "path": PATH, "root_path": "", "query_string": b"",
        "scheme": "http", "http_version": "1.1", "headers": [(b"accept", b"text/plain")],
    }  # fmt: skip
    size = 0

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        nonlocal size
        size += len(message.get("body", b""))

    await app(scope, receive, send)
    assert size > SERIES * 1000


async def _watched(work):
    """The milliseconds by which a tick of the event loop came too late at most, and the work."""
    latest = 0.0
    done = False

    async def tick():
        nonlocal latest
        while not done:
            expected = time.perf_counter() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            latest = max(latest, time.perf_counter() - expected)

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0)
    start = time.perf_counter()
    await work()
    seconds = time.perf_counter() - start
    done = True
    await ticking
    return latest * 1000, seconds * 1000


PREPARE = {BARE: prepare_bare, OURS: prepare_perfsdk, PROMETHEUS: prepare_prometheus}


def prepare(subject):
    """In a child: an event loop that is watched while it serves a scrape."""
    work, change = PREPARE[subject]()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    first, _ = loop.run_until_complete(_watched(work))

    def turn():
        change()
        stall, scrape = loop.run_until_complete(_watched(work))
        return {"first ms": first, "stall ms": stall, "scrape ms": scrape}

    return turn, dict


def collect(options):
    """Our page in the application, prometheus_client's, and a loop that nothing disturbs."""
    samples = interleave(
        in_child("stalls", multiprocess=(PROMETHEUS,)),
        (BARE, OURS, PROMETHEUS),
        rounds=options.rounds_or(5),
        turns=10,
        label="stalls",
    )
    rows = []
    for subject in samples:
        if why := problem(samples[subject]):
            rows.append([subject, why])
            continue
        first, stall, scrape = (
            turns(samples, subject, key) for key in ("first ms", "stall ms", "scrape ms")
        )
        row = [subject, f"{spread(stall):.1f}", f"{max(stall):.1f}", f"{max(first):.1f}"]
        rows.append([*row, "" if subject == BARE else f"{spread(scrape):.1f}"])
    headers = ["", "ms (quartiles)", "most ms", "most ms, first scrape", "scrape ms (quartiles)"]
    text = f"### Event loop held up by a scrape of 10,000 series\n\n{table(headers, rows)}"
    return Report(text, [_goal(samples)], {"stalls": samples})


def _goal(samples):
    def judge():
        ours, idle, theirs = (
            spread(turns(samples, name, "stall ms")) for name in (OURS, BARE, PROMETHEUS)
        )
        # A thread that computes gives way after Python's switch interval, 5 ms.
        met = ours.median <= idle.median + 5.0
        return f"{ours:.1f} ms, without a scrape {idle:.1f}, prometheus_client {theirs:.1f}", met

    what = "stalls: event loop during a scrape that the application serves"
    return goal_of(what, "<= 5 ms over an idle loop", samples, (OURS, BARE, PROMETHEUS), judge)
