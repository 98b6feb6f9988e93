"""A small shop on FastAPI, measured by one line, with faults that real shops have."""

import os
import time
from collections.abc import Iterator
from threading import Lock
from typing import Annotated

from cachetools import TTLCache, cached
from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session

import perfsdk
from perfsdk.cli.demo.tables import Item, Order, Product

app = FastAPI(title="A small shop")
perfsdk.instrument(app)  # the one line; all else is an ordinary application

engine = create_engine(f"sqlite:///{os.environ['SHOP_DATABASE']}")


def open_session() -> Iterator[Session]:
    with Session(engine) as session:
        yield session


Database = Annotated[Session, Depends(open_session)]


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/products/{product_id}")
def show_product(product_id: int) -> dict[str, object]:
    return load_product(product_id)


@cached(TTLCache(maxsize=1000, ttl=60), lock=Lock())
def load_product(product_id: int) -> dict[str, object]:
    """What a product's page shows; asks the database when the cache does not know."""
    with Session(engine) as session:
        product = session.get(Product, product_id)
        if product is None:
            raise HTTPException(404, f"There is no product {product_id}.")
        sold = select(func.sum(Item.quantity)).where(Item.product_id == product_id)
        return {
            "name": product.name,
            "price_cents": product.price_cents,
            "sold": session.scalar(sold) or 0,
        }


@app.get("/search")
def search(q: str, database: Database) -> list[str]:
    begins = Product.name.between(q, f"{q}~")  # the index serves this
    found = database.scalars(select(Product.name).where(begins).order_by(Product.name).limit(10))
    # The slow tail: no name begins like that, so every name is read.
    return list(found) or list(
        database.scalars(
            select(Product.name)
            .where(Product.name.icontains(q))
            .order_by(Product.price_cents)
            .limit(10)
        )
    )


@app.get("/orders")
def list_orders(database: Database, after: int = 0) -> list[dict[str, object]]:
    orders = database.scalars(select(Order).where(Order.id > after).order_by(Order.id).limit(20))
    # N+1: each `order.items` is one more query; options(selectinload(Order.items)) would be one.
    return [
        {"id": order.id, "products": [item.product_id for item in order.items]} for order in orders
    ]


@app.post("/orders/{order_id}/payment")
def pay_order(order_id: int, database: Database) -> dict[str, object]:
    order = database.get(Order, order_id)
    if order is None:
        raise HTTPException(404, f"There is no order {order_id}.")
    charge_card(order_id)
    order.paid = True
    database.commit()
    return {"id": order_id, "paid": True}


def charge_card(order_id: int) -> None:
    """Stands for the payment provider: slow, and down for one order in twenty."""
    time.sleep(0.03)
    if order_id % 20 == 0:
        raise HTTPException(503, "The payment provider does not answer.")
