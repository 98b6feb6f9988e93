"""Puts a middleware around what an application calls by one of its attributes, and takes it out."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from perfsdk.frameworks.asgi import Around, Middleware, Stopped
from perfsdk.frameworks.asgi_messages import App, Scope
from perfsdk.frameworks.exchange import EXCHANGE
from perfsdk.frameworks.labels import UNMATCHED, UNRESOLVED
from perfsdk.wrapping.patches import Patches

_DEEPEST = 100


def put_around(
    app: Any,
    attribute: str,
    middleware: Middleware,
    patches: Patches,
    around: Around,
) -> None:
    """Have `app.attribute` measured by `middleware`, which has it inside of it already.

    What others put around it later stays, also when this is undone.

    Raises:
        AttributeError: the application has no such attribute.
    """

    def find_template(scope: Scope) -> str | None:
        exchange = scope.get(EXCHANGE)
        if exchange is None or exchange.matched is None:
            return None
        template = middleware.find_route(exchange, scope).template
        return None if template in {"", UNMATCHED, UNRESOLVED} else template

    before = getattr(app, attribute)
    outer = around(middleware, find_template)
    if _is_inherited(app, attribute):
        restore = functools.partial(delattr, app, attribute)
    else:
        restore = functools.partial(setattr, app, attribute, before)
    setattr(app, attribute, outer)
    patches.on_undo(functools.partial(_take_out, app, attribute, outer, before, restore))
    patches.on_undo(functools.partial(_stop, app, attribute, outer, middleware))


def _is_inherited(app: Any, attribute: str) -> bool:
    """Whether the instance has it from its class: a method, not a slot."""
    if attribute in getattr(app, "__dict__", ()):
        return False
    return not hasattr(inspect.getattr_static(type(app), attribute), "__set__")


def _holder(app: Any, attribute: str, outer: App) -> tuple[Any, str] | None:
    """The object and the attribute of it by which the middleware is called."""
    holder, name = app, attribute
    for _ in range(_DEEPEST):
        found = getattr(holder, name, None)
        if found is outer:
            return holder, name
        if found is None:
            break
        holder, name = found, "app"
    return None


def _stop(app: Any, attribute: str, outer: App, middleware: Middleware) -> None:
    # Held by a closure, say: it stays where it is and passes everything through.
    if _holder(app, attribute, outer) is None:
        middleware.__class__ = Stopped


def _take_out(
    app: Any, attribute: str, outer: App, before: App, restore: Callable[[], None]
) -> None:
    held = _holder(app, attribute, outer)
    if held == (app, attribute):
        restore()
    elif held is not None:
        setattr(*held, before)
