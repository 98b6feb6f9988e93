"""Writes rules as YAML that a person reads well, without a library: the build needs none."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*|[a-z_]+:[a-z_:]+[a-z0-9_:]*")
_TAKEN_FOR_OTHERS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


def document(value: Mapping[str, object]) -> str:
    """The text of mappings, lists and strings.

    Raises:
        TypeError: there is a value of another type in it.
    """
    return "\n".join(_mapping(value, "")) + "\n"


def _mapping(value: Mapping[str, object], indent: str) -> Iterator[str]:
    for key, inside in value.items():
        yield from _entry(f"{indent}{key}:", inside, f"{indent}  ")


def _list(value: Sequence[object], indent: str) -> Iterator[str]:
    for inside in value:
        if not isinstance(inside, Mapping):
            raise TypeError(f"a list holds mappings, not {inside!r}")
        first, *rest = _mapping(inside, f"{indent}  ")
        yield f"{indent}- {first.removeprefix(indent + '  ')}"
        yield from rest


def _entry(head: str, value: object, indent: str) -> Iterator[str]:
    match value:
        case Mapping():
            yield head
            yield from _mapping(value, indent)
        case str():
            yield from _string(head, value, indent)
        case Sequence():
            yield head
            yield from _list(value, indent)
        case _:
            raise TypeError(f"{head} {value!r}: only mappings, lists and strings are written")


def _string(head: str, value: str, indent: str) -> Iterator[str]:
    if "\n" in value or head.endswith("expr:"):
        # A block needs no escapes: the expression is copied from the file as it is.
        yield f"{head} |-"
        yield from (f"{indent}{line}" for line in value.split("\n"))
    elif _PLAIN.fullmatch(value) and value.lower() not in _TAKEN_FOR_OTHERS:
        yield f"{head} {value}"
    else:
        yield f"{head} {json.dumps(value, ensure_ascii=False)}"
