"""What a request for a page asks for, and what makes it, whichever server answers."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from perfsdk_exporter.collection import Collection
from perfsdk_exporter.families import Family
from perfsdk_exporter.formats.compression import compress
from perfsdk_exporter.formats.negotiation import choose_encoding, choose_format
from perfsdk_exporter.queries.answer import answer_for
from perfsdk_exporter.queries.selection import SelectionError
from perfsdk_exporter.web.refusals import RefusalError
from perfsdk_exporter.web.scraping import named


class Request(NamedTuple):
    """What a page depends on.

    Of the headers, the values separated by commas; of the query, the values of `name[]`, and the
    first value of each parameter.
    """

    accept: str
    accept_encoding: str
    names: Sequence[str]
    parameters: Mapping[str, str]


class Asked(NamedTuple):
    """The headers of the answer, and what makes the parts of its body, which takes time."""

    headers: dict[str, str]
    render: Callable[[Collection], Iterator[bytes]]


def metrics(request: Request, shown: Callable[[Collection], Iterable[Family]]) -> Asked:
    """The metrics, of the families `shown` of a collection."""
    chosen = choose_format(request.accept)

    def write(collection: Collection) -> Iterator[bytes]:
        return chosen.render(named(shown(collection), request.names))

    return _compressed({"Content-Type": chosen.content_type}, write, request)


def queries(request: Request, *, has_landing: bool) -> Asked:
    """The table of queries; `has_landing`: there is a page to go back to, at `/`.

    Raises:
        RefusalError: a parameter has a value that means nothing.
    """
    try:
        answer = answer_for(request.parameters, request.accept, has_landing=has_landing)
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
