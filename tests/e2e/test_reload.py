"""Reloading the application while it is developed loses nothing."""

from collections.abc import Iterator

from tests.e2e import page, running
from tests.e2e.load import Request, Sent, send
from tests.e2e.outcomes import HOME, mix
from tests.e2e.totals import wait_for_totals

SOURCE = """
from tests.e2e.shop import signed as application

VERSION = {version}
"""


def test_touched_three_times(exporter, tmp_path):
    """Totals are exact and never go down over three reloads, with requests all the time."""
    source = tmp_path / "source" / "reloaded.py"
    source.parent.mkdir()
    write(source, version=0)
    sent = Sent()

    def until_reloaded() -> Iterator[Request]:
        workers = len(sent.answers_by_worker)
        while len(sent.answers_by_worker) == workers:
            yield HOME

    options = ["--reload", "--reload-dir", str(source.parent), "--app-dir", str(source.parent)]
    with (
        running.start_uvicorn(tmp_path, *options, app="reloaded:application") as shop,
        page.watching(exporter.url) as watch,
    ):
        send(shop.port, mix(2), sent)
        for version in (1, 2, 3):
            write(source, version=version)
            send(shop.port, until_reloaded(), sent, connections=1, may_break=True)
            send(shop.port, mix(2), sent, may_break=True)
        print(f"{sent.uncertain.total()} turned away; answers: {dict(sent.answers_by_worker)}")
        sent.turned_away()
        shown = wait_for_totals(exporter.url, sent)
    assert [] == watch.decreases
    assert len(sent.answers_by_worker) == 4
    assert shown.gauge("perfsdk_workers") == 1


def write(source, *, version):
    """Put the source in its place at once, so that it is seen to change once."""
    new = source.parents[1] / "new"
    new.write_text(SOURCE.format(version=version))
    new.replace(source)
