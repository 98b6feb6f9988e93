"""FastAPI (0.100 and newer): templates through nested `include_router`, in constant time.

Up to 0.136 a route holds its whole template. Since then a router that is included more than
once shares its routes, and the scope names the context with the prefix of this inclusion.
https://fastapi.tiangolo.com/tutorial/bigger-applications/
"""

import functools
import sys
from collections.abc import Awaitable
from typing import Any

from perfsdk import guard
from perfsdk.frameworks import starlette
from perfsdk.frameworks.asgi_messages import Receive, Scope, Send
from perfsdk.frameworks.exchange import EXCHANGE
from perfsdk.frameworks.starlette import Handle, as_coroutine_function
from perfsdk.wrapping.patches import Patches

instrument_application = starlette.instrument_application


def is_application(app: object) -> bool:
    """Whether this is a FastAPI application; imports nothing."""
    module = sys.modules.get("fastapi.applications")
    return module is not None and isinstance(app, module.FastAPI)


def patch_routing(patches: Patches) -> None:
    """Have FastAPI's routes tell the exchange the context in which they were chosen."""
    patches.replace(sys.modules["fastapi.routing"].APIRoute, "handle", _tell_route)


def _tell_route(wrapped: Handle) -> Handle:
    @functools.wraps(wrapped)
    def handle(self: Any, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        exchange = scope.get(EXCHANGE)
        if exchange is not None:
            exchange.matched = self
            try:
                included = scope.get("fastapi")
                if included:
                    context = included.get("effective_route_context")
                    if getattr(context, "original_route", None) is self:
                        exchange.matched = context
            except Exception:
                guard.failed("fastapi.route")
        return wrapped(self, scope, receive, send)

    return as_coroutine_function(handle)
