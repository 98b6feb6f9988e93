"""Which keys of a cache are being loaded now, and by how many: three at once are a stampede."""

from typing import Any

MAX_KEYS = 1000
"""Keys that are being loaded; with more, all are forgotten."""
LONGEST_SECONDS = 60.0
"""After so long a load is taken for given up."""


class Load:
    """One load: of which cache and key, since when.

    `site` is the line that missed, "": not known, None: that it is not written is allowed.
    """

    __slots__ = ("cache", "number", "site", "started")

    def __init__(self, cache: Any, number: int, started: float) -> None:
        self.cache = cache
        self.number = number
        self.started = started
        self.site: str | None = ""


class Loads:
    """The loads of one cache in this process. Threads: any may begin and end one."""

    __slots__ = ("_by_key",)

    def __init__(self) -> None:
        self._by_key: dict[int, tuple[Load, ...]] = {}

    def begin(self, load: Load) -> int:
        """Take one in; how many load its key now."""
        since = load.started - LONGEST_SECONDS
        running = tuple(
            other for other in self._by_key.get(load.number, ()) if other.started > since
        )
        if len(self._by_key) >= MAX_KEYS:
            self._by_key.clear()
        self._by_key[load.number] = (*running, load)
        return len(running) + 1

    def end(self, load: Load) -> None:
        """It is over, however it went."""
        running = tuple(o for o in self._by_key.get(load.number, ()) if o is not load)
        if running:
            self._by_key[load.number] = running
        else:
            self._by_key.pop(load.number, None)
