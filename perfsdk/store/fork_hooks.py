"""Calls around every fork, also those of uWSGI, which forks its workers without telling Python."""

import os
import sys
from collections.abc import Callable
from typing import Any

from perfsdk import guard

Call = Callable[[], None]


def _nothing() -> None:
    """The default of a call that is not wanted."""


_calls: list[tuple[Call, Call]] = []
"""`before` and `after_in_child`; like Python's own hooks, they cannot be taken back."""

_told_pid = 0
"""The latest child that Python called its hooks in."""

_hook_of_application: Any = None
"""What is called after a fork of uWSGI besides ours."""


def at_fork(
    *, before: Call = _nothing, after_in_parent: Call = _nothing, after_in_child: Call = _nothing
) -> None:
    """As `os.register_at_fork`; a fork of uWSGI calls `before` in the child, and last of all.

    uWSGI (2.0) calls Python's hooks with the option `py-call-uwsgi-fork-hooks` alone, but always
    `uwsgi.post_fork_hook`, before the worker serves anything.
    https://uwsgi-docs.readthedocs.io/en/latest/PythonModule.html#uwsgi.post_fork_hook
    """
    if not _calls:
        os.register_at_fork(after_in_child=_told_by_python)
        _hear_uwsgi()
    _calls.append((before, after_in_child))
    os.register_at_fork(
        before=before, after_in_parent=after_in_parent, after_in_child=after_in_child
    )


def _told_by_python() -> None:
    global _told_pid
    _told_pid = os.getpid()


def _hear_uwsgi() -> None:
    if "uwsgi" not in sys.modules:  # it puts it there before it loads an application
        return
    try:
        from wrapt import register_post_import_hook

        _take_hook()
        # This module of uWSGI's own takes the hook for itself, whoever had it.
        register_post_import_hook(lambda _module: _take_hook(), "uwsgidecorators")
    except Exception:
        guard.failed("fork_hooks.uwsgi")


def _take_hook() -> None:
    global _hook_of_application
    uwsgi: Any = sys.modules["uwsgi"]
    hook = getattr(uwsgi, "post_fork_hook", None)
    if hook is not _after_fork_of_uwsgi:
        _hook_of_application = hook
        uwsgi.post_fork_hook = _after_fork_of_uwsgi


def _after_fork_of_uwsgi() -> None:
    try:
        if _told_pid != os.getpid():
            for before, _ in reversed(_calls):
                before()
            for _, after_in_child in _calls:
                after_in_child()
    except Exception:
        guard.failed("fork_hooks.child")
    if _hook_of_application is not None:
        _hook_of_application()
