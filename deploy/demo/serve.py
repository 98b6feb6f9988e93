"""Serves the shop of `perfsdk demo` on port 8000, with data in it, until it is told to end."""

import os
import sys
from pathlib import Path

from perfsdk.cli.demo.launching import SHOP
from perfsdk.cli.demo.tables import fill_database

DATABASE = "/tmp/shop.sqlite"  # noqa: S108 - the container's own, and gone with it


def main() -> None:
    """Fill the database `$SHOP_DATABASE` unless it is there, then become uvicorn.

    `$WEB_CONCURRENCY` is how many workers it starts.
    """
    database = Path(os.environ.setdefault("SHOP_DATABASE", DATABASE))
    if not database.exists():
        fill_database(database)
    command = ["-m", "uvicorn", SHOP, "--host", "0.0.0.0", "--port", "8000", "--no-access-log"]  # noqa: S104 - others come to it from outside the container
    os.execv(sys.executable, [sys.executable, *command])


if __name__ == "__main__":
    main()
