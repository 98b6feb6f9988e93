"""The end of a response, its outcome and its sizes, message by message."""

import asyncio
import enum
import http
import sys
import threading
from contextvars import ContextVar

import pytest

from perfsdk.request import current
from tests.frameworks.driving import (
    DISCONNECT,
    ask,
    body_messages,
    http_scope,
    part,
    start,
)
from tests.frameworks.driving import answering as app_that_sends

ROUTE = "<unresolved>"
DURATION = "http_server_request_duration_seconds"
RECEIVED = "http_server_request_body_size_bytes"
SENT = "http_server_response_body_size_bytes"


def outcome(status, error_type="", method="GET"):
    """What `outcomes()` gives for one request to a plain application."""
    return {(method, ROUTE, str(status), error_type): 1}


# --- the end of the response ---

RESPONSES = {
    "one part": [start(), part(b"hello")],
    "no more_body": [start(), {"type": "http.response.body", "body": b"hello"}],
    "no body key": [start(), {"type": "http.response.body"}],
    "an empty last part": [start(), part(b"hel", more=True), part(b"lo", more=True), part()],
    "204": [start(204), part()],
    "304": [start(304), part()],
    "a file": [start(), {"type": "http.response.pathsend", "path": "/etc/hostname"}],
    "a descriptor": [
        start(),
        {"type": "http.response.zerocopysend", "file": 0, "more_body": True},
        {"type": "http.response.zerocopysend", "file": 0},
    ],
    "trailers": [
        start(trailers=True),
        part(b"hello"),
        {"type": "http.response.trailers", "headers": [], "more_trailers": True},
        {"type": "http.response.trailers", "headers": []},
    ],
    "informational messages": [
        {"type": "http.response.early_hint", "links": []},
        {"type": "http.response.debug", "info": {}},
        start(),
        part(b"hello"),
    ],
    "a last part twice": [start(), part(b"hello"), part(b"again")],
}


@pytest.mark.parametrize("messages", RESPONSES.values(), ids=RESPONSES)
async def test_the_end_of_a_response_is_seen(messages, measured, outcomes, active):
    """However a response ends, it is one sample, recorded before the application returns."""
    answer = await ask(measured(app_that_sends(*messages)))
    assert messages == answer.messages
    assert answer.error is None
    status = next(message["status"] for message in messages if "status" in message)
    assert outcome(status) == outcomes()
    assert (0, False) == active()


@pytest.mark.parametrize("messages", RESPONSES.values(), ids=RESPONSES)
async def test_a_response_is_recorded_when_its_last_byte_was_sent(
    messages, measured, outcomes, active
):
    """Not before the `send` of the last message returned, and not only with the application."""
    seen = []
    last = messages.index(part(b"hello")) if part(b"again") in messages else len(messages) - 1

    async def sent(message):
        assert {} == outcomes() or messages.index(message) > last

    async def app(scope, receive, send):
        for message in messages:
            await send(message)
        seen.append((outcomes(), active()))

    await ask(measured(app), send=sent)
    ((samples, served),) = seen
    assert [1] == list(samples.values())
    assert (0, False) == served


# --- outcomes ---


class Status(int, enum.Enum):
    """A status as some applications write it."""

    MADE = 201
    BROKEN = 502


@pytest.mark.parametrize("status", [http.HTTPStatus.CREATED, Status.MADE])
async def test_a_status_may_be_an_enumeration(status, measured, outcomes):
    """Its number is the label, whatever its class prints."""
    answer = await ask(measured(app_that_sends(start(status), part())))
    assert status is answer.status
    assert outcome(201) == outcomes()


async def test_a_failing_status_may_be_an_enumeration(measured, outcomes):
    """The number is the error type too."""
    await ask(measured(app_that_sends(start(Status.BROKEN), part())))
    assert outcome(502, "502") == outcomes()


@pytest.mark.usefixtures("swallow_errors")
@pytest.mark.parametrize("status", ["200", None, 200.0, b"200", object(), [200]])
async def test_a_status_of_another_type_reaches_the_server_as_it_is(status, measured, active):
    """What a status may be is for the server to judge; nothing of ours fails on it."""
    messages = [start(status), part(b"hello")]
    answer = await ask(measured(app_that_sends(*messages)))
    assert answer.error is None
    assert messages == answer.messages
    assert (0, False) == active()


@pytest.mark.parametrize(
    ("error", "sent", "expected"),
    [
        (ValueError, [], outcome(500, "ValueError")),
        (ValueError, [start()], outcome(200, "ValueError")),
        (ValueError, [start(), part(b"a", more=True)], outcome(200, "ValueError")),
        (ValueError, [start(), part(b"a")], outcome(200)),
        (ValueError, [start(404), part(b"a")], outcome(404)),
        (ValueError, [start(500), part(b"a")], outcome(500, "ValueError")),
        (ValueError, [start(503)], outcome(503, "ValueError")),
        (asyncio.CancelledError, [], outcome(499, "client_disconnect")),
        (asyncio.CancelledError, [start()], outcome(200, "client_disconnect")),
        (asyncio.CancelledError, [start(), part(b"a")], outcome(200)),
        (KeyboardInterrupt, [], outcome(500, "KeyboardInterrupt")),
        (SystemExit, [start()], outcome(200, "SystemExit")),
        (GeneratorExit, [], outcome(500, "GeneratorExit")),
        (OSError, [start(), part(b"a", more=True)], outcome(200, "OSError")),
        (None, [], outcome(500, "no_response")),
        (None, [start()], outcome(200, "no_response")),
        (None, [start(), part(b"a", more=True)], outcome(200, "no_response")),
        (None, [start(404), part()], outcome(404)),
        (None, [start(503), part()], outcome(503, "503")),
        (None, [start(599), part()], outcome(599, "599")),
    ],
)
async def test_the_outcome_of_a_request(error, sent, expected, measured, outcomes, active):
    """Status as sent, the class of an error, and one sample whatever happens."""

    raised = []

    async def app(scope, receive, send):
        for message in sent:
            await send(message)
        if error is not None:
            raised.append(error())
            raise raised[0]

    answer = await ask(measured(app))
    assert (raised[0] if raised else None) is answer.error
    assert sent == answer.messages
    assert expected == outcomes()
    assert (0, False) == active()


async def test_the_error_that_a_server_error_answers_is_told_by_its_class(measured, outcomes):
    """A 500 that is sent while an exception is handled stands for that exception."""

    async def app(scope, receive, send):
        try:
            raise LookupError
        except LookupError:
            await send(start(500))
            await send(part())

    await ask(measured(app))
    assert outcome(500, "LookupError") == outcomes()


async def test_a_client_that_leaves_in_the_middle(measured, outcomes):
    """The application is told, stops, and returns: status as sent, no server error."""

    async def app(scope, receive, send):
        await receive()
        await send(start())
        await send(part(b"a", more=True))
        assert DISCONNECT == await receive()

    await ask(measured(app), incoming=[*body_messages(b""), DISCONNECT])
    assert outcome(200, "client_disconnect") == outcomes()


@pytest.mark.parametrize("failing", [part(b"b", more=True), part(b"last")], ids=["part", "last"])
@pytest.mark.parametrize("told_as", [None, RuntimeError])
async def test_a_send_that_fails_is_a_client_that_left(failing, told_as, measured, outcomes):
    """Servers say so by an OSError, which the application may turn into another error."""
    gone = BrokenPipeError("gone")

    async def sending(message):
        if message == failing:
            raise gone

    async def app(scope, receive, send):
        try:
            await send(start())
            await send(part(b"a", more=True))
            await send(failing)
        except OSError as error:
            if told_as is None:
                raise
            raise told_as from error

    answer = await ask(measured(app), send=sending)
    assert isinstance(answer.error, told_as or BrokenPipeError)
    assert outcome(200, "client_disconnect") == outcomes()


async def test_a_message_that_the_server_refuses_is_the_applications_error(measured, outcomes):
    """More bytes than announced and the like are no disconnect: that would hide them."""

    async def refusing(message):
        if message["type"] == "http.response.body":
            raise RuntimeError("Response content longer than Content-Length")

    await ask(measured(app_that_sends(start(), part(b"hello"))), send=refusing)
    assert outcome(200, "RuntimeError") == outcomes()


async def test_a_disconnect_after_the_last_byte_is_success(measured, outcomes):
    """Every client leaves at some time."""

    async def app(scope, receive, send):
        await send(start())
        await send(part(b"hello"))
        while await receive() != DISCONNECT:
            pass

    await ask(measured(app))
    assert outcome(200) == outcomes()


async def test_a_disconnect_told_while_the_last_byte_is_sent_is_success(measured, outcomes):
    """Some servers tell a listener that it is over before their `send` returns."""
    told = asyncio.Event()

    async def app(scope, receive, send):
        await receive()

        async def listen():
            await receive()
            told.set()

        listener = asyncio.create_task(listen())
        await send(start())
        await send(part(b"hello"))
        await listener

    messages = [*body_messages(b""), DISCONNECT]

    async def sending(message):
        if message == part(b"hello"):
            await told.wait()

    await ask(measured(app), incoming=messages, send=sending)
    assert outcome(200) == outcomes()


@pytest.mark.parametrize("answered", [True, False])
async def test_a_client_that_left_before_the_response_gets_no_server_error(
    answered, measured, outcomes
):
    """An upload that is broken off makes applications fail; it is the client's doing."""

    async def app(scope, receive, send):
        assert DISCONNECT == await receive()
        if answered:
            await send(start(500))
            await send(part())
        raise ConnectionError("no body")

    await ask(measured(app), incoming=[DISCONNECT])
    assert outcome(499, "client_disconnect") == outcomes()


async def test_an_answer_to_a_client_that_left_has_its_status(measured, outcomes):
    """An application that saw the client leave and went on all the same decides the status."""

    async def app(scope, receive, send):
        await receive()
        await send(start(201))
        await send(part())

    await ask(measured(app), incoming=[DISCONNECT])
    assert outcome(201, "client_disconnect") == outcomes()


async def test_messages_are_received_by_the_application_alone(measured):
    """Our code never calls `receive`, so no message is missing."""
    calls = []

    async def receive():
        calls.append("receive")
        return DISCONNECT

    async def send(message):
        calls.append(message["type"])

    await measured(app_that_sends())(http_scope(), receive, send)
    await measured(app_that_sends(start(), part()))(http_scope(), receive, send)
    assert ["http.response.start", "http.response.body"] == calls


# --- sizes ---


async def test_sizes_are_the_bytes_of_this_request(measured, recording):
    """Parts are added up; a response without a length after another one has its own bytes."""

    async def app(scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        await send(start())
        for _ in range(scope["parts"]):
            await send(part(b"x" * 500, more=True))
        await send(part())

    served = measured(app)
    await ask(served, parts=2, incoming=body_messages(b"a" * 300, b"b" * 400))
    assert (700, 1000) == (recording.sum(RECEIVED), recording.sum(SENT))
    await ask(served, parts=1, incoming=body_messages(b""))
    assert (700, 1500) == (recording.sum(RECEIVED), recording.sum(SENT))
    assert (2, 2) == (recording.count(RECEIVED), recording.count(SENT))


async def test_concurrent_requests_do_not_mix(measured, recording, active):
    """100 requests at once: each ends with its own bytes, and the gauges follow exactly."""
    gates = [asyncio.Event() for _ in range(100)]
    begun = [asyncio.Event() for _ in range(100)]

    async def app(scope, receive, send):
        number = scope["number"]
        await receive()
        begun[number].set()
        await send(start())
        await gates[number].wait()
        await send(part(b"x" * number))

    served = measured(app)
    tasks = [
        asyncio.create_task(ask(served, number=n, incoming=body_messages(b"y" * n)))
        for n in range(100)
    ]
    for event in begun:
        await event.wait()
    assert (100, True) == active()
    total = 0
    for done, number in enumerate(reversed(range(100)), 1):
        gates[number].set()
        await tasks[number]
        total += number
        assert total == recording.sum(SENT)
        assert total == recording.sum(RECEIVED)
        assert (100 - done, done < 100) == active()


async def test_the_oldest_request_is_the_one_that_began_first(measured, recording):
    """Its start is what the gauge holds, whichever of the requests ends."""
    gates = [asyncio.Event() for _ in range(6)]

    async def app(scope, receive, send):
        await gates[scope["number"]].wait()
        await send(start())
        await send(part())

    def oldest():
        return recording.value("http_server_oldest_request_age_seconds")

    served = measured(app)
    tasks, starts = [], []
    for number in range(6):
        tasks.append(asyncio.create_task(ask(served, number=number)))
        await asyncio.sleep(0)
        (*_, account) = served.server._serving
        starts.append(account.started)
    assert sorted(starts) == starts
    expected = {3: 0, 0: 1, 5: 1, 1: 2, 2: 4, 4: None}
    assert starts[0] == oldest()
    for number, then_oldest in expected.items():
        gates[number].set()
        await tasks[number]
        assert (0 if then_oldest is None else starts[then_oldest]) == oldest()


def test_requests_in_several_threads_are_exact(measured, outcomes, active, recording):
    """An event loop in each of 6 threads: all are counted, and none is left over as oldest."""

    async def app(scope, receive, send):
        await asyncio.sleep(0)
        await send(start())
        await asyncio.sleep(0)
        await send(part(b"hello"))

    served = measured(app)
    barrier = threading.Barrier(6)

    async def serve():
        barrier.wait()
        for _ in range(40):
            await asyncio.gather(*(ask(served) for _ in range(5)))

    threads = [threading.Thread(target=asyncio.run, args=(serve(),)) for _ in range(6)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(interval)
    assert {("GET", ROUTE, "200", ""): 1200} == outcomes()
    assert 6000 == recording.sum(SENT)
    assert (0, False) == active()


# --- labels ---


HOSTILE_HEADERS = [
    [(b"content-length", b"abc")],
    [(b"content-length", b"-1")],
    [(b"content-length", b"1"), (b"content-length", b"2")],
    [(b"\xff\xfe", b"\xff\x00\r\n")],
    [("not", "bytes")],
    [(b"alone",)],
    None,
    "generator",
    "missing",
]


@pytest.mark.parametrize("headers", HOSTILE_HEADERS, ids=repr)
async def test_headers_are_left_alone(headers, measured, outcomes):
    """Wrong, missing or a generator: the application sees what the server gave."""
    scope = http_scope()
    scope["headers"] = (pair for pair in [(b"a", b"b")]) if headers == "generator" else headers
    if headers == "missing":
        del scope["headers"]
    given = scope.get("headers")

    async def app(scope, receive, send):
        assert given is scope.get("headers")
        if headers == "generator":
            assert [(b"a", b"b")] == list(given)
        await send(start())
        await send(part())

    answer = await ask(measured(app), scope=scope)
    assert answer.error is None
    assert outcome(200) == outcomes()


@pytest.mark.parametrize("path", ["/\0\n\r", "/" + "x" * 262_144, "/\udcff", "", "no slash", None])
async def test_a_path_is_never_a_label(path, measured, outcomes):
    """Whatever it contains."""
    scope = http_scope() | {"path": path}
    await ask(measured(app_that_sends(start(), part())), scope=scope)
    assert outcome(200) == outcomes()


@pytest.mark.usefixtures("swallow_errors")
@pytest.mark.parametrize(
    "method", [None, b"GET", 7, ["GET"], "G\0T", "\udcff", "missing"], ids=repr
)
async def test_a_hostile_method_changes_nothing(method, measured, active):
    """The request is served, whether or not it can be counted."""
    scope = http_scope(method=method)
    if method == "missing":
        del scope["method"]
    answer = await ask(measured(app_that_sends(start(), part(b"hello"))), scope=scope)
    assert (200, b"hello", None) == (answer.status, answer.body, answer.error)
    assert (0, False) == active()


HOSTILE_MESSAGES = [
    {},
    {"type": None},
    {"type": "http.response.unknown"},
    {"type": "http.response.start"},
    {"type": "http.response.body", "body": None},
    {"type": "http.response.body", "body": 7},
    {"type": ["unhashable"]},
    None,
    "text",
]


@pytest.mark.usefixtures("swallow_errors")
@pytest.mark.parametrize("message", HOSTILE_MESSAGES, ids=repr)
async def test_a_hostile_message_passes_through(message, measured):
    """What is wrong with it is for the server to say, in its own words."""
    refusal = RuntimeError("refused")
    seen = []

    async def receive():
        return message

    async def send(sent):
        seen.append(sent)
        raise refusal

    async def app(scope, receive, send):
        seen.append(await receive())
        await send(message)

    with pytest.raises(RuntimeError) as caught:
        await measured(app)(http_scope(), receive, send)
    assert refusal is caught.value
    assert seen == [message, message]
    assert seen[0] is message


# --- other protocols, and nesting ---


@pytest.mark.parametrize("kind", ["lifespan", "unknown"])
async def test_other_scopes_pass_through_untouched(kind, measured, recording):
    """The same scope, `receive` and `send` arrive; nothing is recorded."""
    seen = []

    async def app(*arguments):
        seen.append((arguments, current.get()))

    async def receive(): ...

    async def send(_): ...

    scope = {"type": kind}
    await measured(app)(scope, receive, send)
    ((arguments, account),) = seen
    assert {"type": kind} == scope
    assert all(a is b for a, b in zip((scope, receive, send), arguments, strict=True))
    assert account is None
    assert [] == recording.series(DURATION)


async def test_a_scope_that_was_counted_is_not_counted_again(measured, outcomes):
    """An instrumented application inside another one."""
    inner = measured(app_that_sends(start(), part()))

    async def outer(scope, receive, send):
        await inner(dict(scope), receive, send)

    await ask(measured(outer))
    assert outcome(200) == outcomes()


async def test_a_scope_may_be_served_a_second_time(measured, outcomes):
    """A dispatcher that tries one application after another: what each answers counts."""
    served = measured(app_that_sends(start(), part()))
    scope = http_scope()
    await ask(served, scope=scope)
    await ask(served, scope=scope)
    assert {("GET", ROUTE, "200", ""): 2} == outcomes()


async def test_the_account_is_the_applications_context_only(measured):
    """Around the request there is no account, in it there is one, in its tasks the same."""
    seen = []

    async def app(scope, receive, send):
        seen.append(current.get())
        seen.append(await asyncio.create_task(task()))
        await send(start())
        await send(part())

    async def task():
        return current.get()

    assert current.get() is None
    await ask(measured(app))
    assert current.get() is None
    first, second = seen
    assert first is second is not None


async def test_context_that_an_application_sets_stays_set(measured):
    """We take back our own variable, not the application's."""
    variable = ContextVar("variable", default="before")

    async def app(scope, receive, send):
        variable.set("after")

    await ask(measured(app))
    assert "after" == variable.get()


async def test_a_wrapper_shows_the_applications_attributes(measured):
    """State on a plain application is found where it was."""

    class App:
        version = "7"

        async def __call__(self, scope, receive, send): ...

    served = measured(App())
    assert "7" == served.version
    with pytest.raises(AttributeError, match="'App' object has no attribute 'nonesuch'"):
        _ = served.nonesuch
