"""What requests through a real server cost: uvicorn, asked by wrk over loopback."""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys

from tests.bench.applications import FRAMEWORKS
from tests.bench.figures import (
    BARE,
    OURS,
    Goal,
    Report,
    goal_of,
    is_shown,
    overhead,
    problem,
    ratio,
    table,
    turns,
)
from tests.bench.peers import HAND_WRITTEN_MULTIPROCESS, multiprocess_peers, peers_of
from tests.bench.rounds import ROOT, environment, interleave, last_line
from tests.servers import HOST, free_port, http_get, start_process, stop_process

CONNECTIONS = 16
TURNS = 2
AIMS = {"starlette": 0.85, "fastapi": 0.94}
"""Requests/s as a share of the bare application's."""

SERVER_CORE, CLIENT_CORE = (0, 1) if (os.cpu_count() or 1) >= 2 else (-1, -1)
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Served:
    """A server that waits for its turn."""

    def __init__(self, subject, framework, stack, seconds):
        variables = environment(stack, multiprocess=subject in multiprocess_peers())
        self._seconds = seconds
        self._port = free_port()
        self._log = ROOT / variables["PERFSDK_DIR"] / "../server.log"
        self._log.parent.parent.mkdir(exist_ok=True)
        self._requests = 0
        arguments = [subject, framework, str(self._port), str(SERVER_CORE)]
        try:
            self._process = stack.enter_context(
                start_process(
                    [sys.executable, "-m", "tests.bench.serve", *arguments],
                    ready=lambda: http_get(f"http://{HOST}:{self._port}/items/1"),
                    log=self._log,
                    env=variables,
                    cwd=ROOT,
                )
            )
        except AssertionError as error:
            raise RuntimeError(last_line(str(error))) from error
        self._load(1)

    def turn(self):
        before = _cpu_seconds(self._process.pid)
        requests, figures = self._load(self._seconds)
        cpu = _cpu_seconds(self._process.pid) - before
        return {**figures, "cpu_us": cpu / requests * 1e6}

    def end(self):
        stop_process(self._process)
        return {"calls": self._requests, **json.loads(last_line(self._log.read_text()) or "{}")}

    def _load(self, seconds):
        pin = ["taskset", "-c", str(CLIENT_CORE)] if CLIENT_CORE >= 0 else []
        url = f"http://{HOST}:{self._port}/items/7"
        wrk = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", url]
        output = subprocess.run(
            [*pin, *wrk], capture_output=True, text=True, timeout=60, check=False
        ).stdout
        found = re.search(r"(\d+) requests in ([\d.]+)(\w+)", output)
        if found is None or "Non-2xx" in output or int(found[1]) == 0:
            raise RuntimeError(f"wrk: {last_line(output)}")
        self._requests += int(found[1])
        rate = float(re.search(r"Requests/sec: *([\d.]+)", output)[1])
        return int(found[1]), {"rate": rate, "p99_ms": _latency(output, "99%")}


def collect(options):
    """Every peer behind a server of its own; they are asked in turns."""
    missing = [name for name in ("wrk", "taskset") if shutil.which(name) is None]
    if missing:
        text = f"### Through uvicorn\n\n**LEFT OUT: {' and '.join(missing)} not installed.**\n"
        return Report(text, [Goal("uvicorn", "", f"{missing[0]} missing", None)], {})
    texts, goals, samples = [], [], {}
    seconds = 1 if options.quick else 2
    for framework in FRAMEWORKS:
        found = samples[framework] = interleave(
            lambda subject, stack, fw=framework: Served(subject, fw, stack, seconds),
            peers_of(framework),
            rounds=options.rounds_or(5),
            turns=TURNS,
            label=f"uvicorn {framework}",
        )
        texts += [f"### Through uvicorn, one worker, wrk, {framework}\n", _table(found)]
        goals += _goals(framework, found)
    return Report("\n".join(texts), goals, samples)


def _table(samples):
    rows = []
    for name in samples:
        if why := problem(samples[name]):
            rows.append([name, why])
            continue
        medians = [statistics.median(turns(samples, name, key)) for key in ("rate", "p99_ms")]
        row = [name, *(f"{median:.1f}" for median in medians)]
        if name != BARE and is_shown(samples, BARE):
            row += [
                f"{ratio(samples, name, BARE, 'rate'):.2f}",
                f"{overhead(samples, name, 'cpu_us'):+.1f}",
            ]
        rows.append(row)
    headers = ["", "requests/s", "p99 ms", "of bare (quartiles)", "added CPU us (quartiles)"]
    return table(headers, rows)


def _goals(framework, samples):
    def judge_slower():
        share = ratio(samples, OURS, HAND_WRITTEN_MULTIPROCESS, "rate")
        return f"{share:.2f}", share.median >= 1

    def judge_share():
        share = ratio(samples, OURS, BARE, "rate")
        return f"{share:.2f}", share.median >= AIMS[framework]

    what = f"uvicorn, {framework}: requests/s, ours /"
    return [
        goal_of(
            f"{what} {HAND_WRITTEN_MULTIPROCESS}",
            ">= 1",
            samples,
            (OURS, HAND_WRITTEN_MULTIPROCESS),
            judge_slower,
        ),
        goal_of(f"{what} bare (aim)", f">= {AIMS[framework]}", samples, (BARE, OURS), judge_share),
    ]


def _latency(output, percentile):
    found = re.search(rf"{percentile} +([\d.]+)(us|ms|s)\b", output)
    return float(found[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[found[2]]


def _cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
