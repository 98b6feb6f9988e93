"""One cache: what it counts, why values are written, and what is found in one request."""

import logging
import threading
from time import perf_counter

import pytest

import perfsdk
from perfsdk import guard
from perfsdk.catalog import LABEL_BOUNDS, OVERFLOW
from perfsdk.findings import Findings
from perfsdk.request import DB, Account, current
from perfsdk.testing import Recording
from perfsdk.wrapping.cache_gets import REPEATED_GETS, REPEATED_GETS_AT_ONCE
from perfsdk.wrapping.cache_keys import OTHER_USES, KeyNames
from perfsdk.wrapping.caches import LARGE_VALUE_BYTES, MAX_MISSED, STAMPEDE, UNKNOWN, Caches
from perfsdk.wrapping.dbapi import Databases
from perfsdk.wrapping.loads import LONGEST_SECONDS, MAX_KEYS, Load, Loads

LARGE = "x" * (LARGE_VALUE_BYTES + 1)


@pytest.fixture
def recording(tmp_path):
    """Where the values go."""
    with Recording(tmp_path / "recording") as recording:
        yield recording


@pytest.fixture
def cache(recording):
    """A cache of the system `redis`."""
    return Caches(recording.recorder, "redis")["users"]


@pytest.fixture
def findings(recording):
    """What counts the findings when a request ends."""
    return Findings(recording.recorder)


@pytest.fixture
def account():
    """A request being served."""
    account = Account(perf_counter())
    token = current.set(account)
    yield account
    current.reset(token)


def kinds(findings, account, recording, route="/users"):
    """What is counted when the request ends, by kind."""
    if account.lookups is None:
        return {}
    findings.record_lookups(route, account.lookups, account.queries)
    series = recording.series("cache_findings_total")
    return {s["kind"]: recording.value("cache_findings_total", **s) for s in series}


def query(recording, text):
    """A statement that runs now in the request."""
    databases = Databases(recording.recorder, parameters=2)
    statement = databases.operations("sqlite", "shop.db", is_leaf=True)[text]
    started = perf_counter()
    current.get().events.append((started, DB))
    statement.end(current.get(), started, (None, text), {}, None, None)


def test_keys_are_counted_not_calls(recording, cache):
    """Three of five are found: three hits, two misses."""
    cache.hit("a")
    cache.miss("b")
    cache.asked(["c", "d"], ["e"])
    labels = {"cache_system": "redis", "cache_name": "users"}
    assert 3 == recording.value("cache_requests_total", cache_result="hit", **labels)
    assert 2 == recording.value("cache_requests_total", cache_result="miss", **labels)


def test_a_write_of_what_was_missed_is_aside_and_says_what_the_miss_cost(recording, cache, account):
    """From the miss to the write of the same key in the same request."""
    cache.miss("user:1")
    cache.wrote("user:1", 60)
    assert 1 == recording.value("cache_writes_total", cache_pattern="aside")
    assert 1 == recording.count("cache_load_duration_seconds", cache_name="users")
    assert 0 < recording.sum("cache_load_duration_seconds", cache_name="users")
    cache.wrote("user:1", 60)
    assert 1 == recording.value("cache_writes_total", cache_pattern="unknown")


def test_text_and_bytes_are_one_key(recording, cache, account):
    """A client may ask in one and write in the other."""
    cache.miss("user:1")
    cache.wrote(b"user:1", 60)
    assert 1 == recording.value("cache_writes_total", cache_pattern="aside")


def test_a_write_after_a_change_of_the_database_is_write_through(recording, cache, account):
    """One after a mere question is not."""
    query(recording, "SELECT name FROM users")
    cache.wrote("user:1", 60)
    query(recording, "UPDATE users SET name = ? WHERE id = ?")
    cache.wrote("user:1", 60)
    assert 1 == recording.value("cache_writes_total", cache_pattern="unknown")
    assert 1 == recording.value("cache_writes_total", cache_pattern="write_through")


def test_outside_of_a_request_writes_are_of_an_unknown_pattern(recording, cache):
    """There is nothing that shows why."""
    cache.miss("user:1")
    cache.wrote("user:1", None, LARGE)
    assert 1 == recording.value("cache_writes_total", cache_pattern="unknown")
    assert 0 == recording.count("cache_load_duration_seconds")


def test_removals_are_counted_by_reason(recording, cache):
    """Nothing removed is nothing counted."""
    cache.removed(2)
    cache.removed(0)
    cache.removed(reason="cleared")
    assert 2 == recording.value("cache_removals_total", reason="explicit")
    assert 1 == recording.value("cache_removals_total", reason="cleared")


def test_values_that_stay_for_ever_are_found(recording, cache, findings, account):
    """Once a request, whatever the number of keys; what cannot be told is not found."""
    cache.wrote("a", UNKNOWN)
    cache.wrote("b", 60)
    assert {} == kinds(findings, account, recording)
    cache.wrote("c", None)
    cache.wrote("d", None)
    assert {"no_ttl": 1} == kinds(findings, account, recording)


def test_a_key_that_gets_its_end_afterwards_is_not_found(recording, cache, findings, account):
    """As EXPIRE after SET does."""
    cache.wrote("a", None)
    cache.touched("a")
    assert {} == kinds(findings, account, recording)


@pytest.mark.parametrize("value", [LARGE, LARGE.encode()])
def test_large_values_are_found_read_or_written(recording, cache, findings, account, value):
    """Numbers and objects are not measured."""
    cache.hit("a", value[1:])
    cache.wrote("a", 60, [value])
    assert None is account.lookups or {} == account.lookups.findings
    cache.hit("a", value)
    cache.wrote("a", 60, value)
    assert {"large_value": 1} == kinds(findings, account, recording)


def test_a_miss_that_is_loaded_and_not_written_is_found(recording, cache, findings, account):
    """Only where the request asked a database after it."""
    query(recording, "SELECT 1")
    cache.miss("a")
    assert {} == kinds(findings, account, recording)
    cache.miss("b")
    query(recording, "SELECT name FROM users WHERE id = ?")
    assert {"miss_not_filled": 1} == kinds(findings, account, recording)


def test_a_miss_not_filled_is_logged_with_its_line_from_the_second_time_on(
    recording, cache, findings, caplog
):
    """Until a cache is suspected, no frame is looked at when it misses."""
    for _ in range(3):
        token = current.set(Account(perf_counter()))
        cache.miss("a")
        query(recording, "SELECT name FROM users WHERE id = ?")
        findings.record_lookups("/users", current.get().lookups, current.get().queries)
        current.reset(token)
    assert 3 == recording.value("cache_findings_total", kind="miss_not_filled")
    with caplog.at_level(logging.WARNING, guard.logger.name):
        findings.sample()
    [record] = caplog.records
    assert "miss_not_filled in /users" in record.getMessage()
    assert "test_caches.py" in record.getMessage()
    assert "redis cache users" in record.getMessage()


def test_three_requests_that_load_one_key_at_once_are_a_stampede(recording, cache, findings):
    """Two are not, nor three one after the other."""
    accounts = [Account(perf_counter()) for _ in range(STAMPEDE)]
    for account in accounts:
        token = current.set(account)
        cache.miss("alone")
        cache.wrote("alone", 60)
        current.reset(token)
    for account in accounts[1:]:
        token = current.set(account)
        cache.miss("hot")
        current.reset(token)
    assert all({} == account.lookups.findings for account in accounts)
    token = current.set(accounts[0])
    cache.miss("hot")
    current.reset(token)
    assert {"stampede": 1} == kinds(findings, accounts[0], recording)


def test_the_end_of_a_request_ends_its_loads(recording, cache, findings):
    """Else what nobody fills would look like a stampede."""
    for _ in range(2 * STAMPEDE):
        account = Account(perf_counter())
        token = current.set(account)
        cache.miss("absent")
        current.reset(token)
        assert {} == kinds(findings, account, recording)


@pytest.fixture
def clock(monkeypatch):
    """The time by which lookups end, to be moved by hand."""
    clock = [perf_counter()]
    monkeypatch.setattr("perfsdk.wrapping.cache_gets.perf_counter", lambda: clock[0])
    return clock


def get(cache, clock, seconds):
    """A lookup of one key, after all others, that takes so long."""
    started = clock[0]
    clock[0] += seconds
    cache.operation("get").end(current.get(), started, (), {}, None, None)


def test_single_keys_asked_for_in_a_row_are_found(recording, cache, findings, account, clock):
    """Twenty that take a millisecond together; quick ones of a cache in memory are not."""
    for _ in range(2 * REPEATED_GETS_AT_ONCE):
        get(cache, clock, 0.000_02)
    assert {} == account.lookups.findings
    get(cache, clock, 0.001)
    assert {"get_in_loop": 1} == kinds(findings, account, recording)


def test_few_slow_lookups_in_a_row_are_found(recording, cache, findings, account, clock):
    """Five that take 50 ms together."""
    for _ in range(REPEATED_GETS - 1):
        get(cache, clock, 0.012)
    assert {} == account.lookups.findings
    get(cache, clock, 0.012)
    assert {"get_in_loop": 1} == kinds(findings, account, recording)


def test_keys_asked_for_at_the_same_time_are_no_loop(cache, account, clock):
    """`asyncio.gather` of thirty lookups is as good as one for all."""
    started = clock[0]
    for _ in range(30):
        clock[0] += 0.01
        cache.operation("get").end(account, started, (), {}, None, None)
    assert {} == account.lookups.findings


def test_what_is_allowed_is_not_found(recording, cache, findings, account):
    """All kinds of caches, as those of queries."""
    with perfsdk.allow("no_ttl", "large_value", "miss_not_filled"):
        cache.wrote("a", None, LARGE)
        cache.miss("b")
    query(recording, "SELECT name FROM users WHERE id = ?")
    assert {} == kinds(findings, account, recording)


def test_keys_that_are_no_plain_values_are_counted_only(recording, cache, account):
    """Their hash would run code of the application."""

    class Key:
        def __hash__(self):
            raise AssertionError

    cache.miss(Key())
    cache.miss(["list"])
    cache.wrote(Key(), None)
    assert 2 == recording.value("cache_requests_total", cache_result="miss")
    assert 1 == recording.value("cache_writes_total")
    assert 0 == recording.value("perfsdk_internal_errors_total")


def test_the_memory_of_a_request_is_bounded(cache, account):
    """However many keys it misses."""
    for index in range(MAX_MISSED + 50):
        cache.miss(index)
    assert MAX_MISSED == len(account.lookups.missed)


def test_a_request_that_is_over_takes_nothing_in(cache, account):
    """What a thread does later counts, but is no part of it."""
    account.close(perf_counter())
    cache.miss("a")
    cache.wrote("a", None, LARGE)
    assert None is account.lookups


def test_caches_past_the_bound_of_names_share_one(recording):
    """A name is a label, so it is bounded."""
    caches = Caches(recording.recorder, "redis")
    for index in range(LABEL_BOUNDS["cache_name"] + 5):
        caches[f"cache {index}"].hit("a")
    names = {series["cache_name"] for series in recording.series("cache_requests_total")}
    assert OVERFLOW in names
    assert LABEL_BOUNDS["cache_name"] + 1 == len(names)


def test_it_never_raises(cache, account, monkeypatch, swallow_errors):
    """Whatever breaks inside is counted."""
    monkeypatch.setattr(type(cache.loads), "begin", None)
    monkeypatch.setattr("perfsdk.call_site.call_site", None)
    cache.miss("a")
    cache.wrote("a", None, LARGE)
    cache.hit("a", LARGE)
    cache.touched("a")
    cache.operation("get").end(account, perf_counter(), (), {}, None, None)


def test_threads_may_miss_and_fill_at_once(recording, cache, findings):
    """Every miss and every write is counted, and no load is left."""

    def serve():
        for index in range(200):
            account = Account(perf_counter())
            current.set(account)
            cache.miss(index % 3)
            cache.wrote(index % 3, 60)
            findings.record_lookups("/", account.lookups, account.queries)

    threads = [threading.Thread(target=serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 800 == recording.value("cache_requests_total", cache_result="miss")
    assert 0 == recording.value("perfsdk_internal_errors_total")


@pytest.mark.parametrize("key", [str, str.encode])
def test_keys_are_named_by_how_they_begin(key):
    """The first pattern that matches names it; without a star it is the whole key."""
    names = KeyNames({"user:vip:*": "vips", "user:*": "users", "menu": "menu", "a.b*": "dotted"})
    expected = {
        "user:vip:1": "vips",
        "user:2": "users",
        "menu": "menu",
        "menu:2": "default",
        "a.b": "dotted",
        "axb": "default",
        "": "default",
    }
    assert expected == {text: names.name_of(key(text)) for text in expected}


@pytest.mark.parametrize("key", [str, str.encode])
def test_keys_of_other_uses_are_of_no_cache_unless_named(key):
    """Brokers, queues, locks and sessions keep theirs in the same server."""
    names = KeyNames({})
    assert {None} == {names.name_of(key(f"{prefix}1")) for prefix in OTHER_USES}
    assert "sessions" == KeyNames({"session:*": "sessions"}).name_of(key("session:1"))


def test_loads_that_were_given_up_are_forgotten():
    """After a minute, or when there are too many keys."""
    loads = Loads()
    assert 1 == loads.begin(Load(None, 7, 0.0))
    assert 2 == loads.begin(Load(None, 7, LONGEST_SECONDS - 1))
    assert 2 == loads.begin(Load(None, 7, LONGEST_SECONDS + 1))
    for number in range(MAX_KEYS):
        loads.begin(Load(None, 1000 + number, LONGEST_SECONDS))
    assert 1 == loads.begin(Load(None, 7, LONGEST_SECONDS + 1))
