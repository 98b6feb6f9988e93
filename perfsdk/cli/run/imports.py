"""Calls a function of ours after a module was imported, and costs other imports next to nothing.

Not wrapt's hooks: importing wrapt imports asyncio and ssl, in every process and before gevent
could patch them.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Hook = Callable[[ModuleType], None]


class AfterImport:
    """A finder for `sys.meta_path` that lets the others find, and calls each hook once."""

    def __init__(self, hooks: Mapping[str, Hook], failed: Callable[[str], None]) -> None:
        """`failed` is told the name of a module whose hook raised, while that is handled."""
        self._hooks = dict(hooks)
        self._failed = failed

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the other finders find, so that the hook comes after the module has run."""
        hook = self._hooks.pop(name, None)
        if hook is None:
            return None
        spec = self._found_by_others(name, path, target)
        if spec is not None and spec.loader is not None:
            try:
                self._come_after(spec.loader, name, hook)
            except Exception:  # a loader of another kind
                self._failed(name)
        return spec

    def _found_by_others(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        for finder in sys.meta_path:
            if finder is not self and (find := getattr(finder, "find_spec", None)) is not None:
                spec: ModuleSpec | None = find(name, path, target)
                if spec is not None:
                    return spec
        return None

    def _come_after(self, loader: Any, name: str, hook: Hook) -> None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module  # the loader stays with the module: as it was
            execute(module)
            try:
                hook(module)
            except Exception:
                self._failed(name)

        loader.exec_module = exec_module
