"""What is promised is what comes, and it is the same as everywhere: TPC-H and every type, over Flight, REST and DuckDB."""

import datetime
import decimal

import duckdb
import pyarrow as pa
import pyarrow.flight as flight
import pyarrow.parquet as pq
import pytest

from answers import QUERIES, assert_same_rows, rows_of
from conftest import Server
from flight_sql import descriptor

ARROW = {"Accept": "application/vnd.apache.arrow.stream"}


def over_flight(client, sql):
    """The result, after holding all that was said of its schema against what comes."""
    command = descriptor("CommandStatementQuery", {1: sql})
    promised = client.get_schema(command).schema
    info = client.get_flight_info(command)
    assert info.schema.equals(promised), f"GetFlightInfo says\n{info.schema}\nGetSchema\n{promised}"
    plain = client.get_flight_info(flight.FlightDescriptor.for_command(sql)).schema
    assert plain.equals(promised), f"plain Flight says\n{plain}\nFlight SQL\n{promised}"
    tables = []
    for endpoint in info.endpoints:
        reader = client.do_get(endpoint.ticket)
        assert reader.schema.equals(promised), f"promised\n{promised}\nsent\n{reader.schema}"
        tables.append(reader.read_all())
    return pa.concat_tables(tables)


def over_rest(server, sql):
    answer = server.sql(sql, headers=ARROW)
    assert answer.status_code == 200, answer.text
    return pa.ipc.open_stream(answer.content).read_all()


@pytest.fixture(scope="module")
def tpch_server(tpch, tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("tpch"), f"{tpch}/")
    with flight.connect(server.flight) as server.client:
        yield server
    server.stop()


@pytest.mark.parametrize("number", QUERIES)
def test_tpch(tpch_server, tpch_oracle, number):
    ours = over_flight(tpch_server.client, QUERIES[number])
    rest = over_rest(tpch_server, QUERIES[number])
    assert ours.schema.names == rest.schema.names
    assert rows_of(ours) == rows_of(rest)
    assert_same_rows(rows_of(ours), tpch_oracle.sql(QUERIES[number]).fetchall(), f"q{number}")


NOW = datetime.datetime(2024, 1, 2, 3, 4, 5, 123456)
ZONED = NOW.replace(tzinfo=datetime.timezone.utc)
COLUMNS = {
    "boolean": pa.array([True, None, False]),
    "tinyint": pa.array([-128, None, 127], pa.int8()),
    "smallint": pa.array([-2**15, None, 2**15 - 1], pa.int16()),
    "int": pa.array([-2**31, None, 2**31 - 1], pa.int32()),
    "bigint": pa.array([-2**63, None, 2**63 - 1], pa.int64()),
    "utinyint": pa.array([0, None, 255], pa.uint8()),
    "usmallint": pa.array([0, None, 2**16 - 1], pa.uint16()),
    "uint": pa.array([0, None, 2**32 - 1], pa.uint32()),
    "ubigint": pa.array([0, None, 2**64 - 1], pa.uint64()),
    "real": pa.array([1.5, None, float("inf")], pa.float32()),
    "double": pa.array([0.1 + 0.2, None, -1e300]),
    "decimal": pa.array([decimal.Decimal("12.50"), None, decimal.Decimal("-9999999999.99")], pa.decimal128(12, 2)),
    "wide_decimal": pa.array([decimal.Decimal(10) ** 36, None, -1], pa.decimal128(38, 0)),
    "text": pa.array(["", None, "Zoë 🦆"]),
    "large_text": pa.array(["", None, "long"], pa.large_string()),
    "dictionary": pa.array(["red", None, "red"]).dictionary_encode(),
    "binary": pa.array([b"", None, b"\x00\xff"]),
    "fixed_binary": pa.array([b"ab", None, b"cd"], pa.binary(2)),
    "date": pa.array([NOW.date(), None, datetime.date(1, 1, 1)]),
    "time": pa.array([NOW.time(), None, datetime.time(0)], pa.time64("us")),
    "timestamp": pa.array([NOW, None, datetime.datetime(1900, 1, 1)], pa.timestamp("us")),
    "timestamp_ms": pa.array([NOW.replace(microsecond=123000), None, NOW.replace(microsecond=0)], pa.timestamp("ms")),
    "timestamp_ns": pa.array([1, None, 2**60 * 1000 // 1000], pa.int64()).cast(pa.timestamp("ns")),
    "timestamp_zone": pa.array([ZONED, None, ZONED], pa.timestamp("us", "UTC")),
    "list": pa.array([[1, None], None, []], pa.list_(pa.int32())),
    "struct": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": ""}]),
    "list_of_struct": pa.array([[{"a": 1}], None, [{"a": 2}, None]]),
    "map": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int32())),
}
# Types that no Parquet file brings.
CASTS = ["Float16", "Utf8View", "LargeUtf8", "BinaryView", "Decimal256(50, 2)", "Date64", "Time32(Second)", "Time32(Millisecond)",
         "Time64(Nanosecond)", "Timestamp(Second, None)", "Timestamp(Nanosecond, Some(\"+01:00\"))", "Duration(Millisecond)",
         "Dictionary(Int32, Utf8)", "LargeList(Int32)"]
SOURCES = {"Utf8View": "'text'", "LargeUtf8": "'text'", "BinaryView": "'text'", "Dictionary(Int32, Utf8)": "'text'",
           "LargeList(Int32)": "[1, NULL, 3]", "Time32(Second)": "'03:04:05'", "Time32(Millisecond)": "'03:04:05'"}


@pytest.fixture(scope="module")
def types(tmp_path_factory):
    folder = tmp_path_factory.mktemp("types")
    table = pa.table(COLUMNS)
    # Two files: what is read in slices and from several batches is sent as what it is.
    (folder / "types").mkdir()
    pq.write_table(table, folder / "types/0.parquet")
    pq.write_table(table, folder / "types/1.parquet")
    server = Server(tmp_path_factory.mktemp("server"), f"{folder}/")
    server.files = f"{folder}/types/*.parquet"
    with flight.connect(server.flight) as server.client:
        yield server
    server.stop()


@pytest.mark.parametrize("column", COLUMNS)
def test_every_type_of_a_file(types, column):
    sql = f'SELECT "{column}" FROM types'
    ours = over_flight(types.client, sql).column(0).to_pylist()
    key = lambda value: (value is None, str(value))
    assert sorted(ours, key=key) == sorted(COLUMNS[column].to_pylist() * 2, key=key)
    assert sorted(ours, key=key) == sorted(over_rest(types, sql).column(0).to_pylist(), key=key)
    theirs = duckdb.sql(f"SELECT \"{column}\" FROM '{types.files}'").to_arrow_table().column(0).to_pylist()
    assert sorted(ours, key=key) == sorted(theirs, key=key)


def test_all_types_at_once_and_none_of_their_rows(types):
    every = over_flight(types.client, "SELECT * FROM types")
    assert every.schema.names == list(COLUMNS) and every.num_rows == 6
    none = over_flight(types.client, "SELECT * FROM types WHERE false")
    assert none.num_rows == 0 and none.schema.equals(every.schema)


@pytest.mark.parametrize("cast", CASTS)
def test_every_type_of_an_expression(types, cast):
    sql = f"SELECT arrow_cast({SOURCES.get(cast, '12')}, '{cast}') AS value, arrow_cast(NULL, '{cast}') AS nothing"
    ours, rest = over_flight(types.client, sql), over_rest(types, sql)
    assert rows_of(ours) == rows_of(rest)
    assert ours.num_rows == 1 and ours["nothing"][0].as_py() is None and ours["value"][0].as_py() is not None


@pytest.mark.parametrize("sql", [
    "SELECT count(*) FROM types",
    "SELECT 1 AS one, NULL AS nothing, 'x' AS text",
    "SELECT \"int\", count(*) AS n, sum(\"double\") AS s FROM types GROUP BY \"int\" ORDER BY \"int\"",
    "SELECT a.\"text\", b.\"text\" FROM types a LEFT JOIN types b ON a.\"int\" = b.\"bigint\"",
    "SELECT \"int\" FROM types UNION ALL SELECT 1",
    "SELECT coalesce(\"int\", 0) AS c, row_number() OVER (ORDER BY \"text\") AS r FROM types",
    "SHOW TABLES",
    "DESCRIBE types",
    "EXPLAIN SELECT * FROM types",
    "SELECT table_name FROM information_schema.tables",
    "VALUES (1, 'a'), (2, NULL)",
])
def test_nullability_is_promised_as_it_is_sent(types, sql):
    table = over_flight(types.client, sql)
    assert table.schema.names == over_rest(types, sql).schema.names
