"""The shop under Flask, which asks its database while it is loaded: a master may fork after it."""

import sqlite3
from contextlib import closing

from tests.e2e.flask_shop import app

__all__ = ["app"]

with closing(sqlite3.connect(":memory:")) as database:
    database.execute("SELECT 1").fetchall()
