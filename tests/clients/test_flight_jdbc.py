"""The calls that Arrow's JDBC driver makes (DBeaver, Tableau, DataGrip, Spark), replayed: the driver itself comes from a registry
that not every machine reaches."""

import pyarrow as pa
import pyarrow.flight as flight
import pyarrow.parquet as pq
import pytest

from conftest import Server, run_lakebed
from flight_sql import Cookies, ask, descriptor, fields_of, message, unwrapped, wrapped

# Of java.sql.Types.
INTEGER, BIGINT, VARCHAR = 4, -5, 12
CLOSED = 1
TEXT = "SELECT name, id FROM trips WHERE id < ? ORDER BY id"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    lake, folder = tmp_path_factory.mktemp("lake"), tmp_path_factory.mktemp("server")
    pq.write_table(pa.table({
        "id": pa.array(range(1000), pa.int64()), "name": [f"n{i}" for i in range(1000)],
        "price": pa.array([None] * 1000, pa.decimal128(12, 2)),
    }), lake / "trips.parquet")
    (lake / "cities.csv").write_text("city,people\nUlm,126000\n")
    made = run_lakebed("keys", "create", "root", "--role", "admin", "--data-dir", folder / "lakebed-data", cwd=folder)
    server = Server(folder, f"{lake}/")
    server.key = made.stdout.strip()
    yield server
    server.stop()


class Driver:
    """A connection `jdbc:arrow-flight-sql://host:port/?user=…&password=…&catalog=lakebed`."""

    def __init__(self, server):
        self.cookies = Cookies()
        self.client = flight.connect(server.flight, middleware=[self.cookies])
        token = self.client.authenticate_basic_token("me", server.key)
        self.options = flight.FlightCallOptions(headers=[token])
        errors = self.action("SetSessionOptions", option("catalog", "lakebed"))
        assert fields_of(errors) == {}, errors

    def action(self, name, body):
        answers = list(self.client.do_action(flight.Action(name, body), self.options))
        return answers[0].body.to_pybytes() if answers else b""

    def ask(self, name, fields=None):
        return ask(self.client, name, fields, self.options)

    def prepare(self, sql):
        return Prepared(self, self.action("CreatePreparedStatement", wrapped("ActionCreatePreparedStatementRequest", {1: sql})))

    def put(self, name, fields, batch=None):
        """A `DoPut` and its answer's metadata."""
        command = descriptor(name, fields)
        writer, reader = self.client.do_put(command, batch.schema if batch else pa.schema([]), self.options)
        with writer:
            if batch:
                writer.write_batch(batch)
            writer.done_writing()
            answer = reader.read()
        return fields_of(answer.to_pybytes()) if answer else {}

    def close(self):
        status = fields_of(self.action("CloseSession", b""))
        self.client.close()
        return status.get(1, [0])[0]


class Prepared:
    def __init__(self, driver, answer):
        self.driver = driver
        answer = unwrapped(answer, "ActionCreatePreparedStatementResult")
        self.handle = answer[1][0]
        self.columns = schema_of(answer.get(2, [b""])[0])
        self.parameters = schema_of(answer.get(3, [b""])[0])
        self.is_update = bool(answer[4][0]) if 4 in answer else None

    @property
    def changes_something(self):
        """The newer driver asks for the flag; the older one takes a statement without columns for one."""
        return self.is_update if self.is_update is not None else not self.columns.names

    def bind(self, *values):
        types = [pa.string() if isinstance(value, str) else pa.int64() for value in values]
        columns = [pa.array([value], kind) for value, kind in zip(values, types)]
        answer = self.driver.put("CommandPreparedStatementQuery", {1: self.handle},
                                 pa.record_batch(columns, names=[str(i + 1) for i in range(len(values))]))
        self.handle = answer.get(1, [self.handle])[0]

    def query(self):
        return self.driver.ask("CommandPreparedStatementQuery", {1: self.handle})

    def update(self):
        return self.driver.put("CommandPreparedStatementUpdate", {1: self.handle}).get(1, [0])[0]

    def close(self):
        self.driver.action("ClosePreparedStatement", wrapped("ActionClosePreparedStatementRequest", {1: self.handle}))


def schema_of(data):
    return pa.ipc.read_schema(pa.py_buffer(data)) if data else pa.schema([])


def option(name, text):
    return message({1: message({1: name, 2: message({1: text})})})


@pytest.fixture
def driver(server):
    driver = Driver(server)
    yield driver
    assert driver.close() == CLOSED


def test_what_the_server_says_of_itself(driver):
    every = driver.ask("CommandGetSqlInfo")
    values = dict(zip(every["info_name"].to_pylist(), every["value"].to_pylist()))
    assert values[0] == "Lakebed" and values[1]
    # What `DatabaseMetaData` reads without asking whether it is there.
    assert not {2, 3, 4, 8, 9, 10, *range(500, 577)} - set(values)
    assert values[504] == '"' and values[8] == 0
    some = driver.ask("CommandGetSqlInfo", {1: [0, 8]})
    assert some["info_name"].to_pylist() == [0, 8]


def test_catalogs_schemas_and_kinds_of_tables(driver):
    assert driver.ask("CommandGetCatalogs")["catalog_name"].to_pylist() == ["lakebed"]
    schemas = driver.ask("CommandGetDbSchemas")
    assert schemas.schema.names == ["catalog_name", "db_schema_name"]
    assert "default" in schemas["db_schema_name"].to_pylist()
    assert driver.ask("CommandGetDbSchemas", {1: "lakebed", 2: "def%"})["db_schema_name"].to_pylist() == ["default"]
    assert driver.ask("CommandGetDbSchemas", {1: "elsewhere"}).num_rows == 0
    assert "VIEW" in driver.ask("CommandGetTableTypes")["table_type"].to_pylist()


def test_tables_and_columns(driver):
    tables = driver.ask("CommandGetTables", {1: "lakebed", 2: "default", 3: "%"})
    assert tables.schema.names == ["catalog_name", "db_schema_name", "table_name", "table_type"]
    assert tables["table_name"].to_pylist() == ["cities", "trips"]
    kind = tables["table_type"][0].as_py()
    assert driver.ask("CommandGetTables", {2: "default", 4: [kind]}).num_rows == 2
    assert driver.ask("CommandGetTables", {2: "default", 4: ["NO SUCH TYPE"]}).num_rows == 0

    described = driver.ask("CommandGetTables", {3: "trips", 5: True})
    assert described.schema.names[-1] == "table_schema" and described.num_rows == 1
    columns = schema_of(described["table_schema"][0].as_py())
    assert [(field.name, str(field.type)) for field in columns] == [("id", "int64"), ("name", "string"), ("price", "decimal128(12, 2)")]
    said = {key.removeprefix(b"ARROW:FLIGHT:SQL:"): value for key, value in columns.field("price").metadata.items()}
    assert said[b"TYPE_NAME"].startswith(b"DECIMAL") and (said[b"PRECISION"], said[b"SCALE"]) == (b"12", b"2")
    assert said[b"TABLE_NAME"] == b"trips" and said[b"SCHEMA_NAME"] == b"default" and said[b"CATALOG_NAME"] == b"lakebed"


def test_types(driver):
    every = driver.ask("CommandGetXdbcTypeInfo").to_pylist()
    by_code = {row["data_type"]: row["type_name"] for row in every}
    assert {INTEGER, BIGINT, VARCHAR} <= set(by_code)
    only = driver.ask("CommandGetXdbcTypeInfo", {1: BIGINT}).to_pylist()
    assert only and all(row["data_type"] == BIGINT for row in only)


@pytest.mark.parametrize("command, fields", [
    ("CommandGetPrimaryKeys", {3: "trips"}),
    ("CommandGetExportedKeys", {3: "trips"}),
    ("CommandGetImportedKeys", {3: "trips"}),
    ("CommandGetCrossReference", {3: "trips", 6: "cities"}),
])
def test_keys_are_none_and_no_error(driver, command, fields):
    keys = driver.ask(command, fields)
    assert keys.num_rows == 0 and len(keys.schema) >= 6


def test_a_statement_is_prepared_even_if_it_is_run_once(driver):
    statement = driver.prepare("SELECT count(*) AS n FROM trips")
    assert statement.columns.names == ["n"] and not statement.parameters.names
    assert not statement.changes_something
    assert statement.query()["n"].to_pylist() == [1000]
    statement.close()
    with pytest.raises((KeyError, pa.ArrowInvalid, flight.FlightUnauthorizedError)):
        statement.query()


def test_a_prepared_statement_with_values(driver):
    statement = driver.prepare(TEXT)
    assert [str(field.type) for field in statement.parameters] == ["int64"]
    for limit in (2, 5):
        statement.bind(limit)
        assert statement.query()["id"].to_pylist() == list(range(limit))
    statement.close()


def test_statements_that_change_something(driver):
    for sql in ("CREATE VIEW small AS SELECT * FROM trips WHERE id < 10", "DROP VIEW small"):
        statement = driver.prepare(sql)
        assert statement.changes_something
        assert statement.update() <= 1
        statement.close()
    with pytest.raises((KeyError, pa.ArrowInvalid)):
        driver.prepare("SELECT * FROM small")


def test_a_statement_without_preparing(driver):
    assert driver.ask("CommandStatementQuery", {1: "SELECT city FROM cities"})["city"].to_pylist() == ["Ulm"]
    driver.put("CommandStatementUpdate", {1: "CREATE VIEW one AS SELECT 1 AS one"})
    assert driver.ask("CommandStatementQuery", {1: "SELECT one FROM one"})["one"].to_pylist() == [1]
    driver.put("CommandStatementUpdate", {1: "DROP VIEW one"})


def test_a_session_has_a_schema_until_it_is_closed(server):
    driver = Driver(server)
    driver.put("CommandStatementUpdate", {1: "CREATE DATABASE IF NOT EXISTS reports"})
    driver.put("CommandStatementUpdate", {1: "CREATE OR REPLACE VIEW reports.few AS SELECT id FROM default.trips WHERE id < 3"})
    assert fields_of(driver.action("SetSessionOptions", option("schema", "reports"))) == {}
    assert b"reports" in driver.action("GetSessionOptions", b"")
    assert driver.ask("CommandStatementQuery", {1: "SELECT count(*) AS n FROM few"})["n"].to_pylist() == [3]
    other = Driver(server)
    with pytest.raises(KeyError):
        other.ask("CommandStatementQuery", {1: "SELECT count(*) AS n FROM few"})
    assert fields_of(driver.action("SetSessionOptions", option("no such option", "x"))) != {}
    assert (driver.close(), other.close()) == (CLOSED, CLOSED)
