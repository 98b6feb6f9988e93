"""How often one request runs one statement, one after the other, and whether it asks the same."""

from datetime import date, datetime
from typing import Any

REPEATED_CALLS, REPEATED_SECONDS = 5, 0.05
"""So often, and for so long together, a statement runs again and again."""
REPEATED_CALLS_AT_ONCE = 20
"""So often whatever it takes."""
COMPARED_FROM, COMPARED_TO = REPEATED_CALLS - 1, REPEATED_CALLS
"""What these two calls ask is compared, and what those ask that make it a finding."""
MAX_COMPARED = 100
"""Parameters; of statements with more it is not known whether they are the same."""

_PLAIN = frozenset({str, bytes, int, float, bool, type(None), date, datetime})
_PLAIN_HASHES = frozenset(kind.__hash__ for kind in _PLAIN if kind is not type(None))
"""A subclass that keeps one of these, such as those of integers in psycopg, is plain too."""
_PLAIN_BY_NAME = frozenset({("decimal", "Decimal"), ("uuid", "UUID")})
"""By module and name: to import them would cost every application at its start."""
_SEVERAL = object()
"""In place of the parameters of a statement that ran with several."""


_TEXTS = ("query", "sql")
_PARAMETERS = ("params", "vars", "args", "parameters")
"""What drivers call a statement and its parameters when they are given by name."""


def asked(args: tuple[Any, ...], kwargs: dict[str, Any], index: int) -> tuple[Any, Any]:
    """The text and the parameters of a call; these are at `index`, if they are not named."""
    text = args[index - 1] if len(args) >= index else _by_name(_TEXTS, kwargs)
    return text, args[index] if len(args) > index else _by_name(_PARAMETERS, kwargs)


def _by_name(names: tuple[str, ...], kwargs: dict[str, Any]) -> Any:
    return next((kwargs[name] for name in names if name in kwargs), None)


class Repetition:
    """The calls of one statement in one request; the first has just ended."""

    __slots__ = ("_asked", "_latest", "calls", "seconds")

    def __init__(self, started: float, ended: float) -> None:
        self.calls = 1
        self.seconds = ended - started
        self._latest = ended
        self._asked: Any = None

    def again(self, started: float, ended: float) -> bool:
        """Another call has ended; whether it is to be asked what kind of finding this is."""
        if started < self._latest:
            # At the same time as another: asked for together, not one after the other.
            self._latest = max(self._latest, ended)
            return False
        self.calls = calls = self.calls + 1
        self.seconds += ended - started
        self._latest = ended
        return calls >= COMPARED_FROM and (
            calls <= COMPARED_TO
            or calls >= REPEATED_CALLS_AT_ONCE
            or self.seconds >= REPEATED_SECONDS
        )

    def kind(self, text: Any, parameters: Any) -> str:
        """The kind of finding that this is by now, by what was asked last; or nothing."""
        calls = self.calls
        if self._asked is not _SEVERAL:
            asked = _digest(text, parameters)
            if calls >= REPEATED_CALLS and asked != self._asked:
                asked = _SEVERAL
            self._asked = asked
        if calls >= REPEATED_CALLS_AT_ONCE or (
            calls >= REPEATED_CALLS and self.seconds >= REPEATED_SECONDS
        ):
            return "n_plus_one" if self._asked is _SEVERAL else "duplicate_query"
        return ""


def _digest(text: Any, parameters: Any) -> Any:
    """A number for what was asked; `_SEVERAL` where the parameters are not plain values.

    Values of the application's own classes are not compared: that would run its code.
    """
    if isinstance(parameters, dict):
        parameters = tuple(parameters.values())
    if parameters is None:
        parameters = ()
    if type(parameters) not in (tuple, list) or len(parameters) > MAX_COMPARED:
        return _SEVERAL
    if type(text) is not str:
        return _SEVERAL
    kinds = set(map(type, parameters))
    if kinds <= _PLAIN or all(map(_is_plain, kinds)):
        return hash((text, *parameters))
    return _SEVERAL


def _is_plain(kind: type) -> bool:
    return (
        kind in _PLAIN
        or kind.__hash__ in _PLAIN_HASHES
        or (kind.__module__, kind.__qualname__) in _PLAIN_BY_NAME
    )
