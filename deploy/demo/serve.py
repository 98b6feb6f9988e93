"""Serves the shop of `perfsdk demo` on port 8000, with data in it, until it is told to end."""

import os
import sys
from pathlib import Path

from perfsdk.cli.demo.launching import SHOP
from perfsdk.cli.demo.tables import fill_database

DATABASE = "/tmp/shop.sqlite"  # noqa: S108 - the container's own, and gone with it


def main() -> None:
    """Fill the database `$SHOP_DATABASE` unless it is there, then become uvicorn.

    `$WEB_CONCURRENCY` is how many workers it starts, `$UVICORN_PORT` the port if not 8000.
    """
    os.environ.setdefault("UVICORN_HOST", "0.0.0.0")  # noqa: S104 - others come from outside
    os.environ.setdefault("UVICORN_PORT", "8000")
    database = Path(os.environ.setdefault("SHOP_DATABASE", DATABASE))
    if not database.exists():
        fill_database(database)
    command = [sys.executable, "-m", "uvicorn", SHOP, "--no-access-log"]
    os.execv(sys.executable, command)  # noqa: S606 - it takes the place of this process


if __name__ == "__main__":
    main()
