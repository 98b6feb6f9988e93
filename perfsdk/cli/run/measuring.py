"""Has what a process serves measured once, and gives way to what its source says of it."""

import functools
import sys
from collections.abc import Callable
from importlib import import_module
from threading import RLock
from types import ModuleType
from typing import Any

from perfsdk import guard
from perfsdk.wrapping.patches import Patches

patches = Patches()
"""All that is hooked; undone by nobody but tests."""

_SEEN = "_perfsdk_run_seen"
_WAIT_SECONDS = 5.0

_lock = RLock()
_kept: dict[int, object] = {}  # seen ones that take no attribute
_beginning: Any = None  # stands in for the application while there is none
_measures_something = False


def hook_instrument(module: ModuleType) -> None:
    """Learn of the calls of `instrument` in the user's source."""
    patches.replace(module, "instrument", _make_instrument)


def begin() -> None:
    """Measure the libraries of a process that will serve, before it loads the application."""
    global _beginning
    try:
        from perfsdk import instrumentation

        if _beginning is None and instrumentation._running is None:  # noqa: SLF001 - nothing runs yet
            _beginning = instrumentation.instrument(_nothing)
    except Exception:
        guard.failed("run.begin")


def is_seen(app: Any) -> bool:
    """Whether it was decided already if this application is measured."""
    try:
        return _SEEN in app.__dict__
    except AttributeError:
        return id(app) in _kept


def measure(app: Any) -> None:
    """Measure an application of a framework that is called for the first time. Never raises."""
    # Bounded: a greenlet that holds the lock may wait for this thread.
    if not _lock.acquire(timeout=_WAIT_SECONDS):
        return
    try:
        if not is_seen(app) and not _is_inside_another():
            _measure(app)
    except Exception:
        _see(app)
        guard.failed("run.measure")
    finally:
        _lock.release()


def loaded(app: Any) -> Any:
    """What a server is to serve in place of what it has loaded. Never raises.

    In a process with a framework, what is no application of it has one inside: that one tells
    the route, so it is measured, when it is called.
    """
    try:
        from perfsdk.frameworks import FRAMEWORKS

        if is_seen(app):
            return app
        present = [import_module(ours) for name, ours in FRAMEWORKS.items() if name in sys.modules]
        if present and not any(framework.is_application(app) for framework in present):
            return app
        return _measure(app)
    except TypeError:  # a class whose instances are the response, RSGI, and other rare things
        guard.log_once("run.loaded", "perfsdk run: %r is not measured", type(app).__name__)
    except Exception:
        guard.failed("run.loaded")
    return app


def _measure(app: Any) -> Any:
    global _measures_something
    from perfsdk.instrumentation import instrument

    measured = instrument(app)
    _measures_something = True
    return measured


def _make_instrument(wrapped: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(wrapped)
    def instrument(app: Any, **keywords: Any) -> Any:
        if not _give_way(keywords):
            keywords = {}
        try:
            return wrapped(app, **keywords)
        finally:
            _see(app)  # not before: another thread would serve it unmeasured meanwhile

    return instrument


def _give_way(keywords: dict[str, Any]) -> bool:
    """Whether the settings of a call in the user's source can be those of the process."""
    global _beginning
    if _beginning is None or all(value is None for value in keywords.values()):
        return True
    if _measures_something:
        guard.log_once(
            "run.settings",
            "perfsdk run: an application is measured already, with the settings of the "
            "environment; those given to instrument() later are ignored",
        )
        return False
    from perfsdk.instrumentation import uninstrument

    _beginning = None
    uninstrument()
    return True


def _see(app: Any) -> None:
    try:
        vars(app)[_SEEN] = True
    except TypeError:  # it has no dict, or one that cannot be changed
        _kept[id(app)] = app


def _is_inside_another() -> bool:
    """Whether it is called for a request that is measured: it is mounted, and not counted twice."""
    from perfsdk.request import current

    return current.get() is not None


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    """An application that nobody serves."""
