"""Names the databases of SQLAlchemy's engines: their system, the database, their pool."""

from typing import Any

from perfsdk.wrapping.dbapi import file_namespace
from perfsdk.wrapping.pools import pool_name

SYSTEMS = {
    "db2": "ibm.db2",
    "firebird": "firebirdsql",
    "hana": "sap.hana",
    "ibm_db_sa": "ibm.db2",
    "mssql": "microsoft.sql_server",
    "oracle": "oracle.db",
    "redshift": "aws.redshift",
    "spanner": "gcp.spanner",
}
"""Dialects that OpenTelemetry calls by another name."""


def system_name(dialect: Any) -> str:
    """The kind of database, as OpenTelemetry calls it."""
    name = "mariadb" if getattr(dialect, "is_mariadb", False) else str(dialect.name)
    return SYSTEMS.get(name, name)


def namespace(url: Any) -> str:
    """The name of the database; that of SQLite is the base name of its file."""
    if url.get_backend_name() != "sqlite":
        return url.database or ""
    return ":memory:" if url.query.get("mode") == "memory" else file_namespace(url.database)


def pool_of_engine(engine: Any) -> str:
    """Where the connections of an engine lead, without user and password."""
    url = engine.url
    if url.get_backend_name() == "sqlite":
        return namespace(url)
    host = url.host or url.query.get("host")
    if isinstance(host, tuple):
        host = ",".join(host)
    return pool_name(host, url.port, url.database) or str(url.get_backend_name())
