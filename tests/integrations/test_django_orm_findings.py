"""Queries of Django that hurt: found in applications of both protocols, at the right line."""

import asyncio
import inspect
import logging

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.http import HttpResponse
from django.template import Context, Engine
from django.urls import path

import perfsdk
from perfsdk import guard, instrumentation
from perfsdk.catalog import DB_CLIENT_QUERY_FINDINGS
from perfsdk.request import COMPONENTS
from perfsdk.testing import Recording
from tests.frameworks.django_site.serving import Site
from tests.integrations.database_contract import DURATION
from tests.integrations.django_books import (
    Author,
    Book,
    databases,
    make_tables,
    sqlite,
)
from tests.integrations.django_books import postgresql as settings_of_postgresql

FINDINGS = DB_CLIENT_QUERY_FINDINGS.name
AUTHORS = 30
"""So many that a query for each is found however quick it is."""
LOOKUPS = (
    "exact",
    "contains",
    "startswith",
    "endswith",
    "gt",
    "gte",
    "lt",
    "lte",
    "iexact",
    "regex",
)
PAGE = Engine().from_string("{% for book in books %}{{ book.author.name }}{% endfor %}")


def answer(value):
    return HttpResponse(str(value))


def lazy(_request, page):
    return answer(sum(len(book.author.name) for book in Book.objects.all()))  # the lazy line


def reverse(_request):
    total = 0
    for author in Author.objects.all():
        total += author.books.count()  # the reverse line
    return answer(total)


def template(_request):
    return HttpResponse(PAGE.render(Context({"books": Book.objects.all()})))  # the template line


def same(_request):
    for _ in range(AUTHORS):
        assert Author.objects.filter(name="name 1").exists()  # the same line
    return answer("same")


def raw(_request):
    with connection.cursor() as cursor:
        for number in range(AUTHORS):
            cursor.execute("SELECT upper(%s)", [str(number)])  # the raw line
    return answer("raw")


async def async_loop(_request):
    for number in range(AUTHORS):
        await Author.objects.filter(id=number).afirst()  # the async line
    return answer("loop")


async def async_nested(_request):
    async def ask(number):
        return [book async for book in Book.objects.filter(author_id=number)]  # the nested line

    return answer(sum([len(await ask(number)) for number in range(AUTHORS)]))


async def async_lazy(_request):
    return answer(await sync_to_async(count_names)())


def count_names():
    return sum(len(book.author.name) for book in Book.objects.all())  # the thread line


def joined(_request):
    return answer(sum(len(book.author.name) for book in Book.objects.select_related("author")))


def prefetched(_request):
    authors = Author.objects.prefetch_related("books")
    return answer(sum(len(author.books.all()) for author in authors))


def batch(_request):
    Book.objects.bulk_create(
        (Book(author_id=1, title=f"new {number}") for number in range(300)), batch_size=10
    )
    return answer("batch")


@perfsdk.allow("n_plus_one")
def allowed(_request):
    return answer(count_names())


@perfsdk.allow("n_plus_one")
async def async_allowed(_request):
    for number in range(AUTHORS):
        await Author.objects.filter(id=number).afirst()
    return answer("allowed")


async def gather(_request):
    queries = [Author.objects.filter(**{f"name__{lookup}": "name 1"}) for lookup in LOOKUPS]
    found = await asyncio.gather(*(query.acount() for query in queries))
    return answer(len(found))


async def in_the_loop(_request):
    try:
        return answer(Author.objects.count())  # the blocking line
    finally:
        connection.close()


VIEWS = {
    "lazy/<int:page>": lazy,
    "reverse": reverse,
    "template": template,
    "same": same,
    "raw": raw,
    "async-loop": async_loop,
    "async-nested": async_nested,
    "async-lazy": async_lazy,
    "joined": joined,
    "prefetched": prefetched,
    "batch": batch,
    "allowed": allowed,
    "async-allowed": async_allowed,
    "gather": gather,
    "in-the-loop": in_the_loop,
}


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def database(request, tmp_path_factory):
    """Settings of a database, each of the two."""
    if request.param == "sqlite":
        return sqlite(tmp_path_factory.mktemp("books") / "books.db")
    return settings_of_postgresql(request.getfixturevalue("postgresql"))


@pytest.fixture(params=["asgi", "wsgi"])
def site(request, database):
    """The views behind each protocol, with authors of two books each."""
    with databases(default=database), Site(request.param) as site:
        make_tables(authors=AUTHORS)
        site.serve([path(address, view) for address, view in VIEWS.items()])
        yield site
        perfsdk.uninstrument()


@pytest.fixture
def recording(perfsdk_dir):
    """What the application recorded."""
    with Recording(perfsdk_dir) as recording:
        yield recording


@pytest.fixture
def found(recording, site, caplog):
    """`await found(address)`: asks for a page; its findings by kind, route and line."""
    caplog.set_level(logging.WARNING, logger=guard.logger.name)

    async def found(address):
        reply = await site.get(address)
        assert (None, 200) == (reply.error, reply.status)
        await asyncio.to_thread(instrumentation._running.recorder.sample)
        logged = []
        for record in caplog.records:
            if record.args and record.msg.startswith("perfsdk: %s in %s, at %s"):
                kind, route, line, *_ = record.args
                logged.append((kind, route, line))
        counted = [(each["kind"], each["http_route"]) for each in recording.series(FINDINGS)]
        assert sorted(counted) == sorted((kind, route) for kind, route, _ in logged)
        return logged

    return found


def _line(comment):
    """How the line with this comment is shown, without the function that it is in."""
    lines = inspect.getsource(inspect.getmodule(_line)).splitlines()
    (number,) = (n for n, line in enumerate(lines, 1) if line.endswith(f"# {comment}"))
    return f"tests/integrations/test_django_orm_findings.py:{number} in "


@pytest.mark.parametrize(
    ("address", "kind", "route", "comment"),
    [
        ("/lazy/7", "n_plus_one", "/lazy/<int:page>", "the lazy line"),
        ("/reverse", "n_plus_one", "/reverse", "the reverse line"),
        ("/template", "n_plus_one", "/template", "the template line"),
        ("/same", "duplicate_query", "/same", "the same line"),
        ("/raw", "n_plus_one", "/raw", "the raw line"),
        ("/async-loop", "n_plus_one", "/async-loop", "the async line"),
        ("/async-nested", "n_plus_one", "/async-nested", "the nested line"),
        ("/async-lazy", "n_plus_one", "/async-lazy", "the thread line"),
    ],
)
async def test_found_once_with_route_and_line(found, address, kind, route, comment):
    """Each is one finding, of the page's template, at the line that a person can change."""
    ((found_kind, found_route, line),) = await found(address)
    assert (kind, route) == (found_kind, found_route)
    assert line.startswith(_line(comment)), line


@pytest.mark.parametrize(
    "address", ["/joined", "/prefetched", "/batch", "/allowed", "/async-allowed", "/gather"]
)
async def test_nothing_is_found_in_what_asks_at_once(found, address):
    """Loaded by a join or an IN list, in batches, different queries, or allowed on purpose."""
    assert [] == await found(address)


async def test_a_query_that_blocks_the_loop_is_found(found, monkeypatch):
    """Where Django is told to let it be."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    ((kind, route, line),) = await found("/in-the-loop")
    assert ("blocking_in_loop", "/in-the-loop") == (kind, route)
    assert line.startswith(_line("the blocking line"))


async def test_the_request_is_charged_for_its_queries(found, recording, site):
    """Their number and time, also from the threads of asynchronous views."""
    await found("/async-loop")
    labels = {"http_route": "/async-loop"}
    assert AUTHORS == recording.sum("http_server_request_db_calls", **labels)
    seconds = "http_server_request_component_seconds_total"
    assert 0 < recording.value(seconds, component=COMPONENTS[1], **labels)
    assert AUTHORS == recording.count(DURATION, db_collection_name=Author._meta.db_table)
