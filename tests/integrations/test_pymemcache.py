"""pymemcache against a real memcached: the contract, all clients, hits and misses, layers."""

import functools
import socket
from contextlib import closing, contextmanager
from time import perf_counter

import pymemcache
import pytest
from pymemcache.client.retrying import RetryingClient
from pymemcache.exceptions import MemcacheIllegalInputError

from perfsdk.integrations import pymemcache as integration
from perfsdk.request import CACHE, Account, counted, current
from perfsdk.testing import Recording
from perfsdk.wrapping.caches import LARGE_VALUE_BYTES
from perfsdk.wrapping.patches import Patches
from tests.integrations.contract import IntegrationContract
from tests.servers import HOST, free_port

DURATION = "cache_operation_duration_seconds"
LABELS = {"cache_system": "memcached", "cache_name": "default"}
CLIENTS = {
    "Client": lambda server, **options: pymemcache.Client((HOST, server.port), **options),
    "PooledClient": lambda server, **options: pymemcache.PooledClient(
        (HOST, server.port), max_pool_size=2, **options
    ),
    "HashClient": lambda server, **options: pymemcache.HashClient([(HOST, server.port)], **options),
    "HashClient with pools": lambda server, **options: pymemcache.HashClient(
        [(HOST, server.port)], use_pooling=True, **options
    ),
}


class TestContract(IntegrationContract):
    """The contract on `get`; a key with a space in it is refused."""

    library = "pymemcache"
    metric = DURATION
    labels = {**LABELS, "cache_operation": "get"}  # noqa: RUF012 - read only
    error_type = "MemcacheIllegalInputError"
    bounded = {  # noqa: RUF012 - read only
        "cache_system": {"memcached"},
        "cache_name": {"default"},
        "cache_operation": {"get", "set"},
        "error_type": {"", "MemcacheIllegalInputError"},
    }
    component = CACHE
    result = b"value"

    @pytest.fixture(autouse=True)
    def _server(self, memcached):
        self.server = memcached

    def owners(self):
        return [pymemcache, pymemcache.Client, pymemcache.PooledClient, pymemcache.HashClient]

    @contextmanager
    def client(self):
        with closing(pymemcache.Client((HOST, self.server.port))) as client:
            client.set("key", "value", noreply=False)
            yield client

    def succeed(self, client):
        return client.get("key")

    def succeed_inside_with(self, client):
        with closing(client):
            return client.get("key")

    def fail(self, client):
        client.get("a key")

    def vary(self, client, number):
        client.get(f"key:{number}")

    @contextmanager
    def watch(self, client):
        """What is sent."""
        sent = []
        fetch = client._fetch_cmd

        def watched(name, keys, *args, **kwargs):
            sent.append((name, tuple(keys)))
            return fetch(name, keys, *args, **kwargs)

        client._fetch_cmd = watched
        yield sent
        del client._fetch_cmd


@pytest.fixture
def recording(tmp_path):
    """Where the values go, while pymemcache is measured."""
    patches = Patches()
    with Recording(tmp_path / "recording") as recording:
        integration.patch(pymemcache, patches, recording.recorder)
        yield recording
        patches.undo()


@pytest.fixture(params=CLIENTS)
def client(request, memcached, recording):
    """A measured client of each kind, on an empty server."""
    memcached.flush()
    with closing(CLIENTS[request.param](memcached, default_noreply=False)) as client:
        yield client


def results(recording):
    """Hits and misses."""
    return tuple(
        recording.value("cache_requests_total", cache_result=result) for result in ("hit", "miss")
    )


def operations(recording):
    """How often each operation ran."""
    return {
        series["cache_operation"]: recording.count(DURATION, **series)
        for series in recording.series(DURATION)
    }


def test_each_lookup_counts_its_keys_once(client, recording):
    """Whatever layers it passes; the answers are the library's own."""
    client.set("a", b"")
    client.set("b", b"0")
    default = object()
    assert b"" == client.get("a")
    assert default is client.get("absent", default)
    assert None is client.get("absent")
    assert (1, 2) == results(recording)
    assert {"a": b"", "b": b"0"} == client.get_many(["a", "b", "absent"])
    assert (3, 3) == results(recording)
    assert {"a": b""} == client.get_many(key for key in ("a", "absent"))
    assert (4, 4) == results(recording)
    assert {} == client.get_many([])
    value, token = client.gets("a")
    assert b"" == value
    assert (None, None) == client.gets("absent")
    assert (5, 5) == results(recording)
    assert True is client.cas("a", b"new", token)
    assert {"get": 5, "get_many": 3, "set": 3} == operations(recording)


def test_a_stored_value_is_a_hit_whatever_it_is(memcached, recording):
    """Also one that equals the default, by a serializer that keeps it."""
    client = pymemcache.Client((HOST, memcached.port), serde=pymemcache.serde.pickle_serde)
    with closing(client):
        for number, value in enumerate((None, 0, "", False)):
            client.set(f"key:{number}", value, noreply=False)
            assert value == client.get(f"key:{number}", value)
    assert (4, 0) == results(recording)


def test_other_calls_are_no_lookups(client, recording):
    """They are operations, and what they write and remove is counted."""
    assert [] == client.set_many({"a": b"1", "b": b"2"}, expire=60)
    assert False is client.add("a", b"3")
    assert True is client.add("c", b"3", 60)
    assert True is client.replace("a", b"4")
    assert True is client.append("a", b"4")
    assert 6 == client.incr("c", 3)
    assert None is client.incr("absent", 3)
    assert True is client.touch("a", 60)
    assert True is client.delete("a")
    assert False is client.delete("a")
    assert True is client.delete_many(["b", "c"])
    client.flush_all()
    assert (0, 0) == results(recording)
    expected = {"set_many": 1, "set": 4, "incr": 2, "touch": 1, "delete": 3, "clear": 1}
    assert expected == operations(recording)
    assert 4 == recording.value("cache_writes_total")
    assert 3 == recording.value("cache_removals_total", reason="explicit")
    assert 1 == recording.value("cache_removals_total", reason="cleared")


def test_an_error_is_neither_hit_nor_miss(recording):
    """It is an operation that failed."""
    client = pymemcache.Client((HOST, free_port()))
    with pytest.raises(ConnectionRefusedError):
        client.get("key")
    assert (0, 0) == results(recording)
    assert 1 == recording.count(DURATION, error_type="ConnectionRefusedError")


def test_a_key_that_is_refused_raises_what_the_library_raises(client, recording):
    """The same class, and nothing is counted."""
    with pytest.raises(MemcacheIllegalInputError):
        client.get("a key")
    assert (0, 0) == results(recording)


def test_items_by_brackets_count(memcached, recording):
    """As the calls that they stand for."""
    memcached.flush()
    with closing(pymemcache.Client((HOST, memcached.port))) as client:
        client["a"] = b"1"
        assert b"1" == client["a"]
        with pytest.raises(KeyError):
            client["absent"]
    assert (1, 1) == results(recording)


def test_a_client_that_tries_again_counts_each_attempt(memcached, recording):
    """Since each of them asked."""
    client = RetryingClient(pymemcache.Client((HOST, free_port())), attempts=2)
    with pytest.raises(ConnectionRefusedError):
        client.get("key")
    assert 2 == recording.count(DURATION, error_type="ConnectionRefusedError")


def test_an_outer_layer_counts_alone(client, recording):
    """And defaults stay the application's."""
    token = counted.set(1 << CACHE)
    assert "default" == client.get("absent", "default")
    counted.reset(token)
    assert {} == operations(recording)


def test_keys_name_caches(memcached, tmp_path):
    """By the setting; keys of other uses are timed, and are no lookups."""
    patches = Patches()
    with Recording(tmp_path / "named") as recording:
        recording.recorder.cache_names = {"user:*": "users"}
        integration.patch(pymemcache, patches, recording.recorder)
        with closing(pymemcache.Client((HOST, memcached.port))) as client:
            client.get("user:1")
            client.get("other")
            client.get("session:1")
            client.get_many([b"user:1", "other"])
        patches.undo()
        asked = functools.partial(recording.value, "cache_requests_total")
        assert 2 == asked(cache_name="users")
        assert 2 == asked(cache_name="default")
        assert 4 == asked()
        assert 4 == recording.count(DURATION)


def test_what_hurts_is_found(memcached, recording):
    """Values that stay for ever, large ones, and single keys in a row."""
    account = Account(perf_counter())
    token = current.set(account)
    with closing(pymemcache.Client((HOST, memcached.port))) as client:
        client.set("a", "x" * (LARGE_VALUE_BYTES + 1), 60)
        client.set("b", "x")
        for number in range(200):
            client.get(f"key:{number}")
    current.reset(token)
    kinds = {kind for _, kind in account.lookups.findings}
    assert {"large_value", "get_in_loop"} == kinds
    [(_, line)] = account.lookups.lasting.values()
    assert "test_pymemcache.py" in line


def test_a_value_written_by_its_token_says_how_long_it_stays(memcached, recording):
    """The seconds come after the token."""
    account = Account(perf_counter())
    with closing(pymemcache.Client((HOST, memcached.port))) as client:
        client.set("a", "1", 60, noreply=False)
        token = current.set(account)
        assert client.cas("a", "2", client.gets("a")[1], 60)
        assert {} == account.lookups.lasting
        assert client.cas("a", "3", client.gets("a")[1])
        current.reset(token)
    assert 1 == len(account.lookups.lasting)


def test_arguments_by_name_count_too(memcached, recording):
    """Key, value and seconds may all have their names."""
    memcached.flush()
    token = current.set(Account(perf_counter()))
    with closing(pymemcache.Client((HOST, memcached.port))) as client:
        assert None is client.get(key="a")
        assert client.set(key="a", value="1", expire=60, noreply=False)
        assert b"1" == client.get(default=0, key="a")
        assert client.touch(key="a", expire=60, noreply=False)
        assert client.delete(key="a", noreply=False)
    current.reset(token)
    assert (1, 1) == results(recording)
    assert 1 == recording.value("cache_writes_total", cache_pattern="aside")
    assert 1 == recording.value("cache_removals_total", reason="explicit")
    assert {"get": 2, "set": 1, "touch": 1, "delete": 1} == operations(recording)


def test_a_miss_that_is_filled_in_the_request_says_what_it_cost(memcached, recording):
    """Text and bytes are one key."""
    memcached.flush()
    token = current.set(Account(perf_counter()))
    with closing(pymemcache.Client((HOST, memcached.port))) as client:
        assert None is client.get("a")
        client.set(b"a", "1", 60)
    current.reset(token)
    assert 1 == recording.count("cache_load_duration_seconds", **LABELS)
    assert 1 == recording.value("cache_writes_total", cache_pattern="aside")


def test_unix_sockets_are_measured_too(tmp_path, recording):
    """The transport makes no difference."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        client = pymemcache.Client(path, timeout=5)
        client._connect()
        server, _ = listener.accept()
        with server:
            server.sendall(b"END\r\n")
            assert None is client.get("a")
        client.close()
    assert (0, 1) == results(recording)
