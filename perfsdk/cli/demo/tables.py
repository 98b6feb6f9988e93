"""The shop's tables and its data, which are the same in every run."""

from pathlib import Path
from random import Random

from sqlalchemy import ForeignKey, create_engine, insert
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

PRODUCTS = 120_000
ORDERS = 3_000
ITEMS_OF_AN_ORDER = 5

SIZES = ("giant", "large", "little", "medium", "narrow", "round", "short", "small", "tall", "wide")
MATERIALS = ("bamboo", "brass", "cotton", "glass", "leather", "linen", "oak", "pine", "steel")
THINGS = ("basket", "bench", "chair", "desk", "lamp", "mirror", "rug", "shelf", "table", "vase")


class Table(DeclarativeBase):
    """What all tables of the shop have in common."""


class Product(Table):
    __tablename__ = "products"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(index=True)
    price_cents: Mapped[int]


class Order(Table):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    paid: Mapped[bool]
    items: Mapped[list["Item"]] = relationship(order_by="Item.position")


class Item(Table):
    __tablename__ = "items"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))  # nobody thought of an index
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"))
    position: Mapped[int]
    quantity: Mapped[int]


def fill_database(path: Path) -> None:
    """Make the tables in a new SQLite file and fill them; takes a second or two."""
    random = Random(1)  # noqa: S311 - the same shop every time
    names = [f"{size} {stuff} {thing}" for size in SIZES for stuff in MATERIALS for thing in THINGS]
    products = [
        {"id": n, "name": f"{random.choice(names)} {n}", "price_cents": random.randrange(99, 99999)}
        for n in range(1, PRODUCTS + 1)
    ]
    orders = [{"id": n, "paid": False} for n in range(1, ORDERS + 1)]
    items = [
        {
            "order_id": order["id"],
            "product_id": random.randint(1, PRODUCTS),
            "position": position,
            "quantity": random.randint(1, 3),
        }
        for order in orders
        for position in range(ITEMS_OF_AN_ORDER)
    ]
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # readers do not wait for a payment
    Table.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(Product), products)
        connection.execute(insert(Order), orders)
        connection.execute(insert(Item), items)
    engine.dispose()
