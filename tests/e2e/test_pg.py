"""The Postgres wire as real clients see it: psql, psycopg 3, asyncpg, SQLAlchemy."""

import asyncio
import datetime
import decimal
import os
import subprocess
import threading

import asyncpg
import psycopg
import pytest
import sqlalchemy

LONG = "select count(*) from generate_series(1, 1000000000000)"
PASSWORD = "corréct horse"


@pytest.fixture(scope="module")
def account(trips):
    return address(trips.pg)


def address(pg):
    host, _, port = pg.rpartition(":")
    return {"host": host, "port": int(port), "user": "bourn"}


def psql(account, *commands, ok=True, password=None):
    arguments = [word for command in commands for word in ("-c", command)]
    done = subprocess.run(
        ["psql", "-X", "-w", "-h", account["host"], "-p", str(account["port"]), "-U", "bourn", "-d", "bourn", *arguments],
        env={**os.environ, "PGPASSWORD": password or ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    if ok:
        assert done.returncode == 0 and "ERROR" not in done.stderr, done.stderr
        return done.stdout
    assert done.returncode != 0
    return done.stderr


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
def test_psql_answers(account, command, expected):
    answer = psql(account, command)
    for part in expected:
        assert part in answer, answer


def test_psql_shows_an_error_with_its_place_and_hint(account):
    said = psql(account, r"\set VERBOSITY verbose", "select carier from silver.flights", ok=False)
    assert "42703" in said and "carrier" in said, said
    assert "42601" in psql(account, r"\set VERBOSITY verbose", "selct 1", ok=False)


class TestPsycopg:
    @pytest.fixture
    def connection(self, account):
        with psycopg.connect(**account, dbname="bourn") as connection:
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
        connection.autocommit = True
        connection.execute("set statement_timeout = '100ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute(LONG)
        connection.execute("set statement_timeout = 0")
        assert connection.execute("select 1").fetchone() == (1,)

    def test_cancel(self, connection):
        connection.autocommit = True
        timer = threading.Timer(0.5, connection.cancel)  # should it come too early, LONG times out
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute(LONG)
        assert connection.execute("select 1").fetchone() == (1,)


class TestAsyncpg:
    @pytest.fixture(autouse=True)
    def _account(self, account):
        self.account = account

    def run(self, ask):
        async def main():
            connection = await asyncpg.connect(**self.account, database="bourn", ssl=False)
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
        async def main():
            async with asyncpg.create_pool(**self.account, database="bourn", ssl=False, min_size=1, max_size=2) as pool:
                return [await pool.fetchval("select 1") for _ in range(3)]

        assert asyncio.run(main()) == [1, 1, 1]

    def test_errors(self):
        async def ask(connection):
            with pytest.raises(asyncpg.UndefinedTableError):
                await connection.fetch("select * from silver.flihgts")
            return await connection.fetchval("select 1")

        assert self.run(ask) == 1


class TestSqlalchemy:
    @pytest.fixture
    def engine(self, account):
        url = sqlalchemy.URL.create(
            "postgresql+psycopg", "bourn", None, account["host"], account["port"], "bourn"
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


class TestTypes:
    """What a real table's columns become in a client."""

    SQL = (
        "select carrier, flight, dep_delay, dest_lat, time_hour, cancelled, _offset, _received_at"
        " from silver.flights order by _offset limit 1"
    )

    def check(self, row):
        carrier, flight, delay, latitude, hour, cancelled, offset, received = row
        assert (carrier, flight, delay, cancelled, offset) == ("UA", 1545, 2, False, 0)
        assert isinstance(latitude, float) and 29 < latitude < 31
        utc = datetime.timezone.utc
        assert hour.astimezone(utc) == datetime.datetime(2013, 1, 1, 10, tzinfo=utc)
        assert isinstance(received, datetime.datetime) and received.tzinfo is not None

    def test_psycopg_text_and_binary(self, account):
        with psycopg.connect(**account, dbname="bourn") as connection:
            self.check(connection.execute(self.SQL).fetchone())
            self.check(connection.execute(self.SQL, binary=True).fetchone())

    def test_asyncpg(self, account):
        async def main():
            connection = await asyncpg.connect(**account, database="bourn", ssl=False)
            try:
                statement = await connection.prepare(self.SQL)
                self.check(await statement.fetchrow())
                assert [a.name for a in statement.get_attributes()][:2] == ["carrier", "flight"]
            finally:
                await connection.close()

        asyncio.run(main())

    def test_sqlalchemy(self, account):
        url = sqlalchemy.URL.create(
            "postgresql+psycopg", "bourn", None, account["host"], account["port"], "bourn"
        )
        engine = sqlalchemy.create_engine(url)
        with engine.connect() as connection:
            self.check(connection.execute(sqlalchemy.text(self.SQL)).one())
        engine.dispose()

    def test_literals(self, account):
        sql = (
            "select 1.50::decimal(10,2), date '2013-01-02', interval '1 day', 'a''b',"
            " array['a', null], null::int"
        )
        with psycopg.connect(**account, dbname="bourn") as connection:
            got = connection.execute(sql).fetchone()
        expected = (decimal.Decimal("1.50"), datetime.date(2013, 1, 2), datetime.timedelta(days=1), "a'b")
        assert got == (*expected, ["a", None], None)

    def test_a_large_result_arrives_whole(self, account):
        with psycopg.connect(**account, dbname="bourn") as connection:
            with connection.cursor(name="all") as cursor:
                cursor.itersize = 1000
                cursor.execute("select _offset from silver.flights order by _offset")
                assert [row[0] for row in cursor] == list(range(20_000))
            rows = connection.execute("select * from generate_series(1, 300000)").fetchall()
            assert len(rows) == 300_000 and rows[-1] == (300_000,)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    from harness import Pipeline

    def change(definition):
        definition["postgres"] = {"user": "reader", "password": "${env:READER_PASSWORD}"}

    folder = tmp_path_factory.mktemp("guarded") / "trips"
    pipeline = Pipeline(folder, "flights", "flights", change, env={"READER_PASSWORD": PASSWORD})
    with pipeline.running():
        yield {**address(pipeline.pg), "user": "reader"}


class TestLogin:
    def test_the_right_password_is_let_in_by_scram(self, guarded):
        options = {"dbname": "bourn", "password": PASSWORD, "require_auth": "scram-sha-256"}
        with psycopg.connect(**guarded, **options) as connection:
            assert connection.execute("select 1").fetchone() == (1,)

        async def main():
            connection = await asyncpg.connect(**guarded, database="bourn", password=PASSWORD, ssl=False)
            try:
                return await connection.fetchval("select 1")
            finally:
                await connection.close()

        assert asyncio.run(main()) == 1

    @pytest.mark.parametrize(
        "user, password",
        [("reader", "wrong"), ("reader", ""), ("reader", None), ("bourn", PASSWORD), ("", PASSWORD)],
    )
    def test_everybody_else_is_refused(self, guarded, user, password):
        with pytest.raises(psycopg.OperationalError) as refused:
            psycopg.connect(**{**guarded, "user": user or "nobody"}, dbname="bourn", password=password)
        assert "password" in str(refused.value).lower(), refused.value


def test_a_fraction_bound_to_an_integer_column_is_not_cut_off(account):
    with psycopg.connect(**account, dbname="bourn") as connection:
        def count(sign, bound):
            sql = f"select count(*) from silver.flights where dep_delay {sign} %s"
            return connection.execute(sql, (bound,)).fetchone()[0]

        for bound in (1.5, decimal.Decimal("1.5")):
            assert count(">", bound) == count(">=", 2) and count("<", bound) == count("<=", 1)
