"""Extends classes that cannot be changed, those written in C, by subclasses that measure."""

from typing import Any

MAX_CLASSES = 100
"""Classes of the application that are extended; what is extended is kept alive."""


class Classes:
    """A class of the library, the subclass that measures, and those of the application."""

    def __init__(self, original: type, measured: type) -> None:
        self.original = original
        self.measured = measured
        self._extended: dict[type, type] = {}

    def of(self, factory: Any) -> Any:
        """What measures in place of `factory`; itself when there is no such thing.

        A class of the application is extended by a subclass of both; any other callable is
        left alone.
        """
        if factory is self.original:
            return self.measured
        if not isinstance(factory, type) or not issubclass(factory, self.original):
            return factory
        if issubclass(factory, self.measured):
            return factory
        if factory not in self._extended and len(self._extended) < MAX_CLASSES:
            try:
                # Above the library's class: what the application's calls by super() is measured.
                extended = subclass((factory, self.measured), {})
            except Exception:
                extended = factory  # it does not want to be extended
            self._extended[factory] = extended
        return self._extended.get(factory, factory)


def subclass(classes: tuple[Any, ...], methods: dict[str, Any]) -> type:
    """A subclass that looks like the first of its bases."""
    first = classes[0]
    names = {"__module__": first.__module__, "__qualname__": first.__qualname__}
    made: type = type(first)(
        first.__name__, classes, {**names, "__doc__": first.__doc__, **methods}
    )
    return made
