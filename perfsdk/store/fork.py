"""A lock that a fork waits for and that is free in the child, and what the child does first."""

import threading
import weakref
from collections.abc import Callable

from perfsdk.store.fork_hooks import at_fork

FORK_WAIT_SECONDS = 1.0
"""The longest that a fork waits for the thread that holds the lock."""


class ForkLock:
    """A re-entrant lock: `with fork_lock.held:`. `in_child` is called in every forked child.

    `held` is the interpreter's own lock, whose `with` no signal handler can interrupt half way.

    A child of the middle of what the lock guards would inherit half of it: half a record, or a
    locked descriptor that is nobody's yet. Hooks cannot be taken back, so they hold neither this
    object nor the one that `in_child` is bound to.
    """

    def __init__(self, in_child: Callable[[], None]) -> None:
        self.held = threading.RLock()
        self._forking_thread = 0
        self._in_child = weakref.WeakMethod(in_child)
        me = weakref.ref(self)

        def call(method: Callable[[ForkLock], None]) -> None:
            lock = me()
            if lock is not None:
                method(lock)

        at_fork(
            before=lambda: call(ForkLock.before_fork),
            after_in_parent=lambda: call(ForkLock.after_fork_in_parent),
            after_in_child=lambda: call(ForkLock.after_fork_in_child),
        )

    def before_fork(self) -> None:
        """Take the lock; not for ever: its holder may wait for what the forking thread holds."""
        if self.held.acquire(timeout=FORK_WAIT_SECONDS):
            self._forking_thread = threading.get_ident()

    def after_fork_in_parent(self) -> None:
        """Give the lock back, if `before_fork` of this thread had it."""
        if self._forking_thread == threading.get_ident():
            self._forking_thread = 0
            self.held.release()

    def after_fork_in_child(self) -> None:
        """Free the lock, also of a thread that does not exist here, and call `in_child`."""
        if self._forking_thread == threading.get_ident():
            self.held.release()
        else:
            self.held = threading.RLock()
        self._forking_thread = 0
        in_child = self._in_child()
        if in_child is not None:
            in_child()
