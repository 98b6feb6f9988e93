"""What an application asks its database and its caches is on the page, each call once."""

import math
import sqlite3

import pytest
import redis

from tests.e2e import page, totals
from tests.e2e.load import Request, Sent, send
from tests.e2e.running import start_uvicorn

ORDERS = 6
TABLES = f"""
CREATE TABLE orders (id INTEGER PRIMARY KEY);
CREATE TABLE items (id INTEGER PRIMARY KEY, order_id INTEGER REFERENCES orders, price INTEGER);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ORDERS})
INSERT INTO orders SELECT i FROM n;
INSERT INTO items SELECT id, id, 100 * id FROM orders;
"""

LIST = Request("GET", "/orders", "/orders", 200, sent_size=8, db_calls=1 + ORDERS)
SHOW = Request("GET", "/orders/1", "/orders/{order_id}", 200, sent_size=8, db_calls=1)
NO_ORDER = Request("GET", "/orders/99", "/orders/{order_id}", 404, sent_size=22, db_calls=1)
ADD = Request("POST", "/orders/7", "/orders/{order_id}", 200, sent_size=8, db_calls=1)
ADD_AGAIN = ADD._replace(status=409, sent_size=21)
PRICE = Request("GET", "/prices/1", "/prices/{item_id}", 200, 8, db_calls=1)
PRICE_AGAIN = PRICE._replace(db_calls=0)
STOCK = Request("GET", "/stock/apples", "/stock/{name}", 200, sent_size=8, cache_calls=1)
NO_STOCK = STOCK._replace(path="/stock/pears")
SEVERAL = Request("GET", "/stock?names=apples,pears,figs", "/stock", 200, 8, cache_calls=1)


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(TABLES)
    connection.close()
    return path


@pytest.fixture
def shop(tmp_path, database, redis_server):
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushdb()
        client.mset({"apples": 5, "figs": 3})
    environment = {"SHOP_DATABASE": str(database), "SHOP_REDIS": redis_server.url}
    with start_uvicorn(tmp_path, app="tests.e2e.orders:signed", env=environment) as shop:
        yield shop


def test_each_call_counts_once(exporter, shop):
    """Operations, hits and misses are exact; of each request, the components add up."""
    requests = [LIST] * 4 + [SHOW] * 10 + [NO_ORDER] * 3
    requests += [PRICE] + [PRICE_AGAIN] * 8 + [STOCK] * 6 + [NO_STOCK] * 2 + [SEVERAL] * 5
    sent = Sent()
    send(shop.port, requests, sent, connections=1)
    send(shop.port, [ADD, *[ADD_AGAIN] * 2], sent, connections=1)
    shown = totals.wait_for_totals(exporter.url, sent)
    check_operations(shown)
    totals.check_seconds(shown, sent)
    check_components(shown)


def check_operations(shown):
    """The number of operations of each kind, of keys found and not found, and of loads."""
    cachetools = {"cache_system": "cachetools", "cache_name": "load_price"}
    default = {"cache_system": "redis", "cache_name": "default"}
    expected = {
        **operations("SELECT", "orders", 4 + 10 + 3),
        **operations("SELECT", "items", 4 * ORDERS + 1),
        **operations("INSERT", "orders", 1),
        **operations("INSERT", "orders", 2, error_type="IntegrityError"),
        page.key("cache_requests_total", **cachetools, cache_result="hit"): 8,
        page.key("cache_requests_total", **cachetools, cache_result="miss"): 1,
        page.key("cache_requests_total", **default, cache_result="hit"): 6 + 5 * 2,
        page.key("cache_requests_total", **default, cache_result="miss"): 2 + 5,
        page.key("cache_load_duration_seconds_count", **cachetools): 1,
        **cache_operations(default, "get", 6 + 2),
        **cache_operations(default, "get_many", 5),
    }
    names = {name for name, _ in expected}
    assert expected == {key: value for key, value in shown.totals.items() if key[0] in names}


def operations(operation, table, count, *, error_type=""):
    labels = {"db_operation_name": operation, "db_collection_name": table, "error_type": error_type}
    database = {"db_system_name": "sqlite", "db_namespace": "shop.db"}
    return {page.key("db_client_operation_duration_seconds_count", **database, **labels): count}


def cache_operations(cache, operation, count):
    name = "cache_operation_duration_seconds_count"
    return {page.key(name, **cache, cache_operation=operation): count}


def check_components(shown):
    """Each route has the components that it should have, and the database's are its operations."""
    components = {}
    for (name, labels), value in shown.totals.items():
        if name == totals.COMPONENTS and value > 0:
            pairs = dict(labels)
            components.setdefault(pairs["http_route"], set()).add(pairs["component"])
    expected = {
        "/orders": {"app", "db", "pool_wait"},
        "/orders/{order_id}": {"app", "db", "pool_wait"},
        "/prices/{item_id}": {"app", "db", "pool_wait"},
        "/stock/{name}": {"app", "cache"},
        "/stock": {"app", "cache"},
    }
    assert expected == components
    of_requests = total(shown, totals.COMPONENTS, component="db")
    assert math.isclose(of_requests, total(shown, "db_client_operation_duration_seconds_sum"))


def total(shown, wanted, **pairs):
    """The sum of a name's samples that have these labels."""
    samples = shown.totals.items()
    return sum(v for (name, labels), v in samples if name == wanted and pairs.items() <= labels)
