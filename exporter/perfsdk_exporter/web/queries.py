"""Answers a request for the table of queries."""

from collections.abc import Callable, Iterator

from aiohttp import hdrs, web

from perfsdk_exporter.collection import Collection
from perfsdk_exporter.queries.answer import answer_for
from perfsdk_exporter.queries.selection import SelectionError
from perfsdk_exporter.web.refusals import RefusalError

OFF = "The table of queries is off; start perfsdk-exporter with --web.queries to serve it."


def prepare(
    request: web.Request, response: web.StreamResponse
) -> Callable[[Collection], Iterator[bytes]]:
    """Set the headers of the response; what writes its body, which takes time.

    Raises:
        RefusalError: a parameter has a value that means nothing.
    """
    accept = ",".join(request.headers.getall(hdrs.ACCEPT, []))
    try:
        answer = answer_for(request.query, accept, has_landing=True)
    except SelectionError as error:
        raise RefusalError(400, "bad_request", str(error)) from error
    response.headers.update(answer.headers)
    return answer.write
