"""Measures a WSGI application from the outside, changing nothing that it or its server sees."""

from collections.abc import Callable
from typing import Any

from perfsdk import guard
from perfsdk.frameworks.exchange import EXCHANGE
from perfsdk.frameworks.http_server import HttpServer
from perfsdk.frameworks.route import Route
from perfsdk.frameworks.wsgi_body import watched
from perfsdk.frameworks.wsgi_exchange import App, Environ, StartResponse, WsgiExchange
from perfsdk.request import current


class Middleware:
    """A WSGI application around another one.

    `find_route` tells the series of the route that an exchange took; it is asked when the
    response is complete. `app` is the application inside.
    """

    def __init__(
        self, app: App, server: HttpServer, find_route: Callable[[WsgiExchange, Environ], Route]
    ) -> None:
        self.app = app
        self.server = server
        self.find_route = find_route
        self.plain_body: tuple[type, type | None] | None = None
        """The last class of a body without a length that is no file, and the server's of files."""

    def __call__(self, environ: Environ, start_response: StartResponse) -> Any:
        exchange = None
        try:
            server = self.server
            if EXCHANGE not in environ and environ.get("PATH_INFO") not in server.wsgi_excluded:
                if server.queue_time is not None:
                    server.queue_time.observe(
                        environ.get("HTTP_X_REQUEST_START") or environ.get("HTTP_X_QUEUE_START")
                    )
                environ[EXCHANGE] = exchange = WsgiExchange(self, environ, start_response)
        except Exception:
            guard.failed("wsgi.begin")
        if exchange is None:
            outer = environ.get(EXCHANGE)
            if isinstance(outer, WsgiExchange):
                outer.hand_over(self)
            elif self.server.wsgi_page is not None:
                page = self.server.wsgi_page(environ, start_response)
                if page is not None:
                    return page
            return self.app(environ, start_response)
        token = current.set(exchange)
        try:
            body = self.app(environ, exchange.start_response)
        except BaseException as error:
            try:
                exchange.failed(error)
            except Exception:
                exchange.forget()
                guard.failed("wsgi.failed")
            raise
        finally:
            current.reset(token)
        try:
            return watched(body, exchange)
        except Exception:
            exchange.forget()
            guard.failed("wsgi.body")
        return body

    def stop(self) -> None:
        """Pass everything through from now on, wherever it is held."""
        self.__class__ = Passing


class Passing(Middleware):
    """A `Middleware` that measures no more."""

    def __call__(self, environ: Environ, start_response: StartResponse) -> Any:
        return self.app(environ, start_response)


class Wrapper(Middleware):
    """What `instrument` returns for a plain WSGI callable; its attributes show through."""

    def __getattr__(self, name: str) -> Any:
        if name == "app":  # not made yet, as when it is copied
            raise AttributeError(name)
        return getattr(self.app, name)

    def stop(self) -> None:
        """Pass everything through from now on; whoever serves it need not take another one."""
        self.__class__ = Stopped


class Stopped(Wrapper):
    """A `Wrapper` that measures no more."""

    def __call__(self, environ: Environ, start_response: StartResponse) -> Any:
        return self.app(environ, start_response)
