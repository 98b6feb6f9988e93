"""Outbound: one small file for each library, and the table of them.

A module of this package has `VERSIONS`, the first version that it knows and the first that it
does not, and `patch(module, patches, recorder)`.
"""

INTEGRATIONS = {
    "MySQLdb": "perfsdk.integrations.mysqlclient",
    "aiocache": "perfsdk.integrations.aiocache",
    "aiomcache": "perfsdk.integrations.aiomcache",
    "aiomysql": "perfsdk.integrations.aiomysql",
    "aiomysql.pool": "perfsdk.integrations.aiomysql_pool",
    "aiosqlite": "perfsdk.integrations.aiosqlite",
    "async_lru": "perfsdk.integrations.async_lru",
    "asyncpg": "perfsdk.integrations.asyncpg",
    "asyncpg.pool": "perfsdk.integrations.asyncpg_pool",
    "cachetools": "perfsdk.integrations.cachetools",
    "django.core.cache": "perfsdk.integrations.django_cache",
    "django.db": "perfsdk.integrations.django_orm",
    "dogpile.cache": "perfsdk.integrations.dogpile_cache",
    "flask_caching": "perfsdk.integrations.flask_caching",
    "functools": "perfsdk.integrations.functools",
    "psycopg": "perfsdk.integrations.psycopg",
    "psycopg2": "perfsdk.integrations.psycopg2",
    "psycopg2.extras": "perfsdk.integrations.psycopg2_extras",
    "psycopg2.pool": "perfsdk.integrations.psycopg2_pool",
    "psycopg_pool": "perfsdk.integrations.psycopg_pool",
    "pymemcache": "perfsdk.integrations.pymemcache",
    "pymysql": "perfsdk.integrations.pymysql",
    "redis": "perfsdk.integrations.redis",
    "sqlalchemy": "perfsdk.integrations.sqlalchemy",
    "sqlite3": "perfsdk.integrations.sqlite3",
    "valkey": "perfsdk.integrations.valkey",
}
"""By the name under which the library is imported."""
