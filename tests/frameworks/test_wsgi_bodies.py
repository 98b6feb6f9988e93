"""Whatever a WSGI application returns or does, its server gets the same, and it is one request."""

import gc
import io
import wsgiref.simple_server
from functools import partial
from wsgiref.validate import validator

import pytest

from perfsdk.request import current
from tests.frameworks import server_driver
from tests.frameworks.wsgi_driver import ask, make_environ

TEXT = [("Content-Type", "text/plain")]
SENT = "http_server_response_body_size_bytes"
RECEIVED = "http_server_request_body_size_bytes"
FIRST_BYTE = "http_server_time_to_first_byte_seconds"
BACKGROUND = "background_task_duration_seconds"
OK = ("GET", "<unresolved>", "200", "")


def answering(body, headers=TEXT):
    """An application that returns what `body()` gives."""

    def app(environ, start_response):
        start_response("200 OK", list(headers))
        return body()

    return app


def answering_with(app):
    """An application that leaves everything to another one."""

    def outer(environ, start_response):
        return app(environ, start_response)

    return outer


def call(app, method="GET", **more):
    """What an application returns to a server that has not asked for a part yet."""
    return app({**make_environ(method, "/"), **more}, lambda *_: lambda _: None)


def only(outcomes, status, error_type, method="GET"):
    """Exactly one request was recorded, with this outcome."""
    assert {(method, "<unresolved>", str(status), error_type): 1} == outcomes()


@pytest.mark.parametrize("kind", [list, tuple])
async def test_a_server_can_ask_for_the_length(kind, measured, outcomes):
    """wsgiref tells the length of a body of one part, measured or not."""
    app = answering(lambda: kind([b"hello"]))
    replies = []
    for each in (app, measured(app)):
        with server_driver.serve_wsgi(each) as port:
            replies.append(await server_driver.drive(port))
    bare, found = [(r.status, dict(r.headers)["Content-Length"], r.body) for r in replies]
    assert (200, "5", b"hello") == bare == found
    only(outcomes, 200, "")


def test_a_list_stays_a_list(measured, outcomes, recording):
    """Some servers join the parts of a list and never close it."""
    app = measured(answering(lambda: [b"one", b"two"]))
    body = call(app)
    assert isinstance(body, list)
    assert b"onetwo" == b"".join(body)
    only(outcomes, 200, "")
    assert 6 == recording.sum(SENT)
    assert [] == recording.series(FIRST_BYTE)


def test_the_file_of_the_server_is_handed_through(measured, outcomes, recording, tmp_path):
    """The very object, for the kernel to send; the request ends when it is closed."""
    (tmp_path / "file").write_bytes(b"x" * 5000)
    headers = [*TEXT, ("Content-Length", "5000")]
    wrapper = wsgiref.simple_server.ServerHandler.wsgi_file_wrapper
    made = []

    def app(environ, start_response):
        start_response("200 OK", headers)
        made.append(environ["wsgi.file_wrapper"]((tmp_path / "file").open("rb")))
        return made[0]

    body = call(measured(app), **{"wsgi.file_wrapper": wrapper})
    assert made[0] is body
    assert {} == outcomes()
    body.close()
    body.close()
    assert body.filelike.closed
    only(outcomes, 200, "")
    assert 5000 == recording.sum(SENT)


def test_a_file_that_a_function_of_the_server_knows(measured, outcomes, tmp_path):
    """uWSGI remembers the file itself; nobody can tell when it was sent."""
    (tmp_path / "file").write_bytes(b"text")

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return environ["wsgi.file_wrapper"]((tmp_path / "file").open("rb"))

    with call(measured(app), **{"wsgi.file_wrapper": lambda file: file}) as body:
        assert isinstance(body, io.BufferedReader)
    only(outcomes, 200, "")


@pytest.mark.parametrize("body", [None, b"bytes", "text"])
def test_what_is_no_body_is_handed_through(body, measured, outcomes, active):
    """Servers tell by its class what to make of it."""
    assert body is call(measured(answering(lambda: body)))
    only(outcomes, 200, "no_response" if body is None else "")
    assert (0, False) == active()


def test_an_application_that_answers_nothing(measured, outcomes, active):
    """It never calls `start_response`: one sample."""
    assert 0 == ask(measured(lambda environ, start_response: [])).status
    only(outcomes, 500, "no_response")
    assert (0, False) == active()


def test_an_application_that_starts_with_its_first_part(measured, outcomes):
    """A generator runs no earlier than that."""

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        yield b"hello"

    assert (200, b"hello") == ask(measured(app))[:3:2]
    only(outcomes, 200, "")


def test_an_application_that_writes(measured, outcomes, recording):
    """The callable that `start_response` returns, as old applications use it."""

    def app(environ, start_response):
        write = start_response("200 OK", TEXT)
        write(b"one")
        write(b"two")
        return [b"three"]

    assert b"onetwothree" == ask(measured(app)).body
    only(outcomes, 200, "")
    assert 11 == recording.sum(SENT)
    assert 1 == recording.count(FIRST_BYTE)


def test_a_client_that_leaves_while_it_is_written_to(measured, outcomes):
    """The server raises in `write`."""

    def app(environ, start_response):
        start_response("200 OK", TEXT)(b"one")

    def broken(_):
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        measured(app)(make_environ("GET", "/"), lambda *_: broken)
    only(outcomes, 499, "client_disconnect")


def test_an_error_page_replaces_what_was_started(measured, outcomes):
    """`start_response` with `exc_info`: the later status counts."""

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        try:
            raise ValueError
        except ValueError as error:
            start_response("500 Oh", TEXT, (type(error), error, error.__traceback__))
        return [b"sorry"]

    assert (500, b"sorry") == ask(measured(app))[:3:2]
    only(outcomes, 500, "500")


def test_an_error_after_the_first_byte_is_raised_by_the_server(measured, outcomes):
    """The server has sent the status: it stays, and the same exception arrives."""
    error = ValueError("late")

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        yield b"part"
        try:
            raise error
        except ValueError:
            start_response("500 Oh", TEXT, (type(error), error, error.__traceback__))

    reply = ask(measured(app))
    assert (200, b"part", True) == (reply.status, reply.body, reply.error is error)
    only(outcomes, 200, "ValueError")


def test_an_error_before_the_first_byte_is_a_server_error(measured, outcomes):
    """Servers hold a status back until there is a part of the body."""

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        yield b""
        raise ValueError

    assert isinstance(ask(measured(app)).error, ValueError)
    only(outcomes, 500, "ValueError")


def test_a_response_that_is_dropped(measured, outcomes, active):
    """A server that neither finishes nor closes it: the client left."""
    parts = iter(call(measured(answering(lambda: iter([b"one", b"two"])))))
    assert b"one" == next(parts)
    assert (1, True) == active()
    del parts
    only(outcomes, 200, "client_disconnect")
    assert (0, False) == active()


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("HEAD", TEXT, ""),
        ("GET", [("Content-Length", "0")], ""),
        ("GET", TEXT, "client_disconnect"),
        ("GET", [("Content-Length", "x")], "client_disconnect"),
    ],
)
def test_a_response_of_which_no_part_is_taken(method, headers, expected, measured, outcomes):
    """Complete where there is no body to send; else the client left."""
    call(measured(answering(lambda: iter([b"hello"]), headers)), method).close()
    only(outcomes, 200, expected, method)


def test_the_first_part_may_be_taken_apart(measured, outcomes):
    """`next` on what was returned, and the rest by a loop over it."""
    body = call(measured(answering(lambda: iter([b"one", b"two"]))))
    assert b"one" == next(body)
    assert b"two" == next(body)
    with pytest.raises(StopIteration):
        next(body)
    body.close()
    only(outcomes, 200, "")


def test_close_is_called_once_and_may_raise(measured, outcomes, recording):
    """The exception is the server's to see; the request was complete."""

    class Body:
        closed = 0

        def __iter__(self):
            yield b"hello"

        def close(self):
            self.closed += 1
            raise error

    error, body = ValueError("close"), Body()
    reply = ask(measured(answering(lambda: body)))
    assert (b"hello", error, 1) == (reply.body, reply.error, body.closed)
    only(outcomes, 200, "")
    assert 1 == recording.count(BACKGROUND)
    assert 1 == recording.value("background_task_exceptions_total")


def test_requests_that_take_turns_on_one_thread_do_not_mix(measured, outcomes):
    """The account of a request is current while its own part is made, and only then."""
    seen = {}

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        for number in range(2):
            seen.setdefault(environ["QUERY_STRING"], []).append(current.get())
            yield str(number).encode()

    app = measured(app)
    bodies = [iter(call(app, QUERY_STRING=name)) for name in "ab"]
    for _ in range(2):
        for body in bodies:
            next(body)
            assert current.get() is None
    assert [[], []] == [list(body) for body in bodies]
    (a, also_a), (b, also_b) = seen["a"], seen["b"]
    assert a is also_a
    assert b is also_b
    assert None is not a is not b is not None
    assert {OK: 2} == outcomes()


def test_one_measured_application_in_another(measured, outcomes):
    """The request is counted once, under what the outer one calls it."""
    inner = measured(answering(lambda: [b"hello"]))
    outer = measured(answering_with(inner))
    assert b"hello" == ask(outer).body
    only(outcomes, 200, "")


def test_an_environ_that_is_used_again(measured, outcomes):
    """Nothing of the first request is left in it."""
    app = measured(answering(lambda: [b"hello"]))
    environ = make_environ("GET", "/")
    before = dict(environ)
    for _ in range(2):
        list(app(environ, lambda *_: None))
        assert before == environ
    assert {OK: 2} == outcomes()


@pytest.mark.parametrize("where", ["around", "inside", "both"])
@pytest.mark.filterwarnings("error")
def test_the_validator_of_the_standard_library_is_content(where, measured, outcomes):
    """Around us and inside of us nothing breaks the specification."""

    def app(environ, start_response):
        data = environ["wsgi.input"].read(5)
        start_response("200 OK", [*TEXT, ("Content-Length", str(len(data)))])
        return iter([data])

    # The validator takes any arguments; what takes two is told as WSGI.
    app = measured(app if where == "around" else answering_with(validator(app)))
    outside = app if where == "inside" else validator(app)
    environ = make_environ("POST", "/", body=b"hello")
    parts = outside(environ, lambda status, headers, exc_info=None: lambda data: None)
    assert [b"hello"] == list(parts)
    parts.close()
    only(outcomes, 200, "", "POST")
    del parts
    gc.collect()  # it complains when it is freed


READS = {
    "read": lambda stream: stream.read(),
    "read some": lambda stream: b"".join(iter(partial(stream.read, 3), b"")),
    "readline": lambda stream: b"".join(iter(stream.readline, b"")),
    "readlines": lambda stream: b"".join(stream.readlines()),
    "iterate": b"".join,
    "readinto": lambda stream: bytes(memoryview(b := bytearray(99))[: stream.readinto(b)]),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("environ", [{"CONTENT_LENGTH": "12"}, {"HTTP_TRANSFER_ENCODING": "x"}])
def test_every_way_of_reading_a_body_is_counted(read, environ, measured, recording):
    """And gives what the server's stream gives."""
    text = b"one\ntwo\nfour"

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        assert environ["wsgi.input"].seekable()
        return [read(environ["wsgi.input"])]

    environ = {"wsgi.input": io.BytesIO(text), "CONTENT_LENGTH": ""} | environ
    assert text == ask(measured(app), "POST", environ=environ).body
    assert len(text) == recording.sum(RECEIVED)


def test_a_request_without_a_body_has_the_server_s_own_stream(measured):
    """There is nothing to count."""
    seen = []
    stream = io.BytesIO()
    app = measured(lambda environ, start_response: seen.append(environ["wsgi.input"]) or [])
    ask(app, environ={"wsgi.input": stream})
    assert stream is seen[0]


def test_a_client_that_leaves_while_it_uploads(measured, outcomes):
    """The server raises in `read`; whatever the application makes of it is no server error."""

    class Gone(io.BytesIO):
        def read(self, *_):
            raise ConnectionResetError

    app = measured(lambda environ, start_response: environ["wsgi.input"].read())
    reply = ask(app, "POST", environ={"wsgi.input": Gone(), "CONTENT_LENGTH": "9"})
    assert isinstance(reply.error, ConnectionResetError)
    only(outcomes, 499, "client_disconnect", "POST")


def test_attributes_show_through(measured):
    """Those of the application inside, as servers and frameworks look for them."""

    class App:
        name = "mine"

        def __call__(self, environ, start_response):
            return []

    app = measured(App())
    assert "mine" == app.name
    assert not hasattr(app, "other")
