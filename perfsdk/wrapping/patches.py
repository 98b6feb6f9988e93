"""The one seam: replaces attributes of other people's objects, remembers and undoes, last first."""

from collections.abc import Callable
from typing import Any

from perfsdk import guard

_MISSING = object()


class Patches:
    """Attributes replaced so far. Not safe for threads: patch at start, undo at the end."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []
        self._done: set[tuple[int, str]] = set()

    def replace(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Set `owner.name` to `make(what it was)`, once: a second call changes nothing.

        The owner is a class, a module or an instance. What its own `__dict__` held, or that
        it held nothing because the attribute is inherited, is what `undo` restores: the
        identical object.

        Raises:
            AttributeError: there is no such attribute.
            TypeError: the owner cannot be changed (a built-in class).
        """
        key = (id(owner), name)
        if key in self._done:
            return
        own = vars(owner).get(name, _MISSING)
        before = getattr(owner, name) if own is _MISSING else own
        setattr(owner, name, make(before))
        self._done.add(key)

        def undo() -> None:
            self._done.discard(key)
            if own is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, own)

        self._undo.append(undo)

    def on_undo(self, undo: Callable[[], None]) -> None:
        """Have something else undone in turn, such as a listener of the library's own."""
        self._undo.append(undo)

    def undo(self) -> None:
        """Restore everything, last first. One that fails is reported, the others are undone."""
        while self._undo:
            try:
                self._undo.pop()()
            except Exception:  # noqa: PERF203 - one that fails must not keep the others
                guard.failed("patches.undo")
