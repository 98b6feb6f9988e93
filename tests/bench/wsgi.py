"""What a request costs without a network: one WSGI application called as a server calls it."""

import io
import sys
import time

from tests.bench.child import in_child
from tests.bench.figures import Report, goal_of_overhead, overhead_table
from tests.bench.rounds import interleave
from tests.bench.wsgi_peers import FRAMEWORKS, PEERS, multiprocess_peers, peers_of

MOST_US = {"flask": 6.0, "django": 8.0}
TURNS = 40
WARM_REQUESTS = 1000
DIFFERENT_PATHS = 100


def prepare(subject, *, framework, requests):
    """In a child: one peer around one application, asked `requests` times a turn."""
    peer = PEERS[subject]
    client = Client(peer.make(framework))
    client.microseconds(WARM_REQUESTS)

    def turn():
        client.microseconds(requests // 10)  # after the others' turns the caches are theirs
        return {"us": client.microseconds(requests)}

    def end():
        client.check()
        recorded = {"recorded": peer.recorded()} if peer.recorded else {}
        return {"calls": client.calls, **recorded}

    return turn, end


class Client:
    """Asks an application again and again, as one thread of a server would.

    `calls` is how many requests were made.
    """

    def __init__(self, app):
        self._app = app
        self._statuses = set()
        self.calls = 0

    def microseconds(self, requests):
        """Processor time of one of so many requests."""
        started = time.process_time()
        for number in range(requests):
            parts = self._app(environ_of(f"/items/{number % DIFFERENT_PATHS}"), self._start)
            for _ in parts:
                pass
            if hasattr(parts, "close"):
                parts.close()
        self.calls += requests
        return (time.process_time() - started) / requests * 1e6

    def check(self):
        """Refuse figures of an application that did not answer.

        Raises:
            RuntimeError: a response was no 200.
        """
        if self._statuses != {"200 OK"}:
            raise RuntimeError(f"answers with status {sorted(self._statuses)}")

    def _start(self, status, headers, exc_info=None):
        self._statuses.add(status)


def environ_of(path):
    """The environ of a GET as gunicorn makes it."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "RAW_URI": path,
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "50000",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "bench/1.0",
        "HTTP_HOST": "127.0.0.1:8000",
        "HTTP_USER_AGENT": "bench/1.0",
        "HTTP_ACCEPT": "*/*",
        "HTTP_ACCEPT_ENCODING": "gzip, deflate",
        "HTTP_CONNECTION": "keep-alive",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def collect(options):
    """Every peer around Flask and around Django."""
    texts, goals, samples = [], [], {}
    for framework in FRAMEWORKS:
        found = interleave(
            in_child("wsgi", multiprocess=multiprocess_peers(), framework=framework, requests=100),
            peers_of(framework),
            rounds=options.rounds_or(7),
            turns=TURNS,
            label=f"wsgi {framework}",
        )
        samples[framework] = found
        texts += [f"### One request in-process, {framework}\n", overhead_table(found, "us", "us")]
        goals.append(
            goal_of_overhead(
                f"wsgi, {framework}: a request", MOST_US[framework], found, key="us", unit="us"
            )
        )
    return Report("\n".join(texts), goals, samples)
