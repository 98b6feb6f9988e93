"""What every integration of a database promises besides the contract of all integrations."""

from collections import Counter

from perfsdk.request import DB, Account, counted, current
from tests.integrations.contract import (
    AsyncIntegrationContract,
    IntegrationContract,
    entered,
    settled,
)

DURATION = "db_client_operation_duration_seconds"
ROWS = "db_client_response_returned_rows"
SECRET = "hunter2"


class DatabaseContract(IntegrationContract):
    """The tests for a driver whose `client()` gives a connection with an empty table `items`.

    `items` has the columns `id`, an integer, and `name`, a text.
    """

    metric = DURATION
    asks_for_literal = f"SELECT id FROM items WHERE name = '{SECRET}'"
    rows_of_select = 3
    """What `ROWS` says of a SELECT of three rows; None where a driver does not tell."""

    def execute(self, client, statement):
        """Execute a statement without parameters and fetch what it gives."""
        raise NotImplementedError

    def execute_many(self, client, number):
        """Insert so many rows into `items` by one executemany."""
        raise NotImplementedError

    def execute_nothing(self, client):
        """Execute an empty statement, in whatever way the library takes it; may raise its own."""
        return self.execute(client, "")

    async def test_an_executemany_is_one_operation(self, recording, patch):
        """And the request's account has its sets of parameters."""
        patch(recording.recorder)
        async with entered(self.client()) as client:
            before = recording.count(DURATION)
            inserts = recording.count(DURATION, db_operation_name="INSERT", error_type="")
            account = Account(0.0)
            token = current.set(account)
            try:
                await settled(self.execute_many(client, 7))
            finally:
                current.reset(token)
            assert before + 1 == recording.count(DURATION)
        assert inserts + 1 == recording.count(DURATION, db_operation_name="INSERT", error_type="")
        assert 7 == account.queries.parameter_sets

    async def test_rows_are_those_returned_never_those_affected(self, recording, patch):
        """A SELECT of three is three; an INSERT and an UPDATE of three are no rows at all."""
        patch(recording.recorder)
        async with entered(self.client()) as client:
            for number in range(3):
                await settled(self.execute(client, f"INSERT INTO items VALUES ({number}, 'a')"))
            await settled(self.execute(client, "UPDATE items SET name = 'b' WHERE id < 9"))
            assert 0 == recording.count(ROWS)
            await settled(self.execute(client, "SELECT id, name FROM items"))
        labels = {"db_operation_name": "SELECT", "db_collection_name": "items"}
        assert self.rows_of_select == recording.sum(ROWS, **labels)
        assert 0 == recording.count(ROWS, db_operation_name="UPDATE")

    async def test_no_literal_is_stored(self, recording, patch):
        """Neither labels nor the rest of the segment hold what a statement was asked with."""
        patch(recording.recorder)
        async with entered(self.client()) as client:
            await settled(self.execute(client, self.asks_for_literal))
        recording.recorder.sample()
        assert 1 == recording.count(DURATION, db_operation_name="SELECT")
        content = b"".join(path.read_bytes() for path in recording.directory.iterdir())
        assert SECRET.encode() not in content

    async def test_an_outer_layer_counts_alone(self, recording, patch):
        """While one counts, the driver below is silent."""
        patch(recording.recorder)
        async with entered(self.client()) as client:
            before = recording.count(DURATION)
            token = counted.set(1 << DB)
            try:
                await settled(self.succeed(client))
                await settled(self.execute_many(client, 2))
            finally:
                counted.reset(token)
            assert before == recording.count(DURATION)

    async def test_an_empty_statement_does_what_the_library_does(self, recording, patch):
        """Measured or not, it gives the same or raises the same."""
        outcomes = []
        for measured in (False, True):
            if measured:
                patch(recording.recorder)
            async with entered(self.client()) as client:
                try:
                    outcomes.append(type(await settled(self.execute_nothing(client))))
                except Exception as error:
                    outcomes.append((type(error), str(error)))
        assert outcomes[0] == outcomes[1]

    async def test_a_synchronous_call_in_an_event_loop_is_found(self, recording, patch):
        """Only where the library blocks: asynchronous drivers are not."""
        patch(recording.recorder)
        async with entered(self.client()) as client:
            account = Account(0.0)
            token = current.set(account)
            try:
                await settled(self.succeed(client))
            finally:
                current.reset(token)
        blocking = not isinstance(self, AsyncDatabaseContract)
        assert blocking == ("blocking_in_loop" in {kind for _, kind in account.queries.findings})


class CursorContract(DatabaseContract):
    """The same for a DB-API driver that takes `%s` and is asked by a new cursor each time."""

    def execute(self, client, statement):
        cursor = client.cursor()
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else None

    def execute_many(self, client, number):
        sets = [(n, f"name {n}") for n in range(number)]
        client.cursor().executemany("INSERT INTO items VALUES (%s, %s)", sets)

    def succeed(self, client):
        return self.execute(client, "SELECT count(*) FROM items")

    def fail(self, client):
        client.cursor().execute("INSERT INTO items VALUES (NULL, 'a')")


class AsyncDatabaseContract(DatabaseContract, AsyncIntegrationContract):
    """The same for a driver whose calls are awaited."""


def counts(recording):
    """Operations by verb and table."""
    found = Counter()
    for labels in recording.series(DURATION):
        kind = labels["db_operation_name"], labels["db_collection_name"]
        found[kind] += recording.count(DURATION, **labels)
    return dict(found)


def pool_figures(recording):
    """What a sample shows of all pools: used, idle, max, idle_min, pending."""
    recording.recorder.sample()
    name = "db_client_connection"
    return (
        recording.value(f"{name}s", db_client_connection_state="used"),
        recording.value(f"{name}s", db_client_connection_state="idle"),
        recording.value(f"{name}_max"),
        recording.value(f"{name}_idle_min"),
        recording.value(f"{name}_pending_requests"),
    )
