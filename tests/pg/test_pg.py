"""The Postgres wire as real clients see it: psql, psycopg 3, asyncpg, SQLAlchemy, pandas.

Runs against the server at $BOURN_PG (host:port, default 127.0.0.1:5433) that has a table
silver.flights with at least the columns carrier (text) and dep_delay (a nullable number).
$BOURN_PG_PASSWORD is used if it is set.

    pip install pytest 'psycopg[binary]' asyncpg sqlalchemy pandas
    BOURN_PG=127.0.0.1:5433 pytest tests/pg
"""

import asyncio
import os
import shutil
import subprocess

import pytest

HOST, _, PORT = os.environ.get("BOURN_PG", "127.0.0.1:5433").rpartition(":")
PASSWORD = os.environ.get("BOURN_PG_PASSWORD")
ACCOUNT = {"host": HOST, "port": int(PORT), "user": "bourn", "password": PASSWORD}


def psql(*commands):
    if shutil.which("psql") is None:
        pytest.skip("psql is not installed")
    arguments = [word for command in commands for word in ("-c", command)]
    done = subprocess.run(
        ["psql", "-X", "-h", HOST, "-p", PORT, "-U", "bourn", "-d", "bourn", *arguments],
        env={**os.environ, "PGPASSWORD": PASSWORD or ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and "ERROR" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "command, expected",
    [
        (r"\d", ["silver", "flights"]),
        (r"\dt", ["flights", "table"]),
        (r"\dt silver.*", ["flights"]),
        (r"\d silver.flights", ["carrier", "dep_delay", "text", "double precision"]),
        (r"\d+ silver.flights", ["carrier", "dep_delay"]),
        (r"\dn", ["silver", "raw"]),
        (r"\dv", []),
        (r"\l", ["bourn"]),
        (r"\du", []),
        (r"\df", []),
        (r"\conninfo", ["bourn"]),
        ("select count(*) from silver.flights", ["(1 row)"]),
        ("select carrier, avg(dep_delay) from flights group by 1 order by 1", ["carrier"]),
    ],
)
def test_psql(command, expected):
    answer = psql(command)
    for part in expected:
        assert part in answer, answer


class TestPsycopg:
    @pytest.fixture
    def connection(self):
        psycopg = pytest.importorskip("psycopg")
        with psycopg.connect(**ACCOUNT, dbname="bourn") as connection:
            yield connection

    def test_parameters(self, connection):
        sql = "select carrier, dep_delay from silver.flights where carrier = %s and dep_delay > %s limit 3"
        carrier = connection.execute("select min(carrier) from silver.flights").fetchone()[0]
        rows = connection.execute(sql, (carrier, -1000.5)).fetchall()
        assert all(row[0] == carrier for row in rows)
        assert connection.execute(sql, ("no such carrier", 0)).fetchall() == []

    def test_types(self, connection):
        row = connection.execute(
            "select 1::int, 2::bigint, 1.5::double precision, 'a'::text, true, null,"
            " date '2013-01-02', timestamp '2013-01-02 03:04:05', array[1, 2]"
        ).fetchone()
        assert row[:6] == (1, 2, 1.5, "a", True, None)
        assert row[6].isoformat() == "2013-01-02"
        assert row[7].isoformat() == "2013-01-02T03:04:05"
        assert row[8] == [1, 2]

    def test_binary(self, connection):
        with connection.cursor(binary=True) as cursor:
            row = cursor.execute("select 7::bigint, 2.5::double precision, 'ü'::text").fetchone()
            assert row == (7, 2.5, "ü")

    def test_prepared_statements_see_every_row(self, connection):
        counts = {connection.execute("select count(*) from silver.flights", prepare=True).fetchone() for _ in range(8)}
        assert len(counts) == 1

    def test_errors_leave_the_connection_usable(self, connection):
        import psycopg

        connection.autocommit = True
        for sql, error in [
            ("select * from silver.flihgts", psycopg.errors.UndefinedTable),
            ("select nosuch from silver.flights", psycopg.errors.UndefinedColumn),
            ("selct", psycopg.errors.SyntaxError),
            ("insert into silver.flights (carrier) values ('XX')", psycopg.errors.ReadOnlySqlTransaction),
            ("drop table silver.flights", psycopg.errors.ReadOnlySqlTransaction),
        ]:
            with pytest.raises(error):
                connection.execute(sql)
            assert connection.execute("select 1").fetchone() == (1,)

    def test_transactions(self, connection):
        import psycopg

        with connection.transaction():
            assert connection.execute("select 1").fetchone() == (1,)
        with pytest.raises(psycopg.errors.UndefinedColumn):
            with connection.transaction():
                connection.execute("select nosuch")
        assert connection.execute("select 2").fetchone() == (2,)

    def test_server_cursor(self, connection):
        with connection.cursor(name="some") as cursor:
            cursor.execute("select carrier from silver.flights limit 3")
            assert len(cursor.fetchmany(2)) == 2

    def test_statement_timeout(self, connection):
        import psycopg

        connection.autocommit = True
        connection.execute("set statement_timeout = '100ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("select count(*) from generate_series(1, 1000000000000)")
        connection.execute("set statement_timeout = 0")
        assert connection.execute("select 1").fetchone() == (1,)

    def test_cancel(self, connection):
        import threading

        import psycopg

        connection.autocommit = True
        timer = threading.Timer(0.5, connection.cancel)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("select count(*) from generate_series(1, 1000000000000)")
        assert connection.execute("select 1").fetchone() == (1,)


class TestAsyncpg:
    def run(self, ask):
        asyncpg = pytest.importorskip("asyncpg")

        async def main():
            connection = await asyncpg.connect(**ACCOUNT, database="bourn", ssl=False)
            try:
                return await ask(connection)
            finally:
                await connection.close()

        return asyncio.run(main())

    def test_fetch(self):
        rows = self.run(lambda c: c.fetch("select carrier, dep_delay from silver.flights limit 3"))
        assert set(rows[0].keys()) == {"carrier", "dep_delay"}

    def test_parameters(self):
        sql = "select count(*) from silver.flights where carrier = $1 and dep_delay > $2"
        assert self.run(lambda c: c.fetchval(sql, "no such carrier", 1.5)) == 0

    def test_cast_parameters(self):
        assert self.run(lambda c: c.fetchval("select $1::int + 1", 41)) == 42
        assert self.run(lambda c: c.fetchval("select $1::text", "a")) == "a"

    def test_arrays(self):
        assert self.run(lambda c: c.fetchval("select array[1, 2, 3]::int[]")) == [1, 2, 3]

    def test_cursor(self):
        async def ask(connection):
            async with connection.transaction():
                return [row async for row in connection.cursor("select carrier from silver.flights limit 3", prefetch=1)]

        assert len(self.run(ask)) == 3

    def test_pool_reset(self):
        asyncpg = pytest.importorskip("asyncpg")

        async def main():
            async with asyncpg.create_pool(**ACCOUNT, database="bourn", ssl=False, min_size=1, max_size=2) as pool:
                return [await pool.fetchval("select 1") for _ in range(3)]

        assert asyncio.run(main()) == [1, 1, 1]

    def test_errors(self):
        asyncpg = pytest.importorskip("asyncpg")

        async def ask(connection):
            with pytest.raises(asyncpg.UndefinedTableError):
                await connection.fetch("select * from silver.flihgts")
            return await connection.fetchval("select 1")

        assert self.run(ask) == 1


class TestSqlalchemy:
    @pytest.fixture
    def engine(self):
        sqlalchemy = pytest.importorskip("sqlalchemy")
        url = sqlalchemy.URL.create(
            "postgresql+psycopg", "bourn", PASSWORD, HOST, int(PORT), "bourn"
        )
        engine = sqlalchemy.create_engine(url)
        yield engine
        engine.dispose()

    def test_query(self, engine):
        from sqlalchemy import text

        with engine.connect() as connection:
            sql = text("select count(*) from silver.flights where carrier <> :carrier")
            assert connection.execute(sql, {"carrier": "none"}).scalar() > 0

    def test_names(self, engine):
        from sqlalchemy import inspect

        inspector = inspect(engine)
        assert inspector.default_schema_name == "silver"
        assert "silver" in inspector.get_schema_names()
        assert "flights" in inspector.get_table_names(schema="silver")
        assert "flights" in inspector.get_table_names()
        assert inspector.has_table("flights", schema="silver")
        assert not inspector.has_table("nosuch", schema="silver")
        assert inspector.get_view_names(schema="silver") == []

    def test_columns(self, engine):
        from sqlalchemy import inspect

        columns = {c["name"]: c for c in inspect(engine).get_columns("flights", schema="silver")}
        assert "dep_delay" in columns and columns["dep_delay"]["nullable"]
        assert str(columns["carrier"]["type"]).upper() in ("TEXT", "VARCHAR")

    def test_keys(self, engine):
        from sqlalchemy import inspect

        inspector = inspect(engine)
        assert inspector.get_pk_constraint("flights", schema="silver")["constrained_columns"] == []
        assert inspector.get_foreign_keys("flights", schema="silver") == []
        assert inspector.get_indexes("flights", schema="silver") == []

    def test_reflected_table(self, engine):
        from sqlalchemy import MetaData, Table, func, select

        flights = Table("flights", MetaData(), schema="silver", autoload_with=engine)
        with engine.connect() as connection:
            assert connection.execute(select(func.count()).select_from(flights)).scalar() > 0

    def test_pandas(self, engine):
        pandas = pytest.importorskip("pandas")
        frame = pandas.read_sql("select carrier, dep_delay from silver.flights limit 5", engine)
        assert list(frame.columns) == ["carrier", "dep_delay"]
