"""The shop with its own faults mended and one incident planted, which `$SHOP_INCIDENT` names."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.orm import ORMExecuteState, Session, selectinload

from perfsdk.cli.demo import shop
from perfsdk.cli.demo.tables import Order

WAITED_SECONDS = 0.12
HELD_SECONDS = 0.25
FAILING_SHARE = 0.08  # of the routes that use a session, 5 % of all requests
FLUSHED_SHARE = 0.9


def plant(incident: str) -> None:
    """Mend the shop, then break one thing of it.

    Raises:
        KeyError: there is no such incident.
    """
    planting = PLANTING[incident]
    _charge_in(0.005)
    event.listen(Session, "do_orm_execute", _load_items_together)
    planting()


def _nothing() -> None:
    """The mended shop."""


def _make_search_slow() -> None:
    """A statement waits in the database, as after a lost index of a large table or for a lock."""
    # It waits inside of SQLite and costs no processor: other routes are as fast as before.
    event.listen(shop.engine, "connect", _teach_waiting)
    event.listen(shop.engine, "before_cursor_execute", _wait_in_search, retval=True)


def _teach_waiting(connection: sqlite3.Connection, _record: object) -> None:
    # Deterministic: SQLite asks once for a statement, not for each row.
    connection.create_function("waited", 1, _waited, deterministic=True)


def _waited(seconds: float) -> int:
    time.sleep(seconds)
    return 1


def _wait_in_search(
    _connection: object, _cursor: object, statement: str, parameters: object, *_: object
) -> tuple[str, object]:
    if "products.name BETWEEN" in statement:
        statement = statement.replace("WHERE", f"WHERE waited({WAITED_SECONDS}) AND", 1)
    return statement, parameters


def _load_items_one_by_one() -> None:
    """The items of each order are a query of their own, as the shop has it."""
    event.remove(Session, "do_orm_execute", _load_items_together)


def _flush_cache() -> None:
    """The cache is emptied before nearly every lookup, as by a job that clears it all the time."""
    load: Any = shop.load_product
    random = Random(3)  # noqa: S311 - no secret

    def load_after_flush(product_id: int) -> dict[str, object]:
        if random.random() < FLUSHED_SHARE:
            with load.cache_lock:
                load.cache.clear()
        found: dict[str, object] = load(product_id)
        return found

    setattr(shop, "load_product", load_after_flush)  # noqa: B010 - of another type than before


def _shrink_pool() -> None:
    """One connection a worker, which payments hold while they wait for the provider."""
    shop.engine = create_engine(shop.engine.url, pool_size=1, max_overflow=0)
    _charge_in(HELD_SECONDS)


def _fail_some() -> None:
    """A share of the requests ends with an exception."""
    random = Random(4)  # noqa: S311 - no secret

    def open_session() -> Iterator[Session]:
        if random.random() < FAILING_SHARE:
            raise RuntimeError("planted: one request in twenty fails")
        yield from shop.open_session()

    shop.app.dependency_overrides[shop.open_session] = open_session


def _charge_in(seconds: float) -> None:
    def charge_card(order_id: int) -> None:  # noqa: ARG001 - as the shop calls it
        time.sleep(seconds)

    shop.charge_card = charge_card


def _load_items_together(state: ORMExecuteState) -> None:
    """What the N+1 query lacks: all items of the orders come in one more query."""
    mapper = state.bind_mapper
    if state.is_select and mapper and mapper.class_ is Order and not state.is_column_load:
        state.statement = state.statement.options(selectinload(Order.items))


PLANTING: dict[str, Callable[[], None]] = {
    "none": _nothing,
    "slow-query": _make_search_slow,
    "n-plus-one": _load_items_one_by_one,
    "cache-flush": _flush_cache,
    "pool-exhaustion": _shrink_pool,
    "errors": _fail_some,
}

app = shop.app
plant(os.environ["SHOP_INCIDENT"])
