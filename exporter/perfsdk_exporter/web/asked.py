"""What a request for a page asks for, and what makes it, whichever server answers."""

from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import parse_qs

from perfsdk_exporter.collection import Collection
from perfsdk_exporter.families import Family
from perfsdk_exporter.formats.compression import compress
from perfsdk_exporter.formats.negotiation import choose_encoding, choose_format
from perfsdk_exporter.queries.answer import answer_for
from perfsdk_exporter.queries.selection import SelectionError
from perfsdk_exporter.web.refusals import RefusalError
from perfsdk_exporter.web.scraping import named


class Request(NamedTuple):
    """What a page depends on; of the headers, the values separated by commas."""

    accept: str
    accept_encoding: str
    query_string: str


class Asked(NamedTuple):
    """The headers of the answer, and what makes the parts of its body, which takes time."""

    headers: dict[str, str]
    render: Callable[[Collection], Iterator[bytes]]


def metrics(request: Request, shows: Callable[[Family], bool]) -> Asked:
    """The metrics, of those families that `shows` lets through."""
    names = parse_qs(request.query_string).get("name[]", [])
    chosen = choose_format(request.accept)

    def write(collection: Collection) -> Iterator[bytes]:
        yield from chosen.render(named(filter(shows, collection.families), names))

    return _compressed({"Content-Type": chosen.content_type}, write, request)


def queries(request: Request) -> Asked:
    """The table of queries, without a way back to a landing page.

    Raises:
        RefusalError: a parameter has a value that means nothing.
    """
    first = {name: values[0] for name, values in parse_qs(request.query_string).items()}
    try:
        answer = answer_for(first, request.accept, has_landing=False)
    except SelectionError as error:
        raise RefusalError(400, "bad_request", str(error)) from error
    return _compressed(answer.headers, answer.write, request)


def _compressed(
    headers: dict[str, str], write: Callable[[Collection], Iterator[bytes]], request: Request
) -> Asked:
    encoding = choose_encoding(request.accept_encoding)
    headers = {**headers, "Vary": "Accept, Accept-Encoding"}
    if encoding != "identity":
        headers["Content-Encoding"] = encoding
    return Asked(headers, lambda collection: iter(compress(write(collection), encoding)))
