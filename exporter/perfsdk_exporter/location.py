"""Knows which directory to read: the one given, the service's, or the only service's there is."""

from pathlib import Path

from perfsdk.store.directory import (
    DirectoryError,
    check_directory,
    default_root,
    segment_directory,
    services,
)


class Location:
    """Where the segments are. Without directory and service it waits for the first service.

    The exporter often starts before the application, so the answer may come late; once there is
    one, it stays. Not safe for threads.
    """

    def __init__(self, directory: str | None, service: str | None) -> None:
        known = directory is not None or service is not None
        self._path = segment_directory(directory, service or "") if known else None

    def resolve(self) -> Path | None:
        """The directory to read now; None while no service has written.

        Raises:
            DirectoryError: it cannot be read, or nobody said which of several it is.
        """
        if self._path is None:
            check_directory(default_root())
            names = services()
            if len(names) > 1:
                raise DirectoryError(
                    f"several services in {default_root()}: {', '.join(names)};"
                    " say which one with --service"
                )
            if not names:
                return None
            self._path = default_root() / names[0]
        check_directory(self._path)
        return self._path
