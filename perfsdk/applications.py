"""Tells what an application is, and measures it in place or inside of another callable."""

import inspect
import sys
import weakref
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol, cast

from perfsdk import guard
from perfsdk.frameworks import FRAMEWORKS, asgi, wsgi
from perfsdk.frameworks.asgi import Around
from perfsdk.frameworks.asgi_messages import App, Scope
from perfsdk.frameworks.http_server import HttpServer
from perfsdk.frameworks.route import PlainRoute
from perfsdk.wrapping.patches import Patches

KNOWN = (
    "a FastAPI, Starlette, Litestar, Quart, Flask, Django or aiohttp.web application, "
    "an ASGI callable (scope, receive, send) or a WSGI callable (environ, start_response)"
)

_PATCHES = "_perfsdk_patches"


class Framework(Protocol):
    """A file of `perfsdk.frameworks`, as its package says."""

    def is_application(self, app: object) -> bool: ...

    def patch_routing(self, patches: Patches) -> None: ...

    def instrument_application(
        self, app: Any, server: HttpServer, patches: Patches, around: Around
    ) -> None: ...


class Applications:
    """The instrumented applications of a process. None is kept alive, where Python lets us."""

    def __init__(self, server: HttpServer, around: Around) -> None:
        self._server = server
        self._around = around
        self._routing = Patches()
        self._known: dict[int, Callable[[], Any]] = {}  # references: not all can be hashed
        self._kept: dict[int, Patches] = {}  # of those that take no attribute

    def __bool__(self) -> bool:
        return bool(self._known)

    def instrument(self, app: Any) -> Any:
        """Measure one application; what to serve."""
        if isinstance(app, (asgi.Stopped, wsgi.Stopped)):
            app = app.app
        if isinstance(app, (asgi.Wrapper, wsgi.Wrapper)) or self._patches_of(app) is not None:
            return app
        framework = _framework_of(app)
        if framework is not None:
            self._instrument(app, framework)
            return app
        wrapper = self._wrap(app)
        self._remember(wrapper)
        return wrapper

    def _instrument(self, app: Any, framework: Framework) -> None:
        for loaded in _loaded_frameworks():  # an application may be mounted in one of another
            try:
                loaded.patch_routing(self._routing)
            except Exception:  # noqa: PERF203 - one that we do not know must not keep the others
                guard.failed(f"{_name(loaded)}.patch_routing")
        patches = Patches()
        try:
            framework.instrument_application(app, self._server, patches, self._around)
        except Exception:
            patches.undo()
            guard.failed(_name(framework))
            return
        try:
            vars(app)[_PATCHES] = patches
        except TypeError:  # it has slots alone
            self._kept[id(app)] = patches
        self._remember(app)

    def _remember(self, app: Any) -> None:
        key = id(app)
        try:
            self._known[key] = weakref.ref(app, lambda _: self._known.pop(key, None))
        except TypeError:  # it takes no weak references
            self._known[key] = lambda: app

    def _wrap(self, app: Any) -> Any:
        if not _is_asgi(app):
            return wsgi.Wrapper(app, self._server, PlainRoute(self._server))
        find_route = PlainRoute(self._server)
        wrapper = asgi.Wrapper(app, self._server, find_route)
        inside = asgi.Middleware(app, self._server, find_route)
        outside = self._around(inside)
        if outside is inside:
            return wrapper
        return asgi.TracedWrapper(app, self._server, find_route, outside)

    def uninstrument(self, app: Any) -> Any:
        """Restore one application, or all (None); the original."""
        for known in [reference() for reference in list(self._known.values())]:
            if known is None or (app is not None and known is not app):
                continue
            if isinstance(known, (asgi.Wrapper, wsgi.Wrapper)):
                known.stop()
                app = known.app if app is not None else None
            else:
                cast("Patches", self._patches_of(known)).undo()
                if self._kept.pop(id(known), None) is None:
                    del vars(known)[_PATCHES]
            self._known.pop(id(known), None)
        return app

    def stop(self) -> None:
        """Undo what was changed for the process."""
        self._routing.undo()

    def _patches_of(self, app: Any) -> Patches | None:
        found = getattr(app, "__dict__", {}).get(_PATCHES)
        return cast("Patches | None", found) or self._kept.get(id(app))


def interface_of(app: Any) -> str:
    """How servers call an application: `ASGI`, `WSGI` or `aiohttp.web`."""
    framework = _framework_of(app)
    if framework is not None and _name(framework) == "frameworks.aiohttp_web":
        return "aiohttp.web"
    return "ASGI" if _is_asgi(app) else "WSGI"


def outside_of(layers: list[Around]) -> Around:
    """All layers around an application, the last one outermost."""

    def around(app: App, find_template: Callable[[Scope], str | None] | None = None) -> App:
        for layer in layers:
            app = layer(app, find_template)
        return app

    return around


def check_application(app: object) -> None:
    """Refuse what cannot be measured.

    Raises:
        TypeError: it is neither of a framework nor a callable of ASGI or WSGI.
    """
    if not isinstance(app, type) and _framework_of(app) is not None:
        return
    if not callable(app) or isinstance(app, type) or not (_takes(app, 3) or _takes(app, 2)):
        raise TypeError(
            f"instrument() cannot measure {str(app)[:60]!r} ({type(app).__name__}); give {KNOWN}"
        )


def _framework_of(app: object) -> Framework | None:
    return next((found for found in _loaded_frameworks() if found.is_application(app)), None)


def _loaded_frameworks() -> list[Framework]:
    """Our files for the frameworks that the process has imported; that imports no framework."""
    found: list[Framework] = []
    for name, module in FRAMEWORKS.items():
        if name in sys.modules:
            try:
                found.append(cast("Framework", import_module(module)))
            except Exception:
                guard.failed(f"frameworks.{name}")
    return found


def _name(framework: Framework) -> str:
    """`frameworks.starlette`: what an error there is counted under."""
    return cast("ModuleType", framework).__name__.removeprefix("perfsdk.")


def _is_asgi(app: Any) -> bool:
    """Whether it takes ASGI's three arguments; one that takes any number must be a coroutine."""
    if not _takes(app, 3):
        return False
    call = app if inspect.isroutine(app) else type(app).__call__
    return not _takes(app, 2) or inspect.iscoroutinefunction(call) or not _takes_any(app)


def _takes_any(app: Any) -> bool:
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)


def _takes(app: Any, arguments: int) -> bool:
    """Whether it can be called with so many arguments, as far as Python can tell."""
    try:
        inspect.signature(app).bind(*[None] * arguments)
    except TypeError:
        return False
    except ValueError:  # written in C: no signature
        pass
    return True
