"""Runs the demo from the empty directory to the report, and ends all that it started."""

import asyncio
import json
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from perfsdk.cli.demo import wording
from perfsdk.cli.demo.answers import Answers, answer
from perfsdk.cli.demo.errors import DemoError, Interrupted
from perfsdk.cli.demo.launching import SHOP_FILE, Running, start
from perfsdk.cli.demo.load import Sent, send_load, wait_for_first_answer
from perfsdk.cli.demo.page import parse_page
from perfsdk.cli.demo.processes import START_SECONDS, require_port
from perfsdk.cli.demo.report import as_data, print_answers, print_comparison
from perfsdk.cli.demo.stopping import stop_on_signals

PLAIN_WIDTH = 100
SETTLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says. `port` None: the first free; `incident`: see start."""

    once: bool
    duration_seconds: float
    rate: float
    workers: int
    port: int | None
    as_json: bool
    incident: str | None = None


def run_demo(options: Options) -> int:
    """Run it; the exit code: 0, 1 when something failed, 128 + signal when stopped too early."""
    console = _console(to_stderr=options.as_json)
    try:
        # Left in this order: the children end, their directory goes, signals are as before.
        with (
            stop_on_signals() as stop,
            tempfile.TemporaryDirectory(
                prefix="perfsdk-demo-", ignore_cleanup_errors=True
            ) as directory,
            ExitStack() as children,
        ):
            if options.port is not None:
                require_port(options.port)
            workers = wording.count(options.workers, "worker")
            console.print(Text(f"Starting a small shop ({workers}) and the exporter."))
            running = start(
                Path(directory), children, stop, options.workers, options.port, options.incident
            )
            sent = _send_load(options, running, console)
            answers = _read_answers(running, sent)
            _print_report(options, answers, sent, console)
            if not options.once:
                _stay_up(running, console)
    except Interrupted as interrupted:
        return 128 + interrupted.signal_number
    except DemoError as error:
        _print_error(str(error), error.log_tail)
        return 1
    except OSError as error:  # the temporary directory, before all
        _print_error(str(error))
        return 1
    return 0


def _send_load(options: Options, running: Running, console: Console) -> Sent:
    sent = Sent()

    def wait(seconds: float) -> None:
        running.check()
        if seconds > START_SECONDS:
            raise DemoError(f"the shop gave no answer in {seconds:.0f} s", running.shop.log_tail())

    asyncio.run(wait_for_first_answer(running.shop_url, sent, each_step=wait))
    total = options.duration_seconds
    what = f"Sending {options.rate:g} requests a second for {total:g} s"
    moves = console.file.isatty()  # FORCE_COLOR asks for colours in a log, not for a bar
    if not moves:
        console.print(f"{what}.")
    columns = (
        TextColumn(what),
        BarColumn(complete_style="cyan", finished_style="cyan"),
        TextColumn("{task.percentage:.0f} %"),
    )
    with Progress(*columns, console=console, transient=True, disable=not moves) as progress:
        task = progress.add_task(what, total=total)

        def step(seconds: float) -> None:
            running.check()
            progress.update(task, completed=min(seconds, total))

        load = send_load(
            running.shop_url, sent, duration_seconds=total, rate=options.rate, each_step=step
        )
        asyncio.run(load)
    return sent


def _read_answers(running: Running, sent: Sent) -> Answers:
    """The answers, once the page holds every answered request, or after 5 s whatever it holds.

    A worker records a request just after its client has the last byte.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        answers = answer(parse_page(_get(f"{running.exporter_url}/metrics")))
        if answers.requests >= sent.answered or time.monotonic() > deadline:
            return answers
        running.check()
        running.stop.wait(0.1)


def _print_report(options: Options, answers: Answers, sent: Sent, console: Console) -> None:
    if options.as_json:
        print(json.dumps(as_data(answers, sent), indent=2))
        return
    print_answers(console, answers)
    console.print()
    print_comparison(console, answers, sent)


def _stay_up(running: Running, console: Console) -> None:
    """Wait for Ctrl-C, which is how this is meant to end.

    Raises:
        DemoError: a child has ended.
    """
    console.print()
    lines = (
        f"shop      {running.shop_url} (try it: {running.shop_url}/docs)",
        f"exporter  {running.exporter_url}/metrics",
        f"code      {SHOP_FILE} (measured by one line of it)",
    )
    for line in lines:
        console.print(Text(line), soft_wrap=True)  # what is copied must not be broken
    console.print()
    console.print(Text("All stays up until you press Ctrl-C.", style="bold"))
    try:
        while True:
            running.check()
            running.stop.wait(0.25)
    except Interrupted:
        console.print(Text("Stopping."))


def _console(*, to_stderr: bool) -> Console:
    console = Console(stderr=to_stderr, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PLAIN_WIDTH
    return console


def _print_error(problem: str, log_tail: str = "") -> None:
    if log_tail:
        print(log_tail, file=sys.stderr)
    print(f"perfsdk demo: {problem}", file=sys.stderr)


def _get(url: str) -> str:
    """The text of a page. Raises: DemoError: it cannot be read."""
    try:
        response = httpx.get(url, timeout=10, trust_env=False)
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise DemoError(f"{url}: {error}") from error
    return response.text
