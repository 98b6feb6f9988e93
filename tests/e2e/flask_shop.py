"""The shop under Flask, with a counter whose database lets other requests run meanwhile."""

import sqlite3
import time
from contextlib import closing

from flask import Flask, Response, abort, request

import perfsdk
from tests.e2e.signing import announce_now, sign_wsgi

SLOW_SECONDS = 0.02
PAUSE_SECONDS = 0.002

app = Flask(__name__)
perfsdk.instrument(app)


def plain(text, status=200):
    return Response(text, status, mimetype="text/plain")


@app.get("/")
def home():
    return plain("welcome")


@app.get("/slow")
def slow():
    time.sleep(SLOW_SECONDS)
    return plain("at last")


@app.get("/products/<int:size>")
def product(size):
    """A page of so many bytes; there is none of 0 bytes."""
    if size == 0:
        abort(404)
    return plain("x" * size)


@app.get("/broken")
def broken():
    raise LookupError("broken on purpose")


@app.post("/upload")
def upload():
    return plain(str(len(request.get_data())).zfill(8))


@app.get("/counter")
def counter():
    """Two statements, which wait in the middle, and a wait between them."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.create_function("pause", 0, lambda: time.sleep(PAUSE_SECONDS))
        database.execute("SELECT pause()").fetchall()
        time.sleep(PAUSE_SECONDS)
        database.execute("SELECT pause()").fetchall()
    return plain("counted")


@app.errorhandler(404)
def not_found(_error):
    return plain("Not Found", 404)


@app.errorhandler(500)
def server_error(_error):
    return plain("Internal Server Error", 500)


app.wsgi_app = sign_wsgi(app.wsgi_app)  # Flask's own command takes nothing but a Flask
announce_now()
