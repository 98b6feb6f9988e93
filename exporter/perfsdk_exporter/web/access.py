"""Decides about every request before it is served: body, rate limit, name and password."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from aiohttp import hdrs, web

from perfsdk_exporter.web.authentication import Credentials, Passwords, read_credentials
from perfsdk_exporter.web.protection import Protection
from perfsdk_exporter.web.refusals import RefusalError, Refusals

SERVER = "perfsdk-exporter"
"""What responses say about the program; not which versions of what it is made of."""

_MAX_WAITING = 32
"""Password checks that wait for the one that runs; there is one at a time, as it takes a CPU."""

_CHALLENGE = 'Basic realm="perfsdk-exporter", charset="UTF-8"'

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_access(
    application: web.Application, protection: Protection | None, refusals: Refusals
) -> None:
    """Let the application serve only what is let through; refusals are a line each."""
    checks = _Checks()

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            await admit(request)
            return await handler(request)
        except web.HTTPException as error:  # an unknown path or method
            error.text = f"{error.text}\n"
            raise
        except RefusalError as refused:
            refusals.count(refused.reason)
            response = web.Response(status=refused.status, text=f"{refused.line}\n")
            if refused.status == 401:
                response.headers[hdrs.WWW_AUTHENTICATE] = _CHALLENGE
            if refused.reason == "body":
                response.force_close()
            return response

    async def admit(request: web.Request) -> None:
        if request.body_exists:
            raise RefusalError(413, "body", "Requests have no body here.")
        if protection is None:
            return
        running = protection.in_force
        if running.bucket is not None and not running.bucket.take():
            raise RefusalError(429, "rate_limit", "Too many requests; try again later.")
        if running.passwords is not None:
            await authenticate(request, running.passwords)

    async def authenticate(request: web.Request, passwords: Passwords) -> None:
        credentials = read_credentials(request.headers.get(hdrs.AUTHORIZATION, ""))
        if credentials is not None:
            right = passwords.remembered(credentials)
            if right is None:
                right = await checks.run(passwords, credentials)
            if right:
                return
        raise RefusalError(401, "unauthorized", "Give the name and the password of a user.")

    async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
        response.headers[hdrs.SERVER] = SERVER
        if protection is not None:
            response.headers.update(protection.in_force.config.headers)

    async def watch(_: web.Application) -> AsyncIterator[None]:
        watching = asyncio.create_task(protection.watch()) if protection else None
        yield
        if watching is not None:
            watching.cancel()
        checks.close()

    application.middlewares.append(answer)
    application.on_response_prepare.append(add_headers)
    application.cleanup_ctx.append(watch)


class _Checks:
    """The thread that checks passwords."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="perfsdk-password")
        self._waiting = 0

    async def run(self, passwords: Passwords, credentials: Credentials) -> bool:
        if self._waiting > _MAX_WAITING:
            raise RefusalError(503, "busy", "Too many passwords to check; try again later.")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, passwords.check, credentials)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
