"""A measured application with a database and two caches, whose every answer is known beforehand."""

import os
from threading import Lock

import redis.asyncio
from cachetools import LRUCache, cached
from fastapi import FastAPI, HTTPException
from fastapi.responses import PlainTextResponse
from sqlalchemy import ForeignKey, create_engine, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import perfsdk
from tests.e2e.signing import announce, sign

app = FastAPI(lifespan=announce)
perfsdk.instrument(app)

engine = create_engine(f"sqlite:///{os.environ['SHOP_DATABASE']}")
stock = redis.asyncio.from_url(os.environ["SHOP_REDIS"])


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    items: Mapped[list["Item"]] = relationship()


class Item(Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    price: Mapped[int]


def answer(number: int):
    """Eight bytes, whatever the number."""
    return PlainTextResponse(f"{number:08}")


@app.get("/orders")
def list_orders():
    """An N+1: one more query for each order."""
    with Session(engine) as session:
        return answer(sum(len(order.items) for order in session.scalars(select(Order))))


@app.get("/orders/{order_id}")
def show_order(order_id: int):
    with Session(engine) as session:
        order = session.get(Order, order_id)
        if order is None:
            raise HTTPException(404)
        return answer(order.id)


@app.post("/orders/{order_id}")
def add_order(order_id: int):
    with Session(engine) as session:
        session.add(Order(id=order_id))
        try:
            session.commit()
        except IntegrityError:
            raise HTTPException(409) from None
        return answer(order_id)


@app.get("/prices/{item_id}")
def show_price(item_id: int):
    return answer(load_price(item_id))


@cached(LRUCache(maxsize=100), lock=Lock())
def load_price(item_id: int) -> int:
    with Session(engine) as session:
        return session.scalars(select(Item.price).where(Item.id == item_id)).one()


@app.get("/stock/{name}")
async def show_stock(name: str):
    return answer(int(await stock.get(name) or 0))


@app.get("/stock")
async def list_stock(names: str):
    return answer(sum(int(number or 0) for number in await stock.mget(names.split(","))))


signed = sign(app)
