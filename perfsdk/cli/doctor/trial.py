"""Uses the settings once as an application would, writes nothing, and tells what it was told."""

import logging
import os
import tempfile
from pathlib import Path

from perfsdk import guard
from perfsdk.settings import SettingsError


class _Messages(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage().removeprefix("perfsdk: "))


def try_settings() -> list[str]:
    """What `instrument` complains of with this environment, but for the directory."""
    messages = _Messages()
    guard.logger.addHandler(messages)
    propagate, guard.logger.propagate = guard.logger.propagate, False
    # Never made, because nothing is recorded: the real one has a part of the report to itself.
    nowhere = Path(tempfile.gettempdir()) / f"perfsdk-doctor-{os.getpid()}"
    try:
        from perfsdk.instrumentation import instrument, uninstrument

        instrument(_nothing, directory=os.fspath(nowhere))
        uninstrument()
    except SettingsError as error:
        messages.texts.append(str(error))
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        messages.texts.append(f"instrument() fails here ({what}); install perfsdk again")
    finally:
        guard.logger.removeHandler(messages)
        guard.logger.propagate = propagate
    return messages.texts


async def _nothing(scope: object, receive: object, send: object) -> None:
    """An application that nobody serves."""
