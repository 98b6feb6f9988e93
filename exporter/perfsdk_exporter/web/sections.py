"""Reads a YAML file key by key: what is unknown, given twice or of the wrong kind is an error."""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, TypeVar

import yaml

_YES = ("true", "yes", "on")
_NO = ("false", "no", "off")

Choice = TypeVar("Choice")


class WebConfigError(Exception):
    """A web configuration that is not taken; the message says where, why and what to do."""


class _Loader(yaml.BaseLoader):
    """YAML with all scalars as they are written, so that a user may be called 007 or yes."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(names) < len(node.value):
            raise WebConfigError(f"line {node.start_mark.line + 1}: give plain words as keys")
        for name in names:
            if names.count(name) > 1:
                raise WebConfigError(f"{name}: given twice; keep one")
        return super().construct_mapping(node, deep=deep)


def parse(text: str) -> "Section":
    """The top level of a document; an empty document is an empty section.

    Raises:
        WebConfigError: it is not YAML, or not a mapping.
    """
    try:
        loader = _Loader(text)
        try:
            document = loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise WebConfigError(f"{line}not YAML: {error.problem}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise WebConfigError(f"not YAML: {str(error).splitlines()[0]}") from error
    return Section("", document)


class Section:
    """One mapping of the file. Every key that is read is taken out; `end` refuses the rest.

    A key without a value counts as absent, like one that is empty.
    """

    def __init__(self, name: str, values: object) -> None:
        self.name = name
        self._prefix = f"{name}." if name else ""
        if not isinstance(values or {}, Mapping):
            raise WebConfigError(f"{name or 'the file'}: give keys with values")
        self._left: dict[str, Any] = dict(values or {})  # type: ignore[call-overload]  # a mapping
        self._known: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return iter(self._left)

    def error(self, key: str, message: str) -> WebConfigError:
        """What is wrong with a key, by its full name."""
        return WebConfigError(f"{self._prefix}{key}: {message}")

    def section(self, key: str) -> "Section":
        return Section(self._prefix + key, self._take(key))

    def text(self, key: str) -> str:
        value = self._take(key) or ""
        if not isinstance(value, str):
            raise self.error(key, "give a text")
        return value

    def texts(self, key: str) -> list[str]:
        value = self._take(key) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(key, "give a list of texts")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        text = self.text(key).lower()
        if text and text not in _YES + _NO:
            raise self.error(key, "give true or false")
        return text in _YES if text else default

    def choice(self, key: str, default: Choice, choices: Mapping[str, Choice]) -> Choice:
        text = self.text(key)
        if text and text not in choices:
            raise self.error(key, f"{text!r} is unknown; give one of {', '.join(choices)}")
        return choices[text] if text else default

    def end(self) -> None:
        """All keys were read.

        Raises:
            WebConfigError: there are more.
        """
        for key in self._left:
            raise self.error(key, f"unknown key; known are {', '.join(self._known)}")

    def _take(self, key: str) -> Any:
        self._known.append(key)
        value = self._left.pop(key, None)
        # All scalars are texts; these are how YAML writes that there is none.
        return None if value in ("", "~", "null") else value
