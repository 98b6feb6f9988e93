"""Answers a request for the table of queries: in which format, which part, which headers."""

from collections.abc import Callable, Iterator

from aiohttp import hdrs, web

from perfsdk_exporter.collection import Collection
from perfsdk_exporter.formats.negotiation import prefers_json
from perfsdk_exporter.queries import document, page
from perfsdk_exporter.queries.selection import SelectionError, read_selection, select
from perfsdk_exporter.queries.statements import read_statements
from perfsdk_exporter.web.refusals import RefusalError

OFF = "The table of queries is off; start perfsdk-exporter with --web.queries to serve it."

_FORMATS = ("html", "json")


def prepare(
    request: web.Request, response: web.StreamResponse
) -> Callable[[Collection], Iterator[bytes]]:
    """Set the headers of the response; what writes its body, which takes time.

    Raises:
        RefusalError: a parameter has a value that means nothing.
    """
    wanted = request.query.get("format", "")
    if wanted not in ("", *_FORMATS):
        raise RefusalError(400, "bad_request", f"format: give one of {', '.join(_FORMATS)}.")
    try:
        selection = read_selection(request.query)
    except SelectionError as error:
        raise RefusalError(400, "bad_request", str(error)) from error
    accept = ",".join(request.headers.getall(hdrs.ACCEPT, []))
    as_json = wanted == "json" or (not wanted and prefers_json(accept))
    chosen = document.CONTENT_TYPE if as_json else page.CONTENT_TYPE
    response.headers[hdrs.CONTENT_TYPE] = chosen
    response.headers[hdrs.CACHE_CONTROL] = "no-store"
    response.headers["Content-Security-Policy"] = page.SECURITY_POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    render = document.render_document if as_json else page.render_page

    def write(collection: Collection) -> Iterator[bytes]:
        selected = select(read_statements(collection.queries), selection)
        yield from render(selected, selection, collection.explanation)

    return write
