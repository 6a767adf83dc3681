"""The ADBC driver for Flight SQL: what pandas, Polars, DuckDB and everything else over ADBC does with a server."""

import datetime
import decimal
import threading

import adbc_driver_flightsql.dbapi as dbapi
import adbc_driver_manager
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from adbc_driver_flightsql import DatabaseOptions
from adbc_driver_manager import AdbcStatusCode

from conftest import Server, run_lakebed, wait_until

ROWS = 100_000


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    ids = list(range(ROWS))
    trips = pa.table({
        "id": pa.array(ids, pa.int64()),
        "Name": pa.array([f"n{i}" if i % 7 else None for i in ids]),
        "fare": pa.array([decimal.Decimal(i) / 100 for i in ids], pa.decimal128(10, 2)),
        "day": pa.array([datetime.date(2024, 1, 1 + i % 28) for i in ids]),
    })
    (folder / "trips").mkdir()
    for part in range(4):
        pq.write_table(trips.slice(part * ROWS // 4, ROWS // 4), folder / f"trips/{part}.parquet")
    (folder / "cities.csv").write_text("city,people\nUlm,126000\nBonn,331000\n")
    return folder


@pytest.fixture(scope="module")
def server(lake, tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"), f"{lake}/")
    yield server
    server.stop()


@pytest.fixture
def connection(server):
    with dbapi.connect(server.flight, autocommit=True) as connection:
        yield connection


@pytest.fixture
def cursor(connection):
    with connection.cursor() as cursor:
        yield cursor


def test_a_query_gives_rows_and_types(cursor):
    cursor.execute("SELECT city, people FROM cities ORDER BY people")
    assert cursor.fetchall() == [("Ulm", 126000), ("Bonn", 331000)]
    assert [column[0] for column in cursor.description] == ["city", "people"]
    cursor.execute("SELECT * FROM trips ORDER BY id")
    table = cursor.fetch_arrow_table()
    assert (table.num_rows, table.schema.names) == (ROWS, ["id", "Name", "fare", "day"])
    assert table["fare"][-1].as_py() == decimal.Decimal("999.99")
    assert table["Name"].null_count == len(range(0, ROWS, 7))


def test_parameters_are_values(cursor):
    cursor.execute("SELECT id, ? AS text FROM trips WHERE id < ? AND day = ? ORDER BY id",
                   ("'; DROP TABLE trips; --", 60, datetime.date(2024, 1, 3)))
    assert cursor.fetchall() == [(2, "'; DROP TABLE trips; --"), (30, "'; DROP TABLE trips; --"), (58, "'; DROP TABLE trips; --")]
    cursor.execute("SELECT count(*) FROM trips WHERE fare >= $1 AND fare < $2", (decimal.Decimal("1.50"), 2))
    assert cursor.fetchone() == (50,)
    cursor.execute("SELECT coalesce(CAST(? AS INTEGER), 7)", (None,))
    assert cursor.fetchone() == (7,)


def test_a_prepared_statement_tells_its_parameters_and_runs_again(cursor):
    parameters = cursor.adbc_prepare("SELECT count(*) AS n FROM trips WHERE id < ? AND \"Name\" = ?")
    assert [str(field.type) for field in parameters] == ["int64", "string"], parameters
    for limit, found in ((10, 1), (3, 0), (100, 1)):
        cursor.execute("SELECT count(*) AS n FROM trips WHERE id < ? AND \"Name\" = ?", (limit, "n5"))
        assert cursor.fetchone() == (found,)


def test_many_rows_of_parameters_are_many_runs(cursor):
    cursor.execute("CREATE OR REPLACE TABLE notes AS SELECT 0 AS id, 'first' AS text")
    cursor.executemany("INSERT INTO notes VALUES (?, ?)", [(1, "one"), (2, None), (3, "three")])
    cursor.execute("SELECT * FROM notes ORDER BY id")
    assert cursor.fetchall() == [(0, "first"), (1, "one"), (2, None), (3, "three")]


def test_the_schema_is_told_without_a_run(cursor):
    sql = "SELECT id, fare * 2 AS double, \"Name\" FROM trips"
    schema = cursor.adbc_execute_schema(sql)
    cursor.execute(sql)
    assert schema.equals(cursor.fetch_arrow_table().schema, check_metadata=False)


def test_partitions_are_read_anywhere(server, cursor):
    partitions, schema = cursor.adbc_execute_partitions("SELECT id, day FROM trips")
    assert schema.names == ["id", "day"]
    seen = []
    for partition in partitions:
        with dbapi.connect(server.flight, autocommit=True) as other, other.cursor() as reader:
            reader.adbc_read_partition(partition)
            seen += reader.fetch_arrow_table()["id"].to_pylist()
    assert sorted(seen) == list(range(ROWS))


def test_a_query_may_be_polled(cursor):
    cursor.adbc_statement.set_options(**{adbc_driver_manager.StatementOptions.INCREMENTAL.value: "true"})
    seen = 0
    while True:
        partitions, _ = cursor.adbc_execute_partitions("SELECT id FROM trips")
        if not partitions:
            break
        seen += len(partitions)
        assert seen < 1000
    assert seen >= 1


def objects(connection, **filters):
    with connection.adbc_get_objects(**filters) as reader:
        return reader.read_all().to_pylist()


@pytest.mark.parametrize("depth", ["catalogs", "db_schemas", "tables", "columns", "all"])
def test_objects_at_every_depth(connection, depth):
    catalogs = objects(connection, depth=depth)
    assert [catalog["catalog_name"] for catalog in catalogs] == ["lakebed"]
    schemas = catalogs[0]["catalog_db_schemas"]
    if depth == "catalogs":
        assert not schemas
        return
    default = next(schema for schema in schemas if schema["db_schema_name"] == "default")
    if depth == "db_schemas":
        assert not default["db_schema_tables"]
        return
    tables = {table["table_name"]: table for table in default["db_schema_tables"]}
    assert {"trips", "cities"} <= set(tables)
    assert "VIEW" not in tables["trips"]["table_type"]
    columns = tables["trips"]["table_columns"]
    if depth == "tables":
        assert not columns
        return
    assert [(column["column_name"], column["ordinal_position"]) for column in columns] == [("id", 1), ("Name", 2), ("fare", 3), ("day", 4)]
    assert not tables["trips"]["table_constraints"]


def test_objects_by_patterns(connection):
    found = objects(connection, depth="columns", db_schema_filter="def%", table_name_filter="tri_s", column_name_filter="%a%")
    schema, = [schema for schema in found[0]["catalog_db_schemas"] if schema["db_schema_tables"]]
    table, = schema["db_schema_tables"]
    assert table["table_name"] == "trips"
    assert [column["column_name"] for column in table["table_columns"]] == ["Name", "fare", "day"]
    none = objects(connection, depth="tables", table_name_filter="nothing")
    assert not any(schema["db_schema_tables"] for catalog in none for schema in catalog["catalog_db_schemas"])
    views = objects(connection, depth="tables", table_types_filter=["VIEW"])
    assert "trips" not in str(views)


def test_tables_types_and_information(connection):
    schema = connection.adbc_get_table_schema("trips", db_schema_filter="default")
    assert schema.names == ["id", "Name", "fare", "day"] and schema.field("fare").type == pa.decimal128(10, 2)
    assert {"VIEW"} < set(connection.adbc_get_table_types())
    information = connection.adbc_get_info()
    assert information["vendor_name"] == "Lakebed"
    assert information["driver_name"].startswith("ADBC Flight SQL Driver")


@pytest.fixture
def sessions(server):
    options = {DatabaseOptions.WITH_COOKIE_MIDDLEWARE.value: "true"}
    with dbapi.connect(server.flight, db_kwargs=options, autocommit=True) as connection:
        yield connection


def test_a_session_keeps_its_database(sessions):
    with sessions.cursor() as cursor:
        cursor.execute("CREATE DATABASE IF NOT EXISTS reports")
        cursor.fetchall()
        cursor.execute("CREATE OR REPLACE VIEW reports.small AS SELECT id FROM default.trips WHERE id < 10")
        cursor.fetchall()
        sessions.adbc_current_db_schema = "reports"
        assert sessions.adbc_current_db_schema == "reports"
        cursor.execute("SELECT count(*) FROM small")
        assert cursor.fetchone() == (10,)
        assert sessions.adbc_current_catalog == "lakebed"


def test_statements_that_give_no_rows_run_once(cursor):
    cursor.execute("CREATE VIEW few AS SELECT * FROM trips WHERE id < 3")
    cursor.execute("SELECT count(*) FROM few")
    assert cursor.fetchone() == (3,)
    with pytest.raises(dbapi.Error) as twice:
        cursor.execute("CREATE VIEW few AS SELECT 1")
        cursor.fetchall()
    assert twice.value.status_code == AdbcStatusCode.ALREADY_EXISTS
    cursor.execute("DROP VIEW few")
    with pytest.raises(dbapi.Error):
        cursor.execute("SELECT count(*) FROM few")
    statement = cursor.adbc_statement
    statement.set_sql_query("CREATE VIEW few AS SELECT 1 AS one")
    statement.execute_update()
    statement.set_sql_query("DROP VIEW few")
    statement.execute_update()


@pytest.mark.parametrize("sql, status, words", [
    ("SELEC 1", AdbcStatusCode.INVALID_ARGUMENT, "expected a statement"),
    ("SELECT nothing FROM trips", None, "nothing"),
    ("SELECT * FROM trps", AdbcStatusCode.NOT_FOUND, "trps"),
    ("SELECT 1 / (id - id) FROM trips", None, "zero"),
    ("SELECT * FROM read_parquet('/etc/passwd')", AdbcStatusCode.UNAUTHORIZED, "passwd"),
    ("UPDATE trips SET id = 1", None, ""),
])
def test_errors_have_codes_and_hints(cursor, sql, status, words):
    with pytest.raises(dbapi.Error) as failed:
        cursor.execute(sql)
        cursor.fetchall()
    assert status in (None, failed.value.status_code), failed.value
    assert failed.value.status_code not in (AdbcStatusCode.INTERNAL, AdbcStatusCode.UNKNOWN), failed.value
    assert words in str(failed.value)
    details = b"".join(value if isinstance(value, bytes) else value.encode() for _, value in failed.value.details)
    assert b"google.rpc.ErrorInfo" in details, failed.value.details


def test_a_running_query_is_cancelled(server, connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT a.id, b.id FROM trips a, trips b")
        cursor.fetchone()
        assert server.running_queries() == 1
        thread = threading.Timer(0.2, cursor.adbc_cancel)
        thread.start()
        with pytest.raises(dbapi.Error) as cancelled:
            while True:
                cursor.fetchmany(100_000)
        thread.join()
        assert cancelled.value.status_code in (AdbcStatusCode.CANCELLED, AdbcStatusCode.IO)
    wait_until(lambda: server.running_queries() == 0, "the end of the query", seconds=60)


def test_a_connection_that_is_closed_frees_its_query(server):
    with dbapi.connect(server.flight, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT a.id, b.id FROM trips a, trips b")
        cursor.fetchone()
        assert server.running_queries() == 1
    wait_until(lambda: server.running_queries() == 0, "the end of the query", seconds=60)


def test_ingest_in_four_modes(cursor):
    table = pa.table({"id": pa.array([1, 2, 3], pa.int64()), "name": ["a", None, "c"]})
    ids = lambda: cursor.execute("SELECT id FROM loaded ORDER BY id") and [row[0] for row in cursor.fetchall()]
    with pytest.raises(dbapi.Error) as missing:
        cursor.adbc_ingest("loaded", table, mode="append")
    assert missing.value.status_code == AdbcStatusCode.NOT_FOUND, missing.value
    assert cursor.adbc_ingest("loaded", table, mode="create") == 3
    assert ids() == [1, 2, 3]
    with pytest.raises(dbapi.Error) as twice:
        cursor.adbc_ingest("loaded", table, mode="create")
    assert twice.value.status_code == AdbcStatusCode.ALREADY_EXISTS, twice.value
    assert ids() == [1, 2, 3]
    assert cursor.adbc_ingest("loaded", table.slice(0, 1), mode="append") == 1
    assert ids() == [1, 1, 2, 3]
    assert cursor.adbc_ingest("loaded", table.slice(1), mode="replace") == 2
    assert ids() == [2, 3]
    assert cursor.adbc_ingest("loaded", table.slice(0, 1), mode="create_append") == 1
    assert ids() == [1, 2, 3]
    assert cursor.adbc_ingest("loaded_anew", table.to_reader(), mode="create_append") == 3
    cursor.execute("SELECT * FROM loaded_anew ORDER BY id")
    assert cursor.fetch_arrow_table().to_pydict() == table.to_pydict()


def test_ingest_refuses_other_columns(cursor):
    assert cursor.adbc_ingest("columns_of_it", pa.table({"id": [1]}), mode="create") == 1
    with pytest.raises(dbapi.Error):
        cursor.adbc_ingest("columns_of_it", pa.table({"id": ["text"]}), mode="append")
    cursor.execute("SELECT count(*) FROM columns_of_it")
    assert cursor.fetchone() == (1,)


def test_the_same_wherever_it_is_asked(server, cursor):
    sql = "SELECT day, count(*) AS trips, sum(fare) AS fares FROM trips GROUP BY day ORDER BY day"
    cursor.execute(sql)
    ours = cursor.fetch_arrow_table()
    answer = server.sql(sql, headers={"Accept": "application/vnd.apache.arrow.stream"})
    assert ours.to_pydict() == pa.ipc.open_stream(answer.content).read_all().to_pydict()


@pytest.fixture(scope="module")
def guarded(lake, tmp_path_factory):
    """A server with an administrator's key and one that sees a table."""
    folder = tmp_path_factory.mktemp("guarded")
    keys = {}
    for name, *more in (("root", "--role", "admin"), ("reader", "--grant", "default.cities")):
        done = run_lakebed("keys", "create", name, *more, "--data-dir", folder / "lakebed-data", cwd=folder)
        keys[name] = done.stdout.strip()
        assert keys[name].startswith("lb_"), done.stderr
    server = Server(folder, f"{lake}/")
    server.keys = keys
    yield server
    server.stop()


@pytest.mark.parametrize("how", ["bearer", "password"])
def test_a_key_opens(guarded, how):
    key = guarded.keys["reader"]
    options = {
        "bearer": {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {key}"},
        "password": {"username": "anyone", "password": key},
    }[how]
    with dbapi.connect(guarded.flight, db_kwargs=options, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM cities")
        assert cursor.fetchone() == (2,)
        with pytest.raises(dbapi.Error) as hidden:
            cursor.execute("SELECT * FROM trips")
        assert hidden.value.status_code == AdbcStatusCode.NOT_FOUND
        tables = [table["table_name"] for catalog in objects(connection, depth="tables")
                  for schema in catalog["catalog_db_schemas"] for table in schema["db_schema_tables"]]
        assert "cities" in tables and "trips" not in tables
        with pytest.raises(dbapi.Error) as denied:
            cursor.adbc_ingest("cities", pa.table({"city": ["x"], "people": [1]}), mode="append")
        assert denied.value.status_code == AdbcStatusCode.UNAUTHORIZED, denied.value


@pytest.mark.parametrize("options", [
    {},
    {DatabaseOptions.AUTHORIZATION_HEADER.value: "Bearer lb_wrong"},
    {"username": "anyone", "password": "wrong"},
])
def test_without_a_key_it_stays_shut(guarded, options):
    with pytest.raises(dbapi.Error) as shut:
        with dbapi.connect(guarded.flight, db_kwargs=options, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    assert shut.value.status_code == AdbcStatusCode.UNAUTHENTICATED, shut.value
