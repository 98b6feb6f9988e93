"""Queries of SQLAlchemy that hurt: found in a FastAPI application, at the application's line."""

import asyncio
import inspect
import logging
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import ForeignKey, create_engine, insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    joinedload,
    mapped_column,
    relationship,
    selectinload,
)

import perfsdk
from perfsdk import guard, instrumentation
from perfsdk.catalog import DB_CLIENT_QUERY_FINDINGS
from perfsdk.testing import Recording

FINDINGS = DB_CLIENT_QUERY_FINDINGS.name
AUTHORS = 30
"""So many that a query for each is found however quick it is."""


class Base(DeclarativeBase):
    """The tables of these tests."""


class Author(Base):
    """Has books."""

    __tablename__ = "authors"
    id: Mapped[int] = mapped_column(primary_key=True)
    books: Mapped[list["Book"]] = relationship()


class Book(Base):
    """Belongs to an author."""

    __tablename__ = "books"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("authors.id"))


@pytest.fixture
def recording(perfsdk_dir):
    """What the application recorded."""
    with Recording(perfsdk_dir) as recording:
        yield recording


@pytest.fixture
def path(tmp_path):
    """A database of authors with two books each."""
    path = tmp_path / "shop.db"
    engine = create_engine(f"sqlite:///{path}")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        numbers = range(1, AUTHORS + 1)
        session.add_all(Author(id=n, books=[Book(), Book()]) for n in numbers)
        session.commit()
    engine.dispose()
    return path


@pytest.fixture
def found(recording, path, caplog):
    """`found(address)`: asks for a page once; its findings by kind, route and line."""
    caplog.set_level(logging.WARNING, logger=guard.logger.name)
    app = _application(path)
    perfsdk.instrument(app)

    def found(address, times=1):
        assert 200 == client.get(address).status_code
        instrumentation._running.recorder.sample()
        logged = []
        for record in caplog.records:
            if record.args and record.msg.startswith("perfsdk: %s in %s, at %s"):
                kind, route, site, *_ = record.args
                logged.append((kind, route, site))
        counted = [(each["kind"], each["http_route"]) for each in recording.series(FINDINGS)]
        assert sorted(counted) == sorted((kind, route) for kind, route, _ in logged)
        for kind, route in counted:
            assert times == recording.value(FINDINGS, kind=kind, http_route=route)
        return logged

    with TestClient(app) as client:
        yield found
    perfsdk.uninstrument()


def _application(path):
    engine = create_engine(f"sqlite:///{path}")
    async_engine = create_async_engine(f"sqlite+aiosqlite:///{path}")

    @asynccontextmanager
    async def lifespan(_app):
        yield
        engine.dispose()
        await async_engine.dispose()

    app = FastAPI(lifespan=lifespan)

    @app.get("/lazy/{page}")
    def lazy(page: int):
        with Session(engine) as session:
            authors = session.scalars(select(Author)).all()
            return sum(len(author.books) for author in authors)  # the lazy line

    @app.get("/allowed")
    @perfsdk.allow("n_plus_one")
    def allowed():
        with Session(engine) as session:
            return sum(len(author.books) for author in session.scalars(select(Author)))

    @app.get("/joined")
    def joined():
        with Session(engine) as session:
            authors = session.scalars(select(Author).options(joinedload(Author.books)))
            return sum(len(author.books) for author in authors.unique())

    @app.get("/selectin")
    def selectin():
        with Session(engine) as session:
            authors = session.scalars(select(Author).options(selectinload(Author.books)))
            return sum(len(author.books) for author in authors)

    @app.get("/same")
    def same():
        with engine.connect() as connection:
            for _ in range(AUTHORS):
                connection.execute(select(Author.id).where(Author.id == 1)).all()  # the same line

    @app.get("/same-text")
    def same_text():
        with engine.connect() as connection:
            for _ in range(AUTHORS):
                connection.execute(text("SELECT count(id) FROM books")).all()  # the text line

    @app.get("/batch")
    def batch():
        with Session(engine) as session:
            session.add_all(Book(author_id=1) for _ in range(500))
            session.flush()
            session.execute(insert(Book), [{"author_id": 1} for _ in range(500)])

    @app.get("/async-lazy")
    async def async_lazy():
        async with AsyncSession(async_engine) as session:
            return await session.run_sync(_count_books)

    @app.get("/async-loop")
    async def async_loop():
        async with AsyncSession(async_engine) as session:
            for number in range(AUTHORS):
                await session.scalars(select(Book).where(Book.id == number))  # the async line

    @app.get("/gather")
    async def gather():
        async def ask(number):
            async with async_engine.connect() as connection:
                await connection.execute(text(f"SELECT id AS column_{'x' * number} FROM books"))

        await asyncio.gather(*(ask(number) for number in range(10)))

    @app.get("/in-the-loop")
    async def in_the_loop():
        with engine.connect() as connection:
            connection.execute(select(Author.id)).all()  # the blocking line

    return app


def _count_books(session):
    return sum(len(author.books) for author in session.scalars(select(Author)))  # greenlet line


def _line(comment):
    """How the line with this comment is shown, without the function that it is in."""
    lines = inspect.getsource(inspect.getmodule(_line)).splitlines()
    (number,) = (n for n, line in enumerate(lines, 1) if line.endswith(f"# {comment}"))
    return f"tests/integrations/test_sqlalchemy_findings.py:{number} in "


@pytest.mark.parametrize(
    ("address", "kind", "route", "comment"),
    [
        ("/lazy/7", "n_plus_one", "/lazy/{page}", "the lazy line"),
        ("/async-lazy", "n_plus_one", "/async-lazy", "greenlet line"),
        ("/async-loop", "n_plus_one", "/async-loop", "the async line"),
        ("/same", "duplicate_query", "/same", "the same line"),
        ("/same-text", "duplicate_query", "/same-text", "the text line"),
        ("/in-the-loop", "blocking_in_loop", "/in-the-loop", "the blocking line"),
    ],
)
def test_found_once_with_route_and_line(found, address, kind, route, comment):
    """Each is one finding, of the page's template, at the line that a person can change."""
    ((found_kind, found_route, site),) = found(address)
    assert (kind, route) == (found_kind, found_route)
    assert site.startswith(_line(comment))


@pytest.mark.parametrize("address", ["/joined", "/selectin", "/batch", "/gather", "/allowed"])
def test_nothing_is_found_in_what_asks_at_once(found, address):
    """Loaded by a join or an IN list, in a batch, at the same time, or allowed on purpose."""
    assert [] == found(address)


def test_a_page_asked_again_is_logged_once(found, recording):
    """The second time it is counted only."""
    assert 1 == len(found("/lazy/1"))
    assert 1 == len(found("/lazy/2", times=2))
    assert 2 == recording.value(FINDINGS, kind="n_plus_one", http_route="/lazy/{page}")
