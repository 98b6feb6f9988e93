"""Tells the line of the application that makes a call, from the frames that are there."""

import os
import sys
import weakref
from collections.abc import Iterator
from contextvars import ContextVar
from types import CodeType, FrameType
from typing import Any, NamedTuple

MAX_FILES = 2000
"""Files remembered as the application's or a library's."""
MAX_FRAMES = 200

ALWAYS_TOLD, TOLD_ONCE_IN = 50, 50
"""How often the line of a finding is looked for before most times are left out."""
MAX_FINDINGS = 2000
"""Findings whose times are remembered."""

_PACKAGES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_LIBRARY_ROOTS = tuple(os.path.join(os.path.dirname(path), "") for path in (os.__file__, __file__))
_is_application: dict[str, bool] = {}


class Waiting(NamedTuple):
    """An asyncio task waits for what a thread does, all of it called by the function of `code`."""

    task: "weakref.ref[Any]"
    code: CodeType


waiting: ContextVar[Waiting | None] = ContextVar("perfsdk_waiting", default=None)
"""What waits for the running code."""


def call_site(frame: FrameType | None) -> str:
    """`shop/views.py:42 in orders`: the nearest line of the application's own code.

    What is installed in site-packages is a library's. Where all of it is, such as in an image
    into which the application itself is installed, it is the nearest line of another package
    than the one that is called. Empty when there is neither, as in a thread of a library.
    """
    innermost = fallback = ""
    for found in _frames(frame):
        file = found.f_code.co_filename
        if is_of_application(file):
            return _shown(found)
        package = _package(file)
        if package and not innermost:
            innermost = package
        if package and package != innermost and not fallback:
            fallback = _shown(found)
    return fallback


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    """The frames from here outwards.

    Also those outside a greenlet that was switched to, and of the task that waits for a thread.
    """
    greenlet: Any = None
    awaited = waiting.get()
    for _ in range(MAX_FRAMES):
        if frame is None:
            greenlet = _outer_greenlet(greenlet)
            frame = getattr(greenlet, "gr_frame", None)
            if frame is None:
                return
        yield frame
        if awaited is not None and frame.f_code is awaited.code:
            yield from _waiting_frames(awaited.task())
            awaited = None
        frame = frame.f_back


def _waiting_frames(task: Any) -> Iterator[FrameType]:
    """Those of a task, from where it waits outwards; none when it is no more."""
    frames: list[FrameType] = []
    coroutine: Any = None if task is None else task.get_coro()
    if getattr(coroutine, "cr_running", False):
        yield from _running_frames(coroutine.cr_frame)
    while len(frames) < MAX_FRAMES:
        frame = getattr(coroutine, "cr_frame", None)
        if frame is None:
            break
        frames.append(frame)
        coroutine = getattr(coroutine, "cr_await", None)
    yield from reversed(frames)


def _running_frames(outermost: FrameType) -> Iterator[FrameType]:
    """Those of a task that does not wait yet, from the innermost outwards."""
    for running in sys._current_frames().values():  # noqa: SLF001 - the way to other threads
        frames: list[FrameType] = []
        frame: FrameType | None = running
        while frame is not None and frame is not outermost and len(frames) < MAX_FRAMES:
            frames.append(frame)
            frame = frame.f_back
        if frame is outermost:
            yield from (*frames, outermost)
            return


def _outer_greenlet(greenlet: Any) -> Any:
    """The parent of a greenlet, of the one that runs when there is none."""
    if greenlet is None:
        module = sys.modules.get("greenlet")
        if module is None:
            return None
        greenlet = module.getcurrent()
    return greenlet.parent


def is_of_application(file: str) -> bool:
    """Whether a file is neither of the standard library nor of an installed package."""
    known = _is_application.get(file)
    if known is None:
        library = file.startswith(("<", *_LIBRARY_ROOTS)) or any(p in file for p in _PACKAGES)
        if len(_is_application) >= MAX_FILES:
            _is_application.clear()
        known = _is_application[file] = not library
    return known


def _package(file: str) -> str:
    """The first directory or module in site-packages; empty for other files."""
    for packages in _PACKAGES:
        _, found, inside = file.partition(packages)
        if found:
            return inside.partition(os.sep)[0]
    return ""


def _shown(frame: FrameType) -> str:
    file = frame.f_code.co_filename
    paths = map(os.path.abspath, sys.path)  # an empty one is the working directory
    roots = [root for root in paths if file.startswith(os.path.join(root, ""))]
    short = os.path.relpath(file, max(roots, key=len)) if roots else file
    return f"{short}:{frame.f_lineno} in {frame.f_code.co_name}"


class Sites:
    """Tells the line of what is found again and again, at little cost.

    To look for it takes about 20 us, and only what is new is logged: so the first times tell it,
    and then one of many, which is enough for what begins to happen elsewhere too.
    """

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: dict[Any, int] = {}

    def of(self, finding: Any, frame: FrameType | None) -> str:
        """The line that `frame` was called from; empty for most times of a known finding."""
        times = self._times.get(finding, 0)
        if times >= ALWAYS_TOLD and times % TOLD_ONCE_IN:
            self._times[finding] = times + 1
            return ""
        if times or len(self._times) < MAX_FINDINGS:
            self._times[finding] = times + 1
        return call_site(frame)
