"""What the endpoints of a contract's application do: the same in every framework, and watched."""

import asyncio
import threading
import time
from collections import defaultdict

from perfsdk import label
from perfsdk.request import current

DEADLINE_SECONDS = 20
CHUNK = b"part!"
CHUNKS = 5
LARGE = "large text. " * 342
"""A bit more than 4 kB."""
HELLO = "hello"


class Handled(Exception):  # noqa: N818 - an application's own name
    """An exception that the application's own handler answers with 418."""


class Halt(BaseException):
    """Neither an error nor a cancellation: what a server's time limit may raise."""


class Stage:
    """The work of the endpoints, and the doors that a test may hold closed in them.

    `reached` names the doors to which endpoints came, `raised` holds what endpoints raised and
    `accounts` perfsdk's account of the request as `/plain` saw it, which labels the request with
    `labels`. `directory` holds
    `here.txt`; `mounted` is the application below `/sub` where it is an application.
    """

    def __init__(self, directory):
        self.directory = directory
        (directory / "here.txt").write_text("here")
        self.reached = []
        self.raised = []
        self.accounts = []
        self.labels = {}
        self.mounted = None
        self._doors = defaultdict(_open_door)

    def hold(self, door):
        """Keep a door closed: endpoints that come to it wait."""
        self._doors[door].clear()

    def open(self, door):
        """Let those go on that wait at a door, and all that come."""
        self._doors[door].set()

    def open_all(self):
        """Let everybody go on."""
        for door in list(self._doors.values()):
            door.set()

    def wait(self, door):
        """Wait at a door until it is open."""
        self.reached.append(door)
        if not self._doors[door].wait(DEADLINE_SECONDS):
            raise TimeoutError(door)

    async def wait_async(self, door):
        """The same without holding up the event loop."""
        self.reached.append(door)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not self._doors[door].is_set():
            if time.monotonic() > deadline:
                raise TimeoutError(door)
            await asyncio.sleep(0.001)

    def plain(self):
        """The text of GET /plain."""
        self.accounts.append(current.get())
        if self.labels:
            label(**self.labels)
        return HELLO

    def boom(self):
        """GET /boom."""
        raise self._noted(ValueError("boom"))

    def handled(self):
        """GET /handled."""
        raise self._noted(Handled())

    def halt(self):
        """GET /halt."""
        raise self._noted(Halt())

    def chunks(self):
        """The body of GET /stream: waits at the door `first`, after one chunk at `rest`."""
        self.wait("first")
        for number in range(CHUNKS):
            if number == 1:
                self.wait("rest")
            yield CHUNK

    async def chunks_async(self):
        """The same."""
        await self.wait_async("first")
        for number in range(CHUNKS):
            if number == 1:
                await self.wait_async("rest")
            yield CHUNK

    def breaking_chunks(self):
        """The body of GET /stream-breaks: one chunk, then an error."""
        yield CHUNK
        raise self._noted(ValueError("breaks"))

    async def breaking_chunks_async(self):
        """The same."""
        yield CHUNK
        raise self._noted(ValueError("breaks"))

    def endless_chunks(self):
        """The body of GET /endless: chunks until the client leaves."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            yield CHUNK * 2000
            time.sleep(0.0005)

    async def endless_chunks_async(self):
        """The same."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            yield CHUNK * 2000
            await asyncio.sleep(0.0005)

    def background(self):
        """The background task of GET /background: waits at the door `background`."""
        self.wait("background")

    async def background_async(self):
        """The same."""
        await self.wait_async("background")

    def background_raises(self):
        """The background task of GET /background-raises."""
        raise self._noted(ValueError("background"))

    async def background_raises_async(self):
        """The same."""
        self.background_raises()

    def _noted(self, error):
        self.raised.append(error)
        return error


def _open_door():
    door = threading.Event()
    door.set()
    return door
