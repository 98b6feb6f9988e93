"""SQLModel is measured as the SQLAlchemy that it is: nothing of its own is needed."""

import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import Field, Session, SQLModel, create_engine, select
from sqlmodel.ext.asyncio.session import AsyncSession

from perfsdk import catalog
from perfsdk.integrations import sqlalchemy as integration
from perfsdk.wrapping.patches import Patches

DURATION = catalog.DB_CLIENT_OPERATION_DURATION.name
ROWS = catalog.DB_CLIENT_RETURNED_ROWS.name


class Hero(SQLModel, table=True):
    """Has a name."""

    __tablename__ = "heroes"
    id: int | None = Field(default=None, primary_key=True)
    name: str


@pytest.fixture
def recording(recording):
    """Where the values go while SQLAlchemy is patched."""
    patches = Patches()
    integration.patch(sqlalchemy, patches, recording.recorder)
    yield recording
    patches.undo()


def _check(recording):
    """Two heroes were inserted in one flush, and read."""
    labels = {"db_collection_name": "heroes", "db_system_name": "sqlite", "db_namespace": "a.db"}
    assert 1 == recording.count(DURATION, db_operation_name="INSERT", error_type="", **labels)
    assert 1 == recording.count(DURATION, db_operation_name="SELECT", error_type="", **labels)
    selected = {"db_operation_name": "SELECT", "db_collection_name": "heroes"}
    assert (1, 2) == (recording.count(ROWS, **selected), recording.sum(ROWS, **selected))


def test_sessions_are_measured(recording, tmp_path):
    """A flush is one INSERT; `exec` is one SELECT with its rows."""
    engine = create_engine(f"sqlite:///{tmp_path}/a.db")
    SQLModel.metadata.create_all(engine, tables=[Hero.__table__])
    with Session(engine) as session:
        session.add_all([Hero(name="Ada"), Hero(name="Grace")])
        session.commit()
        assert ["Ada", "Grace"] == [hero.name for hero in session.exec(select(Hero)).all()]
    engine.dispose()
    _check(recording)


async def test_asynchronous_sessions_are_measured(recording, tmp_path):
    """The same under asyncio."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/a.db")
    async with engine.begin() as connection:
        await connection.run_sync(SQLModel.metadata.create_all, tables=[Hero.__table__])
    async with AsyncSession(engine) as session:
        session.add_all([Hero(name="Ada"), Hero(name="Grace")])
        await session.commit()
        assert ["Ada", "Grace"] == [hero.name for hero in (await session.exec(select(Hero))).all()]
    await engine.dispose()
    _check(recording)
