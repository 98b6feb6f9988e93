"""The course of an application under a server: requests, a look at the page, the end, and after."""

from collections.abc import Iterator, Mapping, Sequence

from perfsdk_exporter.reaping.reaper import Reaper
from tests.e2e import page, running
from tests.e2e.load import Request, Sent, send
from tests.e2e.outcomes import HOME
from tests.e2e.page import Page
from tests.e2e.totals import check_seconds, wait_for_totals


def check_course(
    exporter,
    shop,
    directory,
    requests: Sequence[Request],
    *,
    workers: int,
    more: Request = HOME,
) -> Page:
    """Send the requests, end the server, and check what is shown before and after; the first page.

    Every total is exact and never goes down. While the server runs, the workers that answered
    are those that are counted; when it has ended, all that is left of them is the archive.
    """
    sent = Sent()
    with page.watching(exporter.url) as watch:
        send(shop.port, until_all_answer(requests, sent, workers, more=more), sent)
        shown = wait_for_totals(exporter.url, sent)
        check_seconds(shown, sent)
        assert workers == len(sent.answers_by_worker)
        assert workers == shown.gauge("perfsdk_workers")
        assert sorted(sent.answers_by_worker) == running.segment_pids(directory)
        running.end(shop)
        check_after_the_end(exporter, directory, sent)
    assert [] == watch.decreases
    return shown


def check_after_the_end(exporter, directory, sent: Sent) -> None:
    """The totals are still there, the gauges are not, and of the files there is the archive."""
    Reaper().reap(directory)  # as the exporter does every few seconds
    page.wait_for_none(lambda: left(exporter, directory))
    check_seconds(wait_for_totals(exporter.url, sent), sent)


def left(exporter, directory) -> dict:
    """What an ended application has left that it should not have."""
    gauges = page.read_page(exporter.url).gauges
    files = sorted(path.suffix for path in directory.iterdir() if path.suffix != ".lock")
    return {} if ({}, [".arc"]) == (gauges, files) else {"left": (gauges, files)}


def until_all_answer(
    requests: Sequence[Request], sent: Sent, workers: int, *, more: Request = HOME
) -> Iterator[Request]:
    """The requests, and one more again and again, until each worker has answered one."""
    yield from requests
    while len(sent.answers_by_worker) < workers:
        yield more


def with_routes(requests: Sequence[Request], routes: Mapping[str, str]) -> list[Request]:
    """The same requests to an application whose framework writes templates in its own way."""
    return [
        request._replace(route=routes.get(request.route, request.route)) for request in requests
    ]
