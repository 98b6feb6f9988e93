"""What `instrument(app)` adds to a process that has imported FastAPI: time and memory, once."""

import json
import statistics
import subprocess
import sys
from collections import defaultdict
from contextlib import ExitStack

from tests.bench.figures import (
    OURS,
    Report,
    goal_of,
    is_shown,
    overhead,
    problem,
    spread,
    table,
    turns,
)
from tests.bench.rounds import ROOT, environment, interleave, last_line

MOST_MS = 15.0
MOST_MB = 4.0
IMPORT_TIME_RUNS = 7
MOST_EXPENSIVE = 5
MARK = "-- instrument --"

FASTAPI = """
import fastapi
app = fastapi.FastAPI()
@app.get("/")
async def root():
    return {}
"""
INSTRUMENT = """
from perfsdk import instrument
instrument(app)
"""
FIRST_REQUEST = """
async def receive():
    return {"type": "http.request", "body": b"", "more_body": False}
async def send(message):
    pass
import asyncio
asyncio.run(app({
    "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
    "scheme": "http", "path": "/", "raw_path": b"/", "query_string": b"", "root_path": "",
    "headers": [], "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 50000), "state": {},
}, receive, send))
"""
INSTRUMENTATOR = """
from prometheus_fastapi_instrumentator import Instrumentator
Instrumentator().instrument(app)
"""
OPENTELEMETRY = """
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
provider = MeterProvider(metric_readers=[PrometheusMetricReader()])
FastAPIInstrumentor.instrument_app(app, meter_provider=provider)
"""
REQUEST_BARE = "first request, bare"
REQUEST_OURS = "first request, perfsdk"
ALONE = "import perfsdk, nothing before"

# What was there before, and what is timed.
SUBJECTS = {
    OURS: (FASTAPI, INSTRUMENT),
    ALONE: ("pass", "import perfsdk"),
    REQUEST_BARE: (FASTAPI, FIRST_REQUEST),
    REQUEST_OURS: (FASTAPI + INSTRUMENT, FIRST_REQUEST),
    "prometheus_client": (FASTAPI, "import prometheus_client"),
    "prometheus-fastapi-instrumentator": (FASTAPI, INSTRUMENTATOR),
    "opentelemetry fastapi, metrics": (FASTAPI, OPENTELEMETRY),
}

PROGRAM = """
import sys, time
{before}
def resident_kb():
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Rss:"))
modules = len(sys.modules)
resident_kb()  # its own memory is not counted
resident, cpu, started = resident_kb(), time.process_time(), time.perf_counter()
{timed}
ended, cpu_ended, resident_ended = time.perf_counter(), time.process_time(), resident_kb()
loaded = len(sys.modules) - modules
import json, os
print(json.dumps(dict(
    ms=(ended - started) * 1e3, cpu_ms=(cpu_ended - cpu) * 1e3,
    mb=(resident_ended - resident) / 1024, modules=loaded)), flush=True)
os._exit(0)
"""


class Interpreter:
    """A new one at each turn."""

    def __init__(self, subject, stack):
        self._variables = environment(stack)
        before, timed = SUBJECTS[subject]
        self._program = PROGRAM.format(before=before, timed=timed)
        self.turn()  # the first one compiles

    def turn(self):
        done = _python(["-c", self._program], self._variables)
        if done.returncode != 0:
            raise RuntimeError(last_line(done.stderr))
        return json.loads(last_line(done.stdout))

    def end(self):
        return {}


def collect(options):
    """Fresh interpreters in turns, then where the time goes when it is more than the goal."""
    samples = interleave(
        Interpreter,
        SUBJECTS,
        rounds=options.rounds_or(1, 1),
        turns=3 if options.quick else 15,
        label="imports",
    )
    goals = [
        _goal("imports: instrument(app) after import fastapi", "cpu_ms", "ms", MOST_MS, samples),
        _goal("imports: the same, memory", "mb", "MB", MOST_MB, samples),
    ]
    text = f"### Once in a process, processor time\n\n{_table(samples)}"
    if not goals[0].met:
        text += f"\nMost expensive of `instrument(app)`, by `-X importtime`:\n\n{_by_module()}"
    return Report(text, goals, {"all": samples})


def _goal(what, key, unit, most, samples):
    def judge():
        figures = spread(turns(samples, OURS, key))
        measured = f"{figures:.1f} {unit}, least {figures.least:.1f}"
        return measured, figures.median <= most

    return goal_of(what, f"<= {most:g} {unit}", samples, (OURS,), judge)


def _table(samples):
    rows = []
    for name in samples:
        if why := problem(samples[name]):
            rows.append([name, why])
            continue
        cpu = spread(turns(samples, name, "cpu_ms"))
        others = [statistics.median(turns(samples, name, key)) for key in ("ms", "mb", "modules")]
        clock, megabytes, modules = others
        row = [name, f"{cpu:.1f}", f"{cpu.least:.1f}", f"{clock:.1f}"]
        rows.append([*row, f"{megabytes:.1f}", f"{modules:.0f}"])
    if is_shown(samples, REQUEST_BARE, REQUEST_OURS):
        added = overhead(samples, REQUEST_OURS, "cpu_ms", REQUEST_BARE)
        rows.append(["first request, added", f"{added:.1f}", f"{added.least:.1f}"])
    headers = ["", "ms (quartiles)", "least ms", "ms on the clock", "MB", "modules"]
    return table(headers, rows)


def _by_module():
    """The modules that take longest themselves, without those that they import."""
    took = defaultdict(list)
    with ExitStack() as stack:
        variables = environment(stack)
        program = f"{FASTAPI}\nimport sys; print(file=sys.stderr); print({MARK!r}, file=sys.stderr)"
        for _ in range(IMPORT_TIME_RUNS):
            done = _python(["-X", "importtime", "-c", program + INSTRUMENT], variables)
            for line in done.stderr.partition(MARK)[2].splitlines():
                if line.startswith("import time:"):
                    microseconds, _, module = line.removeprefix("import time:").split("|")
                    took[module.strip()].append(float(microseconds))
    medians = {module: statistics.median(runs) for module, runs in took.items()}
    worst = sorted(medians, key=medians.__getitem__, reverse=True)[:MOST_EXPENSIVE]
    rows = [[module, f"{medians[module] / 1e3:.1f}"] for module in worst]
    rows.append(["all", f"{sum(medians.values()) / 1e3:.1f}"])
    return table(["module", "ms"], rows)


def _python(arguments, variables):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
