"""Call sites: the nearest line of the application, from wherever a library calls."""

import asyncio
import sys
import threading
import weakref

import greenlet

from perfsdk import call_site as module
from perfsdk.call_site import Waiting, call_site, waiting

DRIVER = "import sys\n\n\ndef call():\n    return sys._getframe()\n"
SHOP = "def page(call, frames):\n    frames.append(call())\n"


def installed(tmp_path, package, source):
    """What a module in site-packages defines."""
    scope = {}
    exec(compile(source, tmp_path / "site-packages" / package / "lib.py", "exec"), scope)
    return scope


def test_the_nearest_line_of_the_application(tmp_path):
    """Frames of libraries in between are passed over."""
    frame = installed(tmp_path, "driver", DRIVER)["call"]()
    line = sys._getframe().f_lineno - 1
    expected = "in test_the_nearest_line_of_the_application"
    assert f"tests/test_call_site.py:{line + 3} {expected}" == call_site(frame)


def test_an_installed_application(tmp_path):
    """Where all of it is in site-packages, it is the first other package."""
    call = installed(tmp_path, "driver", DRIVER)["call"]
    page = installed(tmp_path, "shop", SHOP)["page"]
    frames = []
    thread = threading.Thread(target=page, args=(call, frames))
    thread.start()
    thread.join()
    assert call_site(frames[0]).endswith("site-packages/shop/lib.py:2 in page")


def test_across_greenlets(tmp_path):
    """As SQLAlchemy's asyncio switches: the line is outside of the greenlet."""
    scope = installed(tmp_path, "driver", LIBRARY_IN_GREENLET)
    assert "in test_across_greenlets" in greenlet.greenlet(scope["call"]).switch()


LIBRARY_IN_GREENLET = """
import sys
from perfsdk.call_site import call_site


def call():
    return call_site(sys._getframe())
"""


async def test_in_coroutines():
    """The awaiting function is the next frame."""

    async def asked():
        return call_site(sys._getframe(1))

    assert "in test_in_coroutines" in await asked()


async def test_in_a_thread_that_a_task_waits_for(tmp_path):
    """The line that waits comes before those of whoever runs the thread."""
    installed_call = installed(tmp_path, "driver", LIBRARY_IN_GREENLET)["call"]
    handler = installed(tmp_path, "bridge", "def run(call):\n    return call()\n")["run"]

    def of_the_server():
        return handler(installed_call)

    async def waits():
        task = weakref.ref(asyncio.current_task())
        token = waiting.set(Waiting(task, handler.__code__))
        try:
            return await asyncio.to_thread(of_the_server)
        finally:
            waiting.reset(token)

    assert "in waits" in await waits()
    assert "in of_the_server" in await asyncio.to_thread(of_the_server)


async def test_in_a_thread_that_nobody_waits_for_any_more(tmp_path):
    """The task is gone: what is left are the frames of the thread."""
    installed_call = installed(tmp_path, "driver", LIBRARY_IN_GREENLET)["call"]
    handler = installed(tmp_path, "bridge", "def run(call):\n    return call()\n")["run"]
    task = asyncio.ensure_future(asyncio.sleep(0))
    token = waiting.set(Waiting(weakref.ref(task), handler.__code__))
    try:
        await task
        del task
        assert "in test_in_a_thread_that_nobody" in handler(installed_call)
    finally:
        waiting.reset(token)


def test_files_that_are_remembered_are_bounded(tmp_path, monkeypatch):
    """As with templates, of which each is compiled to a file of its own."""
    monkeypatch.setattr(module, "MAX_FILES", 10)
    monkeypatch.setattr(module, "_is_application", {})
    for number in range(25):
        frame = installed(tmp_path, f"driver{number}", DRIVER)["call"]()
        assert "in test_files_that_are_remembered" in call_site(frame)
        assert len(module._is_application) <= 10


def test_nothing_is_known(tmp_path):
    """In a thread of a library alone it is empty."""
    found = []
    source = LIBRARY_IN_GREENLET + "\n\ndef run(found):\n    found.append(call())\n"
    thread = threading.Thread(target=installed(tmp_path, "driver", source)["run"], args=(found,))
    thread.start()
    thread.join()
    assert [""] == found
