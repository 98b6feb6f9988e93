"""What a request for the table of queries gets: in which format, which part, which headers."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from perfsdk_exporter.collection import Collection
from perfsdk_exporter.formats.negotiation import prefers_json
from perfsdk_exporter.queries import document, page
from perfsdk_exporter.queries.selection import SelectionError, read_selection, select
from perfsdk_exporter.queries.statements import read_statements

_FORMATS = ("html", "json")
_NO_STORE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": page.SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Answer(NamedTuple):
    """The headers of a response, and what writes its body, which takes time."""

    headers: dict[str, str]
    write: Callable[[Collection], Iterator[bytes]]


def answer_for(query: Mapping[str, str], accept: str, *, has_landing: bool) -> Answer:
    """The answer to a query string and an `Accept`.

    Raises:
        SelectionError: a parameter has a value that means nothing.
    """
    wanted = query.get("format", "")
    if wanted not in ("", *_FORMATS):
        raise SelectionError(f"format: give one of {', '.join(_FORMATS)}.")
    selection = read_selection(query)
    as_json = wanted == "json" or (not wanted and prefers_json(accept))
    chosen = document.CONTENT_TYPE if as_json else page.CONTENT_TYPE
    render = (
        document.render_document if as_json else partial(page.render_page, has_landing=has_landing)
    )

    def write(collection: Collection) -> Iterator[bytes]:
        selected = select(read_statements(collection.queries), selection)
        yield from render(selected, selection, collection.explanation)

    return Answer({"Content-Type": chosen, **_NO_STORE}, write)
