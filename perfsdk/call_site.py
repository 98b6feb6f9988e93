"""Tells the line of the application that makes a call, from the frames that are there."""

import os
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

MAX_FILES = 2000
"""Files remembered as the application's or a library's."""
MAX_FRAMES = 200

_PACKAGES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_LIBRARY_ROOTS = tuple(os.path.join(os.path.dirname(path), "") for path in (os.__file__, __file__))
_is_application: dict[str, bool] = {}


def call_site(frame: FrameType | None) -> str:
    """`shop/views.py:42 in orders`: the nearest line of the application's own code.

    What is installed in site-packages is a library's. Where all of it is, such as in an image
    into which the application itself is installed, it is the nearest line of another package
    than the one that is called. Empty when there is neither, as in a thread of a library.
    """
    innermost = fallback = ""
    for found in _frames(frame):
        file = found.f_code.co_filename
        if is_of_application(file):
            return _shown(found)
        package = _package(file)
        if package and not innermost:
            innermost = package
        if package and package != innermost and not fallback:
            fallback = _shown(found)
    return fallback


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    """The frames from here outwards, also those outside a greenlet that was switched to."""
    greenlet: Any = None
    for _ in range(MAX_FRAMES):
        if frame is None:
            greenlet = _outer_greenlet(greenlet)
            frame = getattr(greenlet, "gr_frame", None)
            if frame is None:
                return
        yield frame
        frame = frame.f_back


def _outer_greenlet(greenlet: Any) -> Any:
    """The parent of a greenlet, of the one that runs when there is none."""
    if greenlet is None:
        module = sys.modules.get("greenlet")
        if module is None:
            return None
        greenlet = module.getcurrent()
    return greenlet.parent


def is_of_application(file: str) -> bool:
    """Whether a file is neither of the standard library nor of an installed package."""
    known = _is_application.get(file)
    if known is None:
        library = file.startswith(("<", *_LIBRARY_ROOTS)) or any(p in file for p in _PACKAGES)
        if len(_is_application) >= MAX_FILES:
            _is_application.clear()
        known = _is_application[file] = not library
    return known


def _package(file: str) -> str:
    """The first directory or module in site-packages; empty for other files."""
    for packages in _PACKAGES:
        _, found, inside = file.partition(packages)
        if found:
            return inside.partition(os.sep)[0]
    return ""


def _shown(frame: FrameType) -> str:
    file = frame.f_code.co_filename
    paths = map(os.path.abspath, sys.path)  # an empty one is the working directory
    roots = [root for root in paths if file.startswith(os.path.join(root, ""))]
    short = os.path.relpath(file, max(roots, key=len)) if roots else file
    return f"{short}:{frame.f_lineno} in {frame.f_code.co_name}"
