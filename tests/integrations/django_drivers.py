"""Works with one database of Django in a process of its own and says what was counted.

`python -m tests.integrations.django_drivers DRIVER HOST PORT USER DIRECTORY`, a line of JSON.
Which driver Django takes is decided once for a process, so the tests need several of them.
"""

import json
import sys
from collections import Counter
from pathlib import Path

from perfsdk import guard
from perfsdk.libraries import Libraries
from perfsdk.testing import Recording
from tests.integrations.database_contract import DURATION, ROWS

DRIVERS = ("psycopg", "psycopg2", "pymysql", "mysqlclient")
MARIADB = {"pymysql": "pymysql", "mysqlclient": "MySQLdb"}
"""Those for its server, with the name of the module that Django works with."""


def choose(driver):
    """Have Django take this driver."""
    if driver == "psycopg2":
        sys.modules["psycopg"] = None  # else Django prefers it
    elif driver == "pymysql":
        import pymysql

        pymysql.install_as_MySQLdb()
        # Django asks for a version of mysqlclient, which pymysql stands in for.
        pymysql.version_info = (2, 2, 7, "final", 0)


def work():
    """What an application does, nine statements of it."""
    from django.db import IntegrityError, connection, transaction

    from tests.integrations.django_books import TABLE, Author

    Author.objects.bulk_create(Author(id=number, name="a") for number in range(1, 2101))
    with transaction.atomic():
        assert 2100 == len(Author.objects.all())
        with transaction.atomic():
            Author.objects.filter(id__gt=3).update(name="b")
        try:
            with transaction.atomic():
                Author.objects.create(id=1, name="twice")
        except IntegrityError:
            pass
    assert "a" == Author.objects.get(id=2).name
    assert connection.is_usable()
    with connection.cursor() as cursor:
        sets = [[number, "c"] for number in range(3001, 3011)]
        cursor.executemany(f"INSERT INTO {TABLE} (id, name) VALUES (%s, %s)", sets)
        cursor.execute(f"SELECT name FROM {TABLE} WHERE id > %s", [3000])
        assert 10 == sum(1 for _ in cursor)
        cursor.execute(f"DELETE FROM {TABLE} WHERE id > %s", [3000])
    assert not Author.objects.filter(name="nobody").exists()


def main():
    """Patch what is imported and what will be, work, and print."""
    driver, host, port, user, directory = sys.argv[1:]
    choose(driver)
    from tests.integrations.django_books import close, databases, make_tables, statements

    guard.reraise = True
    engine = "mysql" if driver in MARIADB else "postgresql"
    settings = {"ENGINE": f"django.db.backends.{engine}", "NAME": "shop", "USER": user}
    with Recording(Path(directory)) as recording:
        libraries = Libraries(recording.recorder)
        libraries.start(disabled=())
        with databases(default={**settings, "HOST": host, "PORT": port}):
            from django.db import connection

            make_tables()
            before = statements(recording)
            rows_before = recording.sum(ROWS, db_operation_name="SELECT")
            work()
            told = {
                "driver": connection.Database.__name__,
                "counts": Counter(word for word, _ in (statements(recording) - before).elements()),
                "rows": recording.sum(ROWS, db_operation_name="SELECT") - rows_before,
                "databases": sorted(
                    {
                        (series["db_system_name"], series["db_namespace"])
                        for series in recording.series(DURATION)
                    }
                ),
                "errors": recording.count(DURATION, error_type="IntegrityError"),
            }
            close(connection)
        libraries.stop()
    print(json.dumps(told))


if __name__ == "__main__":
    main()
