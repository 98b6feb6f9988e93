"""A measured application with two caches of one loader: one of few keys, one of too many."""

from threading import Lock
from time import perf_counter, sleep

from cachetools import LRUCache, cached
from fastapi import FastAPI

import perfsdk
from tests.e2e.signing import announce, sign

LOADER_SECONDS = 0.004

app = FastAPI(lifespan=announce)
perfsdk.instrument(app)
spent = {"good": [], "poor": []}
"""How long each load really took."""


def load(cache, key):
    started = perf_counter()
    sleep(LOADER_SECONDS)
    spent[cache].append(perf_counter() - started)
    return key


@cached(LRUCache(1000), lock=Lock())
def good(key):
    return load("good", key)


@cached(LRUCache(1000), lock=Lock())
def poor(key):
    return load("poor", key)


@app.get("/good/{key}")
def read_good(key: str):
    return good(key)


@app.get("/poor/{key}")
def read_poor(key: str):
    return poor(key)


@app.get("/spent")
def read_spent():
    return {name: [len(seconds), sum(seconds)] for name, seconds in spent.items()}


signed = sign(app)
