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

from perfsdk.cli.demo import processes, tables
from perfsdk.cli.demo.answers import Answers, answer
from perfsdk.cli.demo.errors import DemoError, Interrupted
from perfsdk.cli.demo.load import Sent, send_load, wait_for_first_answer
from perfsdk.cli.demo.page import parse_page
from perfsdk.cli.demo.processes import HOST, Child
from perfsdk.cli.demo.report import as_data, print_answers, print_comparison
from perfsdk.cli.demo.stopping import StopRequest, stop_on_signals

SHOP = "perfsdk.cli.demo.shop:app"
SHOP_PORT = 8000
EXPORTER_PORT = 8979
PLAIN_WIDTH = 100
START_SECONDS = 60.0
SETTLE_SECONDS = 5.0

# What the user has set for other applications must not change this one.
FOREIGN_VARIABLES = ("PERFSDK_", "OTEL_", "PROMETHEUS_", "UVICORN_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says. `port` None: the first free one."""

    once: bool
    duration_seconds: float
    rate: float
    workers: int
    port: int | None
    as_json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The shop and the exporter, started."""

    shop: Child
    exporter: Child
    shop_url: str
    exporter_url: str
    stop: StopRequest

    def check(self) -> None:
        """Raises: Interrupted, DemoError: a signal came, or one of the two has ended."""
        self.stop.check()
        self.shop.check()
        self.exporter.check()


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
            running = _start(options, Path(directory), children, stop, console)
            sent = _send_load(options, running, console)
            answers = _read_answers(running, sent)
            _print_report(options, answers, sent, console)
            if not options.once:
                _stay_up(running, console)
    except Interrupted as interrupted:
        return 128 + interrupted.signal_number
    except DemoError as error:
        _print_error(error)
        return 1
    return 0


def _start(
    options: Options, directory: Path, children: ExitStack, stop: StopRequest, console: Console
) -> Running:
    if options.port is not None:
        processes.require_port(options.port)
    database = directory / "shop.sqlite"
    segments = directory / "segments"
    environment = {
        **{name: value for name, value in os.environ.items() if not _is_foreign(name)},
        "PERFSDK_DIR": str(segments),
        "SHOP_DATABASE": str(database),
    }
    console.print(Text(f"Starting a small shop of {options.workers} workers and the exporter."))
    tables.fill_database(database)
    stop.check()
    shop_port = options.port or processes.free_port(SHOP_PORT)
    shop = [sys.executable, "-m", "uvicorn", SHOP, "--host", HOST, "--port", str(shop_port)]
    shop += ["--workers", str(options.workers), "--no-access-log"]
    shop += ["--timeout-graceful-shutdown", "2"]
    exporter_address = f"{HOST}:{processes.free_port(EXPORTER_PORT)}"
    exporter = [sys.executable, "-m", "perfsdk_exporter", "--dir", str(segments)]
    exporter += ["--web.listen-address", exporter_address]

    def start(name: str, command: list[str]) -> Child:
        child = processes.started(name, command, directory=directory, environment=environment)
        return children.enter_context(child)

    running = Running(
        shop=start("shop", shop),
        exporter=start("exporter", exporter),
        shop_url=f"http://{HOST}:{shop_port}",
        exporter_url=f"http://{exporter_address}",
        stop=stop,
    )
    processes.wait_until_ready(running.exporter, lambda: _is_ready(running.exporter_url), stop)
    return running


def _send_load(options: Options, running: Running, console: Console) -> Sent:
    sent = Sent()

    def wait(seconds: float) -> None:
        running.check()
        if seconds > START_SECONDS:
            raise DemoError(f"the shop gave no answer in {seconds:.0f} s", running.shop.log_tail())

    asyncio.run(wait_for_first_answer(running.shop_url, sent, each_step=wait))
    total = options.duration_seconds
    what = f"Sending {options.rate:g} requests a second for {total:g} s"
    if not console.is_terminal:
        console.print(f"{what}.")
    columns = (TextColumn(what), BarColumn(), TextColumn("{task.percentage:.0f} %"))
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
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
    console.print(Text(f"shop      {running.shop_url}/docs"))
    console.print(Text(f"exporter  {running.exporter_url}/metrics"))
    console.print(Text("Both stay up; Ctrl-C stops them."))
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


def _print_error(error: DemoError) -> None:
    if error.log_tail:
        print(error.log_tail, file=sys.stderr)
    print(f"perfsdk demo: {error}", file=sys.stderr)


def _is_foreign(variable: str) -> bool:
    return variable.startswith(FOREIGN_VARIABLES)


def _is_ready(exporter_url: str) -> bool:
    try:
        return httpx.get(f"{exporter_url}/-/ready", timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _get(url: str) -> str:
    """The text of a page. Raises: DemoError: it cannot be read."""
    try:
        response = httpx.get(url, timeout=10, trust_env=False)
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise DemoError(f"{url}: {error}") from error
    return response.text
