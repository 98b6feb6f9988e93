"""Records the demo with each incident planted, `python -m grafana.recordings.record [INCIDENT]`.

The exporter's page is read at equal steps while the load lasts. What rules and the first screens
of boards ask for is kept, one file for each incident, as promtool's input series.
"""

import argparse
import asyncio
import json
import re
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from grafana.alerting.files import rule_files
from grafana.recordings.series import FOLDER, STARTED, Values, document
from perfsdk.cli.demo.command import INCIDENTS
from perfsdk.cli.demo.launching import Running, start
from perfsdk.cli.demo.load import Sent, send_load, wait_for_first_answer
from perfsdk.cli.demo.stopping import stop_on_signals

STEP_SECONDS = 1.0
STEPS = 60
REQUESTS_PER_SECOND = 60
WORKERS = 2
SHOWN = (
    "cache_load_duration_seconds_count",
    "cache_load_duration_seconds_sum",
    "db_client_operation_duration_seconds_sum",
    "db_client_query_findings_total",
    "http_server_active_requests",
)
"""What no rule reads, and panels that show a cause do."""

Page = dict[str, float]
"""Values by series, as in `up{instance="a"}`."""


def record(incident: str) -> dict[str, Values]:
    """Every series of the demo with an incident, a value for each step.

    Raises:
        DemoError: the demo cannot be started, or one of its programs ended.
        Interrupted: a signal came.
        httpx.HTTPError: the exporter did not answer.
    """
    with (
        stop_on_signals() as stop,
        tempfile.TemporaryDirectory(prefix="perfsdk-recording-") as directory,
        ExitStack() as children,
    ):
        running = start(Path(directory), children, stop, WORKERS, None, incident)
        return _in_rows(asyncio.run(_pages_under_load(running)))


async def _pages_under_load(running: Running) -> list[Page]:
    def check(_seconds: float) -> None:
        running.check()

    sent = Sent()
    await wait_for_first_answer(running.shop_url, sent, each_step=check)
    load = send_load(
        running.shop_url,
        sent,
        duration_seconds=STEP_SECONDS * STEPS,
        rate=REQUESTS_PER_SECOND,
        each_step=check,
    )
    pages, _ = await asyncio.gather(_read_pages(running.exporter_url), load)
    return pages


async def _read_pages(exporter_url: str) -> list[Page]:
    names, pages = _names_to_keep(), []
    started, began = time.monotonic(), time.time()
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        for step in range(STEPS):
            await asyncio.sleep(max(started + step * STEP_SECONDS - time.monotonic(), 0))
            asked = time.monotonic()
            response = await client.get(f"{exporter_url}/metrics")
            page = _page(response.raise_for_status().text, names, began)
            # What Prometheus adds to a scrape.
            page["up"] = 1
            page["scrape_duration_seconds"] = time.monotonic() - asked
            pages.append(page)
    return pages


def _names_to_keep() -> frozenset[str]:
    words = re.findall(r"\w+", "\n".join(rule_files().values()))
    return frozenset((*words, *SHOWN))


def _page(text: str, names: frozenset[str], began: float) -> Page:
    return {
        # When a worker was started is told in seconds before (below 0) the first step.
        _series(sample.name, sample.labels): sample.value - (began if sample.name == STARTED else 0)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name in names
    }


def _series(name: str, labels: dict[str, str]) -> str:
    shown = ",".join(f"{label}={json.dumps(value)}" for label, value in labels.items())
    return f"{name}{{{shown}}}" if shown else name


def _in_rows(pages: list[Page]) -> dict[str, Values]:
    names = {name for page in pages for name in page}
    return {name: [page.get(name) for page in pages] for name in names}


def main() -> int:
    """Record the incidents named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("incidents", nargs="*", metavar="INCIDENT", help=", ".join(INCIDENTS))
    chosen = parser.parse_args().incidents or INCIDENTS
    if unknown := sorted(set(chosen) - set(INCIDENTS)):
        parser.error(f"no such incident: {', '.join(unknown)}; there are {', '.join(INCIDENTS)}")
    for incident in chosen:
        said = (
            f"Written by `python -m grafana.recordings.record {incident}`: the exporter's page\n"
            f"of the demo, {STEPS} times, every {STEP_SECONDS:g} s, {REQUESTS_PER_SECOND} requests"
            f" a second to {WORKERS} workers."
        )
        path = FOLDER / f"{incident}.yaml"
        path.write_text(document(record(incident), said), encoding="utf-8")
        print(f"{path.name}: {path.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
