"""What a server gets instead of the body that a WSGI application returned, and takes it for.

A request ends when there is no further part; what `close()` does after that is work in the
background. A server may ask for the length, join what is a list, or send a file by itself.
"""

from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter
from typing import Any

from perfsdk import guard
from perfsdk.frameworks.delivery import BACKGROUND_FROM_SECONDS
from perfsdk.frameworks.wsgi_exchange import WsgiExchange
from perfsdk.request import current


def watched(body: Any, exchange: WsgiExchange) -> Any:
    """What to give to the server, so that the exchange learns when the body ends."""
    environ = exchange.environ
    kind = type(body)
    if environ is None:
        return body  # the process was forked in between
    if kind is list:
        listed = ListBody(body)
        listed.exchange = exchange
        return listed
    if body is None or kind is bytes or kind is str:
        # No proper body: what servers make of it, they tell by its class.
        exchange.sent += len(body or "")
        exchange.finish(given=body is not None)
        return body
    wrapper = environ.get("wsgi.file_wrapper")
    known = exchange.middleware.plain_body
    if known is not None and kind is known[0] and wrapper is known[1]:
        return Body(body, exchange)
    if wrapper is not None and _is_file(body, wrapper):
        _follow_file(body, exchange)
        return body
    if hasattr(kind, "__len__"):
        return SizedBody(body, exchange)
    if wrapper is None or isinstance(wrapper, type):
        exchange.middleware.plain_body = kind, wrapper
    return Body(body, exchange)


class Body:
    """An iterable of parts, which has `close` whether or not the application's has it."""

    __slots__ = ("_body", "_exchange", "_rest")
    _rest: Iterator[Any]

    def __init__(self, body: Any, exchange: WsgiExchange) -> None:
        self._body = body
        self._exchange = exchange

    def __iter__(self) -> Iterator[Any]:
        exchange = self._exchange
        parts: Iterator[Any] | None = None
        while True:
            # For this part alone: before the next one, the thread may serve another request.
            token = current.set(exchange)
            try:
                if parts is None:
                    parts = iter(self._body)
                part = next(parts)
            except StopIteration:
                break
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
                # What `count` does, without the call.
                if part:
                    if exchange.sent:
                        exchange.streamed = True
                    else:
                        exchange.first_byte = perf_counter()
                    exchange.sent += len(part)
            except Exception:
                guard.failed("wsgi.part")
            try:
                yield part
            except GeneratorExit:  # nobody takes the rest
                try:
                    exchange.leave()
                except Exception:
                    exchange.forget()
                    guard.failed("wsgi.leave")
                raise
        try:
            exchange.finish()
        except Exception:
            exchange.forget()
            guard.failed("wsgi.finish")

    def __next__(self) -> Any:
        # For those who take the first part and hand on the rest, as iterators allow.
        try:
            rest = self._rest
        except AttributeError:
            self._rest = rest = iter(self)
        return next(rest)

    def close(self) -> None:
        """What servers call at the end, whether or not they took all parts."""
        exchange = self._exchange
        if exchange.environ is not None:
            try:
                exchange.leave()
            except Exception:
                exchange.forget()
                guard.failed("wsgi.leave")
        close = getattr(self._body, "close", None)
        if close is None:
            return
        began = perf_counter()
        raised = False
        try:
            close()
        except Exception:
            raised = True
            raise
        finally:
            seconds = perf_counter() - began
            if raised or seconds >= BACKGROUND_FROM_SECONDS:
                try:
                    exchange.worked_on(seconds, raised=raised)
                except Exception:
                    guard.failed("wsgi.background")


class SizedBody(Body):
    """One whose length servers may ask, to tell the length of a single part."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._body)


class ListBody(list[Any]):
    """A list of parts, which some servers tell by its class. Nothing of the application runs."""

    __slots__ = ("exchange",)

    exchange: WsgiExchange  # set after it was made: an `__init__` would double what it costs

    def __iter__(self) -> Iterator[Any]:
        exchange = self.exchange
        for part in list.__iter__(self):
            try:
                exchange.sent += len(part)
            except Exception:
                guard.failed("wsgi.part")
            try:
                yield part
            except GeneratorExit:  # nobody takes the rest
                self.close()
                raise
        try:
            exchange.finish()
        except Exception:
            exchange.forget()
            guard.failed("wsgi.finish")

    def close(self) -> None:
        """What servers call at the end, whether or not they took all parts."""
        exchange = self.exchange
        if exchange.environ is None:
            return
        try:
            exchange.leave(all_taken=exchange.sent >= sum(map(len, list.__iter__(self))))
        except Exception:
            exchange.forget()
            guard.failed("wsgi.close")


def _is_file(body: Any, wrapper: Any) -> bool:
    """Whether the server made this of a file and will know it, by its class or as an object."""
    if isinstance(wrapper, type):
        return isinstance(body, wrapper)
    return hasattr(body, "read")


def _follow_file(file: Any, exchange: WsgiExchange) -> None:
    """The server sends a file by itself, maybe in the kernel, and closes it at the end."""
    close = getattr(file, "close", None)
    try:
        file.close = partial(_close_file, close, exchange)
    except (AttributeError, TypeError):  # a plain file: nobody tells of the end
        _sent_file(exchange)


def _close_file(close: Callable[[], Any] | None, exchange: WsgiExchange) -> None:
    if exchange.environ is not None:
        _sent_file(exchange)
    if close is not None:
        close()


def _sent_file(exchange: WsgiExchange) -> None:
    try:
        exchange.sent += exchange.declared_bytes() or 0
        exchange.finish()
    except Exception:
        exchange.forget()
        guard.failed("wsgi.file")
